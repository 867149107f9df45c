"""Agents for tasks behind the calls of agents for threads: each call runs in a loop to its end.

So one test says what both must do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from coherence import AsyncWorkspace


class Loop:
    """An event loop, and agents whose calls it runs."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._workspaces: dict[int, AsyncWorkspace] = {}

    def run(self, made: Awaitable[Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(60):
                return await made

        if self._loop.is_running():  # in a thread that a call of this loop waits for
            return asyncio.run_coroutine_threadsafe(bounded(), self._loop).result(60)
        return self._loop.run_until_complete(bounded())

    def agent(self, workspace: Any, name: str) -> Any:
        opened = self._workspaces.setdefault(id(workspace), AsyncWorkspace(workspace))
        return Agent(self, self.run(opened.agent(name)))

    def close(self) -> None:
        for opened in self._workspaces.values():
            self.run(opened.close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


class Agent:
    """An `AsyncAgent`, with the calls of `Agent`."""

    def __init__(self, loop: Loop, agent: Any) -> None:
        self._of, self._agent = loop, agent

    def edit(self, *given: Any, **named: Any) -> Block:
        return Block(self._of, self._agent.edit(*given, **named))

    def transaction(self, *given: Any, **named: Any) -> Block:
        return Block(self._of, self._agent.transaction(*given, **named))

    def transact(self, function: Callable[[Any], Any], **named: Any) -> Any:
        async def asked(tx: Any) -> Any:
            # The function makes blocking calls, so it runs in a thread; this task makes them.
            errands = Errands(self._of)
            work = asyncio.ensure_future(asyncio.to_thread(function, Tx(errands, tx)))
            work.add_done_callback(lambda _: errands.end())
            await errands.run()
            return await work

        return self._of.run(self._agent.transact(asked, **named))

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._agent, name)
        if not asyncio.iscoroutinefunction(call):
            return call
        return lambda *given, **named: self._of.run(call(*given, **named))


class Errands:
    """Calls that one task makes for others, in order, until the end."""

    def __init__(self, loop: Loop) -> None:
        self._of = loop
        self._asked: asyncio.Queue[Any] = asyncio.Queue()
        self._over = False

    async def run(self) -> None:
        while (each := await self._asked.get()) is not None:
            made, answer = each
            try:
                answer.set_result(await made)
            except Exception as error:
                answer.set_exception(error)

    def do(self, made: Awaitable[Any]) -> Any:
        if self._over:
            return self._of.run(made)

        async def ask() -> Any:
            answer = asyncio.get_running_loop().create_future()
            self._asked.put_nowait((made, answer))
            return await answer

        return self._of.run(ask())

    def end(self) -> None:
        self._over = True
        self._asked.put_nowait(None)


class Block:
    """An asynchronous context manager, with the calls of a plain one; one task is in it."""

    def __init__(self, loop: Loop, block: Any) -> None:
        self._of, self._block = loop, block
        self._errands = Errands(loop)
        self._error: BaseException | None = None

    def __enter__(self) -> Any:
        async def begin() -> Any:
            entered = asyncio.get_running_loop().create_future()
            self._task = asyncio.ensure_future(self._hold(entered))
            await asyncio.wait([entered, self._task], return_when=asyncio.FIRST_COMPLETED)
            if self._task.done():
                await self._task
            return entered.result()

        entered = self._of.run(begin())
        return Tx(self._errands, entered) if hasattr(entered, "reads") else entered

    async def _hold(self, entered: asyncio.Future[Any]) -> None:
        async with self._block as inner:
            entered.set_result(inner)
            await self._errands.run()
            if self._error is not None:
                raise self._error

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        async def end() -> None:
            self._error = error
            self._errands.end()
            try:
                await self._task
            except BaseException as raised:
                if raised is not error:
                    raise

        self._of.run(end())


class Tx:
    """An `AsyncAgentTransaction`, with the calls of `AgentTransaction`."""

    def __init__(self, errands: Errands, tx: Any) -> None:
        self._errands, self._tx = errands, tx

    def read(self, *given: Any, **named: Any) -> Any:
        return self._errands.do(self._tx.read(*given, **named))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)
