"""What rules and properties look at and touch, observed: the ground of partial-order reduction.

A rule is asked with an observer in the place of a state.  Which slots it looked at, and in which
order, makes a decision tree: equal values along a way down mean an equal answer, so a rule is asked
once for each way.  Of a slot that is a queue a rule may look at the head alone (whether there is
one, which, and what remains without it), and an append behind that head changes nothing for it.

States are tuples of numbers here: each slot's values are interned.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from specs.checker.composite import Change, Composite
from specs.checker.errors import ImpureStep, ModelError
from specs.checker.model import Action, require_hashable

A = TypeVar("A")

#: A state, each slot's value by its number.
Coded = tuple[int, ...]
#: A slot, and whether only the head of the queue in it was looked at.
Look = tuple[int, bool]

NO_HEAD = -1


class Values:
    """The values of every slot, numbered as they are met."""

    def __init__(self, composite: Composite[Any]) -> None:
        slots = range(len(composite.slots))
        self.queues = composite.queues
        self.of: list[list[Any]] = [[] for _ in slots]
        #: For each value of a queue the number of its head, or `NO_HEAD`.
        self.heads: list[list[int]] = [[] for _ in slots]
        self._numbers: list[dict[Any, int]] = [{} for _ in slots]
        self._head_numbers: list[dict[Any, int]] = [{} for _ in slots]

    def number(self, slot: int, value: Any) -> int:
        """The number of `value` in `slot`; raises `ModelError` where it cannot be remembered."""
        numbers = self._numbers[slot]
        try:
            number = numbers.get(value)
        except TypeError:
            require_hashable(value)
            raise
        if number is None:
            number = numbers[value] = len(numbers)
            self.of[slot].append(value)
            if slot in self.queues:
                heads = self._head_numbers[slot]
                head = heads.setdefault(value[0], len(heads)) if value else NO_HEAD
                self.heads[slot].append(head)
        return number

    def code(self, state: Sequence[Any]) -> Coded:
        """A plain state in numbers."""
        return tuple(self.number(slot, value) for slot, value in enumerate(state))

    def decode(self, coded: Coded) -> tuple[Any, ...]:
        """The plain state."""
        return tuple(self.of[slot][number] for slot, number in enumerate(coded))


class Observer(Sequence[Any]):
    """A state that notes what is looked at.  With `heads`, queues are given out as `Queue`."""

    def __init__(self, values: Values, coded: Coded, *, heads: bool) -> None:
        self._values = values
        self._coded = coded
        self._heads = heads
        #: In the order of looking, each once; None when the question has been answered.
        self.looks: dict[Look, None] | None = {}

    def __len__(self) -> int:
        return len(self._coded)

    def __getitem__(self, slot: Any) -> Any:
        if not isinstance(slot, int):
            raise ModelError("a rule or predicate must index one slot at a time")
        if slot < 0:
            slot += len(self._coded)
        if not 0 <= slot < len(self._coded):
            raise IndexError(slot)
        value = self._values.of[slot][self._coded[slot]]
        if self._heads and slot in self._values.queues:
            return Queue(self, slot, value)
        self.look(slot, False)
        return value

    def look(self, slot: int, head: bool) -> None:
        """Note a look."""
        if self.looks is None:
            raise ModelError(
                "a rule gave away the value of a queue without having looked at it",
                remedy="put tuple(queue) into values and labels",
            )
        self.looks.setdefault((slot, head))

    def closed(self) -> list[Look]:
        """All looks; there can be no more."""
        looks, self.looks = list(self.looks or ()), None
        return looks


class Queue:
    """The value of a queue as a rule sees it: what is more than a look at its head is noted.

    ``bool(queue)``, ``queue[0]``, ``queue[:1]`` and ``queue[1:]`` are looks at the head; the last
    gives what remains, of which nothing is seen until it is looked into.
    """

    __slots__ = ("_observer", "_value", "rest", "slot")

    def __init__(self, observer: Observer, slot: int, value: Any, rest: bool = False) -> None:
        self._observer = observer
        self._value = value
        self.slot = slot
        #: Whether this is what remains without the head.
        self.rest = rest

    def whole(self) -> Any:
        """The plain value."""
        self._observer.look(self.slot, False)
        return self._value[1:] if self.rest else self._value

    def __bool__(self) -> bool:
        if self.rest:
            return bool(self.whole())
        self._observer.look(self.slot, True)
        return bool(self._value)

    def __getitem__(self, index: Any) -> Any:
        if not self.rest:
            if index == 0 or index == slice(None, 1):
                self._observer.look(self.slot, True)
                return self._value[index]
            if index == slice(1, None):
                self._observer.look(self.slot, True)
                return Queue(self._observer, self.slot, self._value, rest=True)
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


class Effect:
    """What one change makes of one slot: a value, or the old one without its head, then updates."""

    __slots__ = ("_after", "_composite", "_values", "number", "operations", "slot", "takes")

    def __init__(
        self,
        composite: Composite[Any],
        values: Values,
        slot: int,
        number: int | None,
        takes: bool,
        operations: tuple[Hashable, ...],
    ) -> None:
        self._composite = composite
        self._values = values
        self._after: dict[int, int] = {}
        self.slot = slot
        #: The number of the value that is written, where one is.
        self.number = number
        self.takes = takes
        self.operations = operations

    def after(self, number: int) -> int:
        """The number of what becomes of a value."""
        after = self._after.get(number)
        if after is None:
            held = number if self.number is None else self.number
            value: Any = self._values.of[self.slot][held]
            if self.takes:
                value = value[1:]
            for operation in self.operations:
                before = value
                value = self._composite.apply(self.slot, before, operation)
                if self.slot in self._values.queues and value[: len(before)] != before:
                    raise ModelError(
                        f"slot {self._composite.slots[self.slot]!r} is no queue: an update made "
                        f"{value!r} of {before!r}",
                        remedy="an update of a slot in `queues` must append at the end",
                    )
            after = self._after[number] = self._values.number(self.slot, value)
        return after


class Leaf(Generic[A]):
    """An answer, the slots that it rests on, and, of a rule's answer, the slots that it touches."""

    __slots__ = (
        *("answer", "whole", "heads", "empty", "writes", "takes", "updates"),
        *("at", "needs", "goals"),
    )

    def __init__(self, answer: A, looks: Sequence[Look], state: Coded, values: Values) -> None:
        self.answer = answer
        self.whole = {slot for slot, head in looks if not head}
        heads = {slot for slot, head in looks if head}
        self.empty = {slot for slot in heads if values.heads[slot][state[slot]] == NO_HEAD}
        self.heads = heads - self.empty
        self.writes: set[int] = set()
        self.takes: set[int] = set()
        self.updates: set[int] = set()
        # What `Footprints` made of it when its version was `at`.
        self.at = -1
        self.needs = 0
        self.goals = 0


class Node:
    """A look, and what follows by what was seen."""

    __slots__ = ("branches", "heads", "look", "slot")

    def __init__(self, look: Look, heads: Sequence[int]) -> None:
        self.look = look
        self.slot = look[0]
        self.heads = heads if look[1] else None
        self.branches: dict[int, Any] = {}

    def seen(self, state: Coded) -> int:
        """What is seen in `state`."""
        number = state[self.slot]
        return number if self.heads is None else self.heads[number]


class Tree(Generic[A]):
    """Answers of one pure question about states.  `made` is told of each new leaf."""

    def __init__(
        self,
        what: str,
        ask: Callable[[Observer], A],
        values: Values,
        made: Callable[[Leaf[A]], None],
        *,
        heads: bool = False,
    ) -> None:
        self._what = what
        self._ask = ask
        self._values = values
        self._made = made
        self._heads = heads
        self._root: Any = None

    def leaf(self, state: Coded) -> Leaf[A]:
        """The answer in `state` with all that belongs to it."""
        node = self._root
        while node.__class__ is Node:
            number = state[node.slot]
            node = node.branches.get(number if node.heads is None else node.heads[number])
        leaf: Leaf[A] = self._fill(state) if node is None else node
        return leaf

    def _fill(self, state: Coded) -> Leaf[A]:
        observer = Observer(self._values, state, heads=self._heads)
        answer = self._ask(observer)
        looks = observer.closed()
        leaf = Leaf(answer, looks, state, self._values)
        if leaf.empty and (answer or looks[-1] != (min(leaf.empty), True)):
            raise ModelError(
                f"{self._what} found a queue empty and went on",
                remedy="look at all of it, tuple(queue), or leave the slot out of `queues`",
            )
        above: Node | None = None
        node = self._root
        for look in looks:
            if node is None:
                node = Node(look, self._values.heads[look[0]])
                self._put(above, state, node)
            elif not isinstance(node, Node) or node.look != look:
                raise self._impure()
            above, node = node, node.branches.get(node.seen(state))
        if node is not None:
            raise self._impure()
        self._put(above, state, leaf)
        self._made(leaf)
        return leaf

    def _put(self, above: Node | None, state: Coded, below: Any) -> None:
        if above is None:
            self._root = below
        else:
            above.branches[above.seen(state)] = below

    def _impure(self) -> ImpureStep:
        return ImpureStep(
            f"{self._what} looked elsewhere although it had seen the same",
            remedy="the most likely cause is state kept outside the arguments",
        )


#: What may happen by one rule: labels, and what becomes of the slots that change.
Moves = tuple[tuple[Action, tuple[Effect, ...]], ...]


class Effects:
    """Makes moves of changes; equal effects are one object and remember their results together."""

    def __init__(self, composite: Composite[Any], values: Values) -> None:
        self._composite = composite
        self._values = values
        self._known: dict[Hashable, Effect] = {}

    def moves(self, changes: Sequence[Change]) -> Moves:
        """The changes of one rule in one state."""
        return tuple((change.action, tuple(self._of(change))) for change in changes)

    def _of(self, change: Change) -> Iterator[Effect]:
        base: dict[int, tuple[int | None, bool]] = {}
        for slot, value in change.writes:
            if isinstance(value, Queue) and value.slot == slot:
                base[slot] = (None, value.rest)
            else:
                plain = value.whole() if isinstance(value, Queue) else value
                base[slot] = (self._values.number(slot, plain), False)
        later: dict[int, list[Hashable]] = {}
        for slot, operation in change.updates:
            later.setdefault(slot, []).append(operation)
        for slot in {**base, **later}:
            number, takes = base.get(slot, (None, False))
            operations = tuple(later.get(slot, ()))
            if number is not None or takes or operations:
                key = (slot, number, takes, operations)
                effect = self._known.get(key)
                if effect is None:
                    effect = self._known[key] = Effect(self._composite, self._values, *key)
                yield effect


def touched(leaf: Leaf[Moves]) -> None:
    """Note on a rule's leaf what its moves touch."""
    for _, effects in leaf.answer:
        for effect in effects:
            if effect.number is not None:
                leaf.writes.add(effect.slot)
                continue
            if effect.takes:
                leaf.takes.add(effect.slot)
            if effect.operations:
                leaf.updates.add(effect.slot)
