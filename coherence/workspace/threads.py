"""Threads for the blocking calls of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

#: Threads of one workspace for calls to its store.
THREADS = 8


class TaskThreads:
    """Runs blocking calls for the tasks of one workspace, in a few threads."""

    def __init__(self, *, blocks: bool) -> None:
        #: Whether a call to the store may wait for a disk or a network.
        self.blocks = blocks
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="coherence")

    def close(self) -> None:
        """Let the threads end once they are idle."""
        self._pool.shutdown(wait=False)

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Call blocking `work`.  A cancelled caller waits for its end: it cannot stop halfway."""
        if not self.blocks:
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
            self._pool.submit(carry_out)
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
