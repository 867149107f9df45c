"""Time that a test owns: leases end when the test says so, and waits take no time."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from coherence.errors import BadArgument
from coherence.runtime.caches import Asked
from coherence.runtime.session import Session
from coherence.runtime.site import Site
from coherence.stores.memory import MemoryStore
from coherence.stores.port import Retention, Store
from coherence.testing.errors import Deadlock
from coherence.testing.stage import Owned
from coherence.workspace.workspace import Workspace, site_of
from message_passing.process import Time

#: The background work of a workspace that is due at one moment takes at most so many pieces.
PIECES_MAX = 10_000


class VirtualClock:
    """Seconds that pass where the test calls `pass_`, and where its thread waits for a grant.

    Call it for the time.  Belongs to the thread that made it.
    """

    def __init__(self, now: Time = 0.0) -> None:
        self._now = now
        self._owner = threading.get_ident()
        self._sites: list[Site] = []

    def __call__(self) -> Time:
        return self._now

    def pass_(self, seconds: float) -> None:
        """Let time pass.  Leases of drafts are renewed meanwhile, as they are beside a program.

        Raises `BadArgument`.
        """
        if not 0 <= seconds < float("inf"):
            raise BadArgument(f"pass_({seconds!r})", remedy="seconds, from 0 on")
        until = self._now + seconds
        self._work()
        while (due := self._due()) is not None and due <= until:
            self._now = max(self._now, due)
            self._work()
        self._now = until
        self._work()

    def workspace(self, store: Store | None = None, **settings: Any) -> Workspace:
        """A workspace on this clock, by default in memory; the caller closes it.

        A store that is given takes its time from this clock too: ``MemoryStore(clock=clock)``.
        Takes the other arguments of `Workspace`.
        """
        if store is None:
            retention = settings.pop("retention", None) or Retention()
            store = MemoryStore(retention, clock=self)
        workspace = Workspace(store, clock=self, background=Owned(), **settings)
        site = site_of(workspace)
        site.trace_calls(self._calls)
        self._sites.append(site)
        return workspace

    def _calls(self, agent: Any, operations: Any) -> Any:
        session: Session = operations.session
        plain = session.patience_s

        def patience_s(asked: Asked) -> float | None:
            seconds = plain(asked)
            if threading.get_ident() != self._owner or asyncio._get_running_loop() is not None:
                return seconds
            if seconds is None:
                raise Deadlock(f"{session.name} waits for {asked.artifact}, without end")
            self.pass_(seconds)
            return 0.0

        vars(session).update(patience_s=patience_s)
        return operations

    def _due(self) -> Time | None:
        return min(
            (due for site in self._sites if (due := site.keeper.due) is not None), default=None
        )

    def _work(self) -> None:
        """Do what threads beside a program would have done by now."""
        for site in self._sites:
            if site.store.shared and site.follower.is_needed:
                site.follower.refresh()
            for _ in range(PIECES_MAX):
                due = site.keeper.due
                if site.keeper.inbox.empty() and (due is None or due > self._now):
                    break
                site.keeper.work_within()
