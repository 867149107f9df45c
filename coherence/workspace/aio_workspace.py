"""The workspace for tasks of an event loop: blocking calls run in a few threads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from coherence.messages import Version
from coherence.refs import Ref
from coherence.stores.port import Entry, Member, Store, Stored
from coherence.workspace.aio import AsyncAgent
from coherence.workspace.workspace import Workspace

T = TypeVar("T")

#: Threads of one workspace for calls to its store.
THREADS = 8


class AsyncWorkspace:
    """A `Workspace` for tasks.  Takes the arguments of `Workspace`, or an open workspace.

    Agents of both kinds may share one: ``AsyncWorkspace(workspace)``.
    """

    def __init__(self, url: str | Store | Workspace = "memory://", **settings: Any) -> None:
        self._owned = not isinstance(url, Workspace)
        self.sync = url if isinstance(url, Workspace) else Workspace(url, **settings)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="coherence")
        self._fronts: WeakValueDictionary[str, AsyncAgent] = WeakValueDictionary()

    async def agent(self, name: str) -> AsyncAgent:
        """See `Workspace.agent`: give each task its own agent."""
        requester, operations = await self.run(self.sync.join, name)
        front = self._fronts.get(name)
        if front is None or front._requester is not requester:
            front = self._fronts[name] = AsyncAgent(self, requester, operations)
        return front

    @property
    def identity(self) -> str:
        """See `Workspace.identity`."""
        return self.sync.identity

    async def names(self, prefix: str = "", *, deleted: bool = False) -> Sequence[str]:
        """See `Workspace.names`."""
        return await self.run(partial(self.sync.names, prefix, deleted=deleted))

    async def history(self, name: str, since: Version = 0) -> Sequence[Entry]:
        """See `Workspace.history`."""
        return await self.run(self.sync.history, name, since)

    async def row(self, name: str) -> Stored | None:
        """See `Workspace.row`."""
        return await self.run(self.sync.row, name)

    async def members(self) -> Sequence[Member]:
        """See `Workspace.members`."""
        return await self.run(self.sync.members)

    def metrics(self) -> dict[str, int]:
        """See `Workspace.metrics`; does not block."""
        return self.sync.metrics()

    async def pin(self, ref: Ref | str, pinned: bool = True) -> bool:
        """See `Workspace.pin`."""
        return await self.run(self.sync.pin, ref, pinned)

    async def gc(self) -> int:
        """See `Workspace.gc`."""
        return await self.in_thread(self.sync.gc)

    async def check(self) -> Sequence[str]:
        """See `Workspace.check`."""
        return await self.in_thread(self.sync.check)

    async def backup(
        self,
        path: str | os.PathLike[str],
        *,
        force: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """See `Workspace.backup`; `progress` is called in another thread."""
        await self.in_thread(partial(self.sync.backup, path, force=force, progress=progress))

    async def close(self) -> None:
        """Close it; a workspace that was passed in stays open."""
        if self._owned:
            await self.run(self.sync.close)
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> AsyncWorkspace:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Call blocking `work`.  A cancelled caller waits for its end: it cannot stop halfway."""
        if not self.sync.shared:
            return work(*arguments)
        return await self.in_thread(work, *arguments)

    async def in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """Call `work`, which takes long on any store.  See `run`."""
        job: Future[tuple[T, None] | tuple[None, BaseException]] = Future()

        def carry_out() -> None:
            if job.set_running_or_notify_cancel():
                try:
                    job.set_result((work(*arguments), None))
                except BaseException as error:
                    job.set_result((None, error))

        try:
            self._threads.submit(carry_out)
            done = await asyncio.shield(asyncio.wrap_future(job))
        except BaseException:
            # Work that no thread has begun is never begun.
            while not (job.done() or job.cancel()):
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([asyncio.wrap_future(job)])
            raise
        if done[1] is not None:
            raise done[1]
        return done[0]
