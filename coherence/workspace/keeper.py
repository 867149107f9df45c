"""The background work of one workspace: renews drafts, and passes leave messages on.

One thread, which runs while there is work, owns all state: calls only put items into its inbox.  So
an interrupted call cannot leave work half done here.

A lease is renewed while its draft is live, so that a long thought does not cost a writer its grant.
A dead or stopped process renews nothing, so its grant ends with its lease; a draft beyond its
`hold_s` is not renewed either.  A draft whose context manager was dropped before its exit is over:
its grant is given back.
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
#: How long an idle thread stays, in seconds.
IDLE_S = 10.0
#: How often the owners of drafts are checked, in seconds: the end of a task wakes no keeper.
LOOK_S = 1.0
#: How long the end of a workspace waits for pending messages to homes, in seconds.
CLOSE_S = 2.0

Key: TypeAlias = tuple[str, str]


class _Draft(NamedTuple):
    requester: Requester
    grant: Grant
    every_s: float
    next_at: float
    until: float
    #: None while the drafting call is under way.
    owner: Owner | None


class Keeper:
    """The live drafts of one workspace, and its pending messages to homes."""

    def __init__(self) -> None:
        #: Calls for the keeper's thread, which then checks every draft.  `put` is also the callback
        #: of a weak reference to an owner: calling the dead reference does nothing.
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
        """Renew this grant from now on, for at most `hold_s` and while `owner` lives."""
        now = monotonic()
        every_s = lease_s * RENEW_AT
        draft = _Draft(requester, grant, every_s, now + every_s, now + hold_s, owner)
        self.do(lambda: self._drafts.update({_key(requester, grant.artifact): draft}))

    def own(self, requester: Requester, artifact: str, owner: Owner) -> None:
        """From now on `owner` owns the draft."""

        def change() -> None:
            key = _key(requester, artifact)
            draft = self._drafts.get(key)
            if draft is not None:
                self._drafts[key] = draft._replace(owner=owner)

        self.do(change)

    def let_go(self, requester: Requester, artifact: str) -> None:
        """Stop renewing the lease of that draft."""
        self.do(lambda: self._forget(_key(requester, artifact)))

    def do(self, work: Callable[[], object]) -> None:
        """Have `work` called in the keeper's thread, after earlier work."""
        self.inbox.put(work)
        if self._thread is None:
            self._start()

    def settle(self) -> None:
        """Settle the state that an interrupt of this thread has left."""
        free(self._starting)
        if self._thread is None and not self.inbox.empty():
            self._start()

    def close(self) -> None:
        """Stop renewing, and wait for pending messages."""
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
                return  # the call that began this thread was cut off: another thread replaces it
        while True:
            try:
                work: Callable[[], object] | None = self.inbox.get(timeout=self._patience_s())
            except Empty:
                work = None
            if work is not None:
                try:
                    work()
                except ToolkitError as error:
                    log.warning("a leave message was not passed on: %s", error)
            elif not self._drafts:
                with self._starting:
                    self._thread = None
                    if self.inbox.empty():
                        return
                    self._thread = threading.current_thread()
            for key, draft in tuple(self._drafts.items()):
                self._look_after(key, draft)

    def _patience_s(self) -> float:
        """How long until the next renewal."""
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
