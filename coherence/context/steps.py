"""The steps of an adapter's call, for callers that block and for callers that await.

A call is written once, as a generator.  `Here` is a step on the workspace, `Beside` one on the
wrapped store; the driver of the generator decides how to wait.  For an awaiting caller, a step that
cannot block runs in the event loop, and every other in dedicated threads: the step may wait for
work that needs the loop's default executor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, NamedTuple, ParamSpec, TypeAlias, TypeVar

from coherence.context.desk import Desk
from coherence.context.sight import on_behalf
from coherence.errors import GrantTimeout
from coherence.workspace.threads import TaskThreads
from coherence.workspace.workspace import Workspace, site_of
from coherence.workspace.writing import WAIT_S
from message_passing.interrupts import tried

T = TypeVar("T")
P = ParamSpec("P")

#: Threads of one store for calls that wait for another agent.
WAITING = 64


class Here(NamedTuple):
    """A step on the workspace; `work` receives the seconds that it may wait for a grant.

    If it raises `GrantTimeout`, it has done nothing, and may be called again.
    """

    work: Callable[[float | None], Any]


class Beside(NamedTuple):
    """Operations of the framework, for the wrapped store."""

    operations: list[Any]


Steps: TypeAlias = Generator[Here | Beside, Any, T]


def carried_out(steps: Steps[T], desk: Desk, beside: Callable[[list[Any]], Any]) -> T:
    """The result of `steps`, for a caller that blocks."""

    def take(step: Here | Beside) -> Any:
        if isinstance(step, Beside):
            return beside(step.operations)
        with desk.busy:
            return step.work(WAIT_S)

    try:
        step, failed, came = next(steps), None, None
        while True:
            try:
                failed, came = None, take(step)
            except Exception as error:
                failed = error
            step = steps.send(came) if failed is None else steps.throw(failed)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        steps.close()


class Aside:
    """Runs the awaited calls on one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._threads = TaskThreads(blocks=site_of(workspace).store.shared)
        self._waiting = ThreadPoolExecutor(WAITING, thread_name_prefix="coherence-wait")

    def close(self) -> None:
        """Let the threads end once they are idle."""
        self._threads.close()
        self._waiting.shutdown(wait=False)

    async def run(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Call `work`, which may block, in a dedicated thread and in the caller's context.

        A cancelled caller does not wait for its end.
        """
        call = partial(copy_context().run, partial(on_behalf, work, *given, **named))
        return await asyncio.get_running_loop().run_in_executor(self._waiting, call)

    async def at_once(self, desk: Desk, work: Callable[[float | None], T]) -> T:
        """Call `work` on the workspace, in the event loop if it cannot block."""
        context = copy_context()

        def attempt() -> tuple[T] | None:
            try:
                return tried(desk.busy, lambda: (work(0.0),))
            except GrantTimeout:
                return None

        if self._threads.blocks:
            done = await self._threads.in_thread(partial(context.run, on_behalf, attempt))
        else:
            done = attempt()
        return done[0] if done is not None else await self.run(_in_turn, desk, work)

    async def carried_out(
        self, steps: Steps[T], desk: Desk, beside: Callable[[list[Any]], Awaitable[Any]]
    ) -> T:
        """The result of `steps`, for a caller that awaits.

        After a cancellation, an operation on the wrapped store continues: it cannot stop halfway.
        """

        async def take(step: Here | Beside) -> Any:
            if isinstance(step, Here):
                return await self.at_once(desk, step.work)
            return await asyncio.shield(asyncio.ensure_future(beside(step.operations)))

        try:
            step, failed, came = next(steps), None, None
            while True:
                try:
                    failed, came = None, await take(step)
                except Exception as error:
                    failed = error
                step = steps.send(came) if failed is None else steps.throw(failed)
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            steps.close()


def _in_turn(desk: Desk, work: Callable[[float | None], T]) -> T:
    with desk.busy:
        return work(WAIT_S)
