"""Stand-ins for the collections of the hybrid: lists of messages, and `OpenEntries.advance`.

`specs.symbolic.hybrid_views` has those for windows and links.  The tests compare each law with what
it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import z3
from z3 import And, Implies, Not, Or

from causal.open_entries import OpenEntries
from specs.symbolic.engine import Execution
from specs.symbolic.hybrid_views import Table
from specs.symbolic.values import Number, term

Law = Callable[[Any], Any]


@dataclass
class Keys:
    """The keys at which a run has looked, and the laws that hold of every key: each meets each."""

    path: Execution
    #: What is claimed of a key when it is met first.
    told: Callable[[Any], list[Any]]
    met: list[Any] = field(default_factory=list)
    laws: list[Law] = field(default_factory=list)

    def meet(self, key: Any) -> None:
        """A key that matters from now on."""
        if any(key.eq(known) for known in self.met):
            return
        self.met.append(key)
        self.path.assume(*self.told(key), *(law(key) for law in self.laws))

    def every(self, law: Law) -> None:
        """A law of every key."""
        self.laws.append(law)
        self.path.assume(*(law(key) for key in self.met))


@dataclass(frozen=True)
class Listed:
    """Stands for a list of entries of a table, in the order of their keys."""

    path: Execution
    table: Table
    member: Law

    def __bool__(self) -> bool:
        return self.path.decide(self.path.fresh("some", z3.BoolSort()))


class Freed(list[Any]):
    """Stands for the list of messages that may go: which keys are in it."""

    def __init__(self, member: Law) -> None:
        super().__init__()
        self.member = member

    def append(self, found: Any) -> None:
        member, key = self.member, term(found[0])
        self.member = lambda k: Or(member(k), k == key)


class Newest(dict[Any, Any]):
    """Stands for the newest released message to each party; keeps what was put there last."""

    put: tuple[Any, Any] | None = None

    def __setitem__(self, party: Any, key: Any) -> None:
        self.put = term(party), term(key)


def advance(
    entries: OpenEntries[Any], closed: Callable[[Any, Any], Any]
) -> tuple[OpenEntries[Any], Listed]:
    """Stands for `OpenEntries.advance`: where its cursors are then, what it drops and returns."""
    table: Table = entries.window  # type: ignore[assignment]
    path, stop = table.path, term(entries.next)
    old_first, old_second, old_party = map(term, (entries.first, entries.second, entries.party))
    first, second, party = (path.fresh(f"advanced_{n}") for n in ("first", "second", "party"))
    after = table.havoc("advanced")
    after = replace(after, fields=table.fields)

    def is_open(k: Any) -> Any:
        return And(table.has(k), Not(closed(Number(path, k), table.at(k)).term))

    def placed(k: Any, of: Any, then: Any, party: Any) -> Any:
        return Implies(is_open(k), And(k >= of, Or(k >= then, table.of("party", k) == party)))

    path.assume(
        old_first <= first,
        first <= second,
        old_second <= second,
        second <= stop,
        Implies(first == stop, And(party == -1, second == stop)),
        Implies(first < stop, And(is_open(first), table.of("party", first) == party)),
        Implies(second < stop, And(is_open(second), table.of("party", second) != party)),
    )

    def law(k: Any) -> Any:
        was = And(*(placed(x, old_first, old_second, old_party) for x in (k, first)))
        dropped = And(table.has(k), old_first <= k, k < first)
        return And(
            after.has(k) == And(table.has(k), Not(dropped)),
            Implies(dropped, Not(is_open(k))),
            Implies(was, placed(k, first, second, party)),
        )

    table.meet(first)
    table.every(law)

    def passed(k: Any) -> Any:
        between = And(first <= k, k < second, table.of("party", k) == party)
        return And(table.has(k), Or(And(old_first <= k, k < first), between))

    numbers = (Number(path, of) for of in (stop, first, party, second))
    return OpenEntries(after, *numbers), Listed(path, table, passed)  # type: ignore[arg-type]


@contextmanager
def advancing() -> Iterator[None]:
    """The law in place of `OpenEntries.advance`, within the block."""
    shipped = OpenEntries.advance
    OpenEntries.advance = advance  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        OpenEntries.advance = shipped  # type: ignore[method-assign]
