"""Locks that a thread can give back without the stack frame that took them.

``with lock:`` gives a lock back whatever its block raises.  An interrupt may still fall between the
taking of the lock and the block, or between the block and the giving back.  A re-entrant lock knows
its thread: after an interrupt that thread gives back whatever it still holds.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Lock: TypeAlias = Any
"""A `threading.RLock`, or a `threading.Condition` over one."""


def owned(lock: Lock) -> bool:
    """Whether this thread holds `lock`."""
    return bool(lock._is_owned())


def free(*locks: Lock) -> None:
    """Give back each of `locks` that this thread holds, however often it took it."""
    for lock in locks:
        while lock._is_owned():
            lock.release()
