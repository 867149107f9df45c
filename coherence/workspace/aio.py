"""The same agents for tasks of an event loop: every call is awaited, under the names of `agent`.

What may wait for a disk or a network runs in a few threads; a wait for a grant holds none of them.
A cached read of a store that is asked in microseconds runs in place.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from inspect import isawaitable
from time import monotonic
from types import TracebackType
from typing import Any, TypeVar

from coherence.contents import Content
from coherence.errors import AgentBusy
from coherence.messages import Granted, Result
from coherence.refs import Ref, check_name
from coherence.stores.port import Entry, Store
from coherence.workspace.changes import Feed, Published
from coherence.workspace.draft import Draft
from coherence.workspace.effects import Apply, Ask, AskBoth, Effect, Fetch, Operation
from coherence.workspace.front import Front
from coherence.workspace.view import View
from coherence.workspace.workspace import Workspace
from coherence.workspace.writing import HOLD_S, WAIT_S, Writing
from messaging.errors import ToolkitError

T = TypeVar("T")

#: Threads of one workspace for calls to its store.
THREADS = 8


class AsyncWorkspace:
    """A `Workspace` for tasks.  Takes what `Workspace` takes, or one that is open already.

    Agents of both kinds may share one: ``AsyncWorkspace(workspace)``.
    """

    def __init__(self, url: str | Store | Workspace = "memory://", **settings: Any) -> None:
        self._owned = not isinstance(url, Workspace)
        self.sync = url if isinstance(url, Workspace) else Workspace(url, **settings)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="coherence")
        self._fronts: dict[str, AsyncAgent] = {}

    async def agent(self, name: str) -> AsyncAgent:
        """See `Workspace.agent`: each task has an agent of its own."""
        requester, operations = await self.run(self.sync.join, name)
        front = self._fronts.get(name)
        if front is None or front._requester is not requester:
            front = self._fronts[name] = AsyncAgent(self, requester, operations)
        return front

    async def close(self) -> None:
        """End it; a workspace that was given open stays open."""
        if self._owned:
            await self.run(self.sync.close)
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> AsyncWorkspace:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Call what may block.  Cancelled, it is waited for all the same: half a call is none."""
        if not self.sync.shared:
            return work(*arguments)
        future = asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([future])
            if future.exception() is None:
                raise Interrupted(future.result()) from None
            raise


class Interrupted(asyncio.CancelledError):
    """A call was cancelled while the store was at work, which brought this."""

    def __init__(self, result: object) -> None:
        super().__init__()
        self.result = result


class AsyncAgent(Front):
    """An agent for tasks.  See `Agent`: same calls, same errors.

    It does one thing at a time: each task has an agent of its own.  A call that is cancelled may
    have been carried out.
    """

    def __init__(self, workspace: AsyncWorkspace, requester: Any, operations: Writing) -> None:
        super().__init__(workspace.sync, requester, operations)
        self._run = workspace.run
        self._task: asyncio.Task[Any] | None = None

    async def read(
        self, name: str, have: Ref | str | None = None, *, version: int | None = None
    ) -> View:
        """See `Agent.read`."""
        if have is None and version is None and (hit := self._hit(name)) is not None:
            return hit
        if version is not None:
            return await self._drive(self._operations.read_version(name, version))
        return await self._drive(self._operations.read(name, have))

    async def write(
        self,
        name: str,
        content: Content,
        *,
        expect: Ref | str | int | None = None,
        overwrite: bool = False,
        wait_s: float | None = WAIT_S,
    ) -> Ref:
        """See `Agent.write`."""
        return await self._drive(self._operations.write(name, content, expect, overwrite, wait_s))

    async def update(
        self,
        name: str,
        function: Callable[[str], Content | Awaitable[Content]],
        *,
        initial: Content = "",
        wait_s: float | None = WAIT_S,
    ) -> View:
        """See `Agent.update`; `function` may be a coroutine function."""
        return await self._drive(self._operations.update(name, function, initial, wait_s))

    def edit(
        self, name: str, *, wait_s: float | None = WAIT_S, hold_s: float = HOLD_S
    ) -> AsyncEdit:
        """See `Agent.edit`: ``async with agent.edit("plan.md") as draft: ...``."""
        return AsyncEdit(self, name, wait_s, hold_s)

    async def delete(
        self,
        name: str,
        *,
        expect: Ref | str | int | None = None,
        overwrite: bool = False,
        wait_s: float | None = WAIT_S,
    ) -> Ref:
        """See `Agent.delete`."""
        return await self._drive(self._operations.delete(name, expect, overwrite, wait_s))

    async def rename(self, name: str, to: str) -> Ref:
        """See `Agent.rename`."""
        return await self._drive(self._operations.rename(name, to))

    async def list(self, prefix: str = "") -> Sequence[str]:
        """See `Agent.list`."""
        self._requester.require()
        return await self._run(self._workspace.names, prefix)

    async def history(self, name: str) -> Sequence[Entry]:
        """See `Agent.history`."""
        self._requester.require()
        return await self._run(self._workspace.history, check_name(name))

    async def watch(
        self, pattern: str = "*", *, since: int | None = None, timeout_s: float | None = None
    ) -> AsyncIterator[Published]:
        """See `Agent.watch`: ``async for change in agent.watch(): ...``."""
        self._requester.require()
        feed = await self._run(Feed, self._exchange, pattern, since)
        grown = asyncio.Event()
        stop = self._exchange.on_growth(_threadsafe(grown)), self._exchange.listen()
        ready: deque[Published] = deque()
        try:
            while True:
                self._requester.require()
                grown.clear()
                ready.extend(await self._run(feed.more))
                while ready:
                    yield ready.popleft()
                try:
                    await asyncio.wait_for(grown.wait(), timeout_s)
                except TimeoutError:
                    return
        finally:
            for end in stop:
                end()

    async def leave(self) -> None:
        """See `Agent.leave`."""
        await self._run(self._workspace.part, self._requester)

    async def __aenter__(self) -> AsyncAgent:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.leave()

    # Carries out what operations ask for.

    async def _drive(self, operation: Operation[T]) -> T:
        self._requester.require()
        task = asyncio.current_task()
        outer = self._task
        if outer is not None and outer is not task:
            raise AgentBusy(f"{self.name!r} is in a call of another task")
        self._task = task
        try:
            effect = next(operation)
            while True:
                try:
                    outcome = await self._perform(effect)
                except BaseException as error:
                    effect = operation.throw(error)
                else:
                    effect = operation.send(outcome)
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            self._task = outer

    async def _perform(self, effect: Effect) -> object:
        requester = self._requester
        if type(effect) is Ask:
            return await self._ask(effect)
        if type(effect) is Fetch:
            return await self._run(self._exchange.store.read, effect.artifact, effect.version)
        if type(effect) is Apply:
            made = effect.function(effect.argument)
            return await made if isawaitable(made) else made
        if type(effect) is AskBoth:
            refused = await self._run(requester.ask_both, effect.first, effect.second)
            if refused is None:
                for ask in effect:
                    await self._answer(ask.artifact)
            return refused
        self._note(effect)
        return None

    async def _ask(self, ask: Ask) -> Result:
        requester = self._requester
        try:
            answer = await self._run(requester.ask, ask.artifact, ask.request)
        except Interrupted as interrupted:
            await self._undo(ask.artifact, interrupted.result)
            raise
        return answer if answer is not None else await self._answer(ask.artifact)

    async def _answer(self, artifact: str) -> Result:
        """Wait for the answer without holding a thread."""
        requester = self._requester
        come = asyncio.Event()
        stop = requester.await_answer(artifact, _threadsafe(come))
        try:
            while (answer := requester.take(artifact)) is None:
                requester.require()
                until = requester.deadline(artifact)
                wait_s = None if until is None else max(0.0, until - monotonic())
                try:
                    await asyncio.wait_for(come.wait(), wait_s)
                except TimeoutError:
                    await self._run(requester.nudge, artifact)
                come.clear()
            return answer
        except BaseException:
            await self._undo(artifact, None)
            raise
        finally:
            stop()

    async def _undo(self, artifact: str, answer: object) -> None:
        """A call was given up: leave the queue, or give back the grant that nobody waits for."""
        with suppress(ToolkitError, Interrupted):
            if answer is None:
                await self._run(self._requester.give_up, artifact)
            elif isinstance(answer, Granted):
                await self._run(self._requester.give_back, artifact, answer.epoch)


class AsyncEdit:
    """The context manager that `AsyncAgent.edit` gives."""

    def __init__(self, agent: AsyncAgent, name: str, wait_s: float | None, hold_s: float) -> None:
        self._agent, self._name, self._wait_s, self._hold_s = agent, name, wait_s, hold_s
        self._draft: Draft | None = None

    async def __aenter__(self) -> Draft:
        agent = self._agent
        grant = await agent._drive(
            agent._operations.acquire(self._name, self._wait_s, self._hold_s)
        )
        self._draft = Draft(grant, agent._is_awaited)
        return self._draft

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._draft is not None
        with suppress(ToolkitError) if error is not None else nullcontext():
            await self._agent._drive(self._draft.finish(self._agent._operations, error))


def _threadsafe(event: asyncio.Event) -> Callable[[], None]:
    """Sets `event` from any thread."""
    loop = asyncio.get_running_loop()

    def fire() -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
            loop.call_soon_threadsafe(event.set)

    return fire
