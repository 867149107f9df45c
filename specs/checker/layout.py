"""Packing of a state of components into one integer that can grow without repacking.

Values are interned: each slot holds a small number.  A slot's bits need not be adjacent.  When its
values outgrow its bits, the slot gets one more bit at the top of the integer.  Every packed state
stays valid, with a zero there, and so does every mask that was used as a key.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from math import copysign
from typing import Any, Protocol

from specs.checker.errors import ImpureStep, ModelError
from specs.checker.model import require_hashable


def require_same_kind(known: Any, value: Any) -> None:
    """Raise `ModelError` if two equal values differ in the type of a part, or in a zero's sign."""
    if known is not value and not _is_same_kind(known, value):
        raise ModelError(
            f"{known!r} and {value!r} are equal, but their kinds differ: they would be one state",
            remedy="Python has 1 == True == 1.0 and 0.0 == -0.0: use one kind for each part of a "
            "state and of a message",
        )


def _is_same_kind(one: Any, other: Any) -> bool:
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is float:
        return copysign(1.0, one) == copysign(1.0, other)
    if isinstance(one, tuple):
        return all(map(_is_same_kind, one, other))
    if isinstance(one, frozenset):
        members = {member: member for member in other}
        return all(_is_same_kind(member, members[member]) for member in one)
    fields: Any = getattr(kind, "__struct_fields__", getattr(kind, "__dataclass_fields__", ()))
    return all(_is_same_kind(getattr(one, name), getattr(other, name)) for name in fields)


class Packing(Protocol):
    """Values packed into an integer, each in bits of its own."""

    slots: int

    @property
    def masks(self) -> list[int]:
        """All bits of each slot."""

    def mask_of(self, slots: Iterable[int]) -> int:
        """All bits of some slots."""

    def value_in(self, packed: int, slot: int) -> Any:
        """Which value `slot` holds in a packed integer."""


class Layout:
    """Interned values and their places in the packed integer."""

    def __init__(self, kinds: Sequence[Hashable]) -> None:
        self.slots = len(kinds)
        domains: dict[Hashable, int] = {}
        self._domain_of = [domains.setdefault(kind, len(domains)) for kind in kinds]
        self.values: list[list[Any]] = [[] for _ in domains]
        self._numbers: list[dict[Any, int]] = [{} for _ in domains]
        self._slots_of: list[list[int]] = [[] for _ in domains]
        for slot, domain in enumerate(self._domain_of):
            self._slots_of[domain].append(slot)
        #: All bits of each slot.
        self.masks: list[int] = [0] * self.slots
        #: Runs of neighbouring bits of each slot: (position, mask of the run, position in number).
        self._runs: list[list[tuple[int, int, int]]] = [[] for _ in kinds]
        self._codes: list[list[int]] = [[] for _ in kinds]
        #: For each slot, the number of each code.
        self._decoded: list[dict[int, int]] = [{} for _ in kinds]
        self.width = 0

    def domain(self, slot: int) -> int:
        """Slots of equal domain share their numbering."""
        return self._domain_of[slot]

    def number(self, slot: int, value: Any) -> int:
        """The number of `value` in `slot`, a new one if the value is new.

        Raises `ModelError` for a value that equals a known one of another kind.
        """
        domain = self._domain_of[slot]
        numbers = self._numbers[domain]
        try:
            number = numbers.get(value)
        except TypeError:
            require_hashable(value)
            raise
        if number is None:
            number = numbers[value] = len(numbers)
            self.values[domain].append(value)
            for each in self._slots_of[domain]:
                self._make_room(each, number)
        else:
            require_same_kind(self.values[domain][number], value)
        return number

    def _make_room(self, slot: int, number: int) -> None:
        runs = self._runs[slot]
        have = self.masks[slot].bit_count()
        if number >> have:
            if runs and runs[-1][0] + runs[-1][1].bit_length() == self.width:
                position, run, at = runs[-1]
                runs[-1] = (position, run << 1 | 1, at)
            else:
                runs.append((self.width, 1, have))
            self.masks[slot] |= 1 << self.width
            self.width += 1
        code = sum((number >> at & run) << position for position, run, at in runs)
        self._codes[slot].append(code)
        self._decoded[slot][code] = number

    def code(self, slot: int, number: int) -> int:
        """The bits that say that `slot` holds value `number`."""
        return self._codes[slot][number]

    def number_in(self, packed: int, slot: int) -> int:
        """Which number `slot` holds in a packed state."""
        return self._decoded[slot][packed & self.masks[slot]]

    def value_in(self, packed: int, slot: int) -> Any:
        """Which value `slot` holds in a packed state."""
        return self.values[self._domain_of[slot]][self.number_in(packed, slot)]

    def pack(self, state: Sequence[Any]) -> int:
        """The state as one integer."""
        if len(state) != self.slots:
            raise ModelError(f"a state of {len(state)} values for {self.slots} slots")
        # Numbers first: interning moves no bit, but a code must know all of its bits.
        numbers = [self.number(slot, value) for slot, value in enumerate(state)]
        return sum(self.code(slot, number) for slot, number in enumerate(numbers))

    def unpack(self, packed: int) -> tuple[Any, ...]:
        """The values of all slots."""
        return tuple(self.value_in(packed, slot) for slot in range(self.slots))

    def mask_of(self, slots: Iterable[int]) -> int:
        """All bits of some slots."""
        mask = 0
        for slot in slots:
            mask |= self.masks[slot]
        return mask


class Observed(Sequence[Any]):
    """A packed state as a sequence of values that records the slots read, in order.

    It can be read until it is closed.
    """

    __slots__ = ("_layout", "_packed", "_slots", "looks")

    def __init__(self, layout: Packing, packed: int) -> None:
        self._layout: Packing | None = layout
        self._packed = packed
        self._slots = layout.slots
        #: Each slot once; the values are unused.
        self.looks: dict[int, None] = {}

    def __len__(self) -> int:
        return self._slots

    def __getitem__(self, slot: Any) -> Any:
        if not isinstance(slot, int):
            raise _not_one_slot(slot)
        if slot < 0:
            slot += self._slots
        if not 0 <= slot < self._slots:
            raise IndexError(slot)
        if self._layout is None:
            raise _read_late(slot)
        self.looks[slot] = None
        return self._layout.value_in(self._packed, slot)

    def close(self) -> None:
        """The rule or predicate has answered: reading the state now raises `ImpureStep`."""
        self._layout = None


class Lent(Sequence[Any]):
    """A plain state as a sequence of values that can be read until it is closed."""

    __slots__ = ("_is_open", "_values")

    def __init__(self, values: tuple[Any, ...]) -> None:
        self._values = values
        self._is_open = True

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, slot: Any) -> Any:
        if not isinstance(slot, int):
            raise _not_one_slot(slot)
        if not self._is_open:
            raise _read_late(slot)
        return self._values[slot]

    def close(self) -> None:
        """The rule has answered: reading the state now raises `ImpureStep`."""
        self._is_open = False


def _not_one_slot(slot: Any) -> ModelError:
    return ModelError(
        f"a rule or predicate asked its state for {slot!r}", remedy="index one slot at a time"
    )


def _read_late(slot: int) -> ImpureStep:
    return ImpureStep(
        f"slot {slot} of a state was read after the rule or predicate had answered",
        remedy="read it within the rule, and put the value, not the state, into the operation",
    )
