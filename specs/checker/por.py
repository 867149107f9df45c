"""Partial-order reduction: of the orders of steps that commute, only some are searched.

In each state only the rules of a *stubborn set* are followed (Valmari 1990; the ample sets of Peled
1993 are stubborn sets of whole processes).  With a rule, the set contains

* the rules that may change a slot that it read: until one of them acts, its moves are the same;
* if it has moves, the rules whose moves may not commute with them.

So each move of the set commutes with all moves that rules outside the set make before it, and
deadlocks are kept.  Two more conditions keep the verdicts of the properties:

* visibility: if a move of the set changes a slot that a property may read, the set contains every
  rule that may change a slot that the property read in this state.  A path to a state that decides
  the property then begins, up to the order of steps that commute, within the set (the up-sets of
  Kristensen and Valmari 2000, "Improved question-guided stubborn set methods for state
  properties"); otherwise the moves of the set are invisible to it;
* the cycle proviso for breadth-first search: if a set leaves rules out, one of its moves leads to a
  state that is not expanded yet (Bošnački and Holzmann 2005).  So no rule is postponed for ever.

**Footprints of rules are learned**, and that is sound.  They only grow, and a search counts only if
all sets that it followed are still stubborn by the footprints at its end.  Suppose a rule exceeds
its final footprint in some reachable state.  Take the first step of a path there at which a rule
does so as a separate event that reads the slots that the rule had read until then.  The sets are
stubborn with such events, too, and the proviso postpones none of them for ever: the search would
have met the event.  The same holds for the footprints of properties.

Verdicts, deadlocks, and actions never taken are those of the full search.  Counterexamples are
real, but need not be shortest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from specs.checker.composite import Composite
from specs.checker.errors import UsageError
from specs.checker.footprint import Footprint, question, rules_of, with_checked_queues
from specs.checker.result import INTERRUPTED
from specs.checker.search import (
    DECIDED,
    NOTHING,
    STATES_BETWEEN_CHECKS,
    Watch,
    judge,
    judged_in_states,
    judged_in_steps,
    may_rest,
    truth,
)
from specs.checker.table import TableExploration
from specs.checker.tables import Move, Tables

#: States sampled to explain why no move could be left out.
SAMPLE = 1_000


class Meetings:
    """The rules and properties that depend on a slot or change it: sets, as bits.

    `version` counts how often one grew.
    """

    def __init__(self, slots: int) -> None:
        self.version = 0
        self.looks, self.heads, self.writes, self.takes, self.updates, self.goals = (
            [0] * slots for _ in range(6)
        )

    def add(self, bits: int, found: Footprint[Any]) -> None:
        """Rules (`bits`) have answered with `found`."""
        for kind, slots in (
            (self.looks, found.whole),
            (self.heads, found.heads | found.empty),
            (self.writes, found.writes),
            (self.takes, found.takes),
            (self.updates, found.updates),
        ):
            self._grow(kind, slots, bits)

    def add_goal(self, bits: int, found: Footprint[Any]) -> None:
        """Properties (`bits`) have answered with `found`."""
        self._grow(self.goals, found.whole, bits)

    def _grow(self, kind: list[int], slots: set[int], bits: int) -> None:
        for slot in slots:
            if bits & ~kind[slot]:
                kind[slot] |= bits
                self.version += 1

    def brush_up(self, found: Footprint[Any]) -> None:
        """Update the relations of a footprint to the others."""
        found.at = self.version
        found.needs = self.disturbers(found) | self.opponents(found)
        found.goals = 0
        for slot in found.writes | found.takes | found.updates:
            found.goals |= self.goals[slot]

    def disturbers(self, found: Footprint[Any]) -> int:
        """Rules that may change the answer.  An append behind a queue's head does not."""
        rules = 0
        for slot in found.whole:
            rules |= self.writes[slot] | self.takes[slot] | self.updates[slot]
        for slot in found.heads:
            rules |= self.writes[slot] | self.takes[slot]
        for slot in found.empty:
            rules |= self.writes[slot] | self.updates[slot]
        return rules

    def opponents(self, found: Footprint[Any]) -> int:
        """Rules whose moves may not commute with these, or whose answer these may change."""
        rules = 0
        for slot in found.writes:
            rules |= self.writes[slot] | self.takes[slot] | self.updates[slot]
            rules |= self.looks[slot] | self.heads[slot]
        for slot in found.takes:
            rules |= self.writes[slot] | self.takes[slot] | self.looks[slot] | self.heads[slot]
        for slot in found.updates:
            rules |= self.writes[slot] | self.updates[slot] | self.looks[slot]
        return rules


class StubbornSets:
    """The learned footprints of a composite, and the stubborn sets that follow from them."""

    def __init__(self, composite: Composite[Any]) -> None:
        self.composite = composite
        self.tables = Tables(with_checked_queues(composite))
        self.meetings = Meetings(len(composite.slots))
        self.rules = rules_of(
            self.tables, lambda number, found: self.meetings.add(1 << number, found)
        )
        self.properties = judged_in_states(composite.properties)
        self.judges = [
            question(
                self.tables,
                partial(judge, prop),
                partial(self.meetings.add_goal, 1 << goal),
                str(prop),
            )
            for goal, prop in enumerate(self.properties)
        ]
        # Every rule stops in a state out of bounds, and so reads the slots that `within` reads.
        within, every = composite.within, (1 << len(self.rules)) - 1
        self.within = within and question(
            self.tables,
            lambda view: truth(within, view, "`within`"),
            partial(self.meetings.add, every),
            "`within`",
        )

    def footprints(self, packed: int) -> list[Footprint[tuple[Move, ...]]]:
        """The footprint of each rule in a state."""
        found = [rule(packed) for rule in self.rules]
        for footprint in found:
            if footprint.at != self.meetings.version:
                self.meetings.brush_up(footprint)
        return found

    def choices(
        self, packed: int, footprints: Sequence[Footprint[tuple[Move, ...]]], open_goals: int
    ) -> list[int]:
        """Stubborn sets that leave moves out, as bits, those with the fewest moves first."""
        enabled = sum(1 << rule for rule, found in enumerate(footprints) if found.answer)
        # Rules whose closure is known to contain every move.
        vain = 0
        moves: dict[int, int] = {}
        for rule in numbers(enabled):
            rules = enabled & self._closure(rule, packed, footprints, enabled, vain, open_goals)
            if not rules:
                vain |= 1 << rule
            elif rules not in moves:
                moves[rules] = sum(len(footprints[each].answer) for each in numbers(rules))
        return sorted(moves, key=moves.__getitem__)

    def _closure(
        self,
        first: int,
        packed: int,
        footprints: Sequence[Footprint[tuple[Move, ...]]],
        enabled: int,
        vain: int,
        open_goals: int,
    ) -> int:
        """The least stubborn set with rule `first`, or 0 if that contains every move."""
        rules = goals = 0
        todo = 1 << first
        if self.within:
            todo |= self.meetings.disturbers(self.within(packed))
        while todo:
            if todo & vain:
                return 0
            bit = todo & -todo
            rules |= bit
            if not enabled & ~rules:
                return 0
            found = footprints[bit.bit_length() - 1]
            todo |= found.needs
            seen_by = found.goals & open_goals & ~goals
            goals |= seen_by
            for goal in numbers(seen_by):
                todo |= self.meetings.disturbers(self.judges[goal](packed))
            todo &= ~rules
        return rules

    def successors(
        self, packed: int, footprints: Sequence[Footprint[tuple[Move, ...]]], rules: int
    ) -> list[tuple[int, int]]:
        """(label, packed successor) of the moves of some rules."""
        updates = self.tables.updates
        found = []
        for rule in numbers(rules):
            for label, delta, update_numbers in footprints[rule].answer:
                target = packed + delta
                for number in update_numbers:
                    target += updates[number].fill(packed)
                found.append((label, target))
        return found


def numbers(bits: int) -> Iterator[int]:
    """The members of a set that is kept as bits."""
    while bits:
        bit = bits & -bits
        yield bit.bit_length() - 1
        bits ^= bit


@dataclass
class ReducedExploration(TableExploration):
    """A search by stubborn sets."""

    #: Expanded states, and those of which moves were left out.
    expanded: int = 0
    partly: int = 0
    #: Moves of all expanded states, taken or not.
    enabled: int = 0


def explore(composite: Composite[Any], watch: Watch) -> ReducedExploration:
    """Search by stubborn sets until a search invalidates none of its own sets.

    Raises `UsageError` if a property needs more than single states.
    """
    if any(prop.is_liveness for prop in composite.properties):
        raise UsageError(
            f"partial-order reduction with a liveness property ({composite.name!r})",
            remedy="it leaves behaviours out that fairness would judge; check without",
        )
    if judged_in_steps(composite.properties):
        raise UsageError(
            f"partial-order reduction with a claim on steps ({composite.name!r})",
            remedy="it leaves steps out that may violate the claim; check without",
        )
    sets = StubbornSets(composite)
    while not (search := _Search(sets, watch)).run():
        pass
    found = search.found
    found.notes.append(
        f"partial-order reduction: {found.generated:,} of {found.enabled:,} steps were taken, "
        f"{found.partly:,} of {found.expanded:,} states left some out"
    )
    if not found.partly:
        found.notes.append(_why_nothing(sets, found))
    found.step_calls = composite.step_calls() if composite.step_calls is not None else 0
    return found


def _why_nothing(sets: StubbornSets, found: ReducedExploration) -> str:
    """Whether the properties are the reason that no move was left out, from a sample."""
    states = found.order()
    for packed in states[:: len(states) // SAMPLE + 1]:
        if sets.choices(packed, sets.footprints(packed), 0):
            return "nothing to leave out: the properties read all that other orders would change"
    return "nothing to leave out: every rule may affect every other"


class _Search:
    """One search, with the footprints that are known when it begins."""

    def __init__(self, sets: StubbornSets, watch: Watch) -> None:
        self._sets = sets
        self._watch = watch
        self._version = sets.meetings.version
        self._expanded: set[int] = set()
        #: The sets that were followed in states of which moves were left out.
        self._followed: dict[int, int] = {}
        self.found = ReducedExploration("stubborn sets", tables=sets.tables)
        self.found.repeaters = sets.tables.repeaters

    def run(self) -> bool:
        """Search; False if it must be repeated with the footprints that it learned."""
        found = self.found
        found.parents.update((packed, packed) for packed in self._sets.tables.initial)
        level, depth = list(found.parents), 0
        try:
            while level:
                if self._judge(level):
                    break
                known = len(found.outside)
                following = self._expand(level)
                if len(found.outside) - known < len(level):
                    found.depth = depth
                if found.stopped or found.deadlock is not None:
                    break
                if self._is_void():
                    return False
                level, depth = following, depth + 1
            else:
                found.complete = True
        except KeyboardInterrupt:
            found.stopped = INTERRUPTED
        found.beyond = len(found.outside)
        found.distinct = len(found.parents) - found.beyond
        found.partly = len(self._followed)
        found.partial = bool(found.partly)
        return True

    def _is_void(self) -> bool:
        """Whether footprints have grown and a set that was followed is no longer stubborn."""
        sets = self._sets
        if self._version == sets.meetings.version:
            return False
        self._version = sets.meetings.version
        open_goals = self._open_goals()
        return any(
            rules not in sets.choices(packed, sets.footprints(packed), open_goals)
            for packed, rules in self._followed.items()
        )

    def _judge(self, level: Sequence[int]) -> bool:
        """Evaluate every property on the states of a level; True if an invariant is violated."""
        found = self.found
        for prop, judge_of in zip(self._sets.properties, self._sets.judges, strict=True):
            for packed in level:
                said = judge_of(packed).answer
                if said != NOTHING:
                    found.met.add(prop.name)
                if said == DECIDED and prop.name not in found.decided:
                    found.decided[prop.name] = found.number(packed)
            if prop.kind == "always" and prop.name in found.decided:
                return True
        return False

    def _open_goals(self) -> int:
        """Properties that a state may still decide, as bits."""
        return sum(
            1 << goal
            for goal, prop in enumerate(self._sets.properties)
            if prop.name not in self.found.decided
        )

    def _expand(self, level: Sequence[int]) -> list[int]:
        """Add the needed successors of all states of a level; the new ones are the next level."""
        found, sets = self.found, self._sets
        open_goals = self._open_goals()
        following: list[int] = []
        for start in range(0, len(level), STATES_BETWEEN_CHECKS):
            for packed in level[start : start + STATES_BETWEEN_CHECKS]:
                if sets.within and not sets.within(packed).answer:
                    found.outside.add(packed)
                else:
                    following += self._expand_state(packed, open_goals)
            known, queue = len(found.parents), len(level) - start + len(following)
            found.stopped = self._watch.exceeded(known, found.generated, found.depth, queue)
            if found.stopped:
                break
        return following

    def _expand_state(self, packed: int, open_goals: int) -> Iterator[int]:
        found, sets = self.found, self._sets
        footprints = sets.footprints(packed)
        enabled = sum(len(footprint.answer) for footprint in footprints)
        self._expanded.add(packed)
        found.expanded += 1
        found.enabled += enabled
        if not enabled and found.deadlock is None and not self._may_end(packed):
            found.deadlock = found.number(packed)
        for rules in sets.choices(packed, footprints, open_goals):
            taken = sets.successors(packed, footprints, rules)
            if self._goes_on(taken):
                self._followed[packed] = rules
                break
        else:
            taken = sets.successors(packed, footprints, (1 << len(footprints)) - 1)
        found.generated += len(taken)
        for label, target in taken:
            found.actions.add(sets.tables.labels[label].name)
            if target not in found.parents:
                found.parents[target] = packed
                yield target

    def _goes_on(self, taken: Sequence[tuple[int, int]]) -> bool:
        """The cycle proviso: some successor is not expanded yet."""
        return any(target not in self._expanded for _, target in taken)

    def _may_end(self, packed: int) -> bool:
        return may_rest(self._sets.composite, self._sets.tables.layout.unpack(packed))
