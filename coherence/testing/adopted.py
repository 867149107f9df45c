"""Threads that a program or its framework starts: each becomes an agent of the run.

A thread, and each job of a pool of threads, is an agent from its first turn to its end.  What
waits through a `threading.Condition` (events, queues, semaphores, barriers, futures) hands on.  A
job that finds no free worker in its pool begins when one is free.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import thread as pools
from contextlib import contextmanager
from typing import Any

from coherence.testing.before import LOCKS
from coherence.testing.frames import is_by_users
from coherence.testing.instead import Replaced
from coherence.testing.locks import Cooperative
from coherence.testing.scheduler import Actor, At
from coherence.testing.stage import Stage

#: How long a thread that unwinds waits for another, in seconds.
UNWIND_S = 1.0


class _Job:
    """One job of a pool."""

    __slots__ = ("actor", "has_begun", "pool")

    def __init__(self, actor: Actor, pool: ThreadPoolExecutor) -> None:
        self.actor, self.pool, self.has_begun = actor, pool, False

    @property
    def is_queued(self) -> bool:
        return not self.has_begun and self.actor.at is At.WAITING

    @property
    def is_over(self) -> bool:
        return self.actor.at is At.DONE


class Adoption:
    """Makes agents of the threads that the agents of a run start."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._threads, self._loops = stage, stage.threads, stage.loops
        self._jobs: list[_Job] = []
        self._of_thread: dict[int, tuple[threading.Thread, Actor]] = {}
        self._of_item: dict[int, tuple[object, _Job]] = {}
        #: The cooperative waits of each condition.
        self._waits: dict[int, list[list[bool]]] = {}
        self._submitting: list[ThreadPoolExecutor] = []

    def replaced(self) -> list[Replaced]:
        """The attributes that have another value while a run lasts."""
        condition, thread, item = threading.Condition, threading.Thread, pools._WorkItem
        loop, selector = asyncio.BaseEventLoop, selectors.DefaultSelector
        tasks = self._loops
        return [
            (condition, "wait", self._waiting(condition.wait)),
            (condition, "notify", self._notifying(condition.notify)),
            (condition, "notify_all", self._notifying_all(condition.notify_all)),
            (thread, "start", self._starting(thread.start)),
            (thread, "join", self._joining(thread.join)),
            (ThreadPoolExecutor, "submit", self._submit(ThreadPoolExecutor.submit)),
            (item, "__init__", self._making(item.__init__)),
            (item, "run", self._working(item.run)),
            (selector, "select", tasks.selecting(selector.select)),
            (loop, "run_forever", tasks.running(loop.run_forever)),
            (loop, "call_soon_threadsafe", tasks.calling(loop.call_soon_threadsafe)),
            (loop, "time", tasks.timing(loop.time)),
        ]

    def _adopted(self) -> Actor:
        parent = self._stage.me()
        assert parent is not None
        return self._threads.adopt(self._stage.run.name_below(parent, "job"), parent)

    # Conditions.

    def _waiting(self, plain: Callable[..., bool]) -> Callable[..., bool]:
        def wait(condition: Any, timeout: float | None = None) -> bool:
            if self._threads.me() is None or self._stage.run.is_settling:
                return plain(condition, timeout)
            self._look_at(condition)
            if timeout is not None and timeout <= 0:
                return False  # a try does not wait, so no other agent runs
            come: list[bool] = []
            waits = self._waits.setdefault(id(condition), [])
            waits.append(come)
            saved = condition._release_save()
            with self._taken_again(condition, saved):
                try:
                    until = None if timeout is None else self._stage.run.now + timeout
                    return self._threads.block(lambda: bool(come), until)
                finally:
                    if come in waits and not come:
                        waits[:] = [each for each in waits if each is not come]

        return wait

    def _look_at(self, condition: Any) -> None:
        """Doubt that every order is played, unless the run knows its lock."""
        is_known = self._threads.me() is None or type(condition.acquire.__self__) not in LOCKS
        if not is_known and is_by_users(sys._getframe(2)):
            self._stage.doubt_order(condition)

    @contextmanager
    def _taken_again(self, condition: Any, saved: Any) -> Iterator[None]:
        """At the end of the block, the lock of a condition is the present agent's again."""
        lock = condition.acquire.__self__
        if not isinstance(lock, Cooperative):
            try:
                yield
            finally:
                with self._threads.unseen():
                    condition._acquire_restore(saved)
            return
        try:
            yield
            condition._acquire_restore(saved)
        except BaseException:
            lock.is_not_taken_again(saved or 1)
            raise

    def _notifying(self, plain: Callable[..., None]) -> Callable[..., None]:
        def notify(condition: Any, n: int = 1) -> None:
            self._look_at(condition)
            waits = self._waits.get(id(condition), [])
            while waits and n > 0:
                self._come(waits.pop(0))
                n -= 1
            if n > 0:
                self._tell_others(condition)
                plain(condition, n)

        return notify

    def _notifying_all(self, plain: Callable[..., None]) -> Callable[..., None]:
        def notify_all(condition: Any) -> None:
            self._look_at(condition)
            for come in self._waits.pop(id(condition), []):
                self._come(come)
            self._tell_others(condition)
            plain(condition)

        return notify_all

    def _come(self, come: list[bool]) -> None:
        if self._threads.me() is not None:
            come.append(True)
        else:
            self._threads.from_outside(lambda: come.append(True))

    def _tell_others(self, condition: Any) -> None:
        if condition._waiters and self._threads.me() is not None:
            self._threads.give_outside()

    # Threads.

    def _starting(self, plain: Callable[..., None]) -> Callable[..., None]:
        def start(thread: Any) -> None:
            if self._threads.me() is None or self._stage.run.is_over:
                return plain(thread)
            # The jobs of a worker are agents, each on its own.
            if vars(thread).get("_target") is not pools._worker:
                actor = self._adopted()
                actor.is_daemon = thread.daemon
                self._of_thread[id(thread)] = thread, actor
                work = thread.run  # which its class may define
                thread.run = lambda: self._threads.live(actor, work)
            with self._threads.unseen():
                return plain(thread)

        return start

    def _joining(self, plain: Callable[..., None]) -> Callable[..., None]:
        def join(thread: threading.Thread, timeout: float | None = None) -> None:
            if self._threads.me() is None or self._stage.run.is_settling:
                return plain(thread, timeout)
            if self._stage.run.is_over:  # every thread unwinds
                return plain(thread, UNWIND_S)
            _, actor = self._of_thread.get(id(thread), (thread, None))
            jobs = [job for job in self._jobs if thread in job.pool._threads]
            until = None if timeout is None else self._stage.run.now + timeout
            ended = self._threads.block(
                lambda: actor.at is At.DONE if actor else all(job.is_over for job in jobs),
                until,
            )
            if ended:
                with self._threads.unseen():
                    plain(thread)

        return join

    # Pools.

    def _submit(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def submit(pool: ThreadPoolExecutor, *given: Any, **options: Any) -> Any:
            if self._threads.me() is None:
                return plain(pool, *given, **options)
            self._submitting.append(pool)
            try:
                return plain(pool, *given, **options)
            finally:
                self._submitting.pop()

        return submit

    def _making(self, plain: Callable[..., None]) -> Callable[..., None]:
        def init(item: Any, *given: Any, **options: Any) -> None:
            plain(item, *given, **options)
            is_adopted = self._threads.me() is not None and not self._stage.run.is_over
            if self._submitting and is_adopted:
                job = _Job(self._adopted(), self._submitting[-1])
                job.actor.at, job.actor.until = At.WAITING, None
                job.actor.has_come = lambda: self._has_worker(job)
                self._jobs.append(job)
                self._of_item[id(item)] = item, job

        return init

    def _has_worker(self, job: _Job) -> bool:
        """Whether a worker is free for this job, the first that waits for one."""
        others = [other for other in self._jobs if other.pool is job.pool and other is not job]
        busy = sum(not other.is_queued and not other.is_over for other in others)
        return busy < job.pool._max_workers

    def _working(self, plain: Callable[..., None]) -> Callable[..., None]:
        def run(item: Any) -> None:
            _, job = self._of_item.pop(id(item), (item, None))
            if job is None:
                return plain(item)
            job.has_begun = True
            self._threads.live(job.actor, lambda: plain(item))
            # If the run was over before the job began: a waiting thread may outlive the run.
            item.future.cancel()
            return None

        return run
