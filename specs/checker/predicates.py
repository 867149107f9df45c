"""Predicates as tables: predicates that read the same slots share a look-up.

A *panel* is a group of predicates under one key: the slots that any of them reads.  Their answers
for a state are one number, so a level takes one look-up a state for each panel, and not for each
property.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

from specs.checker.decisions import Decisions
from specs.checker.errors import PropertyError
from specs.checker.layout import Observed, Packing
from specs.checker.model import Property
from specs.checker.purity import Repeater, impure
from specs.checker.search import DECIDED, NOTHING, Exploration, judge, judged_in_states, truth
from specs.checker.tables import FIRST_CALLS, Tables

S = TypeVar("S")
A = TypeVar("A")

#: Answers by key are given up if they rarely repeat.
PANEL_MAX = 1 << 20

#: Size of the sample that shows the slots that liveness predicates read.
TRUTHS_SAMPLE = 512

#: The answer of a property that raised: the error is raised in its turn.
RAISED = DECIDED + 1


Asked: TypeAlias = Decisions[int]


class Panel:
    """Predicates that are evaluated together.  0 is `NOTHING` from all of them."""

    def __init__(self, layout: Packing, predicates: Sequence[Asked]) -> None:
        self._layout = layout
        self._predicates = predicates
        #: By number, the answer of each predicate.
        self.said: list[tuple[int, ...]] = [(NOTHING,) * len(predicates)]
        self._numbers = {self.said[0]: 0}
        self._looks = [predicate.slots for predicate in predicates]
        self._looked = sum(map(len, self._looks))
        self.slots: set[int] = set().union(*self._looks)
        self.answers: dict[int, int] = {}

    @property
    def mask(self) -> int:
        """The bits of its key."""
        return self._layout.mask_of(self.slots)

    def ask(self, packed: int) -> int:
        """The number of a state.  May widen the key and drop the answers under the old key."""
        said = tuple([predicate(packed) for predicate in self._predicates])
        number = self._numbers.get(said)
        if number is None:
            number = self._numbers[said] = len(self.said)
            self.said.append(said)
        looked = sum(map(len, self._looks))
        if looked != self._looked:
            self._looked = looked
            self.slots.update(*self._looks)
            self.answers.clear()
        return number

    def fill(self, packed: int) -> int:
        """The same, remembered by its key."""
        number = self.ask(packed)
        if len(self.answers) >= PANEL_MAX:
            self.answers.clear()
        self.answers[packed & self.mask] = number
        return number

    def __call__(self, packed: int) -> int:
        """The number of a state."""
        number = self.answers.get(packed & self.mask)
        return self.fill(packed) if number is None else number

    def speaks_for_all(self, packed: int) -> bool:
        """Whether one state answers for all: no slot that the panel reads has ever varied."""
        if not self.mask:
            self.fill(packed)
        return not self.mask

    def firsts(self, states: Sequence[int]) -> dict[int, int]:
        """The first state of each number except 0, in order."""
        first: dict[int, int] = {}
        if states and self.speaks_for_all(states[0]):
            states = states[:1]
        mask, get = self.mask, self.answers.get
        for packed in states:
            number = get(packed & mask)
            if number is None:
                number = self.fill(packed)
                mask = self.mask
            if number and number not in first:
                first[number] = packed
        return first


def panel_of(tables: Tables, predicate: Callable[[Any], bool], what: str) -> Panel:
    """A panel of one predicate, whose numbers are 0 and 1.  `what` names it in an error."""
    return Panel(tables.layout, [_asked(tables, partial(_truth, predicate, what), what)])


def _asked(tables: Tables, function: Callable[[Any], int], what: str) -> Asked:
    repeat = Repeater(FIRST_CALLS)

    def ask(observed: Observed, packed: int) -> int:
        return answer_of(tables, function, observed, packed, repeat, what)

    return Decisions(tables.layout, ask)


def answer_of(
    tables: Tables,
    function: Callable[[Any], A],
    observed: Observed,
    packed: int,
    repeat: Repeater,
    what: str,
) -> A:
    """The answer of a predicate about a state's view, asked twice if it is one of the sample.

    Raises `ImpureStep` if the answers differ.
    """
    view = tables.composite.view
    answer = function(view(observed))
    observed.close()
    if repeat.is_due():
        again = function(view(Observed(tables.layout, packed)))
        if again != answer:
            raise impure(what, str(answer), str(again))
    return answer


def _truth(predicate: Callable[[Any], bool], what: str, view: Any) -> int:
    return int(truth(predicate, view, what))


def _panels(layout: Packing, asked: Sequence[Asked]) -> tuple[list[Panel], list[tuple[int, int]]]:
    """Panels of predicates; for each predicate its panel's number and its place there.

    A predicate joins the first panel that reads all slots that it reads; wide ones come first.
    """
    groups: list[list[Asked]] = []
    places = [(0, 0)] * len(asked)
    for each, predicate in sorted(enumerate(asked), key=lambda pair: -len(pair[1].slots)):
        wide = (i for i, group in enumerate(groups) if group[0].slots >= predicate.slots)
        number = next(wide, len(groups))
        if number == len(groups):
            groups.append([])
        places[each] = number, len(groups[number])
        groups[number].append(predicate)
    return [Panel(layout, group) for group in groups], places


class Truths:
    """The predicates of liveness properties, for every state, as panels.

    They are evaluated on a sample of the states first, to see which slots they read.
    """

    def __init__(self, tables: Tables, sample: Sequence[int]) -> None:
        self._tables = tables
        asked: dict[int, Asked] = {}
        for prop in tables.composite.properties:
            if prop.is_liveness:
                for predicate in prop.questions:
                    what = f"property {prop.name!r}"
                    function = partial(_truth, predicate, what)
                    asked[id(predicate)] = _asked(tables, function, what)
        for each in asked.values():
            for packed in sample:
                each(packed)
        panels, places = _panels(tables.layout, list(asked.values()))
        self._places = {
            key: (panels[number], place) for key, (number, place) in zip(asked, places, strict=True)
        }

    def of(self, predicate: Callable[[Any], bool], what: str) -> tuple[Panel, int]:
        """The panel that a predicate is part of, and its place there."""
        return self._places.get(id(predicate)) or (panel_of(self._tables, predicate, what), 0)


class Judges:
    """Properties as panels: by `of_states` those that single states decide."""

    def __init__(
        self,
        layout: Packing,
        asked: Sequence[tuple[Property[Any], Asked]],
        view: Callable[[Sequence[Any]], Any],
    ) -> None:
        self._layout = layout
        self._asked = asked
        self._view = view
        self._grouped_at = (-1, -1)
        self.panels: list[Panel] = []
        #: For each property that is still open: itself, its panel's number, its place there.
        self._open: list[tuple[Property[Any], int, int]] = []

    @classmethod
    def of_states(cls, tables: Tables) -> Judges:
        """The properties that single states decide."""
        properties = judged_in_states(tables.composite.properties)
        asked = [(prop, _asked(tables, partial(_judge, prop), str(prop))) for prop in properties]
        return cls(tables.layout, asked, tables.composite.view)

    def group(self, found: Exploration) -> Sequence[Panel]:
        """The panels for a level, built again if a predicate has come to read more slots."""
        asked = [
            (prop, predicate)
            for prop, predicate in self._asked
            if prop.is_invariant or prop.name not in found.decided
        ]
        at = (len(asked), sum(len(predicate.slots) for _, predicate in asked))
        if at != self._grouped_at:
            self._grouped_at = at
            self.panels, places = _panels(self._layout, [predicate for _, predicate in asked])
            self._open = [(prop, *place) for (prop, _), place in zip(asked, places, strict=True)]
        return self.panels

    def decide(
        self,
        found: Exploration,
        firsts: Sequence[Mapping[int, S]],
        number: Callable[[S], int],
        plain: Callable[[S], Any],
    ) -> bool:
        """Record the answers of a level in `found`; True if an invariant is violated.

        `firsts` holds for each panel the first state of each number except 0, in order of states.
        Properties are processed in order, and the error of a later one does not undo the decision
        of an earlier one.
        """
        for prop, panel, place in self._open:
            for said, state in firsts[panel].items():
                answer = self.panels[panel].said[said][place]
                if answer == RAISED:
                    raise impure(str(prop), "an error", str(self._again(prop, plain(state))))
                if answer != NOTHING:
                    found.met.add(prop.name)
                if answer == DECIDED and prop.name not in found.decided:
                    found.decided[prop.name] = number(state)
            if prop.is_invariant and prop.name in found.decided:
                return True
        return False

    def _again(self, prop: Property[Any], plain: Any) -> int:
        """Ask a property again that raised an error, to raise that error."""
        return judge(prop, self._view(plain))


def _judge(prop: Property[Any], view: Any) -> int:
    try:
        return judge(prop, view)
    except PropertyError:
        return RAISED
