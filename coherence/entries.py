"""The lists of a directory entry, and every operation that `coherence.directory` has on them.

A list has at most one entry for each cache.  Sharers are sorted by address, so that an address is
found in O(log n); waiters are in order of asking; verdicts are in order of judging.

The operations are few and named, and no other code looks inside a list, so that a proof for any
number of caches needs one law for each operation (`specs.symbolic.standins`).
"""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter
from typing import Any, TypeVar

from coherence.messages import Serial
from coherence.states import Sharer, Verdict, Waiter
from message_passing.process import Address, Send

Entry = TypeVar("Entry", Sharer, Waiter)

_cache = attrgetter("cache")


def known(sharers: tuple[Sharer, ...], cache: Address) -> Serial:
    """The serial under which `cache` is among `sharers`, or -1."""
    if not sharers:
        return -1
    i = bisect_left(sharers, cache, key=_cache)
    return sharers[i].serial if i < len(sharers) and sharers[i].cache == cache else -1


def any_other(sharers: tuple[Sharer, ...], cache: Address) -> bool:
    """Whether a cache other than `cache` is among `sharers`."""
    return len(sharers) > 1 or (len(sharers) == 1 and sharers[0].cache != cache)


def including(sharers: tuple[Sharer, ...], cache: Address, serial: Serial) -> tuple[Sharer, ...]:
    """`sharers` with `cache` among them, answered up to `serial`.  O(log n) and one copy."""
    if not sharers:
        return (Sharer(cache, serial),)
    i = bisect_left(sharers, cache, key=_cache)
    found = i < len(sharers) and sharers[i].cache == cache
    if found and sharers[i].serial >= serial:
        return sharers
    return (*sharers[:i], Sharer(cache, serial), *sharers[i + found :])


def without(entries: tuple[Entry, ...], cache: Address) -> tuple[Entry, ...]:
    """`entries` without that of `cache`."""
    return tuple([entry for entry in entries if entry.cache != cache])


def merged(sharers: tuple[Sharer, ...], more: tuple[Sharer, ...]) -> tuple[Sharer, ...]:
    """The caches of both lists, each under its newer serial."""
    for sharer in more:
        sharers = including(sharers, sharer.cache, sharer.serial)
    return sharers


def remaining(sharers: tuple[Sharer, ...], gone: tuple[Sharer, ...]) -> tuple[Sharer, ...]:
    """`sharers` except those that are in `gone` under the same serial."""
    return tuple([sharer for sharer in sharers if sharer not in gone])


def to_each(sharers: tuple[Sharer, ...], message: Any) -> list[Send[Any]]:
    """The commands that send `message` to each of `sharers`."""
    return [Send(sharer.cache, message) for sharer in sharers]


def waiting(queue: tuple[Waiter, ...], cache: Address) -> Serial:
    """The serial under which `cache` waits in `queue`, or -1."""
    for waiter in queue:
        if waiter.cache == cache:
            return waiter.serial
    return -1


def joined(queue: tuple[Waiter, ...], waiter: Waiter) -> tuple[Waiter, ...]:
    """`queue` with `waiter` in the place of its cache's earlier ask, or at the end."""
    if waiting(queue, waiter.cache) < 0:
        return (*queue, waiter)
    return tuple([waiter if other.cache == waiter.cache else other for other in queue])


def next_of(queue: tuple[Waiter, ...]) -> tuple[Waiter, tuple[Waiter, ...]]:
    """The first of `queue`, which is not empty, and the others."""
    return queue[0], queue[1:]


def judged(verdicts: tuple[Verdict, ...], cache: Address) -> Verdict | None:
    """How the last commit of `cache` was judged, if that is remembered."""
    for verdict in verdicts:
        if verdict.cache == cache:
            return verdict
    return None


def remembering(
    verdicts: tuple[Verdict, ...], verdict: Verdict, memory: int
) -> tuple[Verdict, ...]:
    """`verdicts` with `verdict` as the last, and the oldest forgotten beyond `memory` of them."""
    others = [other for other in verdicts if other.cache != verdict.cache]
    return (*others, verdict)[-memory:]
