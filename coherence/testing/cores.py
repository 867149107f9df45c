"""Has the threads of a run wake on one core: to wake one on another core takes as long as a move.

One thread runs at a time, so a second core would gain nothing.  A thread is held to the core only
while it waits for its turn: what an agent starts, a thread or a process, is never held, and a run
that shares its core with another process moves on to a free one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Set
from typing import Any, Final

#: Where the number of its core stands in what Linux tells of a thread, after the thread's name.
_STAT, _AFTER_NAME = "/proc/thread-self/stat", 36
_UNKNOWN: Final[Set[int]] = frozenset()


class Core:
    """The core on which threads wake; all of them, at first and where Linux does not tell one."""

    __slots__ = ("_only",)

    def __init__(self) -> None:
        self._only = _UNKNOWN

    def move_here(self) -> None:
        """From now on it is the one that this thread runs on."""
        self._only = _present()

    def wait(self, lock: Any, timeout_s: float) -> bool:
        """Acquire `lock`, see `threading.Lock.acquire`, and wake on this core."""
        if sys.platform != "linux" or not self._only:
            return bool(lock.acquire(timeout=timeout_s))
        before = os.sched_getaffinity(0)
        try:
            try:
                os.sched_setaffinity(0, self._only)
            except OSError:  # the process may not, or has lost this core
                self._only = _UNKNOWN
            return bool(lock.acquire(timeout=timeout_s))
        finally:
            # The next call is this one, so no interrupt comes before it.
            try:  # noqa: SIM105
                os.sched_setaffinity(0, before)
            except OSError:
                pass  # the process has lost all of these


def _present() -> Set[int]:
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) == 1:
        return _UNKNOWN
    try:
        stat = os.open(_STAT, os.O_RDONLY)
        try:
            told = os.read(stat, 4096)
        finally:
            os.close(stat)
        return frozenset((int(told.rpartition(b")")[2].split()[_AFTER_NAME]),))
    except (OSError, ValueError, IndexError):
        return _UNKNOWN
