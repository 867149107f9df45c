"""The cache side: every step of the shipped `Cache` keeps every claim, whatever home sends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import z3
from z3 import And, If, Implies, Not, Or

from coherence import cache as shipped
from coherence.cache import DEADLINE, RETRY, VALIDITY, Cache
from coherence.messages import (
    NUMBER_MAX,
    Abandon,
    Acquire,
    Commit,
    Committed,
    GetM,
    GetS,
    Granted,
    Leave,
    Load,
    Loaded,
    PutM,
    Refused,
    Replacement,
)
from coherence.states import CacheAt, CacheState
from coherence.table import Stalled
from message_passing.errors import Impossible
from message_passing.process import (
    CancelTimer,
    Invoke,
    Receive,
    Respond,
    Restart,
    Send,
    SetTimer,
    Timeout,
)
from specs.symbolic import views as v
from specs.symbolic.claims import Claims
from specs.symbolic.engine import Effort, Execution, explore
from specs.symbolic.invariants import ASKING, LIVE, READING, TRANSIENT, WRITING, Claim
from specs.symbolic.invariants import VALIDITY as LIFE
from specs.symbolic.proving import Ledger, Renaming, preserved
from specs.symbolic.showing import Names, shown
from specs.symbolic.standins import largest
from specs.symbolic.templates import (
    ANY,
    ANY_VERSION,
    NOW,
    SMALL,
    THEN,
    Templates,
    changed,
    messages_to_cache,
)
from specs.symbolic.values import Number, term
from specs.symbolic.views import CACHE_CODES, CacheView, HomeView, Kind, cache_at, home_before

#: The version that a message names.
VERSION = z3.Int("message_version")
REQUESTS = (
    "Load",
    "Acquire",
    "Acquire/wait",
    "Commit",
    "Commit/number",
    "Abandon",
    "Replacement",
    "Leave",
)
TIMERS = (VALIDITY, RETRY, DEADLINE)
#: A hit that its driver answers without a step; a crash, which leaves what is durable.
OWN = ("hit", "crash", "Restart")


_KINDS: dict[Any, Kind] = {GetS: Kind.GETS, GetM: Kind.GETM, PutM: Kind.PUTM}


class CacheProof:
    """The proof of one policy's caches."""

    def __init__(self, claims: Claims, cache: Cache | None = None) -> None:
        self.claims = claims
        self.cache = cache or Cache(claims.policy)
        self.home = home_before()
        self.before = cache_at(ANY)
        self.known = Templates(claims, self.home)
        self.in_flight = list(self.known.in_flight())

    def cells(self) -> Iterator[tuple[CacheAt, str]]:
        """Every state with every event."""
        for state in CacheAt:
            for name in (*REQUESTS, *TIMERS, *OWN, *messages_to_cache(None)):
                yield state, name

    def explore(self, state: CacheAt, name: str, ledger: Ledger, effort: Effort) -> Iterator[None]:
        """Every path of one cell."""
        cell = _CacheCell(self, state, name, ledger)
        return explore(cell.begin, cell.run, effort)


class _CacheCell:
    """One event in one state."""

    def __init__(self, proof: CacheProof, state: CacheAt, name: str, ledger: Ledger) -> None:
        self.proof, self.state, self.name, self.ledger = proof, state, name, ledger
        self.h, self.c = proof.home, proof.before
        self.where = f"cache in {state}, {name}"
        self.arrives = name in messages_to_cache(None)

    def begin(self, path: Execution) -> None:
        proof, c = self.proof, self.c
        path.assume(ANY != 0)
        path.assume(c.at == CACHE_CODES[self.state], THEN <= NOW, *proof.known.of(ANY))
        if self.name not in (*TIMERS, "crash"):
            path.assume(Not(And(c.validity_armed, c.due <= NOW)))  # it would come first
        if self.name == RETRY:  # a driver may repeat a request on its own
            path.assume(Or(c.retry_armed, c.is_at(*TRANSIENT)))
        if self.name == DEADLINE:
            path.assume(c.deadline_armed)
        if self.name == "Restart":  # after a crash, from what was durable
            gone = CacheState()
            path.assume(c.is_at(CacheAt.I), c.version == 0, c.content == 0, c.epoch == 0)
            path.assume(c.dead == gone.dead_through, Not(c.again))
        if self.arrives:
            path.assume(proof.known.received(self.name, ANY), *proof.known.of_version(VERSION))

    def run(self, path: Execution) -> None:
        if not path.is_possible():
            return
        proof = self.proof
        state = self._state(path)
        event = self._event(path)
        shipped.__dict__["max"] = largest
        try:
            if self.name == "crash":
                self._judge(path, event, proof.cache.durable(state), ())
            elif self.name == "hit":
                found = proof.cache.hit(state)
                if found is not None:
                    self._judge(path, event, state, (Respond(found),))
            else:
                step = proof.cache.step(state, event, Number(path, NOW))
                self.ledger.take(path, step.action)
                self._judge(path, event, step.state, step.commands)
        except Stalled:
            return
        except Impossible as error:
            raised, why = [("no step raises", z3.BoolVal(False))], str(error)
            self.ledger.judge(
                path, self.where, raised, lambda m: self._told(m, event, why, ()), SMALL
            )
        finally:
            del shipped.__dict__["max"]

    def _state(self, path: Execution) -> CacheState:
        c = self.c

        def n(of: Any) -> Any:
            return Number(path, of)

        asked: Any = None
        serial, held = n(c.serial), (n(v.base(ANY, c.serial)), n(v.digest(ANY, c.serial)))
        if self.state in READING:
            asked = GetS(serial, *held)
        elif self.state in ASKING:
            asked = GetM(serial, *held)
        elif self.state in WRITING:
            under, content = n(v.epoch(ANY, c.serial)), n(v.content(ANY, c.serial))
            asked = PutM(serial, held[0], under, content, held[1])
        again = path.decide(c.again)
        return CacheState(
            self.state,
            n(c.version),
            n(c.content),
            n(c.dead),
            serial,
            n(c.epoch),
            n(path.fresh("uses")),
            asked,
            again,
        )

    def _event(self, path: Execution) -> Any:
        def n(name: str) -> Any:
            return Number(path, path.fresh(name))

        if self.arrives:
            return Receive("home", messages_to_cache(path)[self.name])
        if self.name in TIMERS:
            return Timeout(self.name)
        if self.name == "Restart":
            return Restart()
        if self.name in OWN:
            return self.name
        if self.name in ("Commit", "Commit/number", "Abandon"):
            base, under, content = n("base"), n("epoch"), n("content")
            in_range = [And(of.term >= 0, of.term <= NUMBER_MAX) for of in (base, under)]
            path.assume(*in_range, content.term > 0)
            if self.name == "Abandon":
                path.assume(under.term > 0)
                return Invoke(Abandon(under))
            return Invoke(
                Commit(content, base, under, n("digest") if self.name == "Commit" else None)
            )
        plain = {"Load": Load(), "Acquire": Acquire(), "Acquire/wait": Acquire(1.0)}
        plain |= {"Replacement": Replacement(), "Leave": Leave()}
        return Invoke(plain[self.name])

    def _judge(self, path: Execution, event: Any, state: CacheState, commands: Any) -> None:
        after, home = self._after(event, state, commands)
        self._define(path, after, commands)
        claims = list(self._claims(event, after, home, state, commands))
        self.ledger.judge(
            path, self.where, claims, lambda m: self._told(m, event, after, commands), SMALL
        )

    def _after(self, event: Any, state: CacheState, commands: Any) -> tuple[CacheView, HomeView]:
        """The views after the driver has carried out the commands and the reader has its answer."""
        c, returned = self.c, self.h.returned
        armed = {VALIDITY: c.validity_armed, RETRY: c.retry_armed, DEADLINE: c.deadline_armed}
        due, served, begun = c.due, c.served, c.begun
        if type(event) is Timeout:
            armed[event.name] = z3.BoolVal(False)
        if event == "crash" or type(event) is Restart:
            armed = dict.fromkeys(armed, z3.BoolVal(False))
        if event == "hit" or (type(event) is Invoke and type(event.request) is Load):
            begun = returned
        for command in commands:
            match command:
                case SetTimer(name=name, at=moment):
                    armed[name] = z3.BoolVal(True)
                    due = term(moment) if name == VALIDITY else due
                case CancelTimer(name=name):
                    armed[name] = z3.BoolVal(False)
                case Respond(result=Loaded(version=version) | Granted(version=version)):
                    served = term(version)
                case Respond(result=Committed(version=version)):
                    version = term(version)
                    served = If(version > served, version, served)
                    returned = If(version > returned, version, returned)
        after = CacheView(
            z3.IntVal(CACHE_CODES[state.at]),
            term(state.version),
            term(state.content),
            term(state.dead_through),
            term(state.serial),
            term(state.epoch),
            z3.BoolVal(bool(state.again)),
            armed[VALIDITY],
            armed[RETRY],
            armed[DEADLINE],
            due,
            served,
            begun,
        )
        return after, replace(self.h, returned=returned)

    def _define(self, path: Execution, after: CacheView, commands: Any) -> None:
        """The history that this step makes: what the new serial was counted for, and when."""
        serial = after.serial
        facts = [v.asked_version(ANY, serial) == self.h.version, v.asked_at(ANY, serial) == NOW]
        asks = [c.message for c in commands if isinstance(c, Send)]
        asks = [m for m in asks if isinstance(m, GetS | GetM | PutM) and self.name != RETRY]
        kind = Kind.OTHER
        for message in asks:
            held = message.base if isinstance(message, PutM) else message.have
            facts += [
                v.base(ANY, serial) == term(held),
                v.digest(ANY, serial) == term(message.digest),
            ]
            kind = _KINDS[type(message)]
            if isinstance(message, PutM):
                facts += [
                    v.epoch(ANY, serial) == term(message.epoch),
                    v.content(ANY, serial) == term(message.content),
                ]
        facts.append(v.kind(ANY, serial) == kind)
        path.assume(Implies(serial == self.c.serial + 1, And(facts)))

    def _claims(
        self, event: Any, after: CacheView, home: HomeView, state: CacheState, commands: Any
    ) -> Iterator[Claim]:
        c, known = self.c, self.proof.known
        changes = Renaming(*changed(c, after), *changed(self.h, home), (THEN, NOW))
        yield from preserved(known.claims, changes, assumed=True)
        yield from preserved(self.proof.in_flight, changes, assumed=False)
        counted = Or(after.serial == c.serial, after.serial == c.serial + 1)
        yield "lemma: serials are counted one by one", counted
        asked = state.asked
        yield "well_formed", z3.BoolVal((asked is not None) == (state.at in TRANSIENT))
        if asked is not None:
            yield "well_formed", term(asked.serial) == after.serial
        for command in commands:
            if isinstance(command, Send):
                name = f"lemma: {type(command.message).__name__} is sent rightly"
                yield name, known.sent(command.message, ANY, changes)
            elif isinstance(command, Respond):
                yield from self._of_answer(event, after, command.result)

    def _of_answer(self, event: Any, after: CacheView, result: Any) -> Iterator[Claim]:
        h, c, claims = self.h, self.c, self.proof.claims
        if isinstance(result, Loaded | Granted):
            version = term(result.version)
            there = And(version >= h.first, version <= h.version)
            yield "data_value", And(there, term(result.content) == v.log(version))
            yield "monotone_reads", version >= c.served
            asked_version = v.asked_version(ANY, c.serial)
            yield "bounded_staleness", version >= asked_version
            if claims.policy.validity is not None and self.state in LIVE:
                yield "bounded_staleness", v.asked_at(ANY, c.serial) + LIFE > NOW
            if claims.strict and isinstance(result, Loaded):
                yield "strict_visibility", version >= after.begun
        if isinstance(result, Granted):
            lives = And(h.owner == ANY, h.epoch == term(result.epoch))
            yield "swmr", Implies(lives, version == h.version)
        if isinstance(result, Committed):
            version = term(result.version)
            yield "version_order", And(version >= h.first, version <= h.version)
            made = And(v.author(ANY_VERSION) == ANY, v.author_serial(ANY_VERSION) == c.serial)
            made = And(made, h.first < ANY_VERSION, h.version >= ANY_VERSION)
            yield "version_order", Implies(made, version == ANY_VERSION)
            same = And(v.log(version) == after.content, v.asked_version(ANY, c.serial) <= version)
            yield "version_order", same
        if isinstance(result, Refused) and not claims.forgets:
            yield "no_lost_update", claims.not_made(h, ANY, c.serial, ANY_VERSION)

    def _told(self, model: Any, event: Any, after: Any, commands: Any) -> Iterator[str]:
        names = Names(model)
        people = [ANY]
        yield "cache before: " + " ".join(shown(model, names, self.c, people))
        yield "home: " + " ".join(shown(model, names, self.h, people))
        yield "event: " + names.message(event)
        if isinstance(after, str):
            yield after
            return
        yield "cache after: " + " ".join(shown(model, names, after, people))
        for command in commands:
            yield "command: " + names.message(command)
