"""Does for one workspace what no call of an agent waits for: renews drafts, passes farewells on.

One thread, there while there is anything to do, which alone knows what that is: calls only put
things into its inbox.  So an interrupt that cuts a call off can leave nothing half done here.

A lease is renewed while its draft is live, so that a long thought does not cost a writer its grant.
A process that dies or is stopped renews nothing, so its grant ends with its lease; a draft that is
held for longer than it may be is not renewed either.  A draft whose context manager is gone without
having been left is over: its grant is given back.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import monotonic
from typing import NamedTuple, TypeAlias

from coherence.workspace.caches import Owner
from coherence.workspace.effects import Grant
from coherence.workspace.requester import Requester
from message_passing.errors import ToolkitError
from message_passing.interrupts import Knock, free, start

log = logging.getLogger("coherence.workspace")

#: A lease is renewed when this much of it has passed.
RENEW_AT = 1 / 3
#: How long the thread stays where it has nothing to do, in seconds.
IDLE_S = 10.0
#: How often it is looked whether drafts are still owned, in seconds: no task's end wakes a keeper.
LOOK_S = 1.0
#: How long the end of a workspace waits for what is owed to homes, in seconds.
CLOSE_S = 2.0

Key: TypeAlias = tuple[str, str]


class _Draft(NamedTuple):
    requester: Requester
    grant: Grant
    every_s: float
    next_at: float
    until: float
    #: None where the call that drafts is under way.
    owner: Owner | None


class Keeper:
    """The drafts that are live in one workspace, and what it owes to homes."""

    def __init__(self) -> None:
        #: What to call in the keeper's thread, which then looks at every draft.  `put` serves as
        #: the callback that an owner is gone: to call the dead reference does nothing.
        self.inbox: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._drafts: dict[Key, _Draft] = {}
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None

    def hold(
        self,
        requester: Requester,
        grant: Grant,
        lease_s: float,
        hold_s: float,
        owner: Owner | None = None,
    ) -> None:
        """Renew this grant from now on, for at most `hold_s` and while `owner` is there."""
        now = monotonic()
        every_s = lease_s * RENEW_AT
        draft = _Draft(requester, grant, every_s, now + every_s, now + hold_s, owner)
        self.do(lambda: self._drafts.update({_key(requester, grant.artifact): draft}))

    def own(self, requester: Requester, artifact: str, owner: Owner) -> None:
        """From now on `owner` is what will leave the draft."""

        def change() -> None:
            key = _key(requester, artifact)
            draft = self._drafts.get(key)
            if draft is not None:
                self._drafts[key] = draft._replace(owner=owner)

        self.do(change)

    def let_go(self, requester: Requester, artifact: str) -> None:
        """Renew it no longer."""
        self.do(lambda: self._forget(_key(requester, artifact)))

    def do(self, work: Callable[[], object]) -> None:
        """Have `work` called in the keeper's thread, after what came before."""
        self.inbox.put(work)
        if self._thread is None:
            self._start()

    def settle(self) -> None:
        """Put in order what an interrupt of this thread has left behind."""
        free(self._starting)
        if self._thread is None and not self.inbox.empty():
            self._start()

    def close(self) -> None:
        """Renew nothing any more, and wait for what is owed."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self.inbox.put(self._drafts.clear)
            done = Knock()
            self.inbox.put(done)
            done.wait(CLOSE_S)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="coherence-keeper", daemon=True)
                start(thread)
                self._thread = thread

    def _forget(self, key: Key) -> None:
        self._drafts.pop(key, None)

    def _run(self) -> None:
        with self._starting:
            if self._thread is not threading.current_thread():
                return  # the call that began this thread was cut off: another takes its place
        while True:
            try:
                work: Callable[[], object] | None = self.inbox.get(timeout=self._patience_s())
            except Empty:
                work = None
            if work is not None:
                try:
                    work()
                except ToolkitError as error:
                    log.warning("a farewell was not passed on: %s", error)
            elif not self._drafts:
                with self._starting:
                    self._thread = None
                    if self.inbox.empty():
                        return
                    self._thread = threading.current_thread()
            for key, draft in tuple(self._drafts.items()):
                self._look_after(key, draft)

    def _patience_s(self) -> float:
        """How long until a lease is to be renewed."""
        if not self._drafts:
            return IDLE_S
        first = min(min(draft.next_at, draft.until) for draft in self._drafts.values())
        return min(max(0.0, first - monotonic()), LOOK_S)

    def _look_after(self, key: Key, draft: _Draft) -> None:
        now = monotonic()
        if draft.owner is not None and draft.owner() is None:
            self._forget(key)
            draft.requester.abandoned(draft.grant, draft.owner)
        elif now >= draft.until:
            self._forget(key)
        elif now >= draft.next_at:
            try:
                live = draft.requester.renew(draft.grant)
            except ToolkitError as error:
                log.warning("the lease of %r was not renewed: %s", draft.grant.artifact, error)
                live = True
            if live:
                self._drafts[key] = draft._replace(next_at=monotonic() + draft.every_s)
            else:
                self._forget(key)


def _key(requester: Requester, artifact: str) -> Key:
    return requester.caches.address, artifact
