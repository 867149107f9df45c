"""Do steps and claims treat interchangeable replicas alike?  A sample of states is tested.

In a sampled state the first replica is exchanged with each other one.  Then the same orbits must
follow, and every claim must answer as before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeAlias

from specs.checker.composite import Composite
from specs.checker.errors import ModelError
from specs.checker.search import judge_step, judged_in_steps, truth
from specs.checker.symmetry import Representatives
from specs.checker.tables import Tables

#: This many states are tested, then one in so many.  The first of them are exchanged with all other
#: replicas, the rest with one after the other.
TESTED_FIRST = 2_000
TESTED_ONE_IN = 256
EXCHANGED_WITH_ALL = 200

#: The state after, and the answer of each claim on steps.
JudgedStep: TypeAlias = tuple[int, tuple[int, ...]]


class Equivariance:
    """The test, for one search."""

    def __init__(self, composite: Composite[Any], tables: Tables, of: Representatives) -> None:
        self._composite = composite
        self._tables = tables
        self._representative = of
        self._stepwise = judged_in_steps(composite.properties)
        #: All that is asked of single states.
        self._questions = [
            (what, predicate)
            for what, predicate in (
                ("`within`", composite.within),
                ("`terminal`", composite.terminal),
                *((str(prop), each) for prop in composite.properties for each in prop.questions),
            )
            if predicate is not None
        ]
        #: States expanded, and those that were tested.
        self._expanded = self._tested = 0

    def test(self, packed: int) -> None:
        """Raise `ModelError` if the state is in the sample and tells two replicas apart."""
        self._expanded += 1
        if self._expanded <= TESTED_FIRST or not self._expanded % TESTED_ONE_IN:
            self._tested += 1
            one = self._tested if self._tested > EXCHANGED_WITH_ALL else None
            images = list(self._representative.images(packed, one))
            self._representative.require_equivariant(packed, images)
            self._require_even(packed, images, one)

    def note(self) -> str:
        """How far symmetry was tested, in words."""
        return f"symmetry was tested in {self._tested:,} of {self._expanded:,} states, not proved"

    def _require_even(self, packed: int, others: list[tuple[str, int]], one: int | None) -> None:
        seen, steps = self._seen(packed), self._steps(packed)
        images = {target: dict(self._representative.images(target, one)) for target, _ in steps}
        for name, image in others:
            other = self._seen(image)
            uneven = [
                what
                for what, predicate in self._questions
                if truth(predicate, seen, what) != truth(predicate, other, what)
            ]
            if steps:
                mine = Counter((images[target][name], answers) for target, answers in steps)
                theirs = Counter(self._steps(image))
                uneven += self._differing(mine, theirs)
            if uneven:
                raise ModelError(
                    f"{uneven[0]} tells {self._representative.replicas[0]} and {name} apart",
                    remedy="check without symmetry, or claim it of every such process",
                )

    def _seen(self, packed: int) -> Any:
        return self._composite.view(self._tables.layout.unpack(packed))

    def _steps(self, packed: int) -> list[JudgedStep]:
        """The steps that change a state, if any claim judges them."""
        if not self._stepwise:
            return []
        tables, before = self._tables, self._seen(packed)
        return [
            (
                target,
                tuple(judge_step(p, before, tables.labels[label], after) for p in self._stepwise),
            )
            for label, target in tables.successors(packed)
            if target != packed
            for after in (self._seen(target),)
        ]

    def _differing(self, mine: Counter[JudgedStep], theirs: Counter[JudgedStep]) -> Iterator[str]:
        """The claims whose answers differ."""
        for place, prop in enumerate(self._stepwise):
            one, other = (
                Counter((to, answers[place]) for to, answers in steps.elements())
                for steps in (mine, theirs)
            )
            if one != other:
                yield str(prop)
