"""Refinement: every behaviour of a model, seen through a mapping, is one of an abstract model.

Safety and liveness are claimed apart: `refines` claims that the steps are steps of the abstract
model, and `refines_fairly` that its fairness is kept.  `mapped` restates its properties.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Any, TypeVar

from specs.checker.composite import Composite
from specs.checker.enabled import Enabled
from specs.checker.errors import PropertyError, UsageError
from specs.checker.model import Action, Fairness, Model, Property, StepRule

V = TypeVar("V")

#: An explanation lists at most this many alternatives.
OFFERS_SHOWN = 4


def refines(
    name: str, abstract: Model[Any, Any] | Composite[Any], mapping: Callable[[V], Hashable]
) -> Property[V]:
    """Every behaviour, seen through `mapping`, is one of `abstract`: a refinement mapping.

    `mapping` gives the *state* of `abstract` that a view of this model stands for.  An initial
    state must map to an initial state of `abstract`; a step must map to a step of `abstract` or
    change nothing there (Abadi and Lamport 1991, "The existence of refinement mappings", conditions
    R2 and R3).  States of `abstract` outside its `within` have no steps.

    The fairness of `abstract` is not part of it.  The property holds vacuously if no step changes
    the abstract state.
    """
    rule = Refinement(_plain(abstract), mapping)
    return Property("refines", name, rule.starts, steps=rule)


class Refinement:
    """The rule of `refines`."""

    reads_action = False

    def __init__(self, abstract: Model[Any, Any], mapping: Callable[[Any], Hashable]) -> None:
        self.abstract = abstract
        self.mapping = mapping
        self._initial = frozenset(abstract.initial)
        #: Of each abstract state met so far, the states that may follow.
        self._following: dict[Any, frozenset[Any]] = {}

    @property
    def of(self) -> Callable[[Any], Hashable]:
        """See `StepRule`."""
        return self.mapping

    def through(self, see: Callable[[Any], Any], of: Callable[[Any], Any] | None) -> StepRule:
        """See `StepRule`."""
        assert of is not None
        return Refinement(self.abstract, of)

    def starts(self, view: Any) -> bool:
        """Whether the state may be an initial one."""
        return self.mapping(view) in self._initial

    def allows(self, before: Any, action: Action, after: Any) -> bool | None:
        """See `StepRule`."""
        source, target = self.mapping(before), self.mapping(after)
        if source == target:
            return None
        following = self._following.get(source)
        if following is None:
            following = frozenset(state for _, state in steps_from(self.abstract, source))
            self._following[source] = following
        return target in following

    def reason(self, before: Any, action: Action, after: Any) -> str:
        """See `StepRule`."""
        source, target = self.mapping(before), self.mapping(after)
        offers = ", ".join(
            _some(f"{label} -> {state!r}" for label, state in steps_from(self.abstract, source))
        )
        return (
            f"{action} is not a step of {self.abstract.name!r}: ({source!r} -> {target!r}); from "
            f"{source!r} it offers {offers or 'no step'}"
        )

    def reason_at_start(self, view: Any) -> str:
        """See `StepRule`."""
        offers = ", ".join(_some(map(repr, self.abstract.initial)))
        return (
            f"{self.mapping(view)!r} is not an initial state of {self.abstract.name!r}, which "
            f"begins in {offers}"
        )


def steps_from(abstract: Model[Any, Any], state: Any) -> list[tuple[Action, Any]]:
    """The steps of an abstract model from a state that a mapping gives, within its bounds."""
    try:
        if abstract.within is not None and not abstract.within(abstract.seen(state)):
            return []
        return abstract.successors(state)
    except Exception as error:
        raise PropertyError(
            f"the mapping gives {state!r}, from which {abstract.name!r} cannot go on: {error}",
            remedy="a mapping must give states of the abstract model",
        ) from error


def _some(texts: Iterator[str]) -> list[str]:
    shown = list(islice(texts, OFFERS_SHOWN + 1))
    return [*shown[:OFFERS_SHOWN], "..."] if len(shown) > OFFERS_SHOWN else shown


def mapped(
    abstract: Model[Any, Any] | Composite[Any], mapping: Callable[[V], Hashable]
) -> list[Property[V]]:
    """The properties of `abstract`, restated of a model that refines it under `mapping`.

    Each keeps its kind, and its name begins with that of `abstract`.  If `refines` holds, so do all
    that hold of `abstract` and need no fairness, except `reachable`: the rest are for this model to
    prove, under the fairness of its own.
    """
    plain = _plain(abstract)

    def see(view: V) -> Any:
        return plain.seen(mapping(view))

    def bind(predicate: Callable[[Any], Any]) -> Callable[[V], Any]:
        if isinstance(predicate, Enabled):
            asked = predicate
            return lambda view: any(
                asked.fits(action) for action, _ in plain.successors(mapping(view))
            )
        return lambda view: predicate(see(view))

    restated = []
    for prop in plain.properties:
        here = replace(prop.through(see, bind), name=f"{plain.name}: {prop.name}")
        if prop.steps is not None and prop.steps.of is None:
            # A step that changes nothing in the abstract model is allowed.
            here = replace(here, steps=prop.steps.through(see, mapping))
        restated.append(here)
    return restated


def refines_fairly(
    name: str, abstract: Model[Any, Any] | Composite[Any], mapping: Callable[[V], Hashable]
) -> Property[V]:
    """Every fair behaviour, seen through `mapping`, keeps the fairness of `abstract`.

    The liveness part of a refinement (Abadi and Lamport 1991, condition R4); `refines` claims the
    rest.  A class of `abstract` is enabled where it has a step from the abstract state that changes
    it, and is taken by a step that maps to such a step.  The property holds vacuously if no class
    is enabled in any state.

    Raises `UsageError` if `abstract` assumes no fairness.
    """
    plain = _plain(abstract)
    if not plain.fairness:
        raise UsageError(
            f"{plain.name!r} assumes no fairness that a behaviour could keep", remedy="use refines"
        )
    return Property("refines_fairly", name, _anything, fair=MappedFairness(plain, mapping))


def _anything(view: Any) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class MappedFairness:
    """The rule of `refines_fairly`."""

    abstract: Model[Any, Any]
    mapping: Callable[[Any], Hashable]

    @property
    def conditions(self) -> Sequence[Fairness]:
        """See `FairnessRule`."""
        return self.abstract.fairness

    def through(self, mapping: Callable[[Any], Hashable]) -> MappedFairness:
        """See `FairnessRule`."""
        return MappedFairness(self.abstract, mapping)

    def stands_for(self, view: Any) -> Hashable:
        """See `FairnessRule`."""
        try:
            return self.mapping(view)
        except Exception as error:
            raise PropertyError(
                f"a mapping to {self.abstract.name!r} raised {type(error).__name__}: {error}; "
                f"in {view!r}",
                remedy="a mapping must give a state of the abstract model for every state",
            ) from error

    def offers(self, state: Hashable) -> list[tuple[Action, Any]]:
        """See `FairnessRule`."""
        return [step for step in steps_from(self.abstract, state) if step[1] != state]

    def neglected(self, loop: Sequence[Any]) -> str:
        """See `FairnessRule`."""
        states = [self.stands_for(view) for view in loop]
        offers = [self.offers(state) for state in states]
        taken = [
            action
            for (_, after), steps in zip(pairwise(states), offers, strict=False)
            for action, target in steps
            if target == after
        ]
        for condition in self.abstract.fairness:
            on = [{condition.key(action) for action, _ in steps} - {None} for steps in offers]
            owed = set().union(*on) if condition.strong else set.intersection(*on)
            if owed - {condition.key(action) for action in taken}:
                return condition.name
        return ""


def _plain(model: Model[Any, Any] | Composite[Any]) -> Model[Any, Any]:
    return model.model() if isinstance(model, Composite) else model
