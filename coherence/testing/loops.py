"""Event loops that run in threads of the agents: their tasks are agents too.

A loop with nothing to do waits as its thread; then any task of it may be chosen, as may any agent
of another thread.  A task is not ready while its loop is busy, or blocked by a call.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextvars import copy_context
from typing import Any
from weakref import WeakKeyDictionary

from coherence.testing.errors import Ended
from coherence.testing.scheduler import Actor, At, TeamRun
from coherence.testing.tasks import ROUNDS, TaskAgents
from coherence.testing.threads import ThreadRun

#: How long a loop whose tasks unwind waits for what comes from other threads, in seconds.
UNWIND_S = 0.01


class LoopTasks(TaskAgents):
    """The tasks of event loops in threads of a `ThreadRun`."""

    def __init__(self, run: TeamRun, threads: ThreadRun) -> None:
        super().__init__(run)
        self._threads = threads
        self._carriers: WeakKeyDictionary[Any, Actor] = WeakKeyDictionary()
        #: How often a loop has had nothing to do since the run was over.
        self._rounds: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def _root_of(self, task: asyncio.Task[Any]) -> Actor | None:
        return self._carriers.get(task.get_loop())

    def _actor_of(self, task: asyncio.Task[Any]) -> Actor | None:
        actor = super()._actor_of(task)
        if actor is not None and actor.carrier is None:
            actor.carrier = self._carriers.get(task.get_loop())
        return actor

    def _wake(self, actor: Actor) -> None:
        if (carrier := actor.carrier) is not None and carrier.at is At.WAITING:
            carrier.at = At.RUNNING
            carrier.go()

    # What is replaced while a run lasts.

    def running(self, plain: Callable[..., None]) -> Callable[..., None]:
        """For `BaseEventLoop.run_forever`."""

        def run_forever(loop: Any) -> None:
            carrier = self._threads.me()
            if carrier is None or self.run.is_settling:
                return plain(loop)
            is_bounded = sys._getframe(1).f_code.co_name == "run_until_complete"
            if carrier.is_daemon and not is_bounded:
                self._threads.serve(carrier)
                return plain(loop)
            self._carriers[loop] = carrier
            self.run.sees_wakes = True
            if loop.get_task_factory() is None:
                loop.set_task_factory(self.started)
            return plain(loop)

        return run_forever

    def calling(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """For `BaseEventLoop.call_soon_threadsafe`."""

        def call_soon_threadsafe(loop: Any, work: Any, *given: Any, context: Any = None) -> Any:
            is_agent = self._threads.me() is not None
            if loop not in self._carriers or self.run.is_over or is_agent:
                if is_agent and loop not in self._carriers:
                    self._threads.give_outside()
                return plain(loop, work, *given, context=context)
            context = context or copy_context()
            handle = asyncio.Handle(work, given, loop, context)

            def call() -> None:
                if not handle.cancelled():
                    plain(loop, work, *given, context=context)

            self._threads.from_outside(call)
            return handle

        return call_soon_threadsafe

    def timing(self, plain: Callable[..., float]) -> Callable[..., float]:
        """For `BaseEventLoop.time`."""

        def time(loop: Any) -> float:
            return plain(loop) if self._threads.me() is None else self.run.now

        return time

    def selecting(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """For `DefaultSelector.select`: a loop that would sleep hands on."""

        def select(selector: Any, timeout: float | None = None) -> Any:
            me, run = self._threads.me(), self.run
            # Without a loop, it is a socket that the thread waits for, such as a database's.
            is_loop = asyncio._get_running_loop() is not None
            if me is None or run.is_settling or not is_loop:
                return plain(selector, timeout)
            if run.is_over:
                return self._unwinding(selector, plain, timeout)
            found = plain(selector, 0)
            if found or (timeout is not None and timeout <= 0):
                return found
            until = None if timeout is None else run.now + timeout
            me.is_idle_loop = True
            try:
                self._threads.block(lambda: bool(plain(selector, 0)), until)
            except Ended:
                self._rounds[selector] = 1
                raise
            finally:
                me.is_idle_loop = False
            return plain(selector, 0)

        return select

    def _unwinding(self, selector: Any, plain: Callable[..., Any], timeout: float | None) -> Any:
        """The tasks of the loop have been cancelled, and may wait while they end."""
        rounds = self._rounds[selector] = self._rounds.get(selector, 0) + 1
        if rounds == 1 or rounds > ROUNDS:
            raise Ended  # its tasks are cancelled then
        found = plain(selector, UNWIND_S if timeout is None else min(timeout, UNWIND_S))
        if not found:
            self.run.now += timeout or 0.0
        return found
