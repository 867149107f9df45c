"""Claims on steps over packed states: one table each, by the slots that a claim reads.

A step is one integer: the state before, the state after and the label.  So panels and their
look-ups are those of predicates (`specs.checker.predicates`), and a claim is evaluated once for
each combination of the values that it reads on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias

from specs.checker.decisions import Decisions
from specs.checker.errors import PropertyError
from specs.checker.layout import Observed
from specs.checker.model import Action, Property
from specs.checker.predicates import RAISED, Judges
from specs.checker.purity import Repeater, impure
from specs.checker.search import Exploration, judge_step, judged_in_steps
from specs.checker.tables import FIRST_CALLS, Tables

#: The packed state before, the label's number, the packed state after.
PackedStep: TypeAlias = tuple[int, int, int]

#: The place of the label is a multiple of this many bits: a word of the compiled engine.
WORD_BITS = 64

#: The label of a claim that does not read it.
UNREAD = Action("")


class Steps:
    """How steps are packed: a layout with every slot twice, and one more for the label."""

    def __init__(self, tables: Tables, words: int = 0) -> None:
        self._labels = tables.labels
        self._layout = tables.layout
        #: Where the state after and, twice as far, the label begin.
        self.shift = WORD_BITS * (words or (tables.layout.width + 6) // WORD_BITS + 1)
        #: The slots of a state.
        self.each = tables.layout.slots
        self.slots = 2 * self.each + 1

    def pack(self, step: PackedStep) -> int:
        """The step as one integer."""
        before, label, after = step
        return before | (after | label << self.shift) << self.shift

    def unpack(self, packed: int) -> PackedStep:
        """The two states and the label's number."""
        state = (1 << self.shift) - 1
        return packed & state, packed >> 2 * self.shift, packed >> self.shift & state

    @property
    def masks(self) -> list[int]:
        """All bits of each slot."""
        masks = self._layout.masks
        return [*masks, *(mask << self.shift for mask in masks), -1 << 2 * self.shift]

    def mask_of(self, slots: Iterable[int]) -> int:
        """All bits of some slots."""
        masks, mask = self.masks, 0
        for slot in slots:
            mask |= masks[slot]
        return mask

    def value_in(self, packed: int, slot: int) -> Any:
        """Which value `slot` holds in a packed step."""
        before, label, after = self.unpack(packed)
        if slot == self.slots - 1:
            return self._labels[label]
        if slot < self.each:
            return self._layout.value_in(before, slot)
        return self._layout.value_in(after, slot - self.each)


class Side(Sequence[Any]):
    """One of the two states of an observed step."""

    __slots__ = ("_first", "_observed", "_size")

    def __init__(self, observed: Observed, first: int, size: int) -> None:
        self._observed = observed
        self._first = first
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, slot: Any) -> Any:
        if isinstance(slot, int):
            if slot < 0:
                slot += self._size
            if not 0 <= slot < self._size:
                raise IndexError(slot)
            slot += self._first
        return self._observed[slot]


class StepJudges(Judges):
    """The properties that single steps decide, as panels over packed steps."""

    def __init__(self, tables: Tables, words: int = 0) -> None:
        self.steps = Steps(tables, words)
        super().__init__(
            self.steps,
            [
                (prop, Decisions(self.steps, partial(self._ask, prop, Repeater(FIRST_CALLS))))
                for prop in judged_in_steps(tables.composite.properties)
            ],
            tables.composite.view,
        )

    def _ask(self, prop: Property[Any], repeat: Repeater, observed: Observed, packed: int) -> int:
        answer = self._answer(prop, observed)
        observed.close()
        if repeat.is_due():
            again = self._answer(prop, Observed(self.steps, packed))
            if again != answer:
                raise impure(str(prop), str(answer), str(again))
        return answer

    def _answer(self, prop: Property[Any], observed: Observed) -> int:
        assert prop.steps is not None
        each = self.steps.each
        action = observed[2 * each] if prop.steps.reads_action else UNREAD
        before, after = Side(observed, 0, each), Side(observed, each, each)
        try:
            return judge_step(prop, self._view(before), action, self._view(after))
        except PropertyError:
            return RAISED

    def _again(self, prop: Property[Any], plain: Any) -> int:
        before, action, after = plain
        return judge_step(prop, self._view(before), action, self._view(after))


class SeenSteps:
    """The steps of a level, judged chunk by chunk and decided together."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._judges = StepJudges(tables)
        #: The first step of each combination of answers on this level.
        self._firsts: list[int] = []

    @property
    def shift(self) -> int:
        """Where in a packed step the state after begins; valid until the next `add`."""
        return self._judges.steps.shift

    def add(self, found: Exploration, states: Sequence[int], packed: list[int]) -> None:
        """Judge the steps from some states that change the state, packed with `shift`."""
        if self._tables.layout.width > self.shift:
            packed = self._widen(states)
        packed[:0] = self._firsts
        firsts = {
            first: None
            for panel in self._judges.group(found)
            for first in panel.firsts(packed).values()
        }
        self._firsts = list(firsts)

    def _widen(self, states: Sequence[int]) -> list[int]:
        """Make room for states that have outgrown it; the steps from some states, packed again."""
        unpack = self._judges.steps.unpack
        firsts = [unpack(first) for first in self._firsts]
        self._judges = StepJudges(self._tables)
        pack = self._judges.steps.pack
        self._firsts = [pack(first) for first in firsts]
        return [
            pack((state, label, target))
            for state in states
            for label, target in self._tables.successors(state)
            if target != state
        ]

    def decide(self, found: Exploration, number: Callable[[int], int]) -> bool:
        """Record the answers of the level in `found`; True if a step violates a property."""
        if not self._firsts:
            return False
        judges, packed, self._firsts = self._judges, self._firsts, []
        layout, labels = self._tables.layout, self._tables.labels

        def plain(step: int) -> tuple[Any, Action, Any]:
            before, label, after = judges.steps.unpack(step)
            return layout.unpack(before), labels[label], layout.unpack(after)

        firsts = [panel.firsts(packed) for panel in judges.group(found)]
        return judges.decide(
            found, firsts, lambda step: number(judges.steps.unpack(step)[0]), plain
        )
