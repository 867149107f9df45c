"""A bounded buffer with a condition variable, after Java's wait and notify.

A producer that finds the buffer full and a consumer that finds it empty wait.  Each change wakes
one waiting thread of the other kind.  Waking any thread, as a single condition variable does,
wakes the wrong one at times, and all wait for ever (Kuppe's BlockingQueue).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from specs.checker.model import Action, Model, always


class Buffer(NamedTuple):
    """The items, each the name of its producer, and the waiting threads."""

    items: tuple[str, ...] = ()
    waiting: frozenset[str] = frozenset()


def bounded_buffer(
    producers: int = 4, consumers: int = 3, capacity: int = 3, *, any_thread: bool = False
) -> Model[Buffer, Buffer]:
    """Producers and consumers; `any_thread` wakes a thread of either kind."""
    putting = frozenset(f"p{i}" for i in range(1, producers + 1))
    getting = frozenset(f"c{i}" for i in range(1, consumers + 1))

    def woken(s: Buffer, items: tuple[str, ...], others: frozenset[str]) -> Iterator[Buffer]:
        sleeping = s.waiting if any_thread else s.waiting & others
        for thread in sorted(sleeping):
            yield Buffer(items, s.waiting - {thread})
        if not sleeping:
            yield s._replace(items=items)

    def actions(s: Buffer) -> Iterator[tuple[Action, Buffer]]:
        for thread in sorted((putting | getting) - s.waiting):
            if thread in putting and len(s.items) < capacity:
                after = woken(s, (*s.items, thread), getting)
            elif thread in getting and s.items:
                after = woken(s, s.items[1:], putting)
            else:
                after = iter([s._replace(waiting=s.waiting | {thread})])
            for buffer in after:
                yield Action("Put" if thread in putting else "Get", thread), buffer

    def is_awake(s: Buffer) -> bool:
        return s.waiting != putting | getting

    return Model("bounded-buffer", [Buffer()], actions, [always("a thread is awake", is_awake)])
