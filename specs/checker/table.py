"""The table engine: breadth-first search over packed integers, in pure Python.

The visited set is one dict from state to parent, in the order of discovery: the dict is the set,
the parent links and the numbering of states in one.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, permutations
from typing import Any

from specs.checker.composite import Composite
from specs.checker.equivariance import Equivariance
from specs.checker.errors import ModelError, UsageError
from specs.checker.predicates import TRUTHS_SAMPLE, Judges, Panel, Truths, panel_of
from specs.checker.result import INTERRUPTED, Moment
from specs.checker.search import (
    STATES_BETWEEN_CHECKS,
    Exploration,
    StateGraph,
    Watch,
    is_cut,
    judge_start,
    judged_in_steps,
)
from specs.checker.steps import SeenSteps
from specs.checker.symmetry import NO_TWINS, Representatives
from specs.checker.tables import Tables, path_of

#: Rules are fused again at this many known states, on a sample of the latest level.
FUSE_AT = (1_000, 20_000, 400_000)
FUSE_SAMPLE = 4096
FUSE_KEYS_MAX = 256

#: If the kernel is asked for, this many states are searched here first to fill its tables.
WARM_UP = 8_000

HANDED_OVER = "handed over to the kernel"


@dataclass
class TableExploration(Exploration):
    """A search over the tables of one composite."""

    tables: Tables | None = None
    #: Each known state and the one it was first reached from (an initial state: itself).
    parents: dict[int, int] = field(default_factory=dict)
    outside: set[int] = field(default_factory=set)
    representatives: Representatives | None = None
    _order: list[int] = field(default_factory=list)
    _numbers: dict[int, int] = field(default_factory=dict)
    _truths: Truths | None = None
    #: The last evaluated panel, and its number for each state.
    _latest: tuple[Panel | None, list[int]] = (None, [])

    def order(self) -> list[int]:
        """All states in the order of discovery."""
        if len(self._order) != len(self.parents):
            self._order = list(self.parents)
            self._numbers = {packed: number for number, packed in enumerate(self._order)}
        return self._order

    def forget(self) -> None:
        """Forget all states."""
        self.parents.clear()
        self._order, self._numbers = [], {}

    def number(self, packed: int) -> int:
        """The place of a state in the order of discovery."""
        self.order()
        return self._numbers[packed]

    def every_state(self) -> Iterator[Any]:
        """All plain states that the search knows, those that a representative stands for too."""
        by = self.representatives
        if by is None:
            return super().every_state()
        assert self.tables is not None
        orders = list(permutations(range(len(by.replicas))))
        orbits = ({by.renamed(packed, each) for each in orders} for packed in self.order())
        return map(self.tables.layout.unpack, chain.from_iterable(orbits))

    def path(self, state: int) -> list[Moment]:
        """A shortest path from an initial state to `state`."""
        assert self.tables is not None
        way = [self.order()[state]]
        while self.parents[way[-1]] != way[-1]:
            way.append(self.parents[way[-1]])
        way.reverse()
        if self.representatives is not None:
            by = self.representatives
            start = next(packed for packed in self.tables.initial if by(packed) == way[0])
            way = by.walk(start, way)
        return path_of(self.tables, way)

    def graph(self) -> StateGraph:
        """The whole graph, from a second pass over the states."""
        assert self.tables is not None
        tables, order = self.tables, self.order()
        numbers = self._numbers
        initial = [numbers[packed] for packed in dict.fromkeys(tables.initial)]
        offsets, targets, labels = array("I", [0]), array("I"), array("I")
        for packed in order:
            if packed not in self.outside:
                for bundle in tables.bundles:
                    deltas, sends, names = bundle.entry(packed)
                    labels.extend(names)
                    targets.extend([numbers[packed + delta] for delta in deltas])
                    for delta, updates in sends:
                        target = packed + delta
                        for update in updates:
                            target += update.fill(packed)
                        targets.append(numbers[target])
            offsets.append(len(targets))
        return StateGraph(initial, offsets, targets, labels, list(tables.labels))

    def evaluate(self, predicate: Callable[[Any], bool], what: str) -> bytearray:
        """`predicate` in every state, as 0 and 1."""
        assert self.tables is not None
        order = self.order()
        if self._truths is None:
            self._truths = Truths(self.tables, order[:: len(order) // TRUTHS_SAMPLE + 1])
        panel, place = self._truths.of(predicate, what)
        if panel is not self._latest[0]:
            self._latest = panel, [panel(packed) for packed in order]
        says = [answers[place] for answers in panel.said]
        return bytearray([says[number] for number in self._latest[1]])

    def state(self, state: int) -> Any:
        """The plain state with this number."""
        assert self.tables is not None
        return self.tables.layout.unpack(self.order()[state])


class TableSearch:
    """One run of the table engine."""

    def __init__(self, composite: Composite[Any], watch: Watch, *, symmetry: bool = False) -> None:
        self.tables = Tables(composite)
        self.found = TableExploration("table", tables=self.tables)
        self.found.repeaters = self.tables.repeaters
        self._representative: Representatives | None = None
        self._equivariance: Equivariance | None = None
        if symmetry:
            if composite.symmetry is None:
                raise UsageError(
                    f"{composite.name!r} names no interchangeable components",
                    remedy="System.model(..., symmetric=[...])",
                )
            if composite.symmetry.unlike:
                raise ModelError(
                    composite.symmetry.unlike,
                    remedy="check without symmetry, or name only processes that behave alike",
                )
            self._representative = Representatives(self.tables, composite.symmetry)
            self.found.representatives = self._representative
            self._equivariance = Equivariance(composite, self.tables, self._representative)
        self._watch = watch
        self._composite = composite
        self._judges = Judges.of_states(self.tables)
        within, terminal = composite.within, composite.terminal
        stepwise = judged_in_steps(composite.properties)
        self._seen_steps = SeenSteps(self.tables) if stepwise else None
        self._within = within and panel_of(self.tables, within, "`within`")
        self._terminal = terminal and panel_of(self.tables, terminal, "`terminal`")
        self._fuse_at = list(FUSE_AT)

    def run(self, states_max: int | None = None) -> TableExploration:
        """Search to the end, to a violation or to a budget, or give up beyond `states_max`."""
        found, tables = self.found, self.tables
        initial: Sequence[int] = tables.initial
        if self._representative is not None:
            initial = [self._representative(packed) for packed in initial]
        found.parents.update((packed, packed) for packed in initial)
        level, depth = list(found.parents), 0
        try:
            violated = judge_start(
                found, self._composite.properties, lambda: map(self._seen, level)
            )
            while level:
                inside = self._inside(level) if self._within else level
                if inside:
                    found.depth = depth
                if self._judge(level) or violated:
                    break
                following = self._expand(inside)
                if self._seen_steps is not None:
                    violated = self._seen_steps.decide(found, found.number)
                if found.stopped or found.deadlock is not None or violated:
                    break
                level = following
                depth += 1
                if states_max is not None and len(found.parents) > states_max:
                    found.stopped = HANDED_OVER
                    break
            else:
                found.complete = True
        except KeyboardInterrupt:
            found.stopped = INTERRUPTED
        known, found.beyond = self._counts()
        found.distinct = known - found.beyond
        found.actions = {tables.labels[label].name for label in range(len(tables.labels))}
        if self._representative is not None and self._equivariance is not None and found.complete:
            size = self._representative.orbit_size
            found.notes.append(
                f"symmetry: {found.distinct:,} orbits stand for "
                f"{sum(map(size, found.parents)):,} states"
            )
            found.notes.append(self._equivariance.note())
        calls = self._composite.step_calls
        found.step_calls = calls() if calls is not None else 0
        return found

    def _counts(self) -> tuple[int, int]:
        """How many states are known, and how many of them are out of bounds."""
        return len(self.found.parents), len(self.found.outside)

    def _judge(self, level: Sequence[int]) -> bool:
        """Evaluate every property on the states of a level; True if an invariant is violated."""
        firsts = [panel.firsts(level) for panel in self._judges.group(self.found)]
        return self._judges.decide(self.found, firsts, self.found.number, self.tables.layout.unpack)

    def _seen(self, packed: int) -> Any:
        return self._composite.view(self.tables.layout.unpack(packed))

    def _inside(self, level: Sequence[int]) -> list[int]:
        """The states of a level that `within` allows to be expanded."""
        assert self._within
        inside = []
        for packed in level:
            if self._within(packed):
                inside.append(packed)
            else:
                self.found.outside.add(packed)
        return inside

    def _expand(self, level: Sequence[int]) -> list[int]:
        """Add the successors of all states of a level; the new ones are the next level."""
        found, tables = self.found, self.tables
        if self._fuse_at and len(found.parents) >= self._fuse_at[0]:
            while self._fuse_at and len(found.parents) >= self._fuse_at[0]:
                del self._fuse_at[0]
            tables.rebundle(level[:: len(level) // FUSE_SAMPLE + 1], FUSE_KEYS_MAX)
        tables.begin_level()
        plainly = self._representative is None and self._seen_steps is None
        expand = self._expand_some if plainly else self._expand_each
        following: list[int] = []
        for start in range(0, len(level), STATES_BETWEEN_CHECKS):
            expand(level[start : start + STATES_BETWEEN_CHECKS], following)
            queue = len(level) - start + len(following)
            known = len(found.parents)
            found.stopped = self._watch.exceeded(known, found.generated, found.depth, queue)
            if found.stopped:
                break
        return following

    def _expand_some(self, states: Sequence[int], following: list[int]) -> None:
        """The inner loop.  Every line of it runs millions of times."""
        found, tables = self.found, self.tables
        parents, generated, add = found.parents, found.generated, following.append
        plan = self._plan()
        for packed in states:
            before = generated
            while True:
                for mask, entry_of in plan:
                    entry = entry_of(packed & mask)
                    if entry is None:
                        break
                    deltas, sends, labels = entry
                    generated += len(labels)
                    for delta in deltas:
                        target = packed + delta
                        if target not in parents:
                            parents[target] = packed
                            add(target)
                    if sends:
                        for target, updates in sends:
                            target += packed
                            for update in updates:
                                addend = update.deltas.get(packed & update.mask)
                                target += update.fill(packed) if addend is None else addend
                            if target not in parents:
                                parents[target] = packed
                                add(target)
                else:
                    break
                # A new combination: fill the tables, then take this state again.
                generated = before
                tables.prepare(packed)
                plan = self._plan()
            if generated == before and found.deadlock is None and not self._may_end(packed):
                found.deadlock = found.number(packed)
        found.generated = generated

    def _expand_each(self, states: Sequence[int], following: list[int]) -> None:
        """The same step by step: for claims on steps, and for symmetry.

        Under symmetry each successor is reduced to its representative, once for twins.
        """
        found, tables, representative = self.found, self.tables, self._representative
        parents, plan, judged = found.parents, self._plan(), self._seen_steps
        steps: list[int] = []
        shift = 0 if judged is None else judged.shift
        for packed in states:
            if self._equivariance is not None:
                self._equivariance.test(packed)
            before = found.generated
            entries = [entry_of(packed & mask) for mask, entry_of in plan]
            if None in entries:
                tables.prepare(packed)
                plan = self._plan()
                entries = [entry_of(packed & mask) for mask, entry_of in plan]
            twins = NO_TWINS if representative is None else representative.twins(packed)
            for deltas, sends, labels in entries:
                targets = [packed + delta for delta in deltas]
                for delta, updates in sends:
                    target = packed + delta
                    for update in updates:
                        target += update.fill(packed)
                    targets.append(target)
                found.generated += len(targets)
                if judged is not None:
                    steps += [
                        packed | (target | label << shift) << shift
                        for label, target in zip(labels, targets, strict=True)
                        if target != packed
                    ]
                for target in targets:
                    if target in parents:
                        continue
                    if representative is not None:
                        if twins and representative.only(packed ^ target) in twins:
                            continue
                        target = representative(target)
                        if target in parents:
                            continue
                    parents[target] = packed
                    following.append(target)
            if found.generated == before and found.deadlock is None and not self._may_end(packed):
                found.deadlock = found.number(packed)
        if judged is not None:
            judged.add(found, states, steps)

    def _plan(self) -> list[tuple[int, Callable[[int], Any]]]:
        return [(bundle.mask, bundle.entries.get) for bundle in self.tables.bundles]

    def _may_end(self, packed: int) -> bool:
        if self._terminal and self._terminal(packed):
            return True
        return is_cut(self._composite, self.tables.layout.unpack(packed))
