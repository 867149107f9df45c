"""Liveness on large graphs: the three passes of `specs.checker.liveness` compiled.  Needs numba."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit

from specs.checker.search import StateGraph

#: Classes of actions are bits of one word.
CLASSES_MAX = 64


@njit(cache=True)
def _enabled(offsets: Any, targets: Any, labels: Any, classes: Any, enabled: Any) -> None:
    for state in range(len(enabled)):
        bits = np.uint64(0)
        for edge in range(offsets[state], offsets[state + 1]):
            if targets[edge] != state:
                bits |= classes[labels[edge]]
        enabled[state] = bits


@njit(cache=True)
def _reach(
    offsets: Any, targets: Any, good: Any, queue: Any, count: Any, before: Any, by: Any
) -> Any:
    done = 0
    while done < count:
        state = queue[done]
        done += 1
        for edge in range(offsets[state], offsets[state + 1]):
            target = np.int64(targets[edge])
            if not good[target] and before[target] == -2:
                before[target] = state
                by[target] = edge
                queue[count] = target
                count += 1
    return count


@njit(cache=True)
def _components(offsets: Any, targets: Any, active: Any, component: Any) -> Any:
    """Number the strongly connected components of the active states (Tarjan 1972)."""
    size = len(active)
    number = np.full(size, -1, np.int32)
    low = np.zeros(size, np.int32)
    stack = np.empty(size, np.int32)
    work = np.empty(size, np.int32)
    edges = np.empty(size, np.int64)
    on_stack = np.zeros(size, np.bool_)
    counter = 0
    components = 0
    height = 0
    for root in range(size):
        if not active[root] or number[root] >= 0:
            continue
        depth = 0
        work[0] = root
        edges[0] = offsets[root]
        number[root] = counter
        low[root] = counter
        counter += 1
        stack[height] = root
        height += 1
        on_stack[root] = True
        while depth >= 0:
            state = work[depth]
            if edges[depth] < offsets[state + 1]:
                target = np.int64(targets[edges[depth]])
                edges[depth] += 1
                if not active[target]:
                    continue
                if number[target] < 0:
                    depth += 1
                    work[depth] = target
                    edges[depth] = offsets[target]
                    number[target] = counter
                    low[target] = counter
                    counter += 1
                    stack[height] = target
                    height += 1
                    on_stack[target] = True
                elif on_stack[target] and number[target] < low[state]:
                    low[state] = number[target]
                continue
            if low[state] == number[state]:
                while True:
                    height -= 1
                    member = stack[height]
                    on_stack[member] = False
                    component[member] = components
                    if member == state:
                        break
                components += 1
            depth -= 1
            if depth >= 0 and low[state] < low[work[depth]]:
                low[work[depth]] = low[state]
    return components


@njit(cache=True)
def _judge(
    offsets: Any,
    targets: Any,
    labels: Any,
    classes: Any,
    enabled: Any,
    active: Any,
    component: Any,
    always_on: Any,
    ever_on: Any,
    taken: Any,
) -> None:
    for state in range(len(active)):
        if active[state]:
            which = component[state]
            always_on[which] &= enabled[state]
            ever_on[which] |= enabled[state]
            for edge in range(offsets[state], offsets[state + 1]):
                target = targets[edge]
                if target != state and active[target] and component[target] == which:
                    taken[which] |= classes[labels[edge]]


class CompiledPasses:
    """The passes over one graph."""

    def __init__(
        self,
        graph: StateGraph,
        classes: Sequence[int],
        enabled: Sequence[int] | None = None,
        rests: bytearray | None = None,
    ) -> None:
        self._offsets = np.frombuffer(graph.offsets, np.uint32).astype(np.int64)
        self._targets = np.frombuffer(graph.targets, np.uint32)
        self._labels = np.frombuffer(graph.labels, np.uint32)
        self._classes = np.array([*classes, 0], np.uint64)
        self._rests = np.ones(len(graph), np.bool_) if rests is None else _flags(rests)
        if enabled is not None:
            self.enabled = np.array(enabled, np.uint64)
            return
        self.enabled = np.zeros(len(graph), np.uint64)
        _enabled(self._offsets, self._targets, self._labels, self._classes, self.enabled)

    @cached_property
    def _cyclic(self) -> Any:
        """Which states lie on a cycle of more than one state; in most graphs few do."""
        component = np.zeros(len(self.enabled), np.int32)
        everything = np.ones(len(self.enabled), np.bool_)
        _components(self._offsets, self._targets, everything, component)
        return np.bincount(component)[component] > 1

    def starts(self, when: bytearray, good: bytearray) -> Any:
        """The states of `when` that are not good."""
        met, fine = np.frombuffer(when, np.uint8), np.frombuffer(good, np.uint8)
        return np.flatnonzero(met > fine)

    def reach(self, good: bytearray, starts: Sequence[int]) -> tuple[Any, Any, Any]:
        """States reachable without good ones, the state before each and the edge that led there."""
        size = len(good)
        queue = np.empty(size, np.int64)
        queue[: len(starts)] = starts
        before, by = np.full(size, -2, np.int64), np.empty(size, np.int64)
        before[starts] = -1
        flags = np.frombuffer(good, np.uint8)
        count = _reach(self._offsets, self._targets, flags, queue, len(starts), before, by)
        return queue[:count], before, by

    def those(self, states: Any, bounded: bytearray, inside: bool) -> Any:
        """The states that are within the bounds, or those that are not."""
        return states[_flags(bounded)[states] == inside]

    def fair_component(
        self, states: Any, all_weak: int, visits: Sequence[bytearray] = ()
    ) -> set[int] | None:
        """A connected set of states in which a fair walk can stay for ever, or None.

        It has a state of each set in `visits`.
        """
        sets = [_flags(visit) for visit in visits]
        # A single state: no action is taken in it, so none may be enabled.
        alone = self._rests & (self.enabled == 0) & ~self._cyclic
        for each in sets:
            alone = alone & each
        at_rest = states[alone[states]]
        if len(at_rest):
            return {int(at_rest[0])}
        active = np.zeros(len(self.enabled), np.bool_)
        active[states] = True
        active &= self._cyclic
        component = np.full(len(active), -1, np.int32)
        weak = np.uint64(all_weak)
        while active.any():
            count = _components(self._offsets, self._targets, active, component)
            always_on = np.full(count, ~np.uint64(0), np.uint64)
            ever_on, taken = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
            _judge(
                self._offsets,
                self._targets,
                self._labels,
                self._classes,
                self.enabled,
                active,
                component,
                always_on,
                ever_on,
                taken,
            )

            def has(states: Any, component: Any = component, count: int = count) -> Any:
                return np.bincount(component[states], minlength=count)

            possible = always_on & weak & ~taken == 0
            possible &= (has(active) > 1) | (has(active & self._rests) > 0)
            for each in sets:
                possible &= has(active & each) > 0
            starved = ever_on & ~weak & ~taken
            fair = np.flatnonzero(possible & (starved == 0))
            if len(fair):
                # Components are numbered from the sinks up; any component will do, so the first one
                # found is used.
                member = active & np.isin(component, fair)
                first = component[np.flatnonzero(member)[0]]
                return set(np.flatnonzero(active & (component == first)).tolist())
            rest = active.copy()
            rest[active] = possible[component[active]] & (
                self.enabled[active] & starved[component[active]] == 0
            )
            active = rest
        return None


def _flags(states: bytearray) -> Any:
    """A set of states as booleans."""
    return np.frombuffer(states, np.uint8) != 0
