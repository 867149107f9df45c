"""ENABLED: the predicate that some step of an action is possible, for properties of all kinds.

A predicate sees the view of a state, and the view does not tell the steps.  So `bound` gives a
model whose predicates see the state beside its view, if a property, `terminal` or `within` asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from specs.checker.composite import Composite
from specs.checker.errors import PropertyError
from specs.checker.model import Action, Model, Property
from specs.checker.search import Exploration, StateGraph

M = TypeVar("M", bound=Model[Any, Any] | Composite[Any])

Predicate = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Enabled:
    """A predicate that a model gives its meaning; see `enabled`."""

    action: str
    process: str = ""

    def __call__(self, view: Any) -> bool:
        raise PropertyError(
            f"ENABLED {self.action} was asked of a view, which does not tell the steps",
            remedy="give enabled(...) itself as a predicate or as an atom of a formula",
        )

    def fits(self, action: Action) -> bool:
        """Whether a step is one of this action."""
        return action.name == self.action and self.process in ("", action.process)


def enabled(action: str, process: str = "") -> Enabled:
    """Some step of the action is possible: ``ENABLED A``; with `process`, a step of that process.

    For every place that takes a predicate::

        always("no wait", enabled("Enter"), when=...)
        temporal("served", "[](can => <>in)", can=enabled("Enter"), ...)

    A step counts even if it changes nothing, or leads out of the bounds; a step that a limit leaves
    out does not count.  In liveness properties the stored graph answers.  Elsewhere the rules are
    evaluated in each state, which takes as long as a search by the reference engine.
    """
    return Enabled(action, process)


class WithState:
    """A state beside its view."""

    __slots__ = ("state", "view")

    def __init__(self, state: Any, view: Any) -> None:
        self.state = state
        self.view = view

    def __repr__(self) -> str:
        return repr(self.view)


class EnabledIn:
    """`Enabled` in one model, whose `actions` are those enabled in a state."""

    def __init__(self, asked: Enabled, actions: Callable[[Any], Iterable[Action]]) -> None:
        self.fits = asked.fits
        self._actions = actions

    def __call__(self, seen: WithState) -> bool:
        return any(map(self.fits, self._actions(seen.state)))

    def in_graph(self, model: Model[Any, Any], found: Exploration, graph: StateGraph) -> bytearray:
        """The answers for all states, from the labels of their steps."""
        fitting = {number for number, action in enumerate(graph.actions) if self.fits(action)}
        answers = bytearray(len(graph))
        for state in range(len(graph)):
            first, end = graph.offsets[state], graph.offsets[state + 1]
            if first < end:
                answers[state] = not fitting.isdisjoint(graph.labels[first:end])
            else:  # a dead end, or out of bounds and not expanded
                answers[state] = self(model.seen(found.state(state)))
        return answers


def bound(model: M) -> M:
    """The model with a meaning for each `enabled`; the same model if nothing asks."""
    bounds = isinstance(model.terminal, Enabled) or isinstance(model.within, Enabled)
    if not bounds and not any(map(_asks, model.properties)):
        return model
    actions = _actions_of(model)

    def bind(predicate: Predicate) -> Predicate:
        if isinstance(predicate, Enabled):
            return EnabledIn(predicate, actions)
        return lambda seen: predicate(seen.view)

    return replace(
        model,
        view=_with_state(model),
        properties=[prop.through(_view, bind) for prop in model.properties],
        terminal=None if model.terminal is None else bind(model.terminal),
        within=None if model.within is None else bind(model.within),
    )


def _view(seen: WithState) -> Any:
    return seen.view


def _asks(prop: Property[Any]) -> bool:
    of = None if prop.steps is None else prop.steps.of
    return any(isinstance(each, Enabled) for each in (*prop.questions, of))


def _actions_of(model: Model[Any, Any] | Composite[Any]) -> Callable[[Any], Iterable[Action]]:
    if isinstance(model, Model):
        return lambda state: (action for action, _ in model.successors(state))
    return lambda values: (
        change.action for rule in model.rules for change in model.changes(rule, values)
    )


def _with_state(model: Model[Any, Any] | Composite[Any]) -> Callable[[Any], WithState]:
    view = model.seen if isinstance(model, Model) else model.view
    return lambda state: WithState(state, view(state))
