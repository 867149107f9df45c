"""The state graph of a model, found plainly, and the verdicts that follow from it.

The judge of certificates rests on it, and random models are decided by it: so it shares no code
with any engine.  It is for graphs of some ten thousand states.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import combinations
from typing import Any

import networkx

from specs.checker.canonical import digest_of_set
from specs.checker.enabled import Enabled
from specs.checker.model import Action, Model, Property
from specs.checker.result import StateSet, Verdict
from specs.until import Core, core, is_tested, truth, untils

#: A graph of more states is given up.
STATES_MAX = 200_000

#: A fairness class: the number of the condition, and the key of the class.
Class = tuple[int, Hashable]
Steps = list[tuple[Action, Any]]


class TooLarge(Exception):
    """The graph has too many states."""


class Space:
    """All states and steps of a model, and the verdicts of a search that ends nowhere early."""

    def __init__(self, model: Model[Any, Any], states_max: int = STATES_MAX) -> None:
        self.model = model
        #: The steps from each state within the bounds.
        self.steps: dict[Any, Steps] = {}
        self._enabled: dict[tuple[Any, bool], set[Class]] = {}
        #: The length of a shortest path to each state, in the order of discovery.
        self.depths: dict[Any, int] = dict.fromkeys(model.initial, 0)
        queue = list(self.depths)
        for state in queue:
            if inside(model, state):
                self.steps[state] = model.successors(state)
                for _, target in self.steps[state]:
                    if target not in self.depths:
                        self.depths[target] = self.depths[state] + 1
                        queue.append(target)
            if len(queue) > states_max:
                raise TooLarge(f"more than {states_max:,} states to search again")

    @cached_property
    def states(self) -> StateSet:
        """The counts and the digest of all states."""
        outside = len(self.depths) - len(self.steps)
        return StateSet(len(self.depths), outside, digest_of_set(self.depths))

    @cached_property
    def bounded(self) -> bool:
        """Whether a bound of the model was met."""
        if len(self.steps) < len(self.depths):
            return True
        return any(left_out(self.model, state) for state in self.steps)

    @cached_property
    def stuck(self) -> Any:
        """A nearest deadlock, or None."""
        return next((s for s, steps in self.steps.items() if is_stuck(self.model, s, steps)), None)

    def decide(self, prop: Property[Any]) -> tuple[Verdict, bool]:
        """The verdict on a property, and whether the property was never tested."""
        if prop.formula is not None:
            return self._decide_formula(prop)
        good = {state for state in self.depths if satisfies(self.model, prop.predicate, state)}
        if prop.steps is not None:
            said = [
                allows(self.model, prop, state, action, target)
                for state, steps in self.steps.items()
                for action, target in steps
                if target != state
            ]
            holds = False not in said and good.issuperset(self.model.initial)
            return _verdict(holds), said.count(None) == len(said)
        if prop.kind == "reachable":
            nowhere = Verdict.UNDETERMINED if self.bounded else Verdict.VIOLATED
            return Verdict.HOLDS if good else nowhere, False
        when = prop.when
        met = {s for s in self.depths if when is None or satisfies(self.model, when, s)}
        return _verdict(met <= good), not met

    def _decide_formula(self, prop: Property[Any]) -> tuple[Verdict, bool]:
        assert prop.formula is not None
        atoms = {
            state: {name: satisfies(self.model, each, state) for name, each in prop.meaning}
            for state in self.depths
        }
        initial = [atoms[state] for state in self.model.initial]
        vacuous = not is_tested(prop.formula, list(atoms.values()), initial)
        return Behaviours(self, core(prop.formula), atoms).verdict(), vacuous

    def enabled(self, state: Any, *, owing: bool) -> set[Class]:
        """The fairness classes that are enabled; `owing`: steps that the limit leaves out count."""
        known = self._enabled.get((state, owing))
        if known is None:
            left = left_out(self.model, state) if owing else ()
            known = enabled(self.model, state, self.steps[state], left)
            self._enabled[state, owing] = known
        return known


#: A state, and the untils of a formula that are true from there on.
Node = tuple[Any, frozenset[Core]]


class Behaviours:
    """The behaviours that refute a formula, as walks over states and the untils true in them."""

    def __init__(
        self, space: Space, formula: Core, atoms: Mapping[Any, Mapping[str, bool]]
    ) -> None:
        self._space = space
        self._atoms = atoms
        self._untils = list(dict.fromkeys(untils(formula)))
        true = [
            frozenset(chosen)
            for size in range(len(self._untils) + 1)
            for chosen in combinations(self._untils, size)
        ]
        self._nodes = {
            state: [(state, each) for each in true if self._is_possible((state, each))]
            for state in atoms
        }
        #: The steps from each node that can be reached; those without an action are stuttering.
        self.steps: dict[Node, list[tuple[Action | None, Node]]] = {}
        queue = [
            node
            for state in dict.fromkeys(space.model.initial)
            for node in self._nodes[state]
            if not self._holds(formula, node)
        ]
        while queue:
            node = queue.pop()
            if node not in self.steps:
                self.steps[node] = list(self._following(node))
                queue += [target for _, target in self.steps[node]]

    def _holds(self, formula: Core, node: Node) -> bool:
        state, true = node
        given = {each: each in true for each in self._untils}
        return truth(formula, self._atoms[state], given)

    def _is_possible(self, node: Node) -> bool:
        """Whether no until is true or false against what its parts say."""
        return all(
            each in node[1]
            if self._holds(each[2], node)
            else each not in node[1] or self._holds(each[1], node)
            for each in self._untils
        )

    def _following(self, node: Node) -> Iterator[tuple[Action | None, Node]]:
        state, true = node
        open_ones = frozenset(
            each
            for each in self._untils
            if self._holds(each[1], node) and not self._holds(each[2], node)
        )
        for action, target in [(None, state), *self._space.steps.get(state, ())]:
            for following in self._nodes[target]:
                if following[1] & open_ones == true & open_ones:
                    yield action if target != state else None, following

    def _keeps(self, each: Core, node: Node) -> bool:
        """Whether the promise of an until is not open in a node."""
        return each not in node[1] or self._holds(each[2], node)

    def verdict(self) -> Verdict:
        """VIOLATED if a fair behaviour within the bounds refutes the formula."""
        kept = {node for node in self.steps if node[0] in self._space.steps}
        if self._can_stay(kept, owing=True):
            return Verdict.VIOLATED
        # Whether it would be refuted if nothing changed any more out of bounds.
        ends = (
            all(self._keeps(each, node) for each in self._untils)
            for node in self.steps.keys() - kept
        )
        open_end = any(ends) or self._can_stay(kept, owing=False)
        return Verdict.UNDETERMINED if open_end else Verdict.HOLDS

    def _can_stay(self, nodes: set[Node], *, owing: bool) -> bool:
        """Whether a fair behaviour can stay within some of these nodes for ever.

        Weak fairness, and that no promise stays open, is asked of each component.  Strong fairness
        takes the nodes away in which a class is enabled that the component never takes, and asks
        again (a Streett condition).
        """
        model = self._space.model
        part = networkx.DiGraph()
        part.add_nodes_from(nodes)
        part.add_edges_from((n, t) for n in nodes for _, t in self.steps[n] if t in nodes)
        for component in networkx.strongly_connected_components(part):
            if not all(any(self._keeps(each, n) for n in component) for each in self._untils):
                continue
            inner = {
                action
                for node in component
                for action, target in self.steps[node]
                if action is not None and target in component
            }
            taken = classes(model, inner)
            on = {node: self._space.enabled(node[0], owing=owing) for node in component}
            if any(not is_strong(model, each) for each in set.intersection(*on.values()) - taken):
                continue
            starved = {each for each in set.union(*on.values()) - taken if is_strong(model, each)}
            rest = {node for node in component if not on[node] & starved}
            if not starved or self._can_stay(rest, owing=owing):
                return True
        return False


def _verdict(holds: bool) -> Verdict:
    return Verdict.HOLDS if holds else Verdict.VIOLATED


# What the rules of a model say of one state or step.


def satisfies(model: Model[Any, Any], predicate: Callable[[Any], Any], state: Any) -> Any:
    """What a predicate, or another function of a view, says of a state."""
    if isinstance(predicate, Enabled):
        return any(predicate.fits(action) for action, _ in model.successors(state))
    return predicate(model.seen(state))


def inside(model: Model[Any, Any], state: Any) -> bool:
    """Whether the bound lets a state be expanded."""
    return model.within is None or satisfies(model, model.within, state)


def left_out(model: Model[Any, Any], state: Any) -> Collection[Action]:
    """The steps that the model's rules leave out in a state, to stay finite."""
    return list(model.limit.left_out(state)) if model.limit is not None else []


def is_stuck(model: Model[Any, Any], state: Any, steps: Collection[Any]) -> bool:
    """Whether a state within the bounds is a deadlock."""
    if steps or left_out(model, state):
        return False
    return model.terminal is None or not satisfies(model, model.terminal, state)


def classes(model: Model[Any, Any], actions: Iterable[Action]) -> set[Class]:
    """The fairness classes of some actions."""
    keys = ((number, c.key(a)) for a in actions for number, c in enumerate(model.fairness))
    return {each for each in keys if each[1] is not None}


def enabled(
    model: Model[Any, Any], state: Any, steps: Iterable[tuple[Action, Any]], left: Iterable[Action]
) -> set[Class]:
    """The classes with a step that leaves `state`: stuttering is not a step of an action."""
    return classes(model, [*(action for action, target in steps if target != state), *left])


def is_strong(model: Model[Any, Any], each: Class) -> bool:
    """Whether the condition of a class is strong fairness."""
    return model.fairness[each[0]].strong


def allows(
    model: Model[Any, Any], prop: Property[Any], before: Any, action: Action, after: Any
) -> bool | None:
    """Whether a claim on steps allows one; None if the step changes nothing that it is about."""
    rule: Any = prop.steps
    views = model.seen(before), model.seen(after)
    if prop.kind == "refines":
        source, target = map(rule.mapping, views)
        if source == target:
            return None
        abstract: Model[Any, Any] = rule.abstract
        following = abstract.successors(source) if inside(abstract, source) else []
        return any(state == target for _, state in following)
    of = rule.of
    if of is not None and satisfies(model, of, before) == satisfies(model, of, after):
        return None
    allowed: bool = rule.allowed(views[0], *([action] if rule.reads_action else []), views[1])
    return allowed
