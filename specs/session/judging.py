"""What the properties of a model say of one state, or of one step."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from specs.checker.errors import CheckerError
from specs.checker.model import Action, Model, Property
from specs.checker.search import (
    DECIDED,
    MET,
    judge,
    judge_step,
    judged_in_states,
    judged_in_steps,
    may_rest,
    truth,
)
from specs.session.values import escaped

#: "untested": the antecedent is false here, or the step is not one the claim is about.  "open": a
#: claim on whole behaviours.  "raised": the predicate gave no answer.
Answer: TypeAlias = Literal[
    "holds", "violated", "witness", "no witness", "untested", "open", "raised"
]

DEADLOCK = "deadlock"


class Standing(msgspec.Struct, omit_defaults=True):
    """A property, and what it says here."""

    name: str
    kind: str
    here: Answer
    #: Why, in words: the reason of a claim on steps, or an error.
    why: str = ""
    #: Of a claim on behaviours: its formula, and which of its predicates are true here.
    formula: str = ""
    atoms: dict[str, bool] = {}


class Judge:
    """The properties of a model.  A predicate that raises is an answer here, never an exception."""

    def __init__(self, model: Model[Any, Any]) -> None:
        self._model = model
        self._states = [each for each in judged_in_states(model.properties) if _is_always(each)]
        self._steps = judged_in_steps(model.properties)

    def violated(self, state: Any) -> list[str]:
        """The invariants that a state violates."""
        return [each.name for each in self._states if self._of_state(each, state)[0] == "violated"]

    def violated_by_step(self, before: Any, action: Action | None, after: Any) -> list[str]:
        """The claims on steps that a step violates."""
        if not self._steps or before == after:
            return []
        return [
            each.name
            for each in self._steps
            if self._of_step(each, before, action, after)[0] == "violated"
        ]

    def is_outside(self, state: Any) -> bool:
        """Whether a check does not go on from a state, because of `within`."""
        within = self._model.within
        try:
            return within is not None and not truth(within, self._model.seen(state), "`within`")
        except CheckerError:
            return False

    def is_deadlock(self, state: Any, is_stuck: bool) -> bool:
        """Whether a state in which nothing is enabled is a deadlock."""
        try:
            return is_stuck and not self.is_outside(state) and not may_rest(self._model, state)
        except CheckerError:
            return True

    def left_out(self, state: Any) -> list[Action]:
        """The steps that a limit of the model leaves out in a state."""
        limit = self._model.limit
        return [] if limit is None else list(limit.left_out(state))

    def standings(self, state: Any, before: Any, action: Action | None) -> list[Standing]:
        """What each property says of a state, which was reached by an action, None at the start."""
        return [self._standing(each, state, before, action) for each in self._model.properties]

    def _standing(
        self, prop: Property[Any], state: Any, before: Any, action: Action | None
    ) -> Standing:
        if prop.is_liveness:
            return self._open(prop, state)
        if prop.steps is None:
            here, why = self._of_state(prop, state)
        elif action is None:
            here, why = self._of_start(prop, state)
        elif before == state:
            here, why = "untested", ""
        else:
            here, why = self._of_step(prop, before, action, state)
        return Standing(prop.name, prop.kind, here, why)

    def _of_state(self, prop: Property[Any], state: Any) -> tuple[Answer, str]:
        try:
            said = judge(prop, self._model.seen(state))
        except CheckerError as error:
            return "raised", escaped(str(error))
        if prop.kind == "reachable":
            return ("witness" if said == DECIDED else "no witness"), ""
        if said == DECIDED:
            return "violated", ""
        return ("untested" if prop.when is not None and said != MET else "holds"), ""

    def _of_start(self, prop: Property[Any], state: Any) -> tuple[Answer, str]:
        assert prop.steps is not None
        view = self._model.seen(state)
        try:
            if truth(prop.predicate, view, prop):
                return "untested", ""
            return "violated", escaped(prop.steps.reason_at_start(view))
        except CheckerError as error:
            return "raised", escaped(str(error))

    def _of_step(
        self, prop: Property[Any], before: Any, action: Action | None, after: Any
    ) -> tuple[Answer, str]:
        assert prop.steps is not None
        step = self._model.seen(before), action or Action(""), self._model.seen(after)
        try:
            said = judge_step(prop, *step)
            if said == DECIDED:
                return "violated", escaped(prop.steps.reason(*step))
        except CheckerError as error:
            return "raised", escaped(str(error))
        return ("holds" if said == MET else "untested"), ""

    def _open(self, prop: Property[Any], state: Any) -> Standing:
        view = self._model.seen(state)
        made = Standing(prop.name, prop.kind, "open", formula=str(prop.formula or ""))
        try:
            made.atoms = {name: truth(each, view, prop) for name, each in prop.meaning}
        except CheckerError as error:
            made.here, made.why = "raised", escaped(str(error))
        return made


def _is_always(prop: Property[Any]) -> bool:
    return prop.kind == "always"
