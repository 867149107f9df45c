"""Footprints: the slots that rules and properties read and change; for partial-order reduction.

Of a queue a rule may read the head alone (whether there is one, its value, and the rest without
it): an append behind that head does not affect such a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

from specs.checker.composite import Change, Composite
from specs.checker.decisions import Decisions
from specs.checker.errors import ModelError
from specs.checker.layout import Observed
from specs.checker.predicates import answer_of
from specs.checker.purity import Repeater
from specs.checker.tables import FIRST_CALLS, Move, RuleTable, Tables

A = TypeVar("A")


class Queue:
    """The value of a queue as a rule sees it; any read beyond the head is recorded.

    ``bool(queue)``, ``queue[0]``, ``queue[:1]`` and ``queue[1:]`` read the head only; the last
    gives the rest, which counts as unread until it is read.
    """

    __slots__ = ("_look", "rest", "slot", "value")

    def __init__(
        self, look: Callable[[int, bool], None], slot: int, value: Any, *, rest: bool = False
    ) -> None:
        self._look = look
        self.slot = slot
        #: The plain value, for code that does not decide by it.
        self.value = value
        #: Whether it is the rest without the head.
        self.rest = rest

    def whole(self) -> Any:
        """The plain value, recorded as read."""
        self._look(self.slot, False)
        return self.value

    def __bool__(self) -> bool:
        self._look(self.slot, not self.rest)
        return bool(self.value)

    def __getitem__(self, index: Any) -> Any:
        if not self.rest and (index == 0 or index in (slice(None, 1), slice(1, None))):
            self._look(self.slot, True)
            found = self.value[index]
            return Queue(self._look, self.slot, found, rest=True) if index == _REST else found
        return self.whole()[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.whole())

    def __len__(self) -> int:
        return len(self.whole())

    def __contains__(self, item: Any) -> bool:
        return item in self.whole()

    def __eq__(self, other: object) -> bool:
        return bool(self.whole() == other)

    def __hash__(self) -> int:
        return hash(self.whole())

    def __repr__(self) -> str:
        return repr(self.whole())


_REST = slice(1, None)


@dataclass(slots=True)
class Footprint(Generic[A]):
    """An answer, the slots that it depends on, and for a rule the slots that it changes."""

    answer: A
    #: Looked at.
    whole: set[int] = field(default_factory=set)
    #: Queues of which only the head was read, by whether there was one.
    heads: set[int] = field(default_factory=set)
    empty: set[int] = field(default_factory=set)
    #: Slots given a value, queues that lost their head, slots updated unread.
    writes: set[int] = field(default_factory=set)
    takes: set[int] = field(default_factory=set)
    updates: set[int] = field(default_factory=set)
    # The search's own record of it, and its version.
    at: int = -1
    needs: int = 0
    goals: int = 0


class _Values(Sequence[Any]):
    """An observed state whose queues are given out as `Queue`."""

    def __init__(self, observed: Observed, queues: frozenset[int]) -> None:
        self._observed = observed
        self._queues = queues
        #: (slot, whether only at the head), in order.
        self.looks: dict[tuple[int, bool], None] = {}
        #: Whether the rule has answered.
        self.closed = False

    def __len__(self) -> int:
        return len(self._observed)

    def __getitem__(self, slot: Any) -> Any:
        value = self._observed[slot]
        slot %= len(self._observed)
        if slot in self._queues:
            return Queue(self._look, slot, value)
        self._look(slot, False)
        return value

    def _look(self, slot: int, head: bool) -> None:
        if self.closed:
            raise ModelError(
                "a rule passed on the value of a queue without having read it",
                remedy="put tuple(queue) into values and labels",
            )
        self.looks.setdefault((slot, head))


def rules_of(tables: Tables, seen: Callable[[int, Footprint[Any]], None]) -> list[Decisions[Any]]:
    """The composite's rules as questions: the answers are footprints of moves.

    `seen` is told each new answer and which rule gave it.  Raises `ModelError` for a rule that
    continues after it found a queue empty.
    """
    return [
        Decisions(tables.layout, partial(_ask_rule, tables, table, partial(seen, number)))
        for number, table in enumerate(tables.rules)
    ]


def _ask_rule(
    tables: Tables,
    table: RuleTable,
    seen: Callable[[Footprint[Any]], None],
    observed: Observed,
    packed: int,
) -> Footprint[tuple[Move, ...]]:
    composite = tables.composite
    values = _Values(observed, composite.queues)
    found = Footprint[tuple[Move, ...]](())
    answer = composite.changes(table.rule, values)
    changes = [_plain(change, found) for change in answer]
    values.closed = True
    observed.close()
    table.sample(changes, packed)
    found.answer = tuple(table.moves_of(changes, observed, packed))
    for slot, head in values.looks:
        if not head:
            found.whole.add(slot)
        elif tables.layout.value_in(packed, slot):
            found.heads.add(slot)
        else:
            found.empty.add(slot)
    if found.empty and (changes or list(values.looks)[-1] != (min(found.empty), True)):
        raise ModelError(
            f"a rule of {composite.name!r} found a queue empty and continued",
            remedy="read all of it, tuple(queue), or leave the slot out of `queues`",
        )
    seen(found)
    return found


def _plain(change: Change, found: Footprint[Any]) -> Change:
    """The change without `Queue`s; records the slots that it changes."""
    writes: list[tuple[int, Hashable]] = []
    for slot, value in change.writes:
        if not isinstance(value, Queue):
            found.writes.add(slot)
        elif value.slot != slot:
            found.writes.add(slot)
            value = value.whole()
        elif value.rest:
            found.takes.add(slot)
            value = value.value
        else:
            continue
        writes.append((slot, value))
    found.updates.update(slot for slot, _ in change.updates)
    return change._replace(writes=tuple(writes))


def question(
    tables: Tables, ask: Callable[[Any], A], seen: Callable[[Footprint[A]], None], what: str
) -> Decisions[Footprint[A]]:
    """A question about the view, whose answers are footprints; `seen` is told each new one.

    `what` names it in an error.
    """
    repeat = Repeater(FIRST_CALLS)

    def answer(observed: Observed, packed: int) -> Footprint[A]:
        found = Footprint(answer_of(tables, ask, observed, packed, repeat, what))
        found.whole.update(observed.looks)
        seen(found)
        return found

    return Decisions(tables.layout, answer)


def with_checked_queues(composite: Composite[Any]) -> Composite[Any]:
    """The same; an update of a queue that does not append to it raises `ModelError`."""

    def apply(slot: int, value: Any, operation: Any) -> Any:
        after: Any = composite.apply(slot, value, operation)
        if slot in composite.queues and after[: len(value)] != value:
            raise ModelError(
                f"slot {composite.slots[slot]!r} is not a queue: {value!r} was made {after!r}",
                remedy="an update of a slot in `queues` must append at the end",
            )
        return after

    return replace(composite, apply=apply)
