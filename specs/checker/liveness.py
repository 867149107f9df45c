"""Does every fair behaviour reach a good state?  If not: a lasso that never does.

A counterexample of ``eventually P`` is a fair behaviour that avoids P from its start; one of
``P leads to Q`` avoids Q from some state of P on.  Both are a path into a strongly connected part
of the graph without the good states, in which a fair walk can stay for ever (Lichtenstein and
Pnueli 1985; strong fairness by removing states and splitting again, as for Streett automata).

Stuttering is always possible: a behaviour may stop in any state where no fair action is enabled.
Steps that change nothing are stuttering too, so they neither enable nor take an action.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from importlib.util import find_spec
from operator import or_
from typing import TYPE_CHECKING, Any

from specs.checker.fairness import Classes
from specs.checker.model import Action
from specs.checker.search import StateGraph

if TYPE_CHECKING:
    from specs.checker.fair_kernel import CompiledPasses


@dataclass(frozen=True, slots=True)
class Lasso:
    """State numbers and label numbers: `labels[i]` leads from ``states[i]`` to the next state.

    The last label closes the loop to ``states[loop]``; a stuttering behaviour has no such label.
    Without `loop`, the last state is out of bounds, and what follows is unknown.
    """

    states: tuple[int, ...]
    labels: tuple[int, ...]
    loop: int | None


#: Graphs with more states go to the compiled passes, if numba is installed.
COMPILED_FROM = 50_000


class FairGraph:
    """A state graph with the fairness classes of its labels, computed once.

    `inside` tells the states that are within the bounds; by default all are.  `enabled` holds the
    classes of each state where its edges do not tell them.  In a product with an automaton,
    `of_label` holds the classes of its labels, and `rests` the states in which a behaviour may
    stay; by default it may stay anywhere.
    """

    def __init__(
        self,
        graph: StateGraph,
        classes: Classes,
        inside: bytearray | None = None,
        *,
        enabled: Sequence[int] | None = None,
        of_label: Sequence[int] | None = None,
        rests: bytearray | None = None,
    ) -> None:
        self.graph = graph
        self.classes = classes
        self.inside = inside
        self._rests = rests
        self._strong = classes.strong
        self._classes = classes.of_label if of_label is None else of_label
        self._all_weak = sum(
            1 << number for number, is_strong in enumerate(self._strong) if not is_strong
        )
        self._passes = self._compiled(enabled) if len(graph) >= COMPILED_FROM else None
        #: Of each state, the classes with a step that leaves it, as a bit set.
        self.enabled: Sequence[int]
        if enabled is not None:
            self.enabled = enabled
        elif self._passes is not None:
            self.enabled = array("Q", self._passes.enabled.tobytes())
        else:
            self.enabled = [self._enabled_in(state) for state in range(len(graph))]

    def counting(self, left_out: Sequence[Sequence[Action]]) -> FairGraph:
        """The same graph, in which the steps left out in each state count as enabled."""
        enabled = [
            reduce(or_, map(self.classes.of, actions), on)
            for on, actions in zip(self.enabled, left_out, strict=True)
        ]
        return FairGraph(self.graph, self.classes, self.inside, enabled=enabled)

    def _compiled(self, enabled: Sequence[int] | None) -> CompiledPasses | None:
        if find_spec("numba") is None:
            return None
        from specs.checker.fair_kernel import CLASSES_MAX, CompiledPasses

        if len(self._strong) > CLASSES_MAX:
            return None
        return CompiledPasses(self.graph, self._classes, enabled, self._rests)

    def _enabled_in(self, state: int) -> int:
        """The classes with a step that leaves `state`, as a bit set."""
        graph, enabled = self.graph, 0
        for edge in range(graph.offsets[state], graph.offsets[state + 1]):
            if graph.targets[edge] != state:
                enabled |= self._classes[graph.labels[edge]]
        return enabled

    def eventually(self, good: bytearray) -> Lasso | None:
        """A fair behaviour that never reaches a good state, or one that leaves the bounds, or None.

        A fair behaviour within the bounds comes first.
        """
        return self._avoiding(good, [s for s in self.graph.initial if not good[s]])

    def leads_to(self, when: bytearray, good: bytearray) -> Lasso | None:
        """The same for behaviours that avoid the good states from a state of `when` on."""
        if self._passes is not None:
            return self._avoiding(good, self._passes.starts(when, good))
        return self._avoiding(good, [s for s, met in enumerate(when) if met and not good[s]])

    def visiting(
        self, visits: Sequence[bytearray], starts: Sequence[int] | None = None
    ) -> Lasso | None:
        """The same for behaviours that are in each of some sets again and again.

        They begin in one of `starts`, by default in an initial state.
        """
        starts = self.graph.initial if starts is None else starts
        return self._avoiding(bytearray(len(self.graph)), starts, visits)

    def _avoiding(
        self, good: bytearray, starts: Sequence[int], visits: Sequence[bytearray] = ()
    ) -> Lasso | None:
        if self._passes is not None:
            states, before, by = self._passes.reach(good, starts)
        else:
            states, before, by = self._reach(good, starts)
        fair = self._component(states, visits, inside=True)
        loop_states, loop_labels = list[int](), list[int]()
        if fair is not None:
            entry = min(fair)
            loop_states, loop_labels = self._fair_walk(entry, fair, visits)
        else:
            beyond = self._component(states, visits, inside=False)
            if beyond is None:
                return None
            entry = min(beyond)
        stem, labels = [entry], list[int]()
        while before[stem[-1]] >= 0:
            labels.append(self.graph.labels[by[stem[-1]]])
            stem.append(int(before[stem[-1]]))
        stem.reverse()
        labels.reverse()
        loop = None if fair is None else len(stem) - 1
        return Lasso(tuple(stem + loop_states[1:]), tuple(labels + loop_labels), loop)

    def _component(
        self, states: Any, visits: Sequence[bytearray], *, inside: bool
    ) -> set[int] | None:
        """A set of states within the bounds, or out of them, in which a fair walk can stay.

        Nothing is known of what follows out of the bounds: there a walk may stay where it is.
        """
        if self.inside is None and not inside:
            return None
        if self._passes is not None:
            if self.inside is not None:
                states = self._passes.those(states, self.inside, inside)
            return self._passes.fair_component(states, self._all_weak, visits)
        if self.inside is not None:
            states = [state for state in states if self.inside[state] == inside]
        return self._fair_component(states, visits)

    def _reach(
        self, good: bytearray, starts: Sequence[int]
    ) -> tuple[list[int], dict[int, int], dict[int, int]]:
        """States reachable without good ones, the state before each and the edge that led there."""
        graph = self.graph
        before, by = dict.fromkeys(starts, -1), dict.fromkeys(starts, -1)
        queue = list(starts)
        for state in queue:
            for edge in range(graph.offsets[state], graph.offsets[state + 1]):
                target = graph.targets[edge]
                if not good[target] and target not in before:
                    before[target], by[target] = state, edge
                    queue.append(target)
        return queue, before, by

    def _fair_component(self, states: list[int], visits: Sequence[bytearray]) -> set[int] | None:
        """A connected set of states in which a fair walk can stay for ever, or None."""
        pending = [states]
        while pending:
            for component in self._components(pending.pop()):
                inside = set(component)
                if len(inside) == 1 and self._rests is not None and not self._rests[component[0]]:
                    continue
                if not all(any(visit[state] for state in component) for visit in visits):
                    continue
                taken, always_on, ever_on = 0, -1, 0
                for state in component:
                    always_on &= self.enabled[state]
                    ever_on |= self.enabled[state]
                    for _, label in self._edges_inside(state, inside):
                        taken |= self._classes[label]
                if always_on & self._all_weak & ~taken:
                    continue
                starved = ever_on & ~self._all_weak & ~taken
                if not starved:
                    return inside
                rest = [s for s in component if not self.enabled[s] & starved]
                if rest:
                    pending.append(rest)
        return None

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

    def _fair_walk(
        self, entry: int, inside: set[int], visits: Sequence[bytearray]
    ) -> tuple[list[int], list[int]]:
        """A closed walk from `entry`, fair to all, through all `visits`; empty if it rests."""
        if len(inside) == 1:
            return [entry], []
        states, labels = [entry], list[int]()
        ever_on = 0
        for state in inside:
            ever_on |= self.enabled[state]
        for number, is_strong in enumerate(self._strong):
            if ever_on >> number & 1:
                self._visit_witness(number, is_strong, inside, states, labels)
        for visit in visits:
            goals = {state for state in inside if visit[state]}
            if goals.isdisjoint(states):
                self._walk_to(states, labels, inside, goals)
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
            off = {s for s in inside if not self.enabled[s] >> number & 1}
            if off:
                if off.isdisjoint(states):
                    self._walk_to(states, labels, inside, off)
                return
        if any(self._classes[label] >> number & 1 for label in labels):
            return
        sources = {
            s
            for s in inside
            for _, label in self._edges_inside(s, inside)
            if self._classes[label] >> number & 1
        }
        self._walk_to(states, labels, inside, sources)
        for target, label in self._edges_inside(states[-1], inside):
            if self._classes[label] >> number & 1:
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
