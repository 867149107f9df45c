"""The session of one agent: asks its caches and homes, and repeats requests until an answer comes.

A waiting agent sleeps until the answer is handed over, its deadline has come, or a timer of the
home is due, which no other process is certain to step.  It checks periodically whether the agents
that it waits for live.

An interrupted call leaves its request and its grant in the caches, where `forsake` finds them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from coherence.contents import Limits
from coherence.errors import AgentBusy, AgentLeft, AgentSuperseded, OutcomeUnknown, StoreFault
from coherence.messages import (
    SERIAL_BITS,
    Abandon,
    Acquire,
    GetM,
    GetS,
    Granted,
    Leave,
    Load,
    PutM,
    Request,
    Result,
)
from coherence.policy import Visibility
from coherence.runtime.caches import ASKING, AgentCaches, Asked, Caches
from coherence.runtime.follower import Follower
from coherence.runtime.homes import Batch, Homes, Reads, Refusals
from coherence.runtime.keeper import CLOSE_S, Grant, Keeper
from coherence.runtime.lookout import Lookouts
from coherence.runtime.served import ServedDigests
from coherence.runtime.tracing import Tracing
from message_passing.errors import ToolkitError
from message_passing.interrupts import Knock, free, insist
from message_passing.process import Address, Time

log = logging.getLogger("coherence.workspace")

#: A waiting agent asks again after this fraction of a lease: home then repeats a lost answer while
#: the grant in it is alive.
AGAIN_AT = 1 / 2


class Shared(NamedTuple):
    """What the sessions of one workspace share."""

    identity: str
    limits: Limits
    #: Whether contents have digests: a store that cannot lose its history needs no digests.
    hashed: bool
    #: Whether every cached copy may be served without its policy and without a trace.
    quick: bool
    #: Whether other processes can change the store.
    shared: bool
    homes: Homes
    caches: Caches
    follower: Follower
    lookouts: Lookouts
    keeper: Keeper
    served: ServedDigests
    #: Called when a session has ended.
    ended: Callable[[Session], None]


class Session:
    """Carries out one agent's requests.  Once `fault` is set, every call raises it."""

    def __init__(self, name: Address, number: int, shared: Shared) -> None:
        self.name = name
        self.shared = shared
        self.homes, self.follower, self.keeper = shared.homes, shared.follower, shared.keeper
        self.caches = AgentCaches(name, number, shared.caches)
        self.account = self.caches.account
        self.homes.accounts.open(self.caches)
        self.tracing = Tracing()
        self.fault: ToolkitError | None = None
        #: Whether nothing of this agent is left in its workspace.
        self.parted = False
        #: One request at a time: the agent's own, or the renewal of its lease.
        self.asking = threading.RLock()
        #: Held during the leave: others that make the agent leave wait for it, `CLOSE_S` at most.
        self.leaving = threading.RLock()
        self._lock, self._lookouts = shared.caches.lock, shared.lookouts
        self._clock = shared.caches.clock
        self._due = shared.caches.due
        #: Whether the store's mark says at no cost that other processes have changed it.
        self._marked = shared.shared and shared.follower.validates

    def require(self) -> None:
        """Raise the error that makes this agent unusable."""
        if self.fault is None and self.caches.superseded:
            self.fault = AgentSuperseded(f"another process has joined as {self.name!r}")
        if self.fault is not None:
            raise self.fault.with_traceback(None)

    # Requests.

    def ask(self, artifact: str, request: Request) -> Asked:
        """Make one request.  See `ask_all`."""
        return self.ask_all(((artifact, request),))[0]

    def ask_all(
        self, requests: Sequence[tuple[str, Request]], reads: Reads | None = None
    ) -> list[Asked]:
        """Make requests in one transaction, all or none; see `wait` for answers that have not come.

        With `reads` the requests are commits that stand together if everything read is current:
        then no answer is a refusal, except one of a commit that had been made before.  Raises
        `AgentBusy`, `StoreFault` and `Refusals` with nothing changed, and `OutcomeUnknown`.  After
        any other exception the caller must `forsake` the requests.
        """
        with self.asking:
            if self.fault is not None or self.caches.superseded:
                self.require()
            homes, caches = self.homes, self.caches
            if self._marked and homes.store.mark() != self.follower.seen:
                self.follower.fetch()
                self.require()
            batch = {}
            with self._lock:
                every: list[Asked] = []
                for artifact, request in requests:
                    moves = bool(homes.at_store) and type(request) is Load and homes.moves(artifact)
                    try:
                        asked = caches.ask(artifact, request, doubtful=moves)
                    except AgentBusy:
                        self._take_back(every)
                        raise
                    every.append(asked)
                    if asked.sent:
                        batch[artifact] = [(self.name, message) for message in asked.sent]
            if not batch:
                return every
            try:
                outcomes = homes.carry(batch, reads)
            except Refusals as refusals:
                self._take_back(every)
                if refusals.judgement.overtaken:
                    self._supersede()
                with self._lock:
                    for artifact in refusals.judgement.refused:
                        if artifact in caches.states:
                            caches.doubt(artifact)  # the copy may be why it was refused
                raise
            except ToolkitError as error:
                self._failed(error, every)
                raise
            for outcome in outcomes:
                if outcome.action == "Late" and reads is None:
                    last = batch[outcome.artifact][-1][1]
                    if self._is_superseded(outcome.artifact, last):
                        self._supersede()
                if outcome.absent:
                    with self._lock:
                        caches.unknown(outcome.artifact)
            for asked in every:
                if asked.answer is None and asked.wait_until is not None:
                    # The wait begins when home has been asked: one of 0 s takes what is free.
                    self._lookouts.look_before(asked.artifact, asked.wait_until)
                    with self._lock:
                        caches.arm_deadline(asked.artifact, asked.wait_until)
            return every

    def _is_superseded(self, artifact: str, message: object) -> bool:
        if isinstance(message, PutM):
            policy = self.shared.caches.processes[artifact][0].policy
            return policy.visibility is Visibility.LAZY  # otherwise it may be pending
        return isinstance(message, GetS | GetM)

    def _supersede(self) -> None:
        self.shared.caches.supersede(self.caches)
        self.require()

    def _take_back(self, every: Sequence[Asked]) -> None:
        with self._lock:
            for asked in every:
                self.caches.take_back(asked)

    def _failed(self, error: ToolkitError, every: Sequence[Asked]) -> None:
        """Take the requests back, or cancel them if they may have reached home."""
        if not isinstance(error, OutcomeUnknown):
            self._take_back(every)
            return
        with self._lock:
            goodbyes = {
                asked.artifact: [
                    (self.name, message) for message in self.caches.restart(asked.artifact)
                ]
                for asked in every
            }
        self.say(goodbyes)

    # Waiting.

    def wait(self, asked: Asked) -> Result:
        """Block until the answer has come. After an untyped exception the caller must `forsake`."""
        come = Knock()
        self.await_answer(asked, come)
        try:
            while asked.answer is None:
                self.require()
                if not come.wait(self.patience_s(asked)) or asked.missed:
                    self.nudge(asked)
        except ToolkitError:
            self.cancel(asked.artifact)
            raise
        self.await_no_more(asked.artifact)
        return asked.answer

    def await_answer(self, asked: Asked, wake: Callable[[], None]) -> None:
        """Call `wake` when the answer comes, until `await_no_more` or `forsake`."""
        with self._lock:
            asked.wake = wake
            if asked.answer is not None:
                wake()
        self.follower.listen()

    def await_no_more(self, artifact: str) -> None:
        """The answer was taken, or is not wanted any more."""
        self._lookouts.end(artifact, self.name)
        self.follower.hush()

    def patience_s(self, asked: Asked) -> float | None:
        """For how many seconds a waiting agent sleeps, before it must `nudge`; None: without end.

        It sleeps until the next check of the agents ahead, the known end of the holder's lease, or
        half a lease from now, whichever comes first.  So even after a lost wake-up a grant is found
        while it lives, and a dead holder soon after its lease.
        """
        until = _first(self._due_at(asked), self._lookouts.at(asked.artifact, self.name))
        return None if until is None else max(0.0, until - self._clock())

    def _due_at(self, asked: Asked) -> Time | None:
        """When the next timer is due, here or at home, or the request must be repeated."""
        if asked.again_at is None:
            asked.again_at = self._ask_again_at(asked.artifact)
        at_home = self._due.get(asked.artifact)
        return _first(self.caches.deadline(asked.artifact), at_home, asked.again_at)

    def _ask_again_at(self, artifact: str) -> Time | None:
        lease_s = self.shared.caches.processes[artifact][0].policy.grant_lease
        return None if lease_s is None else self._clock() + lease_s * AGAIN_AT

    def nudge(self, asked: Asked) -> None:
        """Check the agents ahead if it is time, fire due timers, and ask for the grant again.

        Home recognises a repeated request, and repeats a lost answer.
        """
        self.require()
        artifact = asked.artifact
        now, look_at = self._clock(), self._lookouts.at(artifact, self.name)
        if look_at is not None and look_at <= now and not asked.missed:
            self._lookouts.look(artifact, self.name)
            due = self._due_at(asked)
            if due is None or due > now:
                return
        asked.again_at = self._ask_again_at(artifact)
        self._lookouts.doubt(artifact)
        with self._lock:
            asked.missed = False
            sent = [*self.caches.overdue(artifact), *self.caches.retry(artifact)]
        self.homes.carry({artifact: [(self.name, message) for message in sent]})
        if self.shared.shared:
            # Another process may have written the answer to the log without a notification here.
            self.follower.fetch()

    # Ends.

    def forsake(self, artifact: str, *, keep_grant: bool = False) -> Batch:
        """Cancel everything under way for `artifact`; return the messages for its home.

        Does not ask the store, and is idempotent.
        """
        with self._lock:
            sent = self.caches.forsake(artifact, keep_grant=keep_grant)
        self.await_no_more(artifact)
        return {artifact: [(self.name, message) for message in sent]} if sent else {}

    def say(self, batch: Batch) -> None:
        """Send messages without which homes find out the same later, when leases end."""
        try:
            self.homes.carry(batch, resends=1)
        except StoreFault as error:
            log.warning("%s will be noticed when its lease is over: %s", ", ".join(batch), error)

    def cancel(self, artifact: str) -> None:
        """Stop waiting for the grant of `artifact`; give it back if it has come."""
        self.say(self.forsake(artifact))

    def settle(self) -> None:
        """Settle the state that an interrupt of this thread has left."""
        free(self.asking, self.leaving)
        self.homes.settle()

    def leave(self) -> None:
        """Depart: give up every copy and grant, in one transaction.  Idempotent."""
        if self.parted:
            return
        try:
            try:
                self.leaving.acquire(timeout=CLOSE_S)
                if not self.parted:
                    self._leave()
            finally:
                free(self.leaving)
        except ToolkitError:
            raise
        except BaseException:
            insist(self.settle)
            raise

    def _leave(self) -> None:
        caches, everyone = self.caches, self.shared.caches
        with self._lock:
            # A call that waits in another thread gets no answer any more, and raises `AgentLeft`.
            waiting = tuple(caches.asked.values())
            caches.asked.clear()
        try:
            self.homes.accounts.send_all()
        except StoreFault as error:
            log.warning("counts of what %r has read were not sent: %s", self.name, error)
        try:
            self._say_farewell()
            self.homes.look(self.homes.store.leave, self.name, caches.session)
        except StoreFault as error:
            # Without a leave message the agent is forgotten at the next write or with its lease.
            if not self.parted:
                log.warning("%r left without a leave message: %s", self.name, error)
        self.fault = self.fault or AgentLeft(f"{self.name!r} has left")
        with self._lock:
            if everyone.agents.get(self.name) is caches:
                del everyone.agents[self.name]
            caches.clear()
        for asked in waiting:
            if asked.wake is not None:
                asked.wake()
        self.shared.ended(self)
        self.parted = True

    def _say_farewell(self) -> None:
        caches = self.caches
        with self.asking, self._lock:
            batch = {}
            for artifact, state in list(caches.states.items()):
                if state.at in ASKING:
                    caches.cancel_wait(artifact)
                if state.serial > caches.session << SERIAL_BITS:
                    sent = caches.invoke(artifact, Leave())
                    batch[artifact] = [(self.name, message) for message in sent]
        if batch:
            self.homes.carry(batch)

    # Grants.

    def hold(self, grant: Grant, hold_s: float) -> None:
        """Renew a grant's lease from now on, for at most `hold_s`."""
        lease_s = self.shared.caches.processes[grant.artifact][0].policy.grant_lease
        assert lease_s is not None
        self.keeper.hold(self, grant, lease_s, hold_s)

    def release(self, artifact: str) -> None:
        """Stop renewing the lease of that grant."""
        self.keeper.release(self, artifact)

    def abandoned(self, grant: Grant, owner: object) -> None:
        """The draft under `grant` was dropped, and cannot be published: give the grant back."""
        with self.asking:
            drafting = self.caches.drafting
            if drafting.get(grant.artifact) is owner:
                drafting.pop(grant.artifact, None)
                self.say(self.forsake(grant.artifact))

    def renew(self, grant: Grant) -> bool:
        """Prolong the lease; False if the grant has ended."""
        # The lock is held to the end: if the grant had ended, this asks for a new one, which must
        # be given back before the agent's next request.
        with self.asking:
            if self.caches.state(grant.artifact).epoch != grant.epoch:
                return False
            answer = self.ask(grant.artifact, Acquire()).answer
            if answer is None:
                self.cancel(grant.artifact)
            elif isinstance(answer, Granted) and answer.epoch == grant.epoch:
                return True
            elif isinstance(answer, Granted):
                self.ask(grant.artifact, Abandon(answer.epoch))
            return False


def _first(*moments: Time | None) -> Time | None:
    """The earliest moment that is not None."""
    return min((at for at in moments if at is not None), default=None)
