"""The processes that measure: this one, several of this machine, or those of a Dask cluster.

Each is an executor of `concurrent.futures`, so one loop serves all (`measured`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    wait,
)
from contextlib import contextmanager
from typing import Any, TypeVar

from coherence.simulate.sweeps.measuring import KeyedRow, Task, expected_actions, perform
from message_passing.errors import EnvironmentFault
from message_passing.workers import workers

R = TypeVar("R")

AHEAD = 4
"""Tasks under way for each process: none idles, and what another sweep has done is noticed."""

POLL_S = 2.0

PARALLEL_ACTIONS_MIN = 1_000_000
"""Below this many actions, over all measurements, starting processes takes longer than it saves."""


class WorkerDied(EnvironmentFault):
    """A process that measured has ended: it was killed, or memory was short."""

    remedy = (
        "with --out the same command goes on from there; if memory is short, take fewer processes"
        " by --jobs"
    )


class Pool:
    """An executor, and how far ahead it is given work.  This one runs each task as it is given."""

    def __init__(self, executor: Executor | None = None, processes: int = 0) -> None:
        self.executor = executor or _Inline()
        self._processes = processes

    def ahead(self) -> int:
        """How many tasks may be under way."""
        return max(1, AHEAD * self._processes)

    def check(self) -> None:
        """Raise an error if no task under way will ever end; asked while none ends."""

    def typed(self, error: BaseException) -> BaseException:
        """The error to raise for that of a task."""
        if isinstance(error, BrokenExecutor):
            return WorkerDied("a process that measured has ended: killed, or out of memory")
        return error


@contextmanager
def local(tasks: Sequence[Task], processes: int | None) -> Iterator[Pool]:
    """Processes of this machine, or this process alone if the tasks are short."""
    actions = sum(expected_actions(task[0].team) * len(task) for task in tasks)
    count = min(len(tasks), processes or os.cpu_count() or 1)
    if count <= 1 or actions < PARALLEL_ACTIONS_MIN:
        yield Pool()
        return
    with workers(count) as executor:
        yield Pool(executor, count)


def measured(tasks: Iterable[Task], pool: Pool) -> Iterator[list[KeyedRow]]:
    """Yield the findings of each task as it ends; `tasks` are taken as late as possible.

    If a task fails, or at an interrupt, the findings that are there come first, then the error.
    """
    pending: set[Future[list[KeyedRow]]] = set()
    try:
        for task in tasks:
            if task:
                pending.add(pool.executor.submit(perform, task))
            while len(pending) >= pool.ahead():
                yield from _ended(pending, pool)
        while pending:
            yield from _ended(pending, pool)
    except (Exception, KeyboardInterrupt) as error:
        for future in pending:
            if future.done() and not future.cancelled() and future.exception() is None:
                yield future.result()
        typed = pool.typed(error)
        if typed is error:
            raise
        raise typed from error


def _ended(pending: set[Future[list[KeyedRow]]], pool: Pool) -> Iterator[list[KeyedRow]]:
    done, _ = wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED)
    if not done:
        pool.check()
    for future in done:
        found = future.result()
        pending.discard(future)
        yield found


class _Inline(Executor):
    """Runs a task in this thread while it is submitted."""

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
