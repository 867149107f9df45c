"""The workspace for tasks of an event loop: blocking calls run in a few threads."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import date
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from coherence.messages import Version
from coherence.refs import Ref
from coherence.runtime.session import Session
from coherence.stores.port import Entry, Member, Place, Store, Stored
from coherence.workspace.aio import AsyncAgent, following
from coherence.workspace.changes import Published
from coherence.workspace.stats import Stats
from coherence.workspace.threads import TaskThreads
from coherence.workspace.workspace import Workspace, check_flag, site_of


class AsyncWorkspace:
    """A `Workspace` for tasks.  Takes the arguments of `Workspace`, or an open workspace.

    Agents of both kinds may share one: ``AsyncWorkspace(workspace)``.
    """

    def __init__(self, url: str | Store | Workspace = "memory://", **settings: Any) -> None:
        self._owned = not isinstance(url, Workspace)
        self.sync = url if isinstance(url, Workspace) else Workspace(url, **settings)
        self._site = site_of(self.sync)
        self._threads = TaskThreads(blocks=self._site.store.shared)
        self._agents: WeakValueDictionary[Session, AsyncAgent] = WeakValueDictionary()
        self._readers: WeakValueDictionary[Session, AsyncAgent] = WeakValueDictionary()

    async def agent(self, name: str, *, read_only: bool = False) -> AsyncAgent:
        """See `Workspace.agent`: give each task its own agent."""
        known = self._readers if check_flag(read_only) else self._agents
        make = partial(AsyncAgent, threads=self._threads, read_only=read_only)
        return await self._threads.run(self._site.agent, name, known, make)

    @property
    def identity(self) -> str:
        """See `Workspace.identity`."""
        return self.sync.identity

    async def names(self, prefix: str = "", *, deleted: bool = False) -> Sequence[str]:
        """See `Workspace.names`."""
        return await self._threads.run(partial(self.sync.names, prefix, deleted=deleted))

    async def history(self, name: str, since: Version = 0) -> Sequence[Entry]:
        """See `Workspace.history`."""
        return await self._threads.run(self.sync.history, name, since)

    def watch(
        self,
        pattern: str = "*",
        *,
        since: Place | int | None = None,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Published]:
        """See `Workspace.watch`: ``async for change in workspace.watch(): ...``."""
        site = self._site
        return following(
            self._threads, site.homes, site.follower, site.require, pattern, since, timeout_s
        )

    async def row(self, name: str) -> Stored | None:
        """See `Workspace.row`."""
        return await self._threads.run(self.sync.row, name)

    async def members(self) -> Sequence[Member]:
        """See `Workspace.members`."""
        return await self._threads.run(self.sync.members)

    def metrics(self) -> dict[str, int]:
        """See `Workspace.metrics`; does not block."""
        return self.sync.metrics()

    async def stats(self, since: date | str = "") -> Stats:
        """See `Workspace.stats`."""
        return await self._threads.in_thread(self.sync.stats, since)

    async def pin(self, ref: Ref | str, pinned: bool = True) -> bool:
        """See `Workspace.pin`."""
        return await self._threads.run(self.sync.pin, ref, pinned)

    async def gc(self) -> int:
        """See `Workspace.gc`."""
        return await self._threads.in_thread(self.sync.gc)

    async def check(self) -> Sequence[str]:
        """See `Workspace.check`."""
        return await self._threads.in_thread(self.sync.check)

    async def backup(
        self,
        path: str | os.PathLike[str],
        *,
        force: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """See `Workspace.backup`; `progress` is called in another thread."""
        await self._threads.in_thread(
            partial(self.sync.backup, path, force=force, progress=progress)
        )

    async def close(self) -> None:
        """Close it; a workspace that was passed in stays open."""
        if self._owned:
            await self._threads.run(self.sync.close)
        self._threads.close()

    async def __aenter__(self) -> AsyncWorkspace:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()
