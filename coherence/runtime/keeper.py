"""The background work of one workspace: renews drafts, and passes leave messages on.

A worker owns all state: calls only put items into its inbox.  So an interrupted call cannot leave
work half done here.

A lease is renewed while its draft is live, so that a long thought does not cost a writer its grant.
A dead or stopped process renews nothing, so its grant ends with its lease; a draft beyond its
`hold_s` is not renewed either.  A draft whose context manager was dropped before its exit is over:
its grant is given back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol, TypeAlias

from coherence.messages import Epoch, Version
from coherence.runtime.caches import Owner
from coherence.view import Cached
from message_passing.background import Background, Worker
from message_passing.errors import ToolkitError
from message_passing.interrupts import Knock
from message_passing.ports import Clock
from message_passing.process import Time

log = logging.getLogger("coherence.workspace")

#: A lease is renewed when this much of it has passed.
RENEW_AT = 1 / 3
#: How long an idle thread stays, in seconds.
IDLE_S = 10.0
#: How often the owners of drafts are checked, in seconds: the end of a task wakes no keeper.
LOOK_S = 1.0
#: How long a leave or a close waits for what other threads are sending to homes, in seconds.
CLOSE_S = 2.0

Key: TypeAlias = tuple[str, str]


class Grant(NamedTuple):
    """An exclusive grant that an agent holds, and the version that its draft starts from."""

    artifact: str
    epoch: Epoch
    base: Version
    held: Cached | None


class Renewing(Protocol):
    """The session of an agent that drafts."""

    @property
    def name(self) -> str:
        """The name of its agent."""
        ...

    def renew(self, grant: Grant) -> bool:
        """Prolong the lease; False if the grant has ended."""
        ...

    def abandoned(self, grant: Grant, owner: object) -> None:
        """The draft was dropped: give its grant back."""
        ...


class _Draft(NamedTuple):
    session: Renewing
    grant: Grant
    every_s: float
    next_at: Time
    until: Time
    #: None while the drafting call is under way.
    owner: Owner | None


class Keeper(Worker):
    """The live drafts of one workspace, and its pending messages to homes."""

    name = "coherence-keeper"

    def __init__(self, background: Background, clock: Clock) -> None:
        #: Calls for the keeper, which then checks every draft.  `put` is also the callback of a
        #: weak reference to an owner: calling the dead reference does nothing.
        self.inbox: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._drafts: dict[Key, _Draft] = {}
        self._background, self._clock = background, clock
        self._is_idle = True

    def hold(
        self,
        session: Renewing,
        grant: Grant,
        lease_s: float,
        hold_s: float,
        owner: Owner | None = None,
    ) -> None:
        """Renew this grant from now on, for at most `hold_s` and while `owner` lives."""
        now = self._clock()
        every_s = lease_s * RENEW_AT
        draft = _Draft(session, grant, every_s, now + every_s, now + hold_s, owner)
        self.do(lambda: self._drafts.update({_key(session, grant.artifact): draft}))

    def own(self, session: Renewing, artifact: str, owner: Owner) -> None:
        """From now on `owner` owns the draft."""

        def change() -> None:
            key = _key(session, artifact)
            draft = self._drafts.get(key)
            if draft is not None:
                self._drafts[key] = draft._replace(owner=owner)

        self.do(change)

    def release(self, session: Renewing, artifact: str) -> None:
        """Stop renewing the lease of that draft."""
        self.do(lambda: self._forget(_key(session, artifact)))

    def do(self, work: Callable[[], object]) -> None:
        """Have `work` called after earlier work."""
        self.inbox.put(work)
        self._background.need(self)

    def settle(self) -> None:
        """Settle the state that an interrupt of this thread has left."""
        if not self.inbox.empty():
            self._background.need(self)

    def close(self) -> None:
        """Stop renewing, and wait for pending messages."""
        if not self.is_needed:
            return
        self.do(self._drafts.clear)
        done = Knock()
        self.do(done)
        if self._background.is_running(self):
            done.wait(CLOSE_S)
        else:
            while not self.inbox.empty():
                self.work_within()

    # Its work.

    @property
    def is_needed(self) -> bool:
        """Whether there is work, or there was until a moment ago."""
        return bool(self._drafts) or not self.inbox.empty() or not self._is_idle

    @property
    def due(self) -> Time | None:
        """When the next lease must be renewed, or the next draft ends; None without drafts."""
        return min((min(d.next_at, d.until) for d in self._drafts.values()), default=None)

    def work(self) -> None:
        """Wait for work, at most until a lease must be renewed; do it, and renew."""
        self._is_idle = not self.work_within(self._patience_s())

    def work_within(self, wait_s: float = 0.0) -> bool:
        """As `work`, waiting at most `wait_s` for work; whether there was any, or a draft."""
        try:
            work = self.inbox.get(timeout=wait_s) if wait_s else self.inbox.get_nowait()
        except Empty:
            if not self._drafts:
                return False
        else:
            try:
                work()
            except ToolkitError as error:
                log.warning("a leave message was not passed on: %s", error)
        for key, draft in tuple(self._drafts.items()):
            self._look_after(key, draft)
        return True

    def _forget(self, key: Key) -> None:
        self._drafts.pop(key, None)

    def _patience_s(self) -> float:
        """How long until the next renewal."""
        first = self.due
        return IDLE_S if first is None else min(max(0.0, first - self._clock()), LOOK_S)

    def _look_after(self, key: Key, draft: _Draft) -> None:
        now = self._clock()
        if draft.owner is not None and draft.owner() is None:
            self._forget(key)
            draft.session.abandoned(draft.grant, draft.owner)
        elif now >= draft.until:
            self._forget(key)
        elif now >= draft.next_at:
            try:
                live = draft.session.renew(draft.grant)
            except ToolkitError as error:
                log.warning("the lease of %r was not renewed: %s", draft.grant.artifact, error)
                live = True
            if live:
                self._drafts[key] = draft._replace(next_at=self._clock() + draft.every_s)
            else:
                self._forget(key)


def _key(session: Renewing, artifact: str) -> Key:
    return session.name, artifact
