"""Does every fair behaviour come to something good?  If not: a lasso that never does.

A counterexample of ``eventually P`` is a fair behaviour that avoids P from its start; one of
``P leads to Q`` avoids Q from some state of P on.  Both are a path into a strongly connected part
of the graph without the good states, in which a fair walk can stay for ever (Lichtenstein and
Pnueli 1985; strong fairness by removing states and splitting again, as for Streett automata).

Stuttering is always possible: a behaviour may stop in any state where no fair action is enabled.
Steps that change nothing are stuttering too, so they neither enable nor take an action.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from specs.checker.model import Fairness
from specs.checker.search import StateGraph


@dataclass(frozen=True, slots=True)
class Lasso:
    """State numbers and label numbers: `labels[i]` leads from ``states[i]`` to the next state.

    The last label closes the loop to ``states[loop]``; there is none where the behaviour stutters.
    """

    states: tuple[int, ...]
    labels: tuple[int, ...]
    loop: int


class FairGraph:
    """A state graph with the fairness classes of its labels worked out once."""

    def __init__(self, graph: StateGraph, fairness: Sequence[Fairness]) -> None:
        self.graph = graph
        self._strong: list[bool] = []
        self._classes_of_label: list[tuple[int, ...]] = []
        numbers: dict[tuple[int, Hashable], int] = {}
        for action in graph.actions:
            classes = []
            for which, condition in enumerate(fairness):
                key = condition.key(action)
                if key is not None:
                    number = numbers.setdefault((which, key), len(numbers))
                    if number == len(self._strong):
                        self._strong.append(condition.strong)
                    classes.append(number)
            self._classes_of_label.append(tuple(classes))
        self._all_weak = 0
        for number, is_strong in enumerate(self._strong):
            self._all_weak |= 0 if is_strong else 1 << number
        self._enabled = [self._enabled_in(state) for state in range(len(graph))]

    def _enabled_in(self, state: int) -> int:
        """The classes with a step that leaves `state`, as a bit set."""
        graph, enabled = self.graph, 0
        for edge in range(graph.offsets[state], graph.offsets[state + 1]):
            if graph.targets[edge] != state:
                for number in self._classes_of_label[graph.labels[edge]]:
                    enabled |= 1 << number
        return enabled

    def eventually(self, good: bytearray) -> Lasso | None:
        """A fair behaviour that never comes to a good state, or None."""
        return self._avoiding(good, [s for s in self.graph.initial if not good[s]])

    def leads_to(self, when: bytearray, good: bytearray) -> Lasso | None:
        """A fair behaviour that avoids the good states from a state of `when` on, or None."""
        return self._avoiding(good, [s for s in range(len(when)) if when[s] and not good[s]])

    def _avoiding(self, good: bytearray, starts: Sequence[int]) -> Lasso | None:
        graph = self.graph
        parent: dict[int, tuple[int, int]] = dict.fromkeys(starts, (-1, -1))
        queue = deque(starts)
        while queue:
            state = queue.popleft()
            for edge in range(graph.offsets[state], graph.offsets[state + 1]):
                target = graph.targets[edge]
                if not good[target] and target not in parent:
                    parent[target] = (state, graph.labels[edge])
                    queue.append(target)
        fair = self._fair_component(list(parent))
        if fair is None:
            return None
        entry = min(fair)
        loop_states, loop_labels = self._fair_walk(entry, fair)
        states, labels = [entry], list[int]()
        while parent[states[-1]][0] >= 0:
            before, label = parent[states[-1]]
            states.append(before)
            labels.append(label)
        states.reverse()
        labels.reverse()
        loop = len(states) - 1
        return Lasso(tuple(states + loop_states[1:]), tuple(labels + loop_labels), loop)

    def _fair_component(self, states: list[int]) -> set[int] | None:
        """A connected set of states in which a fair walk can stay for ever, or None."""
        pending = [states]
        while pending:
            for component in self._components(pending.pop()):
                inside = set(component)
                taken, always_on, ever_on = 0, -1, 0
                for state in component:
                    always_on &= self._enabled[state]
                    ever_on |= self._enabled[state]
                    taken |= self._taken_inside(state, inside)
                if always_on & self._all_weak & ~taken:
                    continue
                starved = ever_on & ~self._all_weak & ~taken
                if not starved:
                    return inside
                rest = [s for s in component if not self._enabled[s] & starved]
                if rest:
                    pending.append(rest)
        return None

    def _taken_inside(self, state: int, inside: set[int]) -> int:
        graph, taken = self.graph, 0
        for edge in range(graph.offsets[state], graph.offsets[state + 1]):
            target = graph.targets[edge]
            if target != state and target in inside:
                for number in self._classes_of_label[graph.labels[edge]]:
                    taken |= 1 << number
        return taken

    def _components(self, states: Iterable[int]) -> list[list[int]]:
        """Strongly connected components of the graph on `states` (Tarjan 1972, iterative)."""
        graph = self.graph
        offsets, targets = graph.offsets, graph.targets
        number: dict[int, int] = dict.fromkeys(states, -1)
        low: dict[int, int] = {}
        on_stack: set[int] = set()
        stack: list[int] = []
        components: list[list[int]] = []
        count = 0
        for root in number:
            if number[root] >= 0:
                continue
            number[root] = low[root] = count
            count += 1
            stack.append(root)
            on_stack.add(root)
            work = [(root, offsets[root])]
            while work:
                state, edge = work.pop()
                end = offsets[state + 1]
                while edge < end:
                    target = targets[edge]
                    edge += 1
                    seen = number.get(target)
                    if seen is None:
                        continue
                    if seen < 0:
                        work.append((state, edge))
                        number[target] = low[target] = count
                        count += 1
                        stack.append(target)
                        on_stack.add(target)
                        work.append((target, offsets[target]))
                        break
                    if target in on_stack and seen < low[state]:
                        low[state] = seen
                else:
                    if low[state] == number[state]:
                        component = []
                        while True:
                            member = stack.pop()
                            on_stack.discard(member)
                            component.append(member)
                            if member == state:
                                break
                        components.append(component)
                    if work and low[state] < low[work[-1][0]]:
                        low[work[-1][0]] = low[state]
        return components

    def _fair_walk(self, entry: int, inside: set[int]) -> tuple[list[int], list[int]]:
        """A closed walk from `entry` that is fair to every class; empty where it stutters."""
        if len(inside) == 1:
            return [entry], []
        states, labels = [entry], list[int]()
        ever_on = 0
        for state in inside:
            ever_on |= self._enabled[state]
        for number, is_strong in enumerate(self._strong):
            if ever_on >> number & 1:
                self._visit_witness(number, is_strong, inside, states, labels)
        if len(states) == 1:
            target, label = next(self._edges_inside(entry, inside))
            states.append(target)
            labels.append(label)
        self._walk_to(states, labels, inside, {entry})
        return states[:-1], labels

    def _visit_witness(
        self, number: int, is_strong: bool, inside: set[int], states: list[int], labels: list[int]
    ) -> None:
        """Extend a walk by a step of the class, or (weak only) by a state where it is off."""
        if not is_strong:
            off = {s for s in inside if not self._enabled[s] >> number & 1}
            if off:
                if off.isdisjoint(states):
                    self._walk_to(states, labels, inside, off)
                return
        if any(number in self._classes_of_label[label] for label in labels):
            return
        sources = {
            s
            for s in inside
            for _, label in self._edges_inside(s, inside)
            if number in self._classes_of_label[label]
        }
        self._walk_to(states, labels, inside, sources)
        for target, label in self._edges_inside(states[-1], inside):
            if number in self._classes_of_label[label]:
                states.append(target)
                labels.append(label)
                return

    def _edges_inside(self, state: int, inside: set[int]) -> Iterator[tuple[int, int]]:
        graph = self.graph
        return (
            (graph.targets[edge], graph.labels[edge])
            for edge in range(graph.offsets[state], graph.offsets[state + 1])
            if graph.targets[edge] != state and graph.targets[edge] in inside
        )

    def _walk_to(
        self, states: list[int], labels: list[int], inside: set[int], goals: set[int]
    ) -> None:
        """Extend a walk by a shortest way to one of `goals`."""
        start = states[-1]
        if start in goals:
            return
        came_from: dict[int, tuple[int, int]] = {start: (-1, -1)}
        queue = deque([start])
        while queue:
            state = queue.popleft()
            if state in goals:
                break
            for target, label in self._edges_inside(state, inside):
                if target not in came_from:
                    came_from[target] = (state, label)
                    queue.append(target)
        way: list[tuple[int, int]] = []
        while state != start:
            before, label = came_from[state]
            way.append((state, label))
            state = before
        for target, label in reversed(way):
            states.append(target)
            labels.append(label)
