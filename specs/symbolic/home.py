"""The home side: every step of the shipped `Home` keeps every claim, whatever the caches do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import z3
from z3 import And, If, Implies, Not, Or

from coherence.directory import ACKS, GRANT, Home
from coherence.messages import (
    Inv,
    Leave,
    PutE,
    PutM,
    Update,
)
from coherence.states import HomeAt, HomeState
from message_passing.errors import Impossible
from message_passing.process import (
    CancelTimer,
    Receive,
    Restart,
    Send,
    SetTimer,
    Timeout,
)
from specs.symbolic import views as v
from specs.symbolic.claims import Claims
from specs.symbolic.engine import Effort, Execution, explore
from specs.symbolic.invariants import Claim
from specs.symbolic.proving import Ledger, Renaming, preserved
from specs.symbolic.showing import Names, shown
from specs.symbolic.standins import (
    NONE,
    Copies,
    SendToEach,
    Verdicts,
    WaitingList,
    at,
    installed,
)
from specs.symbolic.templates import (
    ANY,
    ANY_VERSION,
    NOW,
    SMALL,
    SRC,
    THEN,
    Templates,
    changed,
    messages_to_home,
)
from specs.symbolic.values import Number, term
from specs.symbolic.views import HOME_CODES, HomeView, cache_at, home_before


def events() -> Iterator[str]:
    """The events of a home: the forms of messages, its timers, and its restart after a crash.

    A crash needs no event: home keeps its whole state, and takes no step until the restart.
    """
    yield from ("GetS", "GetM", "PutM", "PutM/number", "PutE", "PutS", "Leave", "InvAck")
    yield from ("Check", "Check/number", "grant", "acks", "Restart")


def state_of(
    path: Execution, at_state: HomeAt, h: HomeView, claims: Claims, meet: Any
) -> HomeState:
    """A home with the fields of the view."""

    def n(of: Any) -> Any:
        return Number(path, of)

    queue = WaitingList(
        path, h.waiting, h.waiting_have, h.waiting_digest, h.places, h.end, ANY, meet
    )
    verdicts = Verdicts(path, h.judged, h.judged_version, h.judged_reason, claims.forgets)
    made: Any = HomeState
    state: HomeState = made(
        at=at_state,
        version=n(h.version),
        content=n(h.content),
        sharers=Copies(path, h.sharers),
        owner=n(h.owner),
        owner_serial=n(h.owner_serial),
        epoch=n(h.epoch),
        queue=queue,
        unacked=Copies(path, h.unacked),
        writer=n(h.writer),
        writer_serial=n(h.writer_serial),
        verdicts=verdicts,
    )
    return state


def view_of(before: HomeView, state: Any) -> HomeView:
    """The view of a home after a step."""
    sharers, unacked = (
        NONE if copies == () else copies.serials for copies in (state.sharers, state.unacked)
    )
    queue, verdicts = state.queue, state.verdicts
    return replace(
        before,
        at=z3.IntVal(HOME_CODES[state.at]),
        version=term(state.version),
        content=term(state.content),
        owner=term(state.owner),
        owner_serial=term(state.owner_serial),
        epoch=term(state.epoch),
        writer=term(state.writer),
        writer_serial=term(state.writer_serial),
        sharers=sharers,
        unacked=unacked,
        waiting=queue.serials,
        waiting_have=queue.have,
        waiting_digest=queue.digests,
        places=queue.places,
        end=queue.end,
        judged=verdicts.serials,
        judged_version=verdicts.versions,
        judged_reason=verdicts.reasons,
    )


def with_commands(h: HomeView, event: Any, commands: Any) -> HomeView:
    """The view after the driver has carried out the commands."""
    if type(event) is Restart:
        h = replace(h, grant_armed=z3.BoolVal(False), acks_armed=z3.BoolVal(False))
    armed = {GRANT: h.grant_armed, ACKS: h.acks_armed}
    due, told = h.acks_due, h.told
    if type(event) is Timeout:
        armed[event.name] = z3.BoolVal(False)
    for command in commands:
        match command:
            case SetTimer(name=name, at=moment):
                armed[name] = z3.BoolVal(True)
                if name == ACKS:
                    due = term(moment)
            case CancelTimer(name=name):
                armed[name] = z3.BoolVal(False)
            case SendToEach(copies=copies, message=Inv() | Update() as message):
                dead = term(message.stale if isinstance(message, Inv) else message.version - 1)
                newer = z3.And(at(copies, ANY) >= 0, dead > at(told, ANY))
                told = z3.Store(told, ANY, If(newer, dead, at(told, ANY)))
    return replace(h, grant_armed=armed[GRANT], acks_armed=armed[ACKS], acks_due=due, told=told)


class HomeProof:
    """The proof of one policy's home."""

    def __init__(self, claims: Claims, home: Home | None = None) -> None:
        self.claims = claims
        self.home = home or Home(claims.policy)
        self.before = h = home_before()
        self.known = Templates(claims, h)
        self.in_flight = list(self.known.in_flight())

    def cells(self) -> Iterator[tuple[HomeAt, str]]:
        """Every state with every event."""
        for state in HomeAt:
            for event in events():
                yield state, event

    def explore(self, state: HomeAt, name: str, ledger: Ledger, effort: Effort) -> Iterator[None]:
        """Every path of one cell."""
        cell = _HomeCell(self, state, name, ledger)
        return explore(cell.begin, cell.run, effort)


class _HomeCell:
    """One event in one state."""

    def __init__(self, proof: HomeProof, state: HomeAt, name: str, ledger: Ledger) -> None:
        self.proof, self.state, self.name, self.ledger = proof, state, name, ledger
        self.h = proof.before
        self.where = f"home in {state}, {name}"

    def begin(self, path: Execution) -> None:
        h, known = self.h, self.proof.known
        path.assume(ANY != 0)
        path.assume(h.at == HOME_CODES[self.state], THEN <= NOW)
        path.assume(*known.of(ANY), *known.of_version(h.version))
        self.sole = path.fresh("sole")
        if self.state is HomeAt.E:
            path.assume(h.sharers == z3.Store(NONE, self.sole, at(h.sharers, self.sole)))
            path.assume(at(h.sharers, self.sole) >= 0)
        if self.state is HomeAt.M:
            path.assume(*known.of(h.owner))
        if self.state is HomeAt.S_A:
            path.assume(Implies(h.writer != 0, And(known.of(h.writer))))
        if self.name in (GRANT, ACKS):
            path.assume(h.grant_armed if self.name == GRANT else h.acks_armed)
            if self.name == ACKS:
                path.assume(h.acks_due <= NOW)
        elif self.name != "Restart":
            path.assume(Not(And(h.acks_armed, h.acks_due <= NOW)))  # it would come first
            path.assume(SRC != 0, *known.of(SRC))
            path.assume(known.received(self.name, SRC))

    def run(self, path: Execution) -> None:
        proof, h = self.proof, self.h
        event, message = self._event(path)
        meet = lambda name: path.assume(*proof.known.of(name))  # noqa: E731
        before = state_of(path, self.state, h, proof.claims, meet)
        with installed():
            try:
                step = proof.home.step(before, event, Number(path, NOW))
            except Impossible as error:
                raised, why = [("no step raises", z3.BoolVal(False))], str(error)
                self.ledger.judge(
                    path, self.where, raised, lambda m: self._told(m, event, why), SMALL
                )
                return
        after = with_commands(view_of(h, step.state), event, step.commands)
        self._define(path, after, message)
        self.ledger.take(path, step.action)
        claims = list(self._after(after, step, event, message))
        self.ledger.judge(path, self.where, claims, lambda m: self._told(m, event, step), SMALL)

    def _event(self, path: Execution) -> tuple[Any, Any]:
        if self.name in (GRANT, ACKS):
            return Timeout(self.name), None
        if self.name == "Restart":
            return Restart(), None
        message = messages_to_home(path)[self.name]
        src: Any = Number(path, SRC)
        return Receive(src, message), message

    def _define(self, path: Execution, after: HomeView, message: Any) -> None:
        """The history that this step makes."""
        version, epoch = after.version, after.epoch
        if type(message) is PutM:
            made = And(
                v.log(version) == after.content,
                v.author(version) == SRC,
                v.author_serial(version) == term(message.serial),
            )
            path.assume(Implies(version == self.h.version + 1, made))
        given = And(v.grant_owner(epoch) == after.owner, v.grant_version(epoch) == version)
        path.assume(Implies(epoch == self.h.epoch + 1, given))

    def _after(self, after: HomeView, step: Any, event: Any, message: Any) -> Iterator[Claim]:
        h, known = self.h, self.proof.known
        changes = Renaming(*changed(h, after), (THEN, NOW))
        yield from preserved(known.claims, changes, assumed=True)
        yield from preserved(self.proof.in_flight, changes, assumed=False)
        if step.state.at is HomeAt.E:
            alone = [
                And(z3.Store(after.sharers, k, -1) == NONE, at(after.sharers, k) >= 0)
                for k in (self.sole, SRC, h.owner, h.writer)
            ]
            yield "well_formed", Or(alone)
        yield from self._of_step(after, event, message)
        for command in step.commands:
            if isinstance(command, SendToEach):
                sent = known.sent(command.message, ANY, changes)
                yield _named(command.message), Implies(at(command.copies, ANY) >= 0, sent)
            elif isinstance(command, Send):
                sent = known.sent(command.message, term(command.dst), changes)
                yield _named(command.message), sent

    def _of_step(self, after: HomeView, event: Any, message: Any) -> Iterator[Claim]:
        h, claims = self.h, self.proof.claims
        commits = after.version != h.version
        new = And(after.owner != 0, after.owner != h.owner)
        grown = Or(after.epoch == h.epoch, after.epoch == h.epoch + 1)
        yield "swmr", And(grown, Implies(new, after.epoch == h.epoch + 1))
        ended = And(h.owner != 0, Or(after.owner != h.owner, after.epoch != h.epoch))
        if type(message) is not PutM:
            yield "version_order", Not(commits)
            from_owner = h.owner == SRC if type(message) in (PutE, Leave) else False
            expires = type(event) is Timeout and event.name == GRANT
            yield "swmr", Implies(ended, Or(expires, from_owner))
            return
        base, under = term(message.base), term(message.epoch)
        serial, current = term(message.serial), h.content
        yield "version_order", Implies(commits, after.version == h.version + 1)
        yield "version_order", Implies(commits, Or(current == 0, current != term(message.content)))
        yield "no_lost_update", Implies(commits, base == h.version)
        if message.digest is not None:
            yield "no_lost_update", Implies(commits, term(message.digest) == current)
        yield "no_lost_update", Implies(commits, claims.not_made(h, SRC, serial, ANY_VERSION))
        if not claims.forgets:
            yield "no_lost_update", Implies(commits, at(h.judged, SRC) < serial)
        yield "data_value", Implies(commits, after.content == term(message.content))
        yield "swmr", Implies(And(commits, h.owner != 0), h.owner == SRC)
        yield "fencing", Implies(And(commits, under != 0), And(h.owner == SRC, h.epoch == under))
        same = term(message.content) == after.content
        yield "swmr", Implies(ended, And(h.owner == SRC, Or(commits, same)))
        waits = And(at(h.waiting, ANY) >= 0, after.epoch != h.epoch)
        earlier = at(h.places, after.owner) <= at(h.places, ANY)
        yield "fairness", Implies(waits, And(at(h.waiting, after.owner) >= 0, earlier))

    def _told(self, model: Any, event: Any, step: Any) -> Iterator[str]:
        names = Names(model)
        people = [ANY, SRC, self.h.owner, self.h.writer, self.sole]
        yield "any cache is " + names.of(ANY)
        yield "home before: " + " ".join(shown(model, names, self.h, people))
        yield "cache before: " + " ".join(shown(model, names, cache_at(ANY), people))
        yield "event: " + names.message(event)
        if isinstance(step, str):
            yield step
            return
        after = with_commands(view_of(self.h, step.state), event, step.commands)
        yield "home after: " + " ".join(shown(model, names, after, people))
        for command in step.commands:
            yield "command: " + names.message(command)


def _named(message: Any) -> str:
    return f"lemma: {type(message).__name__} is sent rightly"
