"""The same agents for tasks of an event loop: every call is awaited, under the names of `agent`.

Calls that may wait for a disk or a network run in a few threads; a wait for a grant occupies none
of them.  If the store validates in microseconds, a cached read runs in the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing, nullcontext, suppress
from inspect import isawaitable
from types import TracebackType, coroutine
from typing import Any, TypeVar

from coherence.contents import Content
from coherence.messages import Result
from coherence.refs import Ref
from coherence.runtime.caches import Asked
from coherence.runtime.follower import Follower
from coherence.runtime.homes import Homes
from coherence.runtime.session import Session
from coherence.stores.port import Entry, Place
from coherence.view import View
from coherence.workspace.agent import BaseAgent, BaseEdit
from coherence.workspace.changes import Feed, Published, more_of
from coherence.workspace.draft import Draft
from coherence.workspace.reading import Operation
from coherence.workspace.resolving import AsyncResolve, Merge
from coherence.workspace.snapshot import Snapshot
from coherence.workspace.threads import TaskThreads
from coherence.workspace.transaction import AsyncAgentTransaction, Attempt
from coherence.workspace.writing import HOLD_S, WAIT_S
from message_passing.errors import ToolkitError
from message_passing.interrupts import insist

T = TypeVar("T")


class Awaiting:
    """Waits for a task: blocking calls run in threads, and a wait for a grant occupies none."""

    def __init__(self, threads: TaskThreads) -> None:
        self._threads = threads
        self.may_block = not threads.blocks

    def call(self, work: Callable[..., T], *arguments: object) -> Operation[T]:
        """See `Waits.call`."""
        return (yield from self._threads.run(work, *arguments).__await__())

    def compute(self, work: Callable[[], T]) -> Operation[T]:
        """See `Waits.compute`."""
        return (yield from self._threads.in_thread(work).__await__())

    def answer(self, session: Session, asked: Asked) -> Operation[Result]:
        """See `Waits.answer`."""
        return (yield from self._answer(session, asked).__await__())

    def value(self, made: Any) -> Operation[Any]:
        """See `Waits.value`."""
        return (yield from _result(made).__await__()) if isawaitable(made) else made

    async def _answer(self, session: Session, asked: Asked) -> Result:
        run = self._threads.run
        come = asyncio.Event()
        session.await_answer(asked, _threadsafe(come))
        try:
            while asked.answer is None:
                session.require()
                wait_s = session.patience_s(asked)
                try:
                    await asyncio.wait_for(come.wait(), wait_s)
                    if asked.missed:
                        await run(session.nudge, asked)
                except TimeoutError:
                    await run(session.nudge, asked)
                come.clear()
        except ToolkitError:
            await run(session.cancel, asked.artifact)
            raise
        session.await_no_more(asked.artifact)
        return asked.answer


async def _result(made: Awaitable[T]) -> T:
    return await made


@coroutine
def _awaited(operation: Operation[T]) -> Operation[T]:
    """`operation`, to be awaited."""
    return (yield from operation)


class AsyncAgent(BaseAgent):
    """An agent for tasks, with the calls and errors of `Agent`.

    It does one thing at a time: give each task its own agent.  A cancelled call may have taken
    effect.
    """

    def __init__(self, session: Session, threads: TaskThreads, *, read_only: bool = False) -> None:
        super().__init__(session, Awaiting(threads), read_only=read_only)
        self._threads = threads

    async def read(
        self, name: str, have: Ref | str | None = None, *, version: int | None = None
    ) -> View:
        """See `Agent.read`."""
        if have is None and version is None:
            try:
                if (hit := self.cached(name)) is not None:
                    return hit
            except ToolkitError:
                self._session.require()
                raise
            except BaseException:
                insist(self._homes.settle)
                raise
        if version is not None:
            return await self._run(self._operations.read_version(name, version))
        return await self._run(self._operations.read(name, have))

    async def write(
        self,
        name: str,
        content: Content,
        *,
        expect: Ref | str | int | None = None,
        overwrite: bool = False,
        merge: bool | Merge = False,
        resolve: AsyncResolve | None = None,
        reason: str = "",
        wait_s: float | None = WAIT_S,
    ) -> Ref:
        """See `Agent.write`; `resolve` may be a coroutine function."""
        return await self._run(
            self._operations.write(name, content, expect, overwrite, merge, resolve, reason, wait_s)
        )

    async def update(
        self,
        name: str,
        function: Callable[[str], Content | Awaitable[Content]],
        *,
        initial: Content = "",
        must_exist: bool = False,
        resolve: AsyncResolve | None = None,
        reason: str = "",
        wait_s: float | None = WAIT_S,
    ) -> View:
        """See `Agent.update`; `function` and `resolve` may be coroutine functions."""
        return await self._run(
            self._operations.update(name, function, initial, must_exist, resolve, reason, wait_s)
        )

    async def snapshot(
        self,
        names: Collection[str] | None = None,
        *,
        prefix: str | None = None,
        have: Iterable[Ref | str] | Mapping[str, Ref] = (),
    ) -> Snapshot:
        """See `Agent.snapshot`."""
        return await self._run(self._operations.snapshot(names, prefix, have))

    async def check(self, *refs: Ref | str) -> tuple[Ref, ...]:
        """See `Agent.check`."""
        return await self._run(self._operations.check(refs))

    def transaction(
        self,
        reads: Collection[str] = (),
        *,
        reason: str = "",
        wait_s: float | None = WAIT_S,
    ) -> AsyncAgentTransaction:
        """See `Agent.transaction`: ``async with agent.transaction() as tx: ...``.

        Its reads are awaited; what it writes is not.  It ends with the task that began it.
        """
        return self._transaction(reads, reason, wait_s)[1]

    async def transact(
        self,
        function: Callable[[AsyncAgentTransaction], Awaitable[T]],
        *,
        reason: str = "",
        wait_s: float | None = WAIT_S,
    ) -> T:
        """See `Agent.transact`; `function` is a coroutine function."""

        def begin() -> tuple[Attempt, AsyncAgentTransaction]:
            return self._transaction((), reason, wait_s)

        operations = self._operations
        return await self._run(operations.transact(function, begin, self._through, wait_s))

    def _transaction(
        self, reads: Collection[str], reason: str, wait_s: float | None
    ) -> tuple[Attempt, AsyncAgentTransaction]:
        attempt, task = Attempt(reason, wait_s), asyncio.current_task
        return attempt, AsyncAgentTransaction(self._through, self._run, attempt, task, reads)

    def edit(
        self,
        name: str,
        *,
        reads: Iterable[Ref | str] = (),
        merge: bool | Merge = False,
        resolve: AsyncResolve | None = None,
        reason: str = "",
        wait_s: float | None = WAIT_S,
        hold_s: float = HOLD_S,
    ) -> AsyncEdit:
        """See `Agent.edit`: ``async with agent.edit("plan.md") as draft: ...``.

        The draft ends with the task that began it.
        """
        return AsyncEdit(self, name, wait_s, hold_s, merge, resolve, reason, reads)

    async def delete(
        self,
        name: str,
        *,
        expect: Ref | str | int | None = None,
        overwrite: bool = False,
        reason: str = "",
        wait_s: float | None = WAIT_S,
    ) -> Ref:
        """See `Agent.delete`."""
        return await self._run(self._operations.delete(name, expect, overwrite, reason, wait_s))

    async def restore(
        self, ref: Ref | str, *, reason: str = "", wait_s: float | None = WAIT_S
    ) -> Ref:
        """See `Agent.restore`."""
        return await self._run(self._operations.restore(ref, reason, wait_s))

    async def rename(self, name: str, to: str, *, reason: str = "") -> Ref:
        """See `Agent.rename`."""
        return await self._run(self._operations.rename(name, to, reason))

    async def list(self, prefix: str = "") -> Sequence[str]:
        """See `Agent.list`."""
        self._session.require()
        return await self._threads.run(self._homes.look, self._homes.store.names, prefix)

    async def history(self, name: str) -> Sequence[Entry]:
        """See `Agent.history`."""
        self._session.require()
        return await self._threads.run(self._history, name)

    async def watch(
        self,
        pattern: str = "*",
        *,
        since: Place | int | None = None,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Published]:
        """See `Agent.watch`: ``async for change in agent.watch(): ...``."""
        changes = following(
            self._threads,
            self._homes,
            self._follower,
            self._session.require,
            pattern,
            since,
            timeout_s,
        )
        async with aclosing(changes):
            async for change in changes:
                yield change

    async def leave(self) -> None:
        """See `Agent.leave`."""
        await self._threads.run(self._session.leave)

    async def __aenter__(self) -> AsyncAgent:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.leave()

    async def _run(self, operation: Operation[T]) -> T:
        try:
            return await _awaited(self._drive(operation, asyncio.current_task()))
        except asyncio.CancelledError:
            await self._settled()
            raise

    async def _settled(self) -> None:
        """Wait until homes have the messages that a cancelled call left for them."""
        done = asyncio.Event()
        self._session.keeper.do(_threadsafe(done))
        await done.wait()


class AsyncEdit(BaseEdit):
    """The context manager that `AsyncAgent.edit` gives."""

    def __init__(self, agent: AsyncAgent, *arguments: Any) -> None:
        super().__init__(agent, *arguments)
        self._agent = agent

    async def __aenter__(self) -> Draft:
        try:
            return self._own(await self._agent._run(self._acquire()), asyncio.current_task())
        except ToolkitError:
            raise
        except BaseException:
            self._drop()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with suppress(ToolkitError) if error is not None else nullcontext():
                await self._agent._run(self._finish(error))
        except ToolkitError:
            raise
        except BaseException:
            self._drop()
            raise


async def following(
    threads: TaskThreads,
    homes: Homes,
    follower: Follower,
    require: Callable[[], None],
    pattern: str,
    since: Place | int | None,
    timeout_s: float | None,
) -> AsyncGenerator[Published]:
    """See `Agent.watch`."""
    require()
    feed = await threads.run(Feed, homes, pattern, since)
    grown = asyncio.Event()
    ready: deque[Published] = deque()
    try:
        follower.watch(grown, _threadsafe(grown))
        while True:
            grown.clear()
            ready.extend(await threads.run(more_of, feed, require))
            while ready:
                yield ready.popleft()
            try:
                await asyncio.wait_for(grown.wait(), timeout_s)
            except TimeoutError:
                return
    finally:
        follower.unwatch(grown)


def _threadsafe(event: asyncio.Event) -> Callable[[], None]:
    """Sets `event` from any thread."""
    loop = asyncio.get_running_loop()

    def fire() -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it the waiting task
            loop.call_soon_threadsafe(event.set)

    return fire
