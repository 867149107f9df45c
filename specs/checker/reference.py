"""The reference engine: plain states, breadth first, kept simple.  The other engines' oracle."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from specs.checker.errors import ModelError
from specs.checker.model import Action, Model, require_hashable
from specs.checker.purity import Repeater, impure
from specs.checker.result import Moment
from specs.checker.search import (
    DECIDED,
    NOTHING,
    STATES_BETWEEN_CHECKS,
    Exploration,
    StateGraph,
    Watch,
    judge,
    judged_in_states,
    may_rest,
    truth,
)


@dataclass
class ReferenceExploration(Exploration):
    """States in a list, their numbers in a dict, one parent each."""

    model: Model[Any, Any] | None = None
    states: list[Any] = field(default_factory=list)
    numbers: dict[Any, int] = field(default_factory=dict)
    parents: list[int] = field(default_factory=list)
    outside: set[int] = field(default_factory=set)
    samples: dict[str, Repeater] = field(default_factory=dict)

    def sample(self, name: str) -> Repeater:
        """Which calls of a property's predicate are repeated; "" is `within`."""
        return self.samples.setdefault(name, Repeater())

    def add(self, state: Any, parent: int) -> bool:
        """Store `state`; False if it was known."""
        try:
            if state in self.numbers:
                return False
        except TypeError:
            require_hashable(state)
            raise
        self.numbers[state] = len(self.states)
        self.states.append(state)
        self.parents.append(parent)
        return True

    def path(self, state: int) -> list[Moment]:
        """A shortest path from an initial state to `state`."""
        assert self.model is not None
        numbers = [state]
        while self.parents[numbers[-1]] >= 0:
            numbers.append(self.parents[numbers[-1]])
        numbers.reverse()
        moments = [Moment(None, self.state(numbers[0]))]
        for number in numbers[1:]:
            following = self.state(number)
            action = next(
                (a for a, s in self.model.successors(moments[-1].state) if s == following), None
            )
            if action is None:
                raise ModelError(
                    f"a path could not be walked a second time at {moments[-1].state!r}",
                    remedy="the most likely cause is an action that depends on hidden state",
                )
            moments.append(Moment(action, following))
        return moments

    def graph(self) -> StateGraph:
        """The whole graph, from a second pass over the states."""
        assert self.model is not None
        initial = [i for i, parent in enumerate(self.parents) if parent < 0]
        graph = StateGraph(initial, array("I", [0]), array("I"), array("I"), [])
        labels: dict[Action, int] = {}
        for number, state in enumerate(self.states):
            if number not in self.outside:
                for action, following in self.model.successors(state):
                    graph.targets.append(self.numbers[following])
                    graph.labels.append(labels.setdefault(action, len(labels)))
            graph.offsets.append(len(graph.targets))
        graph.actions.extend(labels)
        return graph

    def evaluate(self, predicate: Callable[[Any], bool], what: str) -> bytearray:
        """`predicate` in every state, as 0 and 1."""
        assert self.model is not None
        asked, repeat = partial(truth, predicate, what=what), Repeater()
        return bytearray(_answer(self.model, s, asked, repeat, what) for s in self.states)

    def state(self, state: int) -> Any:
        """The plain state with this number."""
        return self.states[state]


def explore(model: Model[Any, Any], watch: Watch) -> ReferenceExploration:
    """Search `model`; a violated invariant or a deadlock ends the search after its level."""
    found = ReferenceExploration("reference", model=model)
    repeat = Repeater()
    found.repeaters.append(repeat)
    for state in model.initial:
        found.add(state, -1)
    level = range(len(found.states))
    try:
        while level:
            violated = _judge_level(model, found, level)
            if not violated and not found.stopped:
                _expand_level(model, found, level, watch, repeat)
            if violated or found.stopped or found.deadlock is not None:
                break
            level = range(level.stop, len(found.states))
            found.depth += bool(level)
        else:
            found.complete = True
    except KeyboardInterrupt:
        found.stopped = "interrupted"
    found.beyond = len(found.outside)
    found.distinct = len(found.states) - found.beyond
    return found


def _judge_level(model: Model[Any, Any], found: ReferenceExploration, level: range) -> bool:
    """Evaluate every property on the states of a level; True if an invariant is violated."""
    if model.within is not None:
        is_inside, repeat = partial(truth, model.within, what="`within`"), found.sample("")
        for number in level:
            if not _answer(model, found.states[number], is_inside, repeat, "`within`"):
                found.outside.add(number)
    for prop in judged_in_states(model.properties):
        judged, repeat = partial(judge, prop), found.sample(prop.name)
        for number in level:
            said = _answer(model, found.states[number], judged, repeat, str(prop))
            if said != NOTHING:
                found.met.add(prop.name)
            if said == DECIDED and prop.name not in found.decided:
                found.decided[prop.name] = number
        if prop.kind == "always" and prop.name in found.decided:
            return True
    return False


def _answer(
    model: Model[Any, Any], state: Any, function: Callable[[Any], int], repeat: Repeater, what: str
) -> int:
    """The answer of a predicate for one state, asked twice if it is one of the sample."""
    answer = function(model.seen(state))
    if repeat.is_due():
        again = function(model.seen(state))
        if again != answer:
            raise impure(what, str(answer), str(again))
    return answer


def _expand_level(
    model: Model[Any, Any],
    found: ReferenceExploration,
    level: range,
    watch: Watch,
    repeat: Repeater,
) -> None:
    """Add the successors of all states of a level."""
    repeat.begin()
    todo: Iterator[int] = iter(level)
    while chunk := list(islice(todo, STATES_BETWEEN_CHECKS)):
        for number in chunk:
            if number in found.outside:
                continue
            state = found.states[number]
            following = repeat(f"actions of {model.name!r}", model.successors, state)
            found.generated += len(following)
            for action, target in following:
                found.actions.add(action.name)
                found.add(target, number)
            if not following and found.deadlock is None and not may_rest(model, state):
                found.deadlock = number
        known = len(found.states)
        queue = known - chunk[-1] - 1
        found.stopped = watch.exceeded(known, found.generated, found.depth, queue)
        if found.stopped:
            return
