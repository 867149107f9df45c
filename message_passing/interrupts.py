"""Locks, waits and thread starts that survive the exceptions of signal handlers.

Such an exception (an interrupt) may come between any two instructions.  ``with lock:`` releases a
lock whatever its block raises.  An interrupt may still come between the acquire and the block, or
between the block and the release.  A re-entrant lock knows its thread: after an interrupt that
thread releases the locks that it still holds.

`threading.Event` and `Thread.start` take a plain lock, which an interrupt leaves locked for ever:
the next thread that sets the event, and the thread that was being started, then never return.
`Knock` and `start` work in one call into C, which an interrupt cannot divide.
"""

from __future__ import annotations

import _thread
import logging
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("message_passing")

#: How many interrupts in a row may hit the settling of one interrupt; only a safeguard.
INTERRUPTS_MAX = 1_000

Lock: TypeAlias = Any
"""A `threading.RLock`, or a `threading.Condition` over one."""


def owned(lock: Lock) -> bool:
    """Whether this thread holds `lock`."""
    return bool(lock._is_owned())


def free(*locks: Lock) -> None:
    """Release each of `locks` that this thread holds, however often it acquired it."""
    for lock in locks:
        while lock._is_owned():
            lock.release()


def tried(lock: Lock, call: Callable[P, T], *given: P.args, **named: P.kwargs) -> T | None:
    """What `call` returns, called with `lock`; None if another thread has it now."""
    if lock._is_owned():
        return call(*given, **named)
    try:
        try:
            return call(*given, **named) if lock.acquire(blocking=False) else None
        finally:
            if lock._is_owned():
                lock.release()
    finally:  # an interrupt may have cut the first one off
        if lock._is_owned():
            lock.release()


def insist(settle: Callable[[], None]) -> BaseException | None:
    """Call `settle` until it ends, even if it is interrupted too; return the last interrupt."""
    interrupt: BaseException | None = None
    for _ in range(INTERRUPTS_MAX):
        try:
            settle()
            return interrupt
        except Exception:
            log.exception("the state that an interrupted call left could not be settled")
            return interrupt
        except BaseException as error:
            interrupt = error
    return interrupt


def start(thread: threading.Thread) -> None:
    """Start a daemon thread, or none.  `is_alive` may turn true a moment later."""
    # Started by a thread that no signal reaches.
    _thread.start_new_thread(thread.start, ())


class Knock:
    """Ends one wait of another thread, the current one or the next; two knocks count as one."""

    __slots__ = ("_quiet",)

    def __init__(self) -> None:
        self._quiet = _thread.allocate_lock()
        self._quiet.acquire()

    def __call__(self) -> None:
        try:
            self._quiet.release()
        except RuntimeError:
            return  # knocked already

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for a knock, and take it; False if none comes within that time."""
        if timeout_s is None:
            return self._quiet.acquire()
        return self._quiet.acquire(timeout=min(max(0.0, timeout_s), threading.TIMEOUT_MAX))

    @property
    def is_due(self) -> bool:
        """Whether a knock has come that no wait has taken."""
        return not self._quiet.locked()

    def forget(self) -> None:
        """Discard a knock."""
        self._quiet.acquire(blocking=False)
