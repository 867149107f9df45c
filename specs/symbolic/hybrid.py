"""Causal order of the shipped `Hybrid`, for any number of processes and messages."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import z3
from msgspec import structs

from causal.hybrid import Hybrid
from causal.hybrid_state import HybridState
from causal.messages import Ack, Data, ForgedPacket, Release, Unicast
from causal.open_entries import OpenEntries
from message_passing.network import Guarantee
from message_passing.process import Deliver, Invoke, Receive, Send
from specs.symbolic import hybrid_claims as c
from specs.symbolic.engine import Effort, Execution, Exhausted, Pruned, explore
from specs.symbolic.hybrid_claims import ANY, Claim
from specs.symbolic.hybrid_loops import Loops
from specs.symbolic.hybrid_showing import Telling
from specs.symbolic.hybrid_standins import Keys, advancing
from specs.symbolic.hybrid_views import (
    ME,
    ProcessView,
    bit,
    carried,
    dst,
    grown,
    need,
    state_of,
    tables,
)
from specs.symbolic.loops import cut
from specs.symbolic.prover import Attempt
from specs.symbolic.proving import Ledger, Renaming
from specs.symbolic.values import Number, Truth, term

#: The events of a team that does not change.  `again` makes the packet of a repetition; `others` is
#: any number of steps of other processes; `initial` is the first state.
EVENTS = ("initial", "others", "Unicast", "Unicast/self", "Data", "Ack", "Release", "again")
#: The other party of the event.
PEER = z3.Int("peer")
CUT = ("data", "acked", "release", "free")
_B = z3.BoolSort()
#: By function of `Hybrid`: replacements in its source.
Turned = Mapping[str, tuple[str, str]]


class _Places:
    """Stands for the places of the team: each process is its place."""

    def get(self, name: Any) -> Any:
        return name

    def __contains__(self, name: Any) -> bool:
        return True


#: By name: the guarantee of the network.
POLICIES = {str(links.value): links for links in Guarantee}
#: What is proved where no guarantee is named: each way in which the code tells them apart.
USUAL = ("Unordered", "UnorderedLossyDuplicating", "Ordered")
PROPERTIES = (c.CAUSAL, c.REFUSED)
_ACTIONS = "Send SendToSelf ReceiveData File Duplicate ReceiveAck ReceiveRelease"


def every_action() -> frozenset[str]:
    """The actions of a team that does not change."""
    return frozenset(_ACTIONS.split())


def prove(links: str, effort: Effort) -> Attempt:
    """Prove every claim on links of the guarantee of that name."""
    attempt, started = Attempt(f"hybrid, {links}", PROPERTIES), time.process_time()
    try:
        for event in EVENTS:
            for _ in HybridProof(POLICIES[links]).explore(event, attempt.ledger, effort):
                pass
    except Exhausted as error:
        attempt.stopped = f"after {error}"
    refused = attempt.ledger.tally(c.REFUSED)
    refused.proved = attempt.ledger.paths - len(refused.refutations)
    attempt.seconds = time.process_time() - started
    return attempt


@dataclass(frozen=True)
class HybridProof:
    """The proof on links of one guarantee."""

    links: Guarantee = Guarantee.UNORDERED
    turned: Turned | None = None

    def explore(self, event: str, ledger: Ledger, effort: Effort) -> Iterator[None]:
        """Every path of one event."""
        begun: list[_Run] = []

        def begin(path: Execution) -> None:
            begun.append(_Run(self, event, path, ledger))
            begun[0].begin()

        def run(path: Execution) -> None:
            one = _Run(self, event, path, ledger, begun[0].known)
            one.after(begun[0])
            one.step()

        with advancing():
            yield from explore(begin, run, effort)


class _Known:
    """What is claimed of any message, pair of messages and peer before a step."""

    def __init__(self, s: ProcessView) -> None:
        message = (*c.of_own(s, ANY.i), *c.of_message(s, ANY.i, ANY.w, ANY.j))
        self.own = z3.And(_terms(message))
        self.pair = z3.And(_terms(c.of_pair(s, ANY.i, ANY.k)))
        self.link = z3.And(_terms(c.of_link(s, ANY.q, ANY.k)))


class _Run:
    """One event, on one path."""

    def __init__(
        self,
        proof: HybridProof,
        event: str,
        path: Execution,
        ledger: Ledger,
        known: _Known | None = None,
    ) -> None:
        self.path, self.name, self.ledger = path, event, ledger
        self.where = f"{event}, links {proof.links.value}"
        self.own = Keys(path, self._of_own)
        self.kept = Keys(path, lambda n: _terms(c.of_secret(self.before, n)))
        self.peers = Keys(path, self._of_link)
        self.keys = (self.own, self.kept, self.peers)
        own, kept, links = tables(path, self.own, self.kept, self.peers)

        def n(name: str) -> Any:
            return Number(path, z3.Int(f"my_{name}"))

        self.state = HybridState(
            own=OpenEntries(own, n("next"), n("first"), n("party"), n("second")),  # type: ignore[arg-type]
            kept=OpenEntries(kept, n("secrets"), n("oldest"), n("owner"), n("other")),  # type: ignore[arg-type]
            links=links,  # type: ignore[arg-type]
            waiting=n("waiting"),
            ahead=n("ahead"),
            ticking=True,
        )
        self.before = state_of(self.state)
        self.chained = Hybrid("me", ("me",), links=proof.links).chained
        loops = Loops(path, self.own, self.peers, self._judge, self._ended, chained=self.chained)
        loops.at.update(state=self.state, past=(self.before.knows, self.before.since))
        self.machine = self._machine(proof, loops)
        self.event: Any = None
        self.known = _Known(self.before) if known is None else known

    def _machine(self, proof: HybridProof, loops: Loops) -> Hybrid:
        """The shipped machine, its loops cut, its names numbers."""
        turned = proof.turned or {}
        made: Any = Hybrid("me", ("me",), links=proof.links)
        for name in {*CUT, *turned}:
            changes = [turned[name]] if name in turned else []
            function = cut(getattr(Hybrid, name), loops, changes)
            setattr(made, name, function.__get__(made))
        made.me, made.place = Number(self.path, ME), _Places()
        made.name_at = lambda view, place: place
        made.at = lambda view, name: name
        return cast("Hybrid", made)

    # What is known before the step.

    def _of_own(self, i: Any) -> list[Any]:
        known = self.known
        pairs = [(i, k) for k in self.own.met] + [(k, i) for k in self.own.met if not k.eq(i)]
        self.peers.meet(dst(ME, i))
        named = Renaming((ANY.i, i))(known.own)
        return [named, *(Renaming((ANY.i, one), (ANY.k, two))(known.pair) for one, two in pairs)]

    def _of_link(self, q: Any) -> list[Any]:
        ids = (ANY.k, ANY.j, ANY.i)
        return [Renaming((ANY.q, q), (ANY.k, k))(self.known.link) for k in ids]

    def after(self, begun: _Run) -> None:
        """What `begun` has assumed is known on this path too."""
        for mine, others in zip(self.keys, begun.keys, strict=True):
            mine.met.extend(others.met)

    def begin(self) -> None:
        """Assume the claims of the state before the step."""
        path, s = self.path, self.before
        if self.name == "initial":
            return
        path.assume(*_terms(c.of_counts(s)), *_terms(c.of_past(s, ANY.w, ANY.j)))
        for peer in (ANY.q, ANY.w, PEER):
            self.peers.meet(peer)
        for id in (ANY.i, ANY.k, ANY.j):
            self.own.meet(id)
        for n in (ANY.n, s.since(ANY.w, ANY.j)):
            self.kept.meet(n)
        for q, prev in ((ANY.q, ANY.prev), (PEER, s.links.of("got", PEER))):
            for about in (ANY, replace(ANY, k=ANY.j)):
                path.assume(*_terms(c.of_filed(s, q, prev, about, self.chained)))
        if self.name != "Unicast/self":
            path.assume(PEER != ME)

    # The step.

    def step(self) -> None:
        """Follow this path to its end."""
        made = {"again": self._again, "others": self._others, "initial": self._initial}
        if self.name in made:
            self.event = self.name
            made[self.name]()
            return
        self.event = self._event()
        now = Number(self.path, z3.Int("now"))
        try:
            step = self.machine.step(self.state, self.event, now)
        except ForgedPacket:
            self._judge([(c.REFUSED, z3.BoolVal(False))], ())
            return
        self.ledger.take(self.path, step.action)
        self._ended(step.state, step.commands)

    def _event(self) -> Any:
        path, s, links = self.path, self.before, self.before.links
        peer: Any = Number(path, PEER)
        if self.name == "Unicast/self":
            me: Any = Number(path, ME)
            return Invoke(Unicast(me, None))
        if self.name == "Unicast":
            return Invoke(Unicast(peer, None))
        id = path.fresh("id")
        if self.name == "Ack":
            path.assume(c.acknowledged(s, PEER, ME, id))
            self.own.meet(id)
            return Receive(peer, Ack(Number(path, id)))
        if self.name == "Release":
            path.assume(*(c.released(s, PEER, ME, id, k) for k in (ANY.k, ANY.j)))
            return Receive(peer, Release(Number(path, id)))
        prev, eager = path.fresh("sent_after"), path.fresh("eager", z3.BoolSort())
        for about in (ANY, replace(ANY, k=ANY.j)):
            path.assume(c.data(s, PEER, ME, id, prev, eager, about))
        shown = Number(path, prev)
        if not self.chained:  # the network keeps the order of a pair, except for repetitions
            got = links.of("got", PEER)
            path.assume(z3.Or(prev == got, id <= got))
            shown = 0  # type: ignore[assignment]
        return Receive(peer, Data(Number(path, id), shown, Truth(path, eager), None))  # type: ignore[arg-type]

    def _again(self) -> None:
        """A packet that is repeated says what is true, and so does an `Ack` to a secret's owner."""
        path, own = self.path, self.before.own
        id = path.fresh("id")
        self.own.meet(id)
        path.assume(own.has(id), own.of("sent", id), z3.Not(own.of("acked", id)))
        packet = self.machine.again(self.state, Number(path, id))
        to: Any = Number(path, own.of("party", id))
        n = path.fresh("n")
        self.kept.meet(n)
        owner: Any = Number(path, self.before.kept.of("party", n))
        path.assume(self.before.kept.has(n))
        self.peers.meet(owner.term)
        ack = Ack(self.machine.link(self.state, owner).got)
        said = [
            *self._said(self.before, Send(to, packet), own.of("prev", id)),
            *self._said(self.before, Send(owner, ack), None),
        ]
        self._judge(said, ())

    def _others(self) -> None:
        """What other processes deliver, send and accept breaks no claim, nor one about a packet."""
        path, s = self.path, self.before
        said = [
            c.data(s, PEER, ME, path.fresh("id"), path.fresh("prev"), path.fresh("eager", _B), ANY),
            c.acknowledged(s, PEER, ME, path.fresh("id")),
            c.released(s, PEER, ME, path.fresh("id"), ANY.k),
        ]
        path.assume(*said)
        claims = [*c.of_state(s, ANY, self.chained), *((c.PACKETS, packet) for packet in said)]
        self._judge([(name, grown(claim)) for name, claim in claims], ())

    def _initial(self) -> None:
        """The claims hold of the shipped first state."""
        shipped = self.machine.initial()
        own, kept, links = (
            table.empty() for table in (self.before.own, self.before.kept, self.before.links)
        )
        assert shipped.own.window.root is shipped.kept.window.root is shipped.links.root is None
        state = structs.replace(
            shipped,
            own=structs.replace(shipped.own, window=own),
            kept=structs.replace(shipped.kept, window=kept),
            links=links,
        )
        s = state_of(state, lambda w, j: z3.BoolVal(False))
        self._judge(c.of_state(s, ANY, self.chained), ())

    # What is claimed after it.

    def _ended(self, state: HybridState, commands: Sequence[Any]) -> None:
        s = self._after(state, commands)
        claims = [*c.of_state(s, ANY, self.chained), *c.of_growth(self.before, s, ANY.q)]
        for command in commands:
            if type(command) is Send:
                prev = self.before.links.of("out", command.dst)
                claims += self._said(s, command, prev)
            elif type(command) is Deliver and type(self.event) is Receive:
                claims.append((c.CAUSAL, self._in_turn(command)))
        self._judge(claims, commands)

    def _after(self, state: HybridState, commands: Sequence[Any]) -> ProcessView:
        """The state after a step, with what ME knows then."""
        before, knows, since = self.before, self.before.knows, self.before.since
        if type(self.event) is Invoke:
            id, w, j = before.next, ANY.w, ANY.j
            self.path.assume(
                dst(ME, id) == term(self.event.request.dst),
                need(ME, id) == before.kept_next,
                carried(ME, id, w, j) == knows(w, j),
            )
            return state_of(state, lambda w, j: z3.Or(knows(w, j), z3.And(w == ME, j == id)), since)
        delivered = [command for command in commands if type(command) is Deliver]
        if not delivered:
            return state_of(state, knows, since)
        (delivery,) = delivered
        src, got = term(delivery.src), term(delivery.message.id)

        def learns(w: Any, j: Any) -> Any:
            return z3.Or(knows(w, j), carried(src, got, w, j), z3.And(w == src, j == got))

        def learnt(w: Any, j: Any) -> Any:
            return z3.If(knows(w, j), since(w, j), before.kept_next)

        return state_of(state, learns, learnt)

    def _said(self, s: ProcessView, command: Send[Any], out: Any) -> Iterable[Claim]:
        to, packet = term(command.dst), command.message
        match packet:
            case Data():
                prev = term(packet.prev) if self.chained else out
                yield c.PACKETS, c.data(s, ME, to, term(packet.id), prev, bit(packet.eager), ANY)
            case Ack():
                yield c.PACKETS, c.acknowledged(s, ME, to, term(packet.id))
            case Release():
                yield c.PACKETS, c.released(s, ME, to, term(packet.id), ANY.k)

    def _in_turn(self, command: Deliver[Any]) -> Any:
        """Nothing that its source sent here before is left out, and nothing comes twice."""
        src, id = term(command.src), term(command.message.id)
        got = self.before.links.of("got", src)
        left_out = z3.And(got < ANY.k, ANY.k < id, dst(src, ANY.k) == ME)
        return z3.And(got < id, z3.Not(left_out))

    def _judge(self, claims: Iterable[Claim], commands: Sequence[Any]) -> None:
        if not self.path.is_possible():
            raise Pruned
        self.ledger.judge(self.path, self.where, claims, lambda m: self._told(m, commands))

    def _told(self, model: Any, commands: Sequence[Any]) -> Iterator[str]:
        telling = Telling(model, [*self.own.met, ANY.i], self.kept.met, self.peers.met)
        yield from telling.lines(self.event, self.before, commands)


def _terms(claims: Iterable[Claim]) -> list[Any]:
    return [claim for _, claim in claims]
