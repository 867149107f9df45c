"""The reference engine: plain states, breadth first, kept simple.  The other engines' oracle."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from specs.checker.errors import ModelError
from specs.checker.model import Action, Model, Property, require_hashable
from specs.checker.purity import Repeater, impure
from specs.checker.result import INTERRUPTED, Moment
from specs.checker.search import (
    DECIDED,
    NOTHING,
    STATES_BETWEEN_CHECKS,
    Exploration,
    StateGraph,
    Watch,
    judge,
    judge_start,
    judge_step,
    judged_in_states,
    judged_in_steps,
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
    level, depth = range(len(found.states)), 0
    try:
        violated = judge_start(found, model.properties, lambda: map(model.seen, found.states))
        while level:
            known = len(found.outside)
            violated |= _judge_level(model, found, level)
            if len(found.outside) - known < len(level):
                found.depth = depth
            if not violated and not found.stopped:
                violated = _expand_level(model, found, level, watch, repeat)
            if violated or found.stopped or found.deadlock is not None:
                break
            level = range(level.stop, len(found.states))
            depth += 1
        else:
            found.complete = True
    except KeyboardInterrupt:
        found.stopped = INTERRUPTED
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


def _answer_of_step(
    model: Model[Any, Any],
    prop: Property[Any],
    step: tuple[Any, Action, Any],
    found: ReferenceExploration,
) -> int:
    """The answer of a claim for one step, asked twice if it is one of the sample."""
    before, action, after = step
    answer = judge_step(prop, model.seen(before), action, model.seen(after))
    if found.sample(prop.name).is_due():
        again = judge_step(prop, model.seen(before), action, model.seen(after))
        if again != answer:
            raise impure(str(prop), str(answer), str(again))
    return answer


def _expand_level(
    model: Model[Any, Any],
    found: ReferenceExploration,
    level: range,
    watch: Watch,
    repeat: Repeater,
) -> bool:
    """Add the successors of all states of a level; True if a step violates a property."""
    repeat.begin()
    judged = judged_in_steps(model.properties)
    violations: dict[str, int] = {}
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
                if judged and target != state:
                    for prop in judged:
                        said = _answer_of_step(model, prop, (state, action, target), found)
                        if said != NOTHING:
                            found.met.add(prop.name)
                        if said == DECIDED:
                            violations.setdefault(prop.name, number)
            if not following and found.deadlock is None and not may_rest(model, state):
                found.deadlock = number
        known = len(found.states)
        queue = known - chunk[-1] - 1
        found.stopped = watch.exceeded(known, found.generated, found.depth, queue)
        if found.stopped:
            break
    # As for states: the first violated property in the order of the model, and no other.
    for prop in judged:
        if prop.name in violations:
            found.decided[prop.name] = violations[prop.name]
            return True
    return False
