"""Symbolic lists of a directory entry, of any length, and a law for each operation on them.

`coherence.entries` names every operation that home has on its lists.  Each function here stands for
the one of that name: arrays from addresses to what an entry holds take the place of tuples, -1 the
place of an absent entry.  An array has no length, so nothing bounds the number of caches.

`installed` puts the stand-ins into `coherence.directory` while a proof runs.  The tests apply each
pair to the same lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import z3

from coherence import directory
from coherence.messages import Refusal
from coherence.states import Waiter
from specs.symbolic.engine import Execution
from specs.symbolic.values import Number, Truth, term

NAME = z3.IntSort()
#: No entry for any address.
NONE = z3.K(NAME, z3.IntVal(-1))
REASONS = (None, Refusal.STALE, Refusal.FENCED, Refusal.BUSY)

_x, _y = z3.Ints("x y")
_AT_LEAST = (_x >= _y).decl()
_EQUAL = (_x == _y).decl()
_IF = z3.If(z3.Bool("b"), _x, _y).decl()
_NOT = z3.Not(z3.Bool("b")).decl()
_OR = z3.Or(z3.Bool("b"), z3.Bool("c")).decl()


def newer(one: Any, other: Any) -> Any:
    """The larger serial at each address."""
    return z3.Map(_IF, z3.Map(_AT_LEAST, one, other), one, other)


def is_within(some: Any, more: Any) -> Any:
    """Whether each address with an entry in `some` has one in `more`."""
    entry = z3.Map(_NOT, z3.Map(_EQUAL, more, NONE))
    return z3.Map(_OR, z3.Map(_EQUAL, some, NONE), entry) == z3.K(NAME, z3.BoolVal(True))


def where_absent(gone: Any, entries: Any) -> Any:
    """`entries` at the addresses that have no entry in `gone`."""
    return z3.Map(_IF, z3.Map(_EQUAL, gone, NONE), entries, NONE)


@dataclass(frozen=True, eq=False)
class Copies:
    """Sharers, or those that have not acknowledged: address -> serial."""

    path: Execution
    serials: Any

    def __bool__(self) -> bool:
        return self.path.decide(self.serials != NONE)


@dataclass(frozen=True, eq=False)
class WaitingList:
    """Waiters: address -> serial, version held, digest held, and place in the order of asking."""

    path: Execution
    serials: Any
    have: Any
    digests: Any
    places: Any
    #: The place of the next that joins.
    end: Any
    #: The address for which the order is followed.
    watched: Any
    #: Called with the name of the first, when a law introduces it.
    meet: Callable[[Any], None]

    def __bool__(self) -> bool:
        return self.path.decide(self.serials != NONE)


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Judgements: address -> serial, version, reason (an index of `REASONS`)."""

    path: Execution
    serials: Any
    versions: Any
    reasons: Any
    #: Whether others may be forgotten when one is remembered.
    forgets: bool = False


@dataclass(frozen=True)
class SendToEach:
    """The commands that send `message` to every address of `copies`."""

    copies: Any
    message: Any


def at(array: Any, name: Any) -> Any:
    """What `array` holds for `name`."""
    return z3.Select(array, term(name))


def known(copies: Any, cache: Any) -> Any:
    """The serial at `cache`, or -1."""
    return Number(copies.path, at(copies.serials, cache)) if copies != () else -1


def any_other(copies: Any, cache: Any) -> Any:
    """Without `cache`, some entry is left."""
    return Truth(copies.path, z3.Store(copies.serials, term(cache), -1) != NONE)


def including(copies: Any, cache: Any, serial: Any) -> Any:
    """At `cache`, the larger of the serial there and the new one."""
    path, old = (serial.path, NONE) if copies == () else (copies.path, copies.serials)
    before, new = at(old, cache), term(serial)
    return Copies(path, z3.Store(old, term(cache), z3.If(before >= new, before, new)))


def without(entries: Any, cache: Any) -> Any:
    """At `cache`, nothing."""
    return replace(entries, serials=z3.Store(entries.serials, term(cache), -1))


def merged(copies: Any, more: Any) -> Any:
    """At each address, the larger serial."""
    return Copies(copies.path, newer(copies.serials, more.serials))


def remaining(copies: Any, gone: Any) -> Any:
    """At each address, what is there, unless `gone` has the same."""
    same = z3.Map(_EQUAL, copies.serials, gone.serials)
    return Copies(copies.path, z3.Map(_IF, same, NONE, copies.serials))


def to_each(copies: Any, message: Any) -> list[Any]:
    """One command for all addresses with an entry."""
    return [SendToEach(copies.serials, message)]


def waiting(queue: Any, cache: Any) -> Any:
    """The serial at `cache`, or -1."""
    return Number(queue.path, at(queue.serials, cache)) if queue != () else -1


def joined(queue: Any, waiter: Any) -> Any:
    """At the waiter, its fields, and its place or the next one."""
    name = term(waiter.cache)
    present = at(queue.serials, name) >= 0
    return replace(
        queue,
        serials=z3.Store(queue.serials, name, term(waiter.serial)),
        have=z3.Store(queue.have, name, term(waiter.have)),
        digests=z3.Store(queue.digests, name, term(waiter.digest)),
        places=z3.Store(queue.places, name, z3.If(present, at(queue.places, name), queue.end)),
        end=z3.If(present, queue.end, queue.end + 1),
    )


def next_of(queue: Any) -> Any:
    """Some waiter, and none that is watched has an earlier place."""
    path, first = queue.path, queue.path.fresh("first")
    queue.meet(first)
    path.assume(at(queue.serials, first) >= 0)
    earlier = at(queue.places, first) <= at(queue.places, queue.watched)
    path.assume(z3.Implies(at(queue.serials, queue.watched) >= 0, earlier))
    fields = (Number(path, at(of, first)) for of in (queue.serials, queue.have, queue.digests))
    return Waiter(Number(path, first), *fields), without(queue, first)  # type: ignore[arg-type]


class _Judged:
    """A verdict whose reason is decided where the code asks for it."""

    def __init__(self, verdicts: Verdicts, cache: Any) -> None:
        path = verdicts.path
        self.serial = Number(path, at(verdicts.serials, cache))
        self.version = Number(path, at(verdicts.versions, cache))
        self._path, self._reason = path, at(verdicts.reasons, cache)

    @property
    def refusal(self) -> Refusal | None:
        if self._path.decide(self._reason == 0):
            return None
        reasons = list(enumerate(REASONS))[1:]
        return self._path.choose([(self._reason == n, reason) for n, reason in reasons])


def judged(verdicts: Any, cache: Any) -> Any:
    """What is at `cache`."""
    path = verdicts.path
    if not path.decide(at(verdicts.serials, cache) >= 0):
        return None
    return _Judged(verdicts, cache)


def remembering(verdicts: Any, verdict: Any, memory: int) -> Any:
    """At the verdict, its fields; at others, what was there, or nothing if home may forget."""
    serials, name = verdicts.serials, term(verdict.cache)
    if verdicts.forgets:
        kept = verdicts.path.fresh("kept", z3.ArraySort(NAME, z3.BoolSort()))
        serials = z3.Map(_IF, kept, serials, NONE)
    reason = REASONS.index(verdict.refusal)
    return replace(
        verdicts,
        serials=z3.Store(serials, name, term(verdict.serial)),
        versions=z3.Store(verdicts.versions, name, term(verdict.version)),
        reasons=z3.Store(verdicts.reasons, name, reason),
    )


#: By the names that they have in `coherence.entries`.
OPERATIONS = {
    operation.__name__: operation
    for operation in (
        known,
        any_other,
        including,
        without,
        merged,
        remaining,
        to_each,
        waiting,
        joined,
        next_of,
        judged,
        remembering,
    )
}


def largest(*values: Any) -> Any:
    """Stands for `max`, which would fork."""
    found = values[0]
    for value in values[1:]:
        path = found.path if isinstance(found, Number) else value.path
        one, other = term(found), term(value)
        found = Number(path, z3.If(one >= other, one, other))
    return found


@contextmanager
def installed() -> Iterator[None]:
    """`coherence.directory` with symbolic lists, within the block."""
    shipped = {name: getattr(directory, name) for name in OPERATIONS}
    for name, operation in OPERATIONS.items():
        setattr(directory, name, operation)
    vars(directory)["max"] = largest
    try:
        yield
    finally:
        for name, operation in shipped.items():
            setattr(directory, name, operation)
        del vars(directory)["max"]
