"""The compiled engine: the tables of `specs.checker.tables`, searched by the kernel.

States are rows of 64-bit words in the order of discovery, which is the queue, with one 32-bit
parent each and an open-addressing table of row numbers: exact, without fingerprints.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from specs.checker import kernel
from specs.checker.compiled_steps import LevelSteps
from specs.checker.composite import Composite
from specs.checker.crew import Crew
from specs.checker.maps import CHUNK, MISSING_MAX, NONE, WORD, Maps, TooNarrow
from specs.checker.predicates import TRUTHS_SAMPLE, Judges, Panel, Truths, panel_of
from specs.checker.result import INTERRUPTED, Moment
from specs.checker.search import (
    Exploration,
    StateGraph,
    Watch,
    is_cut,
    judge_start,
    judged_in_steps,
)
from specs.checker.tables import Tables, path_of

WORDS_MAX = 8

#: Room for the successors of one state, at first.
SUCCESSORS = 1 << 8


class States:
    """All states, their parents and the table that finds them again."""

    def __init__(self, words: int, capacity: int = 1 << 16) -> None:
        self.rows = np.zeros((capacity, words), np.uint64)
        self.parents = np.zeros(capacity, np.int32)
        self.table = np.full(2 * capacity, kernel.EMPTY, np.int32)
        self.known = 0

    def make_room(self, more: int, dims: Any) -> None:
        """Grow the arrays that `more` states do not fit into."""
        if self.known + more > len(self.rows):
            capacity = 2 * max(len(self.rows), self.known + more)
            rows = np.empty((capacity, self.rows.shape[1]), np.uint64)
            parents = np.empty(capacity, np.int32)
            rows[: self.known] = self.rows[: self.known]
            parents[: self.known] = self.parents[: self.known]
            self.rows, self.parents = rows, parents
        size = len(self.table)  # a power of two
        while 3 * (self.known + more) > 2 * size:
            size *= 2
        if size > len(self.table):
            self.rehash(size, dims)

    def rehash(self, size: int, dims: Any) -> None:
        """A table of another size over the same states."""
        self.table = np.full(size, kernel.EMPTY, np.int32)
        kernel.rehash(self.rows, self.known, self.table, dims)

    def widen(self, words: int) -> None:
        """Give every state more words, all zero."""
        more = words - self.rows.shape[1]
        self.rows = np.pad(self.rows, ((0, 0), (0, more)))
        self.rehash(len(self.table), (0,) * words)


class Edges:
    """The transitions, if they are kept: liveness needs them all at the end."""

    def __init__(self, capacity: int) -> None:
        self.starts = np.zeros(capacity, np.uint32)
        self.degrees = np.zeros(capacity, np.uint32)
        self.targets = np.zeros(4 * capacity, np.uint32)
        self.labels = np.zeros(4 * capacity, np.uint32)

    @property
    def view(self) -> Any:
        """The arrays, in the kernel's form."""
        return self.starts, self.degrees, self.targets, self.labels

    def make_room(self, states: int, transitions: int) -> None:
        """Grow arrays that would be too short, if transitions are kept."""
        if not len(self.starts):
            return
        if transitions > len(self.targets):
            self.targets = _longer(self.targets, 2 * transitions)
            self.labels = _longer(self.labels, 2 * transitions)
        if states > len(self.starts):
            self.starts = _longer(self.starts, states)
            self.degrees = _longer(self.degrees, states)

    def of(self, rows: Any) -> tuple[Any, Any, Any]:
        """The rows before and after, and the labels, of all transitions from some rows."""
        degrees = self.degrees[rows].astype(np.int64)
        before = np.repeat(rows, degrees)
        nth = np.arange(len(before)) - np.repeat(np.cumsum(degrees) - degrees, degrees)
        places = self.starts[before] + nth
        return before, self.targets[places], self.labels[places]

    def arranged(self, known: int) -> tuple[array[int], array[int], array[int]]:
        """Offsets, targets and labels in the order of states."""
        offsets = np.zeros(known + 1, np.uint32)
        np.cumsum(self.degrees[:known], out=offsets[1:])
        targets, labels = np.zeros(offsets[-1], np.uint32), np.zeros(offsets[-1], np.uint32)
        kernel.arrange(self.view, offsets, targets, labels)
        found = array("I"), array("I"), array("I")
        for into, numbers in zip(found, (offsets, targets, labels), strict=True):
            into.frombytes(numbers.view(np.uint8).data)
        return found


def _longer(numbers: Any, length: int) -> Any:
    return np.pad(numbers, (0, length - len(numbers)))


@dataclass
class CompiledExploration(Exploration):
    """A search by the kernel."""

    search: CompiledSearch | None = None

    def path(self, state: int) -> list[Moment]:
        """A shortest path from an initial state to `state`."""
        assert self.search is not None
        states = self.search.states
        rows = [state]
        while states.parents[rows[-1]] >= 0:
            rows.append(int(states.parents[rows[-1]]))
        return path_of(self.search.tables, [self.search.packed(row) for row in reversed(rows)])

    def graph(self) -> StateGraph:
        """The whole graph, whose edges were kept."""
        assert self.search is not None
        return self.search.graph()

    def evaluate(self, predicate: Callable[[Any], bool], what: str) -> bytearray:
        """`predicate` in every state, as 0 and 1."""
        assert self.search is not None
        return self.search.evaluate(predicate, what)

    def state(self, state: int) -> Any:
        """The plain state with this number."""
        assert self.search is not None
        return self.search.plain(state)


class CompiledSearch:
    """One run of the kernel over tables that another engine may have begun to fill."""

    def __init__(
        self, composite: Composite[Any], tables: Tables, watch: Watch, workers: int = 1
    ) -> None:
        self.tables = tables
        self._composite = composite
        self._watch = watch
        self.found = CompiledExploration("numba", search=self, repeaters=tables.repeaters)
        # A few bits to spare save a change of width half-way.
        words = (tables.layout.width + 6) // WORD + 1
        started = time.perf_counter()
        warm_up(words)
        self.found.compile_s = time.perf_counter() - started
        self.states = States(words)
        self._maps = Maps(tables, words, tables.bundles)
        self._truths: Truths | None = None
        #: The last evaluated panel, and its number for each state.
        self._latest: tuple[Panel | None, Any] = (None, NONE)
        stepwise = judged_in_steps(composite.properties)
        self._level_steps = LevelSteps(tables) if stepwise else None
        live = any(prop.is_liveness for prop in composite.properties)
        self._edges = Edges(len(self.states.rows) if live or stepwise else 0)
        self._successors = SUCCESSORS
        self._crew = Crew(workers)
        self._crew.equip(self._successors, words)
        self._missing = np.zeros((MISSING_MAX, 2), np.int64)
        self._judges = Judges.of_states(tables)
        within, terminal = composite.within, composite.terminal
        self._within = within and panel_of(tables, within, "`within`")
        self._terminal = terminal and panel_of(tables, terminal, "`terminal`")

    def run(self) -> CompiledExploration:
        """Search to the end, to a violation or to a budget."""
        found, states = self.found, self.states
        initial = dict.fromkeys(self.tables.initial)
        self._make_room(len(initial))
        for packed in initial:
            states.rows[states.known] = self._maps.as_words(packed)
            states.parents[states.known] = -1
            states.known += 1
        states.rehash(len(states.table), self._maps.dims)
        low, high, depth = 0, states.known, 0
        try:
            violated = judge_start(found, self._composite.properties, lambda: self._seen(high))
            while low < high:
                self._maps.refresh_masks()
                inside = self._inside(low, high)
                if len(inside):
                    found.depth = depth
                if self._judge(low, high) or violated:
                    break
                self._expand(inside)
                if self._level_steps is not None:
                    violated = self._level_steps.decide(
                        found, inside, states.rows, self._steps_from, self.plain
                    )
                if found.stopped or found.deadlock is not None or violated:
                    break
                low, high = high, states.known
                depth += 1
            else:
                found.complete = True
        except KeyboardInterrupt:
            found.stopped = INTERRUPTED
        finally:
            self._crew.dismiss()
        found.workers, found.alone = self._crew.used, "no level was large enough"
        found.distinct = states.known - found.beyond
        found.actions = {action.name for action in self.tables.labels}
        calls = self._composite.step_calls
        found.step_calls = calls() if calls is not None else 0
        return found

    def packed(self, row: int) -> int:
        """A state as one integer."""
        return self._maps.as_packed(self.states.rows[row])

    def plain(self, row: int) -> tuple[Any, ...]:
        """A state as its values."""
        return self.tables.layout.unpack(self.packed(row))

    def _seen(self, count: int) -> Iterator[Any]:
        """The views of the first states."""
        return (self._composite.view(self.plain(row)) for row in range(count))

    def _steps_from(self, rows: Any) -> tuple[Any, Any, Any]:
        """The kept steps of some states that change the state: before, after and label."""
        before, after, label = self._edges.of(rows)
        changed = before != after
        return before[changed], after[changed], label[changed]

    def _judge(self, low: int, high: int) -> bool:
        """Evaluate every property on the states of a level; True if an invariant is violated."""
        firsts = [self._firsts(panel, low, high) for panel in self._judges.group(self.found)]
        return self._judges.decide(self.found, firsts, int, self.plain)

    def _firsts(self, panel: Panel, low: int, high: int) -> dict[int, int]:
        """The first state of each number that a panel gives on a level, except 0, in order."""
        high = low + 1 if panel.speaks_for_all(self.packed(low)) else high
        return self._maps.firsts(panel, self.states.rows, low, high)

    def _fill(self, rows: Any) -> None:
        """Compute the entries that expanding some states misses."""
        maps, missing = self._maps, self._missing
        parts = (maps.view, maps.used, maps.bundles, maps.entries, self.states.rows, rows)
        count = kernel.list_missing(*parts, maps.dims, missing)
        try:
            if count:
                maps.fill(missing[:count], self.states.rows)
        except TooNarrow:
            self._widen()

    def _widen(self) -> None:
        """Continue with as many words a state as the layout now needs."""
        words = self.tables.layout.width // WORD + 1
        started = time.perf_counter()
        warm_up(words)
        self.found.compile_s += time.perf_counter() - started
        self.states.widen(words)
        self._maps = Maps(self.tables, words, self.tables.bundles)
        self._crew.equip(self._successors, words)

    def _inside(self, low: int, high: int) -> Any:
        """The rows of a level that `within` allows to be expanded."""
        if not self._within:
            return np.arange(low, high)
        inside = np.zeros(high, np.int32)
        self._maps.firsts(self._within, self.states.rows, low, high, inside)
        rows = np.flatnonzero(inside)
        self.found.beyond += high - low - len(rows)
        return rows

    def _expand(self, rows: Any) -> None:
        """Add the successors of a level, chunk by chunk."""
        for start in range(0, len(rows), CHUNK):
            todo = rows[start : start + CHUNK]
            while len(todo):
                todo = self._expand_some(todo)
                self.found.stopped = self._watch.exceeded(
                    self.states.known,
                    self.found.generated,
                    self.found.depth,
                    self.states.known - int(rows[start]),
                )
                if self.found.stopped:
                    return

    def _expand_some(self, todo: Any) -> Any:
        """Add the successors of some states; the rows that remain to be done."""
        found, states, crew = self.found, self.states, self._crew
        done = crew.expand(self._maps, states, self._edges, found.generated, todo)
        found.generated += done.generated
        for row in done.dead.tolist():
            if found.deadlock is None and not self._may_end(row):
                found.deadlock = row
        if len(done.postponed):
            self._fill(done.postponed)
        if done.is_short:
            self._successors *= 2
            crew.equip(self._successors, self._maps.words)
        self._make_room(crew.margin)
        return np.concatenate([done.postponed, done.left])

    def _make_room(self, more: int) -> None:
        """Grow the arrays that `more` states, or transitions, do not fit into."""
        self.states.make_room(more, self._maps.dims)
        self._edges.make_room(len(self.states.rows), self.found.generated + more)

    def _may_end(self, row: int) -> bool:
        if self._terminal and self._terminal(self.packed(row)):
            return True
        return is_cut(self._composite, self.plain(row))

    def graph(self) -> StateGraph:
        """The whole graph; every state has been expanded."""
        known = self.states.known
        offsets, targets, labels = self._edges.arranged(known)
        initial = np.flatnonzero(self.states.parents[:known] < 0).tolist()
        return StateGraph(initial, offsets, targets, labels, list(self.tables.labels))

    def evaluate(self, predicate: Callable[[Any], bool], what: str) -> bytearray:
        """A predicate in every state."""
        known = self.states.known
        if self._truths is None:
            sample = range(0, known, known // TRUTHS_SAMPLE + 1)
            self._truths = Truths(self.tables, [self.packed(row) for row in sample])
        panel, place = self._truths.of(predicate, what)
        if panel is not self._latest[0]:
            self._maps.refresh_masks()
            self._latest = panel, np.zeros(known, np.int32)
            self._maps.firsts(panel, self.states.rows, 0, known, self._latest[1])
        says = np.array([answers[place] for answers in panel.said], np.uint8)
        return bytearray(says[self._latest[1]])


_warm: set[int] = set()


def warm_up(words: int) -> None:
    """Compile the kernel for states of so many words, or load it from the cache."""
    if words in _warm:
        return
    _warm.add(words)
    dims = (0,) * words
    maps = (
        np.zeros((1, words), np.uint64),
        np.zeros(1, np.int64),
        np.full(1, 4, np.int64),
        np.zeros((16, words), np.uint64),
        np.full(16, kernel.EMPTY, np.int32),
    )
    counts, rows = np.zeros(1, np.int64), np.zeros((1, words), np.uint64)
    names, small = np.zeros(1, np.int32), np.zeros((1, 2), np.int64)
    entries = (counts, counts, counts, rows, names, counts, counts, rows)
    table = np.full(2, kernel.EMPTY, np.int32)
    edges = Edges(0).view
    todo, shared = counts[:0], np.zeros(kernel.COUNTERS, np.int64)
    kernel.expand(
        *(maps, 1, entries, rows, names, table, edges, todo, dims, shared, 1, 1),
        *(rows, names, counts, counts, counts),
    )
    kernel.list_missing(maps, counts, 1, entries, rows, todo, dims, small)
    kernel.rehash(rows, 0, table, dims)
    kernel.ask(maps, counts, 0, rows, todo, dims, small, counts, counts, NONE)
    kernel.put_all(maps, counts, small[:0], names[:0], rows, dims)
    kernel.arrange(edges, np.zeros(1, np.uint32), edges[2], edges[3])
