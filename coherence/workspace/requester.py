"""The requesting side of one agent: asks its caches, and repeats requests until an answer comes.

A waiting agent sleeps until the answer is handed over, its deadline has come, or a timer of the
home is due, which no other process is certain to step.  It checks periodically whether the agents
that it waits for live.

An interrupted call leaves its resources where `forsake` finds them: requests under way and grants
in the caches, answers, waiters.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TypeAlias

from coherence.cache import DEADLINE
from coherence.errors import AgentBusy, AgentSuperseded, OutcomeUnknown, StoreFault
from coherence.messages import (
    SERIAL_BITS,
    Abandon,
    Acquire,
    Epoch,
    GetM,
    GetS,
    Granted,
    Leave,
    Load,
    PutM,
    Refused,
    Request,
    Result,
)
from coherence.policy import Visibility
from coherence.states import CacheState
from coherence.table import Stalled
from coherence.workspace.caches import ASKING, Before, Caches
from coherence.workspace.effects import Ask, Grant
from coherence.workspace.exchange import Batch, Exchange, Vetoed, veto_refusal
from message_passing.errors import ToolkitError
from message_passing.interrupts import Knock

Mark: TypeAlias = tuple[str, CacheState, Before]
"""An artifact, the state of its cache after a request, and the state before."""

log = logging.getLogger("coherence.workspace")

#: A waiting agent asks again after this fraction of a lease: home then repeats a lost answer while
#: the grant in it is alive.
AGAIN_AT = 1 / 2


class Requester:
    """Carries out one agent's requests.  Once `fault` is set, every call raises it."""

    def __init__(self, exchange: Exchange, caches: Caches) -> None:
        self.exchange = exchange
        self.caches = caches
        self.fault: ToolkitError | None = None
        #: Whether nothing of this agent is left in its workspace.
        self.parted = False
        #: One request at a time: the agent's own, or the renewal of its lease.
        self._asking = threading.RLock()
        #: When each waiting request is repeated.
        self._again: dict[str, float | None] = {}

    def require(self) -> None:
        """Raise the error that makes this agent unusable."""
        if self.fault is None and self.caches.superseded:
            name = self.caches.address
            self.fault = AgentSuperseded(f"another process has joined as {name!r}")
        if self.fault is not None:
            raise self.fault.with_traceback(None)

    def ask(self, artifact: str, request: Request) -> Result | None:
        """The answer, or None if it comes later: see `take`.

        Raises `StoreFault` with nothing changed, and `OutcomeUnknown`.  After any other exception
        the caller must `forsake` the request.
        """
        with self._asking:
            self.require()
            exchange, caches = self.exchange, self.caches
            if exchange.refresh():
                self.require()
            with exchange.lock:
                before = caches.remember(artifact)
                caches.answers.pop(artifact, None)
                if exchange.at_store and type(request) is Load and exchange.moves(artifact):
                    caches.doubt(artifact)
                try:
                    sent = caches.invoke(artifact, request)
                except Stalled as error:
                    raise AgentBusy(f"{caches.address!r} has asked for {artifact!r}") from error
                left = caches.states[artifact]
                if not sent:
                    return caches.answers.pop(artifact, None)
                # The wait begins when home has been asked: one of 0 s takes what is free.
                timers = caches.timers
                wait = timers.pop((artifact, DEADLINE), None) if timers else None
            try:
                outcomes = exchange.carry({artifact: [(caches.address, m) for m in sent]})
            except ToolkitError as error:
                self._failed(error, [(artifact, left, before)])
                raise
            if outcomes[0].action == "Late" and self._is_superseded(artifact, sent[-1]):
                self._supersede()
            if wait is not None and artifact not in caches.answers:
                exchange.lookouts.look_before(artifact, wait)
            if outcomes[0].absent or wait is not None:
                with exchange.lock:
                    if outcomes[0].absent:
                        caches.unknown(artifact)
                    if wait is not None and caches.state(artifact).at in ASKING:
                        caches.timers[artifact, DEADLINE] = wait
            return caches.answers.pop(artifact, None)

    def ask_all(self, asks: Sequence[Ask]) -> tuple[str, Refused] | None:
        """Make several commits in one transaction, or none; return the refused one, or None.

        After commits that were made, take or await their answers as after `ask`.
        """
        with self._asking:
            self.require()
            exchange, caches = self.exchange, self.caches
            if exchange.refresh():
                self.require()
            with exchange.lock:
                before = [caches.remember(ask.artifact) for ask in asks]
                batch = {
                    ask.artifact: [
                        (caches.address, m) for m in caches.invoke(ask.artifact, ask.request)
                    ]
                    for ask in asks
                }
                marks = [
                    (ask.artifact, caches.states[ask.artifact], was)
                    for ask, was in zip(asks, before, strict=True)
                ]

            try:
                outcomes = exchange.carry(batch, veto_refusal)
            except Vetoed as veto:
                self._revert(marks)
                with exchange.lock:
                    if veto.artifact in caches.states:
                        caches.doubt(veto.artifact)  # the copy may be why it was refused
                return veto.artifact, Refused(veto.nack.reason, veto.nack.version)
            except ToolkitError as error:
                self._failed(error, marks)
                raise
            for outcome in outcomes:
                last = batch[outcome.artifact][-1][1]
                if outcome.action == "Late" and self._is_superseded(outcome.artifact, last):
                    self._supersede()
            return None

    def take(self, artifact: str) -> Result | None:
        """The answer, if it has come."""
        with self.exchange.lock:
            return self.caches.answers.pop(artifact, None)

    def deadline(self, artifact: str) -> float | None:
        """When a waiting agent must `nudge`, on this process's monotonic clock.

        It is the next check of the agents ahead, the known end of the holder's lease, or half a
        lease from now, whichever comes first.  So even after a lost wake-up a grant is found while
        it lives, and a dead holder soon after its lease.
        """
        return _first(self._due(artifact), self._look_at(artifact))

    def _due(self, artifact: str) -> float | None:
        """When the next timer is due, here or at home, or the request must be repeated."""
        if artifact not in self._again:
            self._again[artifact] = self._ask_again_at(artifact)
        return _first(
            self.caches.deadline(artifact), self.exchange.due(artifact), self._again[artifact]
        )

    def _ask_again_at(self, artifact: str) -> float | None:
        lease_s = self.exchange.processes[artifact][0].policy.grant_lease
        return None if lease_s is None else monotonic() + lease_s * AGAIN_AT

    def _look_at(self, artifact: str) -> float | None:
        """When to check whether the blocking agents still live."""
        return self.exchange.lookouts.at(artifact, self.caches.address)

    def nudge(self, artifact: str) -> None:
        """Check the agents ahead if it is time, fire due timers, and ask for the grant again.

        Home recognises a repeated request, and repeats a lost answer.
        """
        self.require()
        now, look_at = monotonic(), self._look_at(artifact)
        if look_at is not None and look_at <= now and not self.has_missed(artifact):
            self.exchange.lookouts.look(artifact, self.caches.address)
            due = self._due(artifact)
            if due is None or due > now:
                return
        self._again[artifact] = self._ask_again_at(artifact)
        self.exchange.lookouts.doubt(artifact)
        with self.exchange.lock:
            self.caches.missed.discard(artifact)
            sent = [*self.caches.overdue(artifact), *self.caches.again(artifact)]
        self.exchange.carry({artifact: [(self.caches.address, m) for m in sent]})
        if self.exchange.store.shared:
            # Another process may have written the answer to the log without a notification here.
            self.exchange.fetch()

    def wait(self, artifact: str) -> Result:
        """Block until the answer has come. After an untyped exception the caller must `forsake`."""
        come = Knock()
        self.await_answer(artifact, come)
        try:
            while (result := self.take(artifact)) is None:
                self.require()
                until = self.deadline(artifact)
                wait_s = None if until is None else until - monotonic()
                if not come.wait(wait_s) or self.has_missed(artifact):
                    self.nudge(artifact)
        except ToolkitError:
            self.give_up(artifact)
            raise
        self.await_no_more(artifact)
        return result

    def has_missed(self, artifact: str) -> bool:
        """Whether the answer may have come and been lost."""
        return artifact in self.caches.missed

    def await_answer(self, artifact: str, come: Callable[[], None]) -> None:
        """Call `come` when the answer comes, until `await_no_more` or `forsake`."""
        with self.exchange.lock:
            self.caches.waiters[artifact] = come
        self.exchange.listen()

    def await_no_more(self, artifact: str) -> None:
        """The answer was taken: remove the callback."""
        with self.exchange.lock:
            self.caches.waiters.pop(artifact, None)
            self.caches.missed.discard(artifact)
        self._look_no_more(artifact)
        self.exchange.hush()

    def forsake(self, artifact: str, *, keep_grant: bool = False) -> Batch:
        """Cancel everything under way for `artifact`; return the messages for its home.

        Does not ask the store, and is idempotent.
        """
        with self.exchange.lock:
            sent = self.caches.forsake(artifact, keep_grant=keep_grant)
        self._look_no_more(artifact)
        self.exchange.hush()
        return {artifact: [(self.caches.address, m) for m in sent]} if sent else {}

    def _look_no_more(self, artifact: str) -> None:
        self._again.pop(artifact, None)
        self.exchange.lookouts.end(artifact, self.caches.address)

    def say(self, batch: Batch) -> None:
        """Send messages without which homes find out the same later, when leases end."""
        try:
            self.exchange.carry(batch, resends=1)
        except StoreFault as error:
            log.warning("%s will be noticed when its lease is over: %s", ", ".join(batch), error)

    def give_up(self, artifact: str) -> None:
        """Stop waiting for the grant of `artifact`; give it back if it has come."""
        self.say(self.forsake(artifact))

    def abandoned(self, grant: Grant, owner: object) -> None:
        """The draft under `grant` was dropped, and cannot be published: give the grant back."""
        with self._asking:
            drafting = self.caches.drafting
            if drafting.get(grant.artifact) is owner:
                drafting.pop(grant.artifact, None)
                self.say(self.forsake(grant.artifact))

    def give_back(self, artifact: str, epoch: Epoch) -> None:
        """Give an unused grant back."""
        self.ask(artifact, Abandon(epoch))

    def renew(self, grant: Grant) -> bool:
        """Prolong the lease; False if the grant has ended."""
        # The lock is held to the end: if the grant had ended, this asks for a new one, which must
        # be given back before the agent's next request.
        with self._asking:
            if self.caches.state(grant.artifact).epoch != grant.epoch:
                return False
            answer = self.ask(grant.artifact, Acquire())
            if answer is None:
                self.give_up(grant.artifact)
            elif isinstance(answer, Granted) and answer.epoch == grant.epoch:
                return True
            elif isinstance(answer, Granted):
                self.give_back(grant.artifact, answer.epoch)
            return False

    def leave(self) -> None:
        """Send a leave message to every home, in one transaction."""
        exchange, caches = self.exchange, self.caches
        with self._asking, exchange.lock:
            batch = {}
            for artifact, state in list(caches.states.items()):
                if state.at in ASKING:
                    caches.quit(artifact)
                if state.serial > caches.session << SERIAL_BITS:
                    sent = caches.invoke(artifact, Leave())
                    batch[artifact] = [(caches.address, message) for message in sent]
            caches.answers.clear()  # an agent call that waits in another thread raises `AgentLeft`
        if batch:
            exchange.carry(batch)

    def _revert(self, marks: Sequence[Mark]) -> None:
        with self.exchange.lock:
            for artifact, left, before in marks:
                self.caches.revert(artifact, left, before)

    def _failed(self, error: ToolkitError, marks: Sequence[Mark]) -> None:
        """Take the requests back, or cancel them if they may have reached home."""
        if _unsent(error):
            self._revert(marks)
            return
        farewells = {}
        with self.exchange.lock:
            for artifact, _, _ in marks:
                sent = self.caches.restart(artifact)
                farewells[artifact] = [(self.caches.address, message) for message in sent]
        if isinstance(error, OutcomeUnknown):
            self.say(farewells)

    def _is_superseded(self, artifact: str, message: object) -> bool:
        if isinstance(message, PutM):
            policy = self.exchange.processes[artifact][0].policy
            return policy.visibility is Visibility.LAZY  # otherwise it may be pending
        return isinstance(message, GetS | GetM)

    def _supersede(self) -> None:
        with self.exchange.lock:
            self.caches.supersede()
        self.require()


def _first(*moments: float | None) -> float | None:
    """The earliest moment that is not None."""
    return min((at for at in moments if at is not None), default=None)


def _unsent(error: ToolkitError) -> bool:
    """Whether the request has certainly not reached home, so that its serial may be used again."""
    return not isinstance(error, OutcomeUnknown)
