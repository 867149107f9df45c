"""Temporal formulas on a state graph: the product of the graph with the negation's automaton.

A state of the product is a state of the graph and a node of the automaton that fits it.  A fair
behaviour of the product that the automaton accepts refutes the formula; `liveness` finds it as it
finds all others (Vardi and Wolper 1986, "An automata-theoretic approach to automatic program
verification").

The automaton also moves where the graph stutters, for a finite time or for ever: formulas do not
see finite stuttering, and whether a behaviour may stutter for ever depends on the classes that are
enabled in the state of the graph.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from specs.checker.liveness import FairGraph, Lasso
from specs.checker.search import StateGraph
from specs.checker.tableau import Automaton


def accepted(fair: FairGraph, automaton: Automaton, truths: dict[str, bytearray]) -> Lasso | None:
    """A fair behaviour of the graph that the automaton accepts, or None.

    `truths` holds the states in which each atom is true.  If all of them leave the bounds, the
    result is a way out of the bounds that the automaton accepts if nothing changes any more there,
    if there is one.
    """
    product = _Product(fair, automaton, truths)
    lasso = product.fair.visiting(product.visits)
    return None if lasso is None else product.without_stuttering(lasso)


class _Product:
    def __init__(self, fair: FairGraph, automaton: Automaton, truths: dict[str, bytearray]) -> None:
        self._graph = fair.graph
        self._automaton = automaton
        #: The label of stuttering steps, of no class.
        self._stutter = len(fair.graph.actions)
        self._letters, letter_of = _letters(len(fair.graph), truths)
        self._letter_of = letter_of
        #: By node and letter, the nodes that may follow.
        self._next = [self._fitting(following) for following in automaton.following]
        #: The state of the graph and the node of the automaton, of each state of the product.
        self.states: list[int] = []
        self.nodes: list[int] = []
        graph = self._build()
        self.fair = FairGraph(
            graph,
            fair.classes,
            None if fair.inside is None else bytearray(fair.inside[s] for s in self.states),
            enabled=[fair.enabled[s] for s in self.states],
            of_label=[*fair.classes.of_label, 0],
            rests=bytearray(node in automaton.following[node] for node in self.nodes),
        )
        #: For each promise, where it is kept.
        self.visits = [
            bytearray(automaton.nodes[node].kept[promise] for node in self.nodes)
            for promise in range(automaton.promises)
        ]

    def _fitting(self, nodes: Sequence[int]) -> list[list[int]]:
        """By letter, those of some nodes that fit it."""
        return [
            [
                node
                for node in nodes
                if self._automaton.nodes[node].true <= letter
                and not self._automaton.nodes[node].false & letter
            ]
            for letter in self._letters
        ]

    def _build(self) -> StateGraph:
        offsets, targets, labels = self._graph.offsets, self._graph.targets, self._graph.labels
        letter_of, many = self._letter_of, len(self._automaton.nodes)
        states, nodes, numbers = self.states, self.nodes, dict[int, int]()
        edges, names, ends = array("I"), array("I"), array("I", [0])

        def number(state: int, node: int) -> int:
            key = state * many + node
            found = numbers.get(key)
            if found is None:
                found = numbers[key] = len(states)
                states.append(state)
                nodes.append(node)
            return found

        first = self._fitting(self._automaton.initial)
        initial = [
            number(state, node) for state in self._graph.initial for node in first[letter_of[state]]
        ]
        place = 0
        while place < len(states):
            state, following = states[place], self._next[nodes[place]]
            place += 1
            for node in following[letter_of[state]]:
                edges.append(number(state, node))
                names.append(self._stutter)
            for edge in range(offsets[state], offsets[state + 1]):
                target = targets[edge]
                if target != state:
                    for node in following[letter_of[target]]:
                        edges.append(number(target, node))
                        names.append(labels[edge])
            ends.append(len(edges))
        return StateGraph(initial, ends, edges, names, self._graph.actions)

    def without_stuttering(self, lasso: Lasso) -> Lasso:
        """A lasso of the product as one of the graph."""
        states, labels = [self.states[lasso.states[0]]], list[int]()
        loop = None if lasso.loop is None else 0
        closed = len(lasso.labels) == len(lasso.states)
        for place, label in enumerate(lasso.labels):
            if label != self._stutter:
                labels.append(label)
                after = place + 1 if place + 1 < len(lasso.states) else lasso.loop
                assert after is not None
                states.append(self.states[lasso.states[after]])
            if place + 1 == lasso.loop:
                loop = len(labels)
        if loop is not None and closed and loop < len(labels):
            states.pop()  # the last label closes the loop
        return Lasso(tuple(states), tuple(labels), loop)


def _letters(size: int, truths: dict[str, bytearray]) -> tuple[list[frozenset[str]], Sequence[int]]:
    """The sets of atoms that are true together, and which of them each state has."""
    numbers: dict[tuple[int, ...], int] = {}
    columns = list(truths.values())
    if not columns:
        return [frozenset()], bytes(size)
    of_state = [numbers.setdefault(row, len(numbers)) for row in zip(*columns, strict=True)]
    return [
        frozenset(name for name, is_true in zip(truths, row, strict=True) if is_true)
        for row in numbers
    ], of_state
