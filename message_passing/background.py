"""Work beside the calls of an application: who does it, and in which thread.

A worker does its work piece by piece, and says whether there is more.  `Threads` gives each worker
a daemon thread while the worker is needed.  A test that owns time gives none, and has the pieces
done itself.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from message_passing.interrupts import Lock, start


class Worker(ABC):
    """Work that is done piece by piece."""

    name: str

    @property
    @abstractmethod
    def is_needed(self) -> bool:
        """Whether there is work, now or later."""

    @abstractmethod
    def work(self) -> None:
        """Wait for the next piece of work, at most for a while, and do it.

        Must not raise, except by a defect, which ends the thread.
        """


class Background(Protocol):
    """Has the work of workers done."""

    def need(self, worker: Worker) -> None:
        """Have the work of `worker` done while it is needed.  May be called again.

        No work is done beside a process that is ending.
        """
        ...

    def is_running(self, worker: Worker) -> bool:
        """Whether a thread does the work of `worker` now."""
        ...

    @property
    def locks(self) -> Sequence[Lock]:
        """The locks that a thread may hold when it is interrupted."""
        ...


class Threads:
    """A daemon thread for each worker, while the worker is needed."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._threads: dict[Worker, threading.Thread] = {}

    def need(self, worker: Worker) -> None:
        """See `Background.need`."""
        if worker in self._threads:
            return
        with self._lock:
            if worker not in self._threads:
                thread = threading.Thread(
                    target=self._run, args=(worker,), name=worker.name, daemon=True
                )
                try:
                    start(thread)
                except RuntimeError as error:
                    # Python 3.12 and later has no name for it: the process ends.
                    if "interpreter shutdown" in str(error):
                        return
                    raise
                self._threads[worker] = thread

    def is_running(self, worker: Worker) -> bool:
        """See `Background.is_running`."""
        return worker in self._threads

    @property
    def locks(self) -> Sequence[Lock]:
        """See `Background.locks`."""
        return (self._lock,)

    def _run(self, worker: Worker) -> None:
        try:
            while self._goes_on(worker):
                worker.work()
        finally:
            with self._lock:
                if self._threads.get(worker) is threading.current_thread():
                    del self._threads[worker]

    def _goes_on(self, worker: Worker) -> bool:
        """Whether this thread has the worker and is needed; if not, `need` starts another.

        A call that was cut off may have started a thread without noting it.  The thread is crossed
        out before the worker is asked: a call that has work finds either this thread, which sees
        the work, or none.
        """
        with self._lock:
            thread = threading.current_thread()
            if self._threads.get(worker) is not thread:
                return False
            del self._threads[worker]
            if worker.is_needed:
                self._threads[worker] = thread
            return worker in self._threads
