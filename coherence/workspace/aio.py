"""The same agents for tasks of an event loop: every call is awaited, under the names of `agent`.

Calls that may wait for a disk or a network run in a few threads; a wait for a grant occupies none
of them.  If the store validates in microseconds, a cached read runs in the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import nullcontext, suppress
from inspect import isawaitable
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from coherence.contents import Content
from coherence.messages import Result
from coherence.refs import Ref, check_name
from coherence.stores.port import Entry
from coherence.workspace.changes import Feed, Published
from coherence.workspace.draft import Draft
from coherence.workspace.effects import Apply, Ask, AskAll, Compare, Effect, Fetch, Operation
from coherence.workspace.exchange import again
from coherence.workspace.front import Call, Front
from coherence.workspace.view import View
from coherence.workspace.writing import HOLD_S, WAIT_S, Writing
from message_passing.errors import ToolkitError

if TYPE_CHECKING:
    from coherence.workspace.aio_workspace import AsyncWorkspace

T = TypeVar("T")

#: Texts of fewer characters than this are compared in the event loop: that takes milliseconds.
COMPARED_AT_ONCE = 20_000


class AsyncAgent(Front):
    """An agent for tasks, with the calls and errors of `Agent`.

    It does one thing at a time: give each task its own agent.  A cancelled call may have taken
    effect.
    """

    def __init__(self, workspace: AsyncWorkspace, requester: Any, operations: Writing) -> None:
        super().__init__(workspace.sync, requester, operations)
        self._run = workspace.run
        self._in_thread = workspace.in_thread

    async def read(
        self, name: str, have: Ref | str | None = None, *, version: int | None = None
    ) -> View:
        """See `Agent.read`."""
        if have is None and version is None:
            try:
                if (hit := self._hit(name)) is not None:
                    return hit
            except ToolkitError:
                self._requester.require()
                raise
            except BaseException:
                again(self._exchange.settle)
                raise
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
        """See `Agent.edit`: ``async with agent.edit("plan.md") as draft: ...``.

        The draft ends with the task that began it.
        """
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
        ready: deque[Published] = deque()
        try:
            self._exchange.watch(grown, _threadsafe(grown))
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
            self._exchange.unwatch(grown)

    async def leave(self) -> None:
        """See `Agent.leave`."""
        await self._run(self._workspace.part, self._requester)

    async def __aenter__(self) -> AsyncAgent:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.leave()

    # Carries out the effects of operations.

    async def _drive(self, operation: Operation[T]) -> T:
        call = Call(asyncio.current_task())
        try:
            try:
                self._requester.require()
                if self._turn.setdefault("call", call) is not call:
                    self._begin_within(call)
                done = await self._carry_out(call, operation)
                if call.within is None:
                    del self._turn["call"]
                else:
                    self._end(call)
                return done
            except BaseException as error:
                if not call.is_cut_off_by(error):
                    self._end(call)
                raise
        except asyncio.CancelledError as error:
            self._undo(call, error)
            await self._workspace_settled()
            raise
        except BaseException as error:
            self._undo(call, error)
            raise

    async def _workspace_settled(self) -> None:
        """Wait until homes have the messages that a cancelled call left for them."""
        done = asyncio.Event()
        self._workspace.keeper.do(_threadsafe(done))
        await done.wait()

    async def _carry_out(self, call: Call, operation: Operation[T]) -> T:
        try:
            effect = next(operation)
            while True:
                try:
                    outcome = await self._perform(call, effect)
                except BaseException as error:
                    if call.is_cut_off_by(error):
                        raise
                    effect = operation.throw(error)
                else:
                    effect = operation.send(outcome)
        except StopIteration as done:
            result: T = done.value
            return result

    async def _perform(self, call: Call, effect: Effect) -> object:
        requester = self._requester
        if type(effect) is Ask:
            if effect.artifact not in call.touched:
                call.touched[effect.artifact] = self._operations.given(effect.artifact)
            answer = await self._run(requester.ask, effect.artifact, effect.request)
            return answer if answer is not None else await self._answer(effect.artifact)
        if type(effect) is Fetch:
            read = self._exchange.store.read
            return await self._run(self._exchange.look, read, effect.artifact, effect.version)
        if type(effect) is Apply:
            call.lent = True
            try:
                made = effect.function(effect.argument)
                return await made if isawaitable(made) else made
            except BaseException as error:
                call.theirs = error
                raise
            finally:
                call.lent = False
        if type(effect) is Compare:
            if len(effect.before) + len(effect.after) < COMPARED_AT_ONCE:
                return effect.words()
            return await self._in_thread(effect.words)
        if type(effect) is AskAll:
            for ask in effect.asks:
                call.touched.setdefault(ask.artifact, self._operations.given(ask.artifact))
            refused = await self._run(requester.ask_all, effect.asks)
            if refused is None:
                for ask in effect.asks:
                    await self._answer(ask.artifact)
            return refused
        self._note(effect)
        return None

    async def _answer(self, artifact: str) -> Result:
        """Wait for the answer without occupying a thread."""
        requester = self._requester
        come = asyncio.Event()
        requester.await_answer(artifact, _threadsafe(come))
        try:
            while (answer := requester.take(artifact)) is None:
                requester.require()
                until = requester.deadline(artifact)
                wait_s = None if until is None else max(0.0, until - monotonic())
                try:
                    await asyncio.wait_for(come.wait(), wait_s)
                    if requester.has_missed(artifact):
                        await self._run(requester.nudge, artifact)
                except TimeoutError:
                    await self._run(requester.nudge, artifact)
                come.clear()
        except ToolkitError:
            await self._run(requester.give_up, artifact)
            raise
        requester.await_no_more(artifact)
        return answer


class AsyncEdit:
    """The context manager that `AsyncAgent.edit` gives."""

    def __init__(self, agent: AsyncAgent, name: str, wait_s: float | None, hold_s: float) -> None:
        self._agent, self._name, self._wait_s, self._hold_s = agent, name, wait_s, hold_s
        self._draft: Draft | None = None

    async def __aenter__(self) -> Draft:
        agent = self._agent
        try:
            grant = await agent._drive(
                agent._operations.acquire(self._name, self._wait_s, self._hold_s)
            )
            self._draft = Draft(grant, agent._is_awaited)
            agent._own(self, self._name, asyncio.current_task())
            return self._draft
        except ToolkitError:
            raise
        except BaseException:
            agent._drop(self, self._name)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        agent = self._agent
        try:
            assert self._draft is not None
            with suppress(ToolkitError) if error is not None else nullcontext():
                await agent._drive(self._draft.finish(agent._operations, error))
        except ToolkitError:
            raise
        except BaseException:
            agent._drop(self, self._name)
            raise


def _threadsafe(event: asyncio.Event) -> Callable[[], None]:
    """Sets `event` from any thread."""
    loop = asyncio.get_running_loop()

    def fire() -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it the waiting task
            loop.call_soon_threadsafe(event.set)

    return fire
