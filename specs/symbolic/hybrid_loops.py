"""The invariants of the hybrid's loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import z3
from msgspec.structs import replace as replaced
from z3 import And, If, Implies, Not, Or

from causal.hybrid_state import HybridState
from causal.messages import Data, Release
from message_passing.process import Send
from specs.symbolic import hybrid_claims as c
from specs.symbolic.engine import Execution
from specs.symbolic.hybrid_claims import ANY, Claim
from specs.symbolic.hybrid_standins import Freed, Keys, Law, Newest
from specs.symbolic.hybrid_views import ME, Links, ProcessView, Table, bit, dst, state_of
from specs.symbolic.values import Number, term


class Loops:
    """The invariants, for one run; `judge` proves claims, `claims` is the whole invariant."""

    def __init__(
        self,
        path: Execution,
        own: Keys,
        links: Keys,
        judge: Callable[[list[Claim], Sequence[Any]], None],
        ended: Callable[[HybridState, Sequence[Any]], None],
        *,
        chained: bool,
    ) -> None:
        self.path, self.own, self.links, self.chained = path, own, links, chained
        self.judge, self.ended = judge, ended
        self.at: dict[str, Any] = {}

    # What the compiled functions call.

    def enter(self, loop: str, local: Mapping[str, Any]) -> Mapping[str, Any]:
        """As `Cut` says."""
        name, _, count = loop.partition(".")
        found: Mapping[str, Any] = getattr(self, f"{name}_{count}")(local)
        return found

    def back(self, loop: str, local: Mapping[str, Any]) -> bool:
        """As `Cut` says."""
        name, _, count = loop.partition(".")
        return bool(getattr(self, f"{name}_{count}_back")(local))

    def some(self, loop: str, values: Any) -> Iterator[Any]:
        """As `Cut` says."""
        path = self.path
        is_left: Law = self.at["is_left"]
        if loop == "release.1":
            if path.decide(path.fresh("more", z3.BoolSort())):
                party, key = path.fresh("party"), path.fresh("key")
                self._meet(key, party)
                path.assume(is_left(key), dst(ME, key) == party, party != ME)
                yield Number(path, party), Number(path, key)
            return
        table: Table = self.at["table"]
        if not path.decide(path.fresh("more", z3.BoolSort())):
            self.own.every(lambda k: Not(is_left(k))) if loop == "free.2" else None
            return
        key = path.fresh("key")
        self._meet(key, table.of("party", key))
        path.assume(is_left(key))
        if loop == "free.2":
            self.own.every(lambda k: Not(And(is_left(k), k < key)))
        yield Number(path, key), table.at(key)

    def _meet(self, key: Any, party: Any) -> None:
        self.own.meet(key)
        self.links.meet(party)

    # Deliveries: each round is a step of its own, from a state of which the claims hold.

    def data_0(self, local: Mapping[str, Any]) -> Mapping[str, Any]:
        """The state before the loop is arbitrary already, and so is the packet: nothing changes."""
        return {name: local[name] for name in ("kept", "ready", "filed", "files", "commands")}

    def data_0_back(self, local: Mapping[str, Any]) -> bool:
        """The claims hold between two deliveries; what is filed is claimed to be a true packet."""
        if local["ready"] is None:
            return True
        state, link = local["state"], local["link"]
        link = replaced(link, got=local["got"], filed=local["filed"], files=local["files"])
        links = state.links.put(local["party"], link)
        self.ended(replaced(state, kept=local["kept"], links=links), local["commands"])
        return False

    # Acknowledgements: from the newest back along the chain.

    def acked_0(self, local: Mapping[str, Any]) -> Mapping[str, Any]:
        path, before = self.path, local["window"]
        party, last = term(local["party"]), term(local["id"])
        acked = term(local["link"].acked)

        def law(window: Table, key: Any, k: Any) -> Any:
            inside = And(before.has(k), before.of("party", k) == party, key < k, k <= last)
            stays = And(
                window.has(k),
                window.of("acked", k),
                window.of("secret", k),
                *_fields(window, before, k, "party", "need", "prev", "sent"),
            )
            changed = If(before.of("secret", k), stays, Not(window.has(k)))
            return If(inside, changed, window.same(before, k))

        def bounds(key: Any) -> Any:
            return And(acked <= key, key <= last, Implies(key > acked, dst(ME, key) == party))

        window, key = before.havoc("marking"), path.fresh("mark")
        self.at.update(law=law, bounds=bounds)
        self._judge([(c.BOOKS, law(before, last, ANY.i)), (c.CHAIN, bounds(last))])
        self.own.meet(acked)
        self.own.meet(key)
        path.assume(bounds(key))
        self.own.every(lambda k: law(window, key, k))
        return {"window": window, "key": Number(path, key)}

    def acked_0_back(self, local: Mapping[str, Any]) -> None:
        key = term(local["key"])
        law = self.at["law"](local["window"], key, ANY.i)
        self._judge([(c.BOOKS, law), (c.CHAIN, self.at["bounds"](key))])

    # Releases.

    def release_0(self, local: Mapping[str, Any]) -> Mapping[str, Any]:
        own, passed = local["own"], local["passed"]
        base: Table = local["window"]
        first, second, party = map(term, (own.first, own.second, own.party))

        def may(k: Any) -> Any:
            """Nothing that precedes `k` is undelivered elsewhere."""
            return And(k >= 1, Or(k < first, And(k < second, dst(ME, k) == party)))

        def law(window: Table, k: Any) -> Any:
            kept = _fields(window, base, k, "party", "need", "prev", "sent", "acked")
            plain = And(window.has(k), Not(window.of("secret", k)), *kept)
            ended = If(base.of("acked", k), Not(window.has(k)), plain)
            changed = And(base.has(k), base.of("secret", k), may(k), ended)
            return Or(window.same(base, k), changed)

        window = base.havoc("releasing")
        self.at.update(law=law, may=may, is_left=passed.member, table=passed.table)
        self._judge([(c.BOOKS, law(base, ANY.i))])
        self.own.every(lambda k: law(window, k))
        return {"window": window, "let": Newest()}

    def release_0_back(self, local: Mapping[str, Any]) -> None:
        claims = [(c.BOOKS, self.at["law"](local["window"], ANY.i))]
        put = local["let"].put
        if put is not None:
            party, key = put
            true = And(self.at["may"](key), dst(ME, key) == party, party != ME)
            claims.append((c.PACKETS, true))
        self._judge(claims)

    def release_1(self, local: Mapping[str, Any]) -> Mapping[str, Any]:
        path, may = self.path, self.at["may"]
        before: Links = local["links"]
        let = path.fresh("letting", before.counts["let"].sort())
        links = replace(before, counts={**before.counts, "let": let})

        def law(links: Links, q: Any) -> Any:
            now, then = links.of("let", q), before.of("let", q)
            newer = And(may(now), dst(ME, now) == q, q != ME)
            counts = [links.of(n, q) == before.of(n, q) for n in before.counts if n != "let"]
            packets = [
                z3.Select(links.filed[n], q) == z3.Select(before.filed[n], q) for n in before.filed
            ]
            return And(Or(now == then, newer), *counts, *packets)

        self._judge([(c.PACKETS, law(before, ANY.q))])
        self.links.every(lambda q: law(links, q))
        self.at.update(law=law, is_left=may, sent=len(local["commands"]))
        return {"links": links, "commands": local["commands"]}

    def release_1_back(self, local: Mapping[str, Any]) -> None:
        view = self.at["view"] = self._view(local)
        claims = [(c.PACKETS, self.at["law"](local["links"], ANY.q))]
        for command in local["commands"][self.at["sent"] :]:
            assert type(command) is Send
            assert type(command.message) is Release
            true = c.released(view, ME, term(command.dst), term(command.message.id), ANY.k)
            claims.append((c.PACKETS, true))
        self._judge(claims, local["commands"])

    # Messages that may go.

    def free_0(self, local: Mapping[str, Any]) -> Mapping[str, Any]:
        path, own = self.path, local["window"]
        start, limit = term(local["waiting"]), term(local["first"])

        def law(member: Law, at: Any, k: Any) -> Any:
            inside = And(own.has(k), start <= k, k < at)
            return And(member(k) == inside, Implies(inside, own.of("need", k) <= limit))

        at = path.fresh("waiting")
        path.assume(start <= at)
        self.at.update(law=law, start=start)
        self._judge([(c.QUEUE, law(lambda k: z3.BoolVal(False), start, ANY.i))])

        def member(k: Any) -> Any:
            return And(own.has(k), start <= k, k < at)

        self.own.every(lambda k: law(member, at, k))
        return {"waiting": Number(path, at), "freed": Freed(member)}

    def free_0_back(self, local: Mapping[str, Any]) -> None:
        self._added(local["freed"].member, term(local["waiting"]))

    def _added(self, member: Law, at: Any) -> None:
        self._judge([(c.QUEUE, And(self.at["law"](member, at, ANY.i), self.at["start"] <= at))])

    def free_1(self, local: Mapping[str, Any]) -> Mapping[str, Any]:
        path, own, kept = self.path, local["window"], local["kept"]
        start, before = term(local["ahead"]), local["freed"].member
        limit, party = term(kept.second), term(kept.party)

        def law(member: Law, at: Any, k: Any) -> Any:
            inside = And(own.has(k), start <= k, k < at)
            added = And(inside, own.of("party", k) == party)
            low = Implies(inside, own.of("need", k) <= limit)
            return And(member(k) == Or(before(k), added), low)

        at = path.fresh("ahead")
        path.assume(start <= at)
        self.at.update(law=law, start=start)
        self._judge([(c.QUEUE, law(before, start, ANY.i))])

        def member(k: Any) -> Any:
            added = And(own.has(k), start <= k, k < at, own.of("party", k) == party)
            return Or(before(k), added)

        self.own.every(lambda k: law(member, at, k))
        return {"ahead": Number(path, at), "freed": Freed(member)}

    def free_1_back(self, local: Mapping[str, Any]) -> None:
        self._added(local["freed"].member, term(local["ahead"]))

    def free_2(self, local: Mapping[str, Any]) -> Mapping[str, Any]:
        path, base, member = self.path, local["window"], local["freed"].member
        before: Links = local["links"]
        cursors, stop = self._view(local), term(local["own"].next)

        def done(at: Any, k: Any) -> Any:
            return And(member(k), k < at, Not(base.of("sent", k)))

        def law(window: Table, links: Links, at: Any, k: Any) -> Any:
            to, prev = dst(ME, k), window.of("prev", k)
            went = And(
                window.has(k),
                window.of("sent", k),
                window.of("secret", k) == (cursors.older(to) < k),
                *_fields(window, base, k, "party", "need", "acked"),
                prev >= 0,
                prev < k,
                Implies(prev > 0, dst(ME, prev) == to),
            )
            order = Implies(base.has(k), window.of("sent", k) == (k <= links.of("out", to)))
            return And(If(done(at, k), went, window.same(base, k)), order)

        def gap(window: Table, at: Any, k: Any, other: Any) -> Any:
            within = And(done(at, k), window.of("prev", k) < other, other < k)
            return Implies(within, dst(ME, other) != dst(ME, k))

        def out(links: Links, at: Any, q: Any) -> Any:
            now, then = links.of("out", q), before.of("out", q)
            newer = And(now > then, done(at, now), dst(ME, now) == q, now < stop)
            rest = [links.of(n, q) == before.of(n, q) for n in before.counts if n != "out"]
            packets = [
                z3.Select(links.filed[n], q) == z3.Select(before.filed[n], q) for n in before.filed
            ]
            return And(Or(now == then, newer), *rest, *packets)

        at, window = path.fresh("at"), base.havoc("going")
        counts = {**before.counts, "out": path.fresh("going_out", before.counts["out"].sort())}
        links = replace(before, counts=counts)
        self._judge(
            [
                (c.CHAIN, law(base, before, z3.IntVal(0), ANY.i)),
                (c.CHAIN, gap(base, z3.IntVal(0), ANY.i, ANY.k)),
                (c.CHAIN, out(before, z3.IntVal(0), ANY.q)),
            ]
        )
        self.own.every(lambda k: law(window, links, at, k))
        path.assume(gap(window, at, ANY.i, ANY.k), gap(window, at, ANY.k, ANY.i))
        self.links.every(lambda q: out(links, at, q))
        self.at.update(
            law=law,
            gap=gap,
            out=out,
            table=base,
            is_left=lambda k: And(member(k), k >= at),
            sent=len(local["commands"]),
            links=links,
        )
        return {"window": window, "links": links, "commands": local["commands"]}

    def free_2_back(self, local: Mapping[str, Any]) -> None:
        window, links, at = local["window"], local["links"], term(local["id"]) + 1
        claims = [
            (c.CHAIN, self.at["law"](window, links, at, ANY.i)),
            (c.CHAIN, self.at["gap"](window, at, ANY.i, ANY.k)),
            (c.CHAIN, self.at["out"](links, at, ANY.q)),
        ]
        view = self._view(local)
        for command in local["commands"][self.at["sent"] :]:
            assert type(command) is Send
            assert type(command.message) is Data
            packet, to = command.message, term(command.dst)
            # Where links keep the order, packets have no `prev`.
            prev = term(packet.prev) if self.chained else self.at["links"].of("out", to)
            said = c.data(view, ME, to, term(packet.id), prev, bit(packet.eager), ANY)
            claims.append((c.PACKETS, said))
        self._judge(claims, local["commands"][self.at["sent"] :])

    # Small things.

    def _view(self, local: Mapping[str, Any]) -> ProcessView:
        """The state in the middle of a function, as far as claims about packets read it."""
        own, links = local["own"], local["links"]
        state = self.at["state"]
        return state_of(replaced(state, own=own, links=links), *self.at["past"])

    def _judge(self, claims: list[Claim], commands: Sequence[Any] = ()) -> None:
        self.judge(claims, commands)


def _fields(window: Table, base: Table, k: Any, *names: str) -> list[Any]:
    return [window.of(name, k) == base.of(name, k) for name in names]
