"""The requesting side of one agent: asks its caches, and sees to it that an answer comes.

A waiting agent sleeps until the answer is handed over, its own deadline has come, or a timer of the
home is due that nobody else may notice.  Now and then it looks whether those it waits for live.

A call that an interrupt cuts off leaves what it took where `forsake` finds it: requests under way
and grants in the caches, answers, waiters.
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
    Store,
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
"""An artifact, where a request left its cache, and where it was before."""

log = logging.getLogger("coherence.workspace")

#: Who waits asks again when this much of a lease has passed: an answer that was lost is repeated
#: while the grant that it brought is alive.
AGAIN_AT = 1 / 2


class Requester:
    """Carries out one agent's requests.  `fault` is raised by every call once it is set."""

    def __init__(self, exchange: Exchange, caches: Caches) -> None:
        self.exchange = exchange
        self.caches = caches
        self.fault: ToolkitError | None = None
        #: Nothing of this agent is left in its workspace.
        self.parted = False
        #: One request at a time: the agent's own, or a renewal of its lease with what follows.
        self._asking = threading.RLock()
        #: When each wait asks again.
        self._again: dict[str, float | None] = {}

    def require(self) -> None:
        """Raise what makes this agent unusable."""
        if self.fault is None and self.caches.superseded:
            name = self.caches.address
            self.fault = AgentSuperseded(f"another process has joined as {name!r}")
        if self.fault is not None:
            raise self.fault.with_traceback(None)

    def ask(self, artifact: str, request: Request) -> Result | None:
        """The answer, or None where it comes later: see `take`.

        Raises `StoreFault` with nothing changed, and `OutcomeUnknown`.  Any other exception cuts
        the request off: `forsake` puts things in order.
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
        """Commits in one transaction: which was refused, and none is made; or None.

        The answers to those that were made are to be taken or waited for, as after `ask`.
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
        """The answer, where it has come."""
        with self.exchange.lock:
            return self.caches.answers.pop(artifact, None)

    def deadline(self, artifact: str) -> float | None:
        """When a waiting agent must `nudge`, on this process's monotonic clock.

        When it is time to look whether those in its way still live; when the holder's lease is
        over, as far as is known here; and at the latest after half a lease: whatever wake-up was
        lost, a grant is found while it lives, and a holder that is gone is found out soon after its
        lease.
        """
        return _first(self._due(artifact), self._look_at(artifact))

    def _due(self, artifact: str) -> float | None:
        """When timers are due, here or at home, or it is time to ask again."""
        if artifact not in self._again:
            self._again[artifact] = self._ask_again_at(artifact)
        return _first(
            self.caches.deadline(artifact), self.exchange.due(artifact), self._again[artifact]
        )

    def _ask_again_at(self, artifact: str) -> float | None:
        lease_s = self.exchange.processes[artifact][0].policy.grant_lease
        return None if lease_s is None else monotonic() + lease_s * AGAIN_AT

    def _look_at(self, artifact: str) -> float | None:
        """When to look whether those in the way still live."""
        return self.exchange.lookouts.at(artifact, self.caches.address)

    def nudge(self, artifact: str) -> None:
        """Look, if it is time to; let the timers fire that are due, and ask for the grant again.

        Home knows a request that it has heard before, and repeats an answer that was lost.
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
            # The answer may be in the log, sent by whoever was there first, and unheard of here.
            self.exchange.fetch()

    def wait(self, artifact: str) -> Result:
        """Block until the answer has come.  An exception not of ours is for `forsake` to mend."""
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
        """Whether the answer may have come and be lost."""
        return artifact in self.caches.missed

    def await_answer(self, artifact: str, come: Callable[[], None]) -> None:
        """Have `come` called when the answer comes, until `await_no_more` or `forsake`."""
        with self.exchange.lock:
            self.caches.waiters[artifact] = come
        self.exchange.listen()

    def await_no_more(self, artifact: str) -> None:
        """The answer was taken."""
        with self.exchange.lock:
            self.caches.waiters.pop(artifact, None)
            self.caches.missed.discard(artifact)
        self._look_no_more(artifact)
        self.exchange.hush()

    def forsake(self, artifact: str, *, keep_grant: bool = False) -> Batch:
        """Give up whatever is under way for `artifact`; what its home should hear of that.

        Does not ask the store, and may be done twice.
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
        """Tell homes what they will find out by themselves where this does not reach them."""
        try:
            self.exchange.carry(batch, resends=1)
        except StoreFault as error:
            log.warning("%s will be noticed when its lease is over: %s", ", ".join(batch), error)

    def give_up(self, artifact: str) -> None:
        """Wait no longer for the grant of `artifact`; give it back if it has come."""
        self.say(self.forsake(artifact))

    def abandoned(self, grant: Grant, owner: object) -> None:
        """The draft under `grant` was dropped and will never be published: give the grant back."""
        with self._asking:
            drafting = self.caches.drafting
            if drafting.get(grant.artifact) is owner:
                drafting.pop(grant.artifact, None)
                self.say(self.forsake(grant.artifact))

    def give_back(self, artifact: str, epoch: Epoch) -> None:
        """Give a grant back that nobody will use."""
        self.ask(artifact, Abandon(epoch))

    def renew(self, grant: Grant) -> bool:
        """Prolong the lease; False where the grant is over."""
        # To the end: what is asked for here by mistake is given back before the agent asks again.
        with self._asking:
            if self.caches.state(grant.artifact).epoch != grant.epoch:
                return False
            answer = self.ask(grant.artifact, Store())
            if answer is None:
                self.give_up(grant.artifact)
            elif isinstance(answer, Granted) and answer.epoch == grant.epoch:
                return True
            elif isinstance(answer, Granted):
                self.give_back(grant.artifact, answer.epoch)
            return False

    def leave(self) -> None:
        """Say farewell to every home, in one transaction."""
        exchange, caches = self.exchange, self.caches
        with self._asking, exchange.lock:
            batch = {}
            for artifact, state in list(caches.states.items()):
                if state.at in ASKING:
                    caches.quit(artifact)
                if state.serial > caches.session << SERIAL_BITS:
                    sent = caches.invoke(artifact, Leave())
                    batch[artifact] = [(caches.address, message) for message in sent]
            caches.answers.clear()  # whoever waits in another thread is told that the agent left
        if batch:
            exchange.carry(batch)

    def _revert(self, marks: Sequence[Mark]) -> None:
        with self.exchange.lock:
            for artifact, left, before in marks:
                self.caches.revert(artifact, left, before)

    def _failed(self, error: ToolkitError, marks: Sequence[Mark]) -> None:
        """Take the requests back, or where home may have heard of them give them up."""
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
            return policy.visibility is Visibility.LAZY  # else it may be pending
        return isinstance(message, GetS | GetM)

    def _supersede(self) -> None:
        with self.exchange.lock:
            self.caches.supersede()
        self.require()


def _first(*moments: float | None) -> float | None:
    """The earliest of those that there are."""
    return min((at for at in moments if at is not None), default=None)


def _unsent(error: ToolkitError) -> bool:
    """Whether home has certainly not heard of the request, so that its serial may be used again."""
    return not isinstance(error, OutcomeUnknown)
