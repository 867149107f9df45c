"""Time that a test owns: leases end when the test says so, and waits take no time."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import Any

from coherence.errors import BadArgument
from coherence.runtime.caches import Asked
from coherence.runtime.session import Session
from coherence.runtime.site import Site
from coherence.stores.port import Store
from coherence.testing.errors import Deadlock
from coherence.testing.owned import Owned
from coherence.testing.scratch import ScratchStores, keeps_time
from coherence.testing.stage import hear
from coherence.workspace.workspace import Workspace, site_of
from message_passing.process import Time

#: The background work of a workspace that is due at one moment takes at most so many pieces.
PIECES_MAX = 10_000


class VirtualClock:
    """Seconds that pass where the test calls `pass_`, and where its thread waits for a grant.

    Call it for the time.  Belongs to the thread that made it.  A context manager, at whose end the
    stores that URLs named are gone.
    """

    def __init__(self, now: Time = 0.0) -> None:
        self._now = now
        self._owner = threading.get_ident()
        self._sites: list[Site] = []
        this = weakref.ref(self)
        self._stores = ScratchStores(lambda: 0.0 if (clock := this()) is None else clock._now)

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

    def workspace(self, store: str | Store = "memory://", **settings: Any) -> Workspace:
        """A workspace on this clock; the caller closes it.  Takes the arguments of `Workspace`.

        A URL of SQLite or PostgreSQL names a store of this clock, which begins empty: a temporary
        file, or a schema of its own in the database.  A store that is passed takes its time from
        this clock too: ``SqliteStore(path, clock=clock)``.

        Raises `BadArgument` for a store on other time, and as `Workspace` does.
        """
        retention = settings.pop("retention", None)
        opened = self._stores.open(store, retention) if isinstance(store, str) else store
        try:
            if not keeps_time(opened, self._now):
                raise BadArgument(
                    f"a {type(opened).__name__} on time of its own, where no lease ends with this",
                    remedy="pass a URL, or make the store with clock=",
                )
            workspace = Workspace(opened, clock=self, background=Owned(), **settings)
        except BaseException:
            if isinstance(store, str):  # the caller closes a store that was passed in
                opened.close()
            raise
        site = site_of(workspace)
        site.trace_calls(self._calls)
        self._sites.append(site)
        return workspace

    def close(self) -> None:
        """Remove what the stores that URLs named have left.  Close their workspaces first."""
        self._stores.close()

    def __enter__(self) -> VirtualClock:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

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
            hear(site)
            for _ in range(PIECES_MAX):
                due = site.keeper.due
                if site.keeper.inbox.empty() and (due is None or due > self._now):
                    break
                site.keeper.work_within()
