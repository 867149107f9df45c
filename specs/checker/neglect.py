"""Fairness of an abstract model on a state graph: a fair behaviour that neglects it.

A behaviour neglects a class of the abstract model if it takes the class no more and the class stays
enabled (weak fairness), or is enabled again and again (strong).  So it ends in a fair part of the
graph without the steps that take the class.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Sequence

from specs.checker.fairness import Classes
from specs.checker.liveness import FairGraph, Lasso
from specs.checker.model import Action, FairnessRule
from specs.checker.search import StateGraph


class AbstractClasses:
    """The fairness classes of an abstract model, on the states of a graph that stand for its own.

    `states` holds the abstract state of each state.
    """

    def __init__(self, rule: FairnessRule, states: Sequence[Hashable]) -> None:
        numbers: dict[Hashable, int] = {}
        self._of = [numbers.setdefault(state, len(numbers)) for state in states]
        actions: dict[Action, int] = {}
        steps = [
            [
                (actions.setdefault(action, len(actions)), after)
                for action, after in rule.offers(each)
            ]
            for each in numbers
        ]
        classes = Classes(rule.conditions, list(actions))
        self.strong = classes.strong
        #: Of each abstract state the classes by target, and all of them.
        self._by_target: list[dict[int, int]] = []
        self._enabled: list[int] = []
        for offered in steps:
            by_target, enabled = dict[int, int](), 0
            for label, after in offered:
                bits = classes.of_label[label]
                enabled |= bits
                if after in numbers:
                    by_target[numbers[after]] = by_target.get(numbers[after], 0) | bits
            self._by_target.append(by_target)
            self._enabled.append(enabled)

    @property
    def tested(self) -> bool:
        """Whether some class is enabled somewhere."""
        return any(self._enabled)

    def neglected(self, fair: FairGraph) -> Lasso | None:
        """A fair behaviour from any state of the graph that neglects a class, or None.

        A behaviour that stays within the bounds comes first.
        """
        beyond: Lasso | None = None
        for number, is_strong in enumerate(self.strong):
            on = bytearray(self._enabled[each] >> number & 1 for each in self._of)
            without = FairGraph(
                self._without(fair.graph, number), fair.classes, fair.inside, enabled=fair.enabled
            )
            if is_strong:
                lasso = without.visiting([on], range(len(on)))
            else:
                lasso = without.leads_to(on, bytearray(not each for each in on))
            if lasso is not None and lasso.loop is not None:
                return lasso
            beyond = beyond or lasso
        return beyond

    def _without(self, graph: StateGraph, number: int) -> StateGraph:
        """The graph without the steps that take a class."""
        offsets, targets, labels = array("I", [0]), array("I"), array("I")
        for state, abstract in enumerate(self._of):
            takes = self._by_target[abstract]
            for edge in range(graph.offsets[state], graph.offsets[state + 1]):
                target = graph.targets[edge]
                if not takes.get(self._of[target], 0) >> number & 1:
                    targets.append(target)
                    labels.append(graph.labels[edge])
            offsets.append(len(targets))
        return StateGraph(graph.initial, offsets, targets, labels, graph.actions)
