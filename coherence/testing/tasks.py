"""Agents in tasks of one event loop, whose clock is that of the run.

The choice is made where the loop would sleep: then every task has stopped before a move, or waits.
Timers of the loop fire when nothing else can happen.
"""

from __future__ import annotations

import asyncio
import contextvars
import selectors
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from coherence.testing.errors import Deadlock, Ended, Killed
from coherence.testing.frames import frames_of, line_of
from coherence.testing.moves import Access
from coherence.testing.scheduler import Actor, At, TeamRun
from message_passing.process import Time

#: How long a loop with nothing to do waits for a thread that is not ours, in seconds.
OUTSIDE_S = 1.0

#: How long it waits for a job in an executor, at most, in seconds.
JOB_S = 3.0
#: How often the loop may have nothing to do while tasks unwind.
ROUNDS = 100


class _Selector(selectors.DefaultSelector):
    """Asked to sleep, no task is ready: `TaskRun.idle` has one go on."""

    def __init__(self, tasks: TaskRun) -> None:
        super().__init__()
        self._tasks = tasks
        #: How many jobs run in threads of an executor.
        self.jobs = 0

    def ended(self, _: object) -> None:
        self.jobs -= 1

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(JOB_S if self.jobs and timeout != 0 else 0)
        if found or (timeout is not None and timeout <= 0) or self._tasks.idle(timeout):
            return found
        if found := super().select(OUTSIDE_S):
            self._tasks.woken()
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on the clock of a run."""

    def __init__(self, tasks: TaskRun) -> None:
        self._tasks_of_agents, self._run_of_agents = tasks, tasks.run
        self._thread_of_agents = threading.get_ident()
        self._selector_of_agents = _Selector(tasks)
        super().__init__(self._selector_of_agents)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *given: Any
    ) -> Any:
        """See `asyncio.AbstractEventLoop.run_in_executor`: the loop waits for its end."""
        future = super().run_in_executor(executor, func, *given)
        self._selector_of_agents.jobs += 1
        future.add_done_callback(self._selector_of_agents.ended)
        return future

    def call_soon_threadsafe(  # type: ignore[override]
        self, *given: Any, **options: Any
    ) -> asyncio.Handle:
        """See `asyncio.AbstractEventLoop.call_soon_threadsafe`."""
        if threading.get_ident() != self._thread_of_agents:
            self._tasks_of_agents.waker = threading.current_thread().name
            if not self._selector_of_agents.jobs:  # for which the loop waits
                self._tasks_of_agents.woken()
        return super().call_soon_threadsafe(*given, **options)

    def time(self) -> float:
        """See `asyncio.AbstractEventLoop.time`."""
        return self._run_of_agents.now


class TaskAgents:
    """The tasks of event loops that are agents of a `TeamRun`."""

    def __init__(self, run: TeamRun) -> None:
        self.run = run
        self._of_task: WeakKeyDictionary[asyncio.Task[Any], Actor] = WeakKeyDictionary()
        #: The task that has started each task.
        self._starters: WeakKeyDictionary[asyncio.Task[Any], asyncio.Task[Any]] = (
            WeakKeyDictionary()
        )
        #: The agent's task on whose behalf a callback of the loop runs.
        self._main: contextvars.ContextVar[asyncio.Task[Any] | None] = contextvars.ContextVar(
            "main", default=None
        )

    def me(self) -> Actor | None:
        """The agent of the present task, which a task that it has started becomes one of."""
        # `current_task` raises in a thread without a loop, as most are: that takes long.
        if (loop := asyncio._get_running_loop()) is None:
            return None
        task = asyncio.current_task(loop)
        return None if task is None else self._actor_of(task)

    def _actor_of(self, task: asyncio.Task[Any]) -> Actor | None:
        """The agent of `task`: a new one below the agent of the task that has started it."""
        if (known := self._of_task.get(task)) is not None:
            return known
        starter = self._starters.get(task)
        parent = self._actor_of(starter) if starter is not None else self._root_of(task)
        if parent is None:
            return None
        name = self.run.name_below(parent, "task")
        actor = self._of_task[task] = self.run.add(name, parent)
        actor.at = At.RUNNING
        return actor

    def _root_of(self, task: asyncio.Task[Any]) -> Actor | None:
        """The agent above a task that no task has started."""
        return None

    def _wake(self, actor: Actor) -> None:
        """Have the loop of that agent's task go on."""

    def started(self, loop: asyncio.AbstractEventLoop, made: Any, **named: Any) -> Any:
        """A new task of `loop`, whose starter is remembered: see `loop.set_task_factory`."""
        task: asyncio.Task[Any] = asyncio.Task(made, loop=loop, **named)
        starter = asyncio.current_task(loop) or self._main.get()
        if starter is not None:
            self._starters[task] = starter
        return task

    async def step(self, access: Access, label: str) -> None:
        """Stop before a move, and go on when the search has chosen it."""
        me = self.me()
        if me is None:
            return
        if self.run.is_over:
            raise Ended
        if me.is_killed:
            raise Killed
        self.run.stop(me, access, label)
        chosen: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def go() -> None:
            if not chosen.done():
                chosen.set_result(None)
            self._wake(me)

        me.go = go
        try:
            await chosen
        except BaseException:
            me.at = At.RUNNING
            raise
        if (until := self.run.begin(me)) is not None:
            await asyncio.sleep(until - self.run.now)


class TaskRun(TaskAgents):
    """Runs the agents of a `TeamRun` as tasks of one event loop."""

    def __init__(self, run: TeamRun, *, starts_are_moves: bool = False) -> None:
        super().__init__(run)
        self._starts_are_moves = starts_are_moves
        run.sees_wakes = True
        self._loop: VirtualLoop | None = None
        self._is_idle_again = False
        #: The thread that has last called the loop.
        self.waker = ""
        #: How often the loop may still have nothing to do while tasks unwind.
        self._rounds = 0

    def main(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run `work`, whose tasks become agents of their own; its result."""
        return self.all_of({"main": work}, is_main=True)["main"]

    def all_of(
        self, works: Mapping[str, Callable[[], Coroutine[Any, Any, Any]]], *, is_main: bool = False
    ) -> dict[str, Any]:
        """Run `works` as agents of these names; their results.  Raises what has failed."""
        loop = self._loop = VirtualLoop(self)
        loop.set_task_factory(self.started)
        try:
            begun = {}
            for name, work in works.items():
                actor = self.run.add(name)
                actor.is_main = is_main
                begun[loop.create_task(self._live(actor, work), name=name)] = actor
            gathered = asyncio.gather(*begun, return_exceptions=True)
            self._run(loop, gathered)
            is_complete = not self.run.has_ended()
            self._unwind(loop)
        finally:
            loop.close()
            self._loop = None
        if self.run.failure is not None:
            raise self.run.failure
        if not is_complete:
            raise Ended
        self.run.is_over = False  # tasks that were left have been cancelled
        return {actor.name: actor.result for actor in begun.values()}

    async def _live(self, actor: Actor, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._of_task[task] = actor
        self._main.set(task)
        actor.at = At.RUNNING
        try:
            if self._starts_are_moves:
                await self.step((), "start")
            actor.result = await work()
        except (Ended, Killed):
            pass
        except asyncio.CancelledError:
            if not self.run.is_over:
                raise
        except BaseException as error:
            actor.error = error
            self.run.fail(error)
        finally:
            actor.at = At.DONE

    def _unwind(self, loop: VirtualLoop) -> None:
        """Cancel what still runs, all at once."""
        if left := asyncio.all_tasks(loop):
            self.run.end()
            self._rounds = ROUNDS
            for task in left:
                task.cancel()
            self._run(loop, asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())

    def _run(self, loop: VirtualLoop, future: asyncio.Future[Any]) -> None:
        try:
            loop.run_until_complete(future)
        except RuntimeError:
            if not self.run.is_over:  # otherwise the loop was stopped
                raise

    # Where the loop would sleep.

    def idle(self, timeout: Time | None) -> bool:
        """Have an agent go on, or time pass; False if only something outside can."""
        run = self.run
        run.settle()
        if self._rounds:
            self._rounds -= 1  # tasks unwind, and may wait while they do
            run.now += timeout or 0.0
            return True
        if not run.is_over:
            if (chosen := run.choose()) is not None:
                self._is_idle_again = False
                chosen.go()
                return True
            timers = [] if timeout is None else [run.now + timeout]
            if not run.has_ended() and run.pass_time(timers):
                self._is_idle_again = False
                return True
            if not run.has_ended() and not self._is_idle_again:
                self._is_idle_again = True  # a thread that is not ours may wake a task
                return False
            run.fail(self._deadlock())
        self._stop()
        return True

    def woken(self) -> None:
        """A thread that is not ours has woken a task."""
        self._is_idle_again = False
        self.run.doubts.append(f"a thread that is not scheduled has woken a task: {self.waker}")

    def _stop(self) -> None:
        """End the agents' part of the loop: `all_of` cancels what is left."""
        loop = self._loop
        if loop is not None and loop.is_running():
            loop.stop()

    def _deadlock(self) -> Deadlock:
        waits = []
        for task, actor in list(self._of_task.items()):
            if task.done():
                continue
            line = line_of(frames_of(task))
            waits.append(f"{actor.name} waits at {line} (after: {actor.label})")
        return Deadlock(f"nothing will ever happen: {'; '.join(sorted(waits))}")
