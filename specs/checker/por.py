"""Partial-order reduction: of steps that commute, some orders stand for all.

In each state only the rules of a *stubborn set* are followed (Valmari 1990; the ample sets of
Peled 1993 are stubborn sets of whole processes).  For a rule in the set, so are

* the rules that may touch what it looked at: as long as none of them acts, it says the same;
* where it has moves, the rules whose moves may not commute with them.

So whatever the rules outside do first, each move of the set can come before it as well as after
it, and deadlocks are kept.  Two more conditions keep what the properties say:

* visibility: where a move of the set touches what a property may look at, the set holds every rule
  that may touch what the property did look at in this state.  A way to a state that decides the
  property then begins, up to the order of steps that commute, within the set (the up-sets of
  Kristensen and Valmari 2000, "Improved question-guided stubborn set methods for state
  properties"); otherwise the moves of the set are invisible to it;
* the cycle proviso for breadth-first search: where a set leaves rules out, one of its moves leads
  to a state that is yet to be expanded (Bošnački and Holzmann 2005, "Improving Spin's partial-order
  reduction for breadth-first search").  So no rule is put off for ever.

**What a rule may do is learned**, and that is sound.  Footprints only grow, and a search counts
only if they did not grow in it.  Suppose some reachable state had shown more.  Take the first step
of a way there at which a rule goes beyond its footprint, as an event of its own that looks at what
the rule looked at before.  Stubborn sets as above, and the proviso, keep the event reachable:
the search would have met it.  The same goes for what properties look at.

Verdicts, deadlocks, and actions never taken are those of the full search.  Counterexamples are
real, but need not be shortest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from specs.checker.composite import Composite, Rule
from specs.checker.errors import UsageError
from specs.checker.footprint import Coded, Effects, Leaf, Moves, Observer, Tree, Values, touched
from specs.checker.model import Property
from specs.checker.reference import ReferenceExploration
from specs.checker.search import (
    DECIDED,
    NOTHING,
    STATES_BETWEEN_CHECKS,
    Watch,
    judge,
    judged_in_states,
    truth,
)


class Footprints:
    """Which rules, and which properties, have to do with a slot: sets of them, as bits.

    `version` counts how often one grew.
    """

    def __init__(self, slots: int) -> None:
        self.version = 0
        self.looks, self.heads, self.writes, self.takes, self.updates, self.goals = (
            [0] * slots for _ in range(6)
        )

    def add(self, bits: int, leaf: Leaf[Any]) -> None:
        """Rules (`bits`) have answered with `leaf`."""
        for kind, slots in (
            (self.looks, leaf.whole),
            (self.heads, leaf.heads | leaf.empty),
            (self.writes, leaf.writes),
            (self.takes, leaf.takes),
            (self.updates, leaf.updates),
        ):
            self._grow(kind, slots, bits)

    def add_goal(self, bits: int, leaf: Leaf[Any]) -> None:
        """Properties (`bits`) have answered with `leaf`."""
        self._grow(self.goals, leaf.whole, bits)

    def _grow(self, kind: list[int], slots: set[int], bits: int) -> None:
        for slot in slots:
            if bits & ~kind[slot]:
                kind[slot] |= bits
                self.version += 1

    def brush_up(self, leaf: Leaf[Any]) -> None:
        """Bring up to date what a leaf says of others."""
        leaf.at = self.version
        leaf.needs = self.disturbers(leaf) | self.opponents(leaf)
        leaf.goals = 0
        for slot in leaf.writes | leaf.takes | leaf.updates:
            leaf.goals |= self.goals[slot]

    def disturbers(self, leaf: Leaf[Any]) -> int:
        """Rules that may change the answer.  Behind the head of a queue anything may be added."""
        rules = 0
        for slot in leaf.whole:
            rules |= self.writes[slot] | self.takes[slot] | self.updates[slot]
        for slot in leaf.heads:
            rules |= self.writes[slot] | self.takes[slot]
        for slot in leaf.empty:
            rules |= self.writes[slot] | self.updates[slot]
        return rules

    def opponents(self, leaf: Leaf[Any]) -> int:
        """Rules whose moves may not commute with those of the leaf, or whose answer they change."""
        rules = 0
        for slot in leaf.writes:
            rules |= self.writes[slot] | self.takes[slot] | self.updates[slot]
            rules |= self.looks[slot] | self.heads[slot]
        for slot in leaf.takes:
            rules |= self.writes[slot] | self.takes[slot] | self.looks[slot] | self.heads[slot]
        for slot in leaf.updates:
            rules |= self.writes[slot] | self.updates[slot] | self.looks[slot]
        return rules


class StubbornSets:
    """All that was learned about a composite, and the stubborn sets that follow from it."""

    def __init__(self, composite: Composite[Any]) -> None:
        self.composite = composite
        self.values = Values(composite)
        self.footprints = Footprints(len(composite.slots))
        self._effects = Effects(composite, self.values)
        self.rules = [
            Tree(
                f"a rule of {composite.name!r}",
                partial(self._moves, rule),
                self.values,
                partial(self._answered, 1 << number),
                heads=True,
            )
            for number, rule in enumerate(composite.rules)
        ]
        self.properties = judged_in_states(composite.properties)
        self.judges = [
            Tree(
                f"property {prop.name!r}",
                partial(self._judge, prop),
                self.values,
                partial(self.footprints.add_goal, 1 << number),
            )
            for number, prop in enumerate(self.properties)
        ]
        everything = (1 << len(self.rules)) - 1
        self.within = (
            Tree("`within`", self._inside, self.values, partial(self.footprints.add, everything))
            if composite.within is not None
            else None
        )

    def _moves(self, rule: Rule, observer: Observer) -> Moves:
        return self._effects.moves(self.composite.changes(rule, observer))

    def _answered(self, bit: int, leaf: Leaf[Moves]) -> None:
        touched(leaf)
        self.footprints.add(bit, leaf)

    def _judge(self, prop: Property[Any], observer: Observer) -> int:
        return judge(prop, self.composite.view(observer))

    def _inside(self, observer: Observer) -> bool:
        assert self.composite.within is not None
        return truth(self.composite.within, self.composite.view(observer), "`within`")

    def leaves(self, state: Coded) -> list[Leaf[Moves]]:
        """What each rule says in `state`."""
        found = [rule.leaf(state) for rule in self.rules]
        for leaf in found:
            if leaf.at != self.footprints.version:
                self.footprints.brush_up(leaf)
        return found

    def choices(self, state: Coded, leaves: Sequence[Leaf[Moves]], open_goals: int) -> list[int]:
        """Stubborn sets that leave moves out, as bits, those with the fewest moves first."""
        enabled = sum(1 << rule for rule, leaf in enumerate(leaves) if leaf.answer)
        # Rules from which the closure is known to take in every move.
        vain = 0
        found: dict[int, int] = {}
        for rule in numbers(enabled):
            rules = enabled & self._closure(rule, state, leaves, enabled, vain, open_goals)
            if not rules:
                vain |= 1 << rule
            elif rules not in found:
                found[rules] = sum(len(leaves[each].answer) for each in numbers(rules))
        return sorted(found, key=found.__getitem__)

    def _closure(
        self,
        first: int,
        state: Coded,
        leaves: Sequence[Leaf[Moves]],
        enabled: int,
        vain: int,
        open_goals: int,
    ) -> int:
        """The least stubborn set with rule `first`, or 0 where that takes in every move."""
        rules = goals = 0
        todo = 1 << first
        if self.within is not None:
            todo |= self.footprints.disturbers(self.within.leaf(state))
        while todo:
            if todo & vain:
                return 0
            bit = todo & -todo
            rules |= bit
            if not enabled & ~rules:
                return 0
            leaf = leaves[bit.bit_length() - 1]
            todo |= leaf.needs
            seen_by = leaf.goals & open_goals & ~goals
            if seen_by:
                goals |= seen_by
                for goal in numbers(seen_by):
                    todo |= self.footprints.disturbers(self.judges[goal].leaf(state))
            todo &= ~rules
        return rules


def numbers(bits: int) -> Iterator[int]:
    """The members of a set that is kept as bits."""
    while bits:
        bit = bits & -bits
        yield bit.bit_length() - 1
        bits ^= bit


@dataclass
class ReducedExploration(ReferenceExploration):
    """A search by stubborn sets.  Its states are kept in numbers."""

    values: Values | None = None
    #: Expanded states, and those of which moves were left out.
    expanded: int = 0
    partly: int = 0
    #: Moves of all expanded states, taken or not.
    enabled: int = 0

    def state(self, state: int) -> Any:
        """The plain state with this number."""
        assert self.values is not None
        return self.values.decode(self.states[state])


def explore(composite: Composite[Any], watch: Watch) -> ReducedExploration:
    """Search by stubborn sets until a search teaches nothing new.

    Raises `UsageError` where a property needs more than single states.
    """
    if any(prop.is_liveness for prop in composite.properties):
        raise UsageError(
            f"partial-order reduction with a liveness property ({composite.name!r})",
            remedy="it leaves behaviours out that fairness would judge; check without",
        )
    sets = StubbornSets(composite)
    searches = 0
    while True:
        searches += 1
        search = _Search(sets, watch)
        if search.run():
            break
    found = search.found
    found.notes.append(
        f"partial-order reduction: {found.generated:,} of {found.enabled:,} steps were taken, "
        f"{found.partly:,} of {found.expanded:,} states left some out (search {searches})"
    )
    found.step_calls = composite.step_calls() if composite.step_calls is not None else 0
    return found


class _Search:
    """One search, with the footprints that are known when it begins."""

    def __init__(self, sets: StubbornSets, watch: Watch) -> None:
        self._sets = sets
        self._watch = watch
        self._version = sets.footprints.version
        self._model = sets.composite
        self.found = ReducedExploration(
            "stubborn sets", model=sets.composite.model(), values=sets.values
        )

    def run(self) -> bool:
        """Search; False where a footprint grew, so that the search has to be made anew."""
        found = self.found
        for state in self._model.initial:
            found.add(self._sets.values.code(state), -1)
        level = range(len(found.states))
        try:
            while level:
                if self._judge(level):
                    break
                self._expand(level)
                if found.stopped or found.deadlock is not None:
                    break
                if self._is_void():
                    return False
                level = range(level.stop, len(found.states))
                found.depth += bool(level)
            else:
                found.complete = True
        except KeyboardInterrupt:
            found.stopped = "interrupted"
        found.distinct = len(found.states) - len(found.outside)
        return True

    def _is_void(self) -> bool:
        """Whether stubborn sets were chosen that would not be chosen now."""
        return self._sets.footprints.version != self._version

    def _judge(self, level: range) -> bool:
        """Ask every property about the states of a level; True where an invariant is violated."""
        found = self.found
        for prop, tree in zip(self._sets.properties, self._sets.judges, strict=True):
            for number in level:
                said = tree.leaf(found.states[number]).answer
                if said != NOTHING:
                    found.met.add(prop.name)
                if said == DECIDED and prop.name not in found.decided:
                    found.decided[prop.name] = number
            if prop.kind == "always" and prop.name in found.decided:
                return True
        return False

    def _open_goals(self) -> int:
        """Properties that a state may still decide, or give their first trial, as bits."""
        return sum(
            1 << goal
            for goal, prop in enumerate(self._sets.properties)
            if prop.kind == "always" or prop.name not in self.found.decided
        )

    def _expand(self, level: range) -> None:
        """Add the successors of all states of a level, as far as they are needed."""
        found, sets = self.found, self._sets
        open_goals = self._open_goals()
        for start in range(level.start, level.stop, STATES_BETWEEN_CHECKS):
            chunk = range(start, min(start + STATES_BETWEEN_CHECKS, level.stop))
            for number in chunk:
                state = found.states[number]
                if sets.within is not None and not sets.within.leaf(state).answer:
                    found.outside.add(number)
                else:
                    self._expand_state(number, state, open_goals)
            known = len(found.states)
            queue = known - chunk.stop
            found.stopped = self._watch.exceeded(known, found.generated, found.depth, queue)
            if found.stopped:
                return

    def _expand_state(self, number: int, state: Coded, open_goals: int) -> None:
        found, sets = self.found, self._sets
        leaves = sets.leaves(state)
        every = (1 << len(leaves)) - 1
        enabled = sum(len(leaf.answer) for leaf in leaves)
        found.expanded += 1
        found.enabled += enabled
        if not enabled:
            terminal = self._model.terminal
            view = self._model.view(sets.values.decode(state))
            if found.deadlock is None and (
                terminal is None or not truth(terminal, view, "`terminal`")
            ):
                found.deadlock = number
            return
        for rules in sets.choices(state, leaves, open_goals):
            following = list(successors(state, leaves, rules))
            if self._goes_on(number, following):
                found.partly += 1
                break
        else:
            following = list(successors(state, leaves, every))
        found.generated += len(following)
        for name, target in following:
            found.actions.add(name)
            found.add(target, number)

    def _goes_on(self, number: int, following: Sequence[tuple[str, Coded]]) -> bool:
        """The cycle proviso: some successor of state `number` is yet to be expanded."""
        numbers = self.found.numbers
        return any(numbers.get(target, number + 1) > number for _, target in following)


def successors(
    state: Coded, leaves: Sequence[Leaf[Moves]], rules: int
) -> Iterator[tuple[str, Coded]]:
    """The moves of some rules: the action's name and the state that follows."""
    for rule in numbers(rules):
        for action, effects in leaves[rule].answer:
            following = list(state)
            for effect in effects:
                following[effect.slot] = effect.after(state[effect.slot])
            yield action.name, tuple(following)
