"""The table engine on several cores: each state belongs to one process, which expands it.

The processes hold integers only: states, and copies of the tables' rows.  What a table misses is
computed here, by the rules and the predicates, and sent to all.  So nothing of a model is copied,
each combination is still evaluated once, and a process needs no more than the standard library.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from itertools import islice
from typing import Any

from specs.checker.composite import Composite
from specs.checker.division import SAMPLE, Division
from specs.checker.interrupts import interrupts_held
from specs.checker.predicates import Panel
from specs.checker.processes import Processes
from specs.checker.result import INTERRUPTED
from specs.checker.search import Watch
from specs.checker.table import FUSE_KEYS_MAX, FUSE_SAMPLE, TableExploration, TableSearch
from specs.checker.tables import Entry

#: A search is divided from this many states on, where a level has this many: to begin a process
#: takes a twentieth of a second, and a level takes several messages.
DIVIDE_FROM, LEVEL_FROM = 50_000, 4_096
#: It is not divided if so many rows a state were new on the last level: then the rules and the
#: predicates take the time, which are evaluated in one process.
MISSES_MAX = 0.02
#: Seconds between two answers of a process.
TURN_S = 0.2


class Spread(Sized):
    """A level whose states are in the processes."""

    def __init__(self, count: int, one: list[int]) -> None:
        self._count = count
        #: One of its states, if it has one.
        self.one = one

    def __len__(self) -> int:
        return self._count


class Feed:
    """What the processes have of one table."""

    def __init__(self) -> None:
        self._source: Any = None
        self._slots = self._sent = 0
        self._mask = -1

    def news(
        self, source: Any, mask: int, slots: int, rows: dict[int, Any]
    ) -> tuple[int, bool, dict[int, Any]] | None:
        """The mask, whether rows are to be forgotten, and new rows; None if nothing is new."""
        is_reset = source is not self._source or slots != self._slots or len(rows) < self._sent
        if is_reset:
            self._sent = 0
        if not is_reset and mask == self._mask and len(rows) == self._sent:
            return None
        new = dict(islice(rows.items(), self._sent, None))
        self._source, self._mask, self._slots, self._sent = source, mask, slots, len(rows)
        return mask, is_reset, new


class PartitionedSearch(TableSearch):
    """A run of the table engine that processes share, once it is large enough.

    With `keep` all states are brought back when the search is complete: liveness needs them.
    """

    def __init__(
        self, composite: Composite[Any], watch: Watch, *, workers: int, keep: bool
    ) -> None:
        super().__init__(composite, watch)
        self._workers = workers
        self._keep = keep
        self.found.alone = (
            "no level was large enough and grew, or the rules and predicates took the time"
        )
        self._processes: Processes | None = None
        #: How many rows the tables had after the last level, and their version.
        self._filled = 0, 0
        self._known = self._outside = 0
        self._panels: list[Panel] = []
        self._feeds: dict[str, list[Feed]] = {}
        self._divides = 0
        #: States that the result names, numbered in this order.
        self._named: dict[int, int] = {}

    def run(self, states_max: int | None = None) -> TableExploration:
        """Search to the end, to a violation or to a budget."""
        try:
            found = super().run(states_max)
            if self._processes is not None:
                self._bring_back()
        finally:
            if self._processes is not None:
                self._processes.end()
                self._watch.elsewhere_mib = 0.0
        return found

    def _expand(self, level: Any) -> Any:
        if self._processes is not None:
            return self._expand_all(level)
        found, (before, version) = self.found, self._filled
        following = super()._expand(level)
        self._filled = self._rows(), self.tables.version
        is_large = len(found.parents) >= DIVIDE_FROM and len(following) >= LEVEL_FROM
        # Once levels shrink most states are known, and to hand them over would take the gain.
        is_large = is_large and len(following) >= len(level)
        misses = self._filled[0] - before if version == self.tables.version else len(level)
        if (
            is_large
            and misses <= MISSES_MAX * len(level)
            and not found.stopped
            and found.deadlock is None
        ):
            with interrupts_held():
                return self._divide(following)
        return following

    def _rows(self) -> int:
        answers = sum(len(panel.answers) for panel in self._judges.panels)
        return answers + sum(len(bundle.entries) for bundle in self.tables.bundles)

    def _counts(self) -> tuple[int, int]:
        return super()._counts() if self._processes is None else (self._known, self._outside)

    def _divide(self, level: Sequence[int]) -> Spread:
        """Begin the processes, and give each the states that it owns."""
        parents, known = self.found.parents, self.found.order()
        sample = known[len(known) // 2 :: len(known) // (2 * SAMPLE) + 1]
        self._division = Division(self.tables, sample, self._workers)
        owner, mask = {}, self._division.mask
        for packed in known:
            if packed & mask not in owner:
                owner[packed & mask] = self._division.owner(packed)
        owned: list[tuple[list[int], list[int], list[int]]] = [
            ([], [], []) for _ in range(self._workers)
        ]
        for packed, parent in parents.items():
            states, sources, _ = owned[owner[packed & mask]]
            states.append(packed)
            sources.append(parent)
        for packed in level:
            owned[owner[packed & mask]][2].append(packed)
        for name, number in self.found.decided.items():
            self.found.decided[name] = self._number(known[number])
        self._processes = Processes(self._workers)
        self._processes.each("own", owned)
        self._outside = len(self.found.outside)
        self.found.forget()
        self._processes("bundles", len(self.tables.bundles))
        self.found.workers = self._workers
        slots = sorted(self._division.slots)
        named = ", ".join(self._composite.slots[slot] for slot in slots[:2])
        self.found.notes.append(
            f"shared by {self._workers} processes: {named if len(slots) < 3 else 'all slots'} "
            "decide which one a state belongs to"
        )
        return self._begin([()] * self._workers)

    def _begin(self, arrived: Sequence[Sequence[bytes]]) -> Spread:
        """Begin a level, with the states that the processes found for each other."""
        assert self._processes is not None
        begun = self._processes.each("begin", [[boxes] for boxes in arrived])
        self._known = sum(known for *_, known in begun)
        one = [packed for some, *_ in begun for packed in some[:1]]
        return Spread(sum(count for _, count, _ in begun), one[:1])

    def _feed(self) -> None:
        """Send the processes what is new in the tables."""
        assert self._processes is not None
        tables, layout = self.tables, self.tables.layout
        divides = self._division.mask

        def news(kind: str, sources: Any) -> Iterator[tuple[Any, ...]]:
            feeds = self._feeds.setdefault(kind, [])
            for number, (source, mask, slots, rows) in enumerate(sources):
                if number == len(feeds):
                    feeds.append(Feed())
                new = feeds[number].news(source, mask, slots, rows)
                if new is not None:
                    yield number, *new

        bundles = [
            (number, mask, is_reset, {key: self._row(key, divides, rows[key]) for key in rows})
            for number, mask, is_reset, rows in news(
                "bundle", ((b, b.mask, len(b.slots), b.entries) for b in tables.bundles)
            )
        ]
        updates = [
            *news("update", ((u, layout.masks[u.slot], 0, u.deltas) for u in tables.updates))
        ]
        asked = [*news("panel", ((p, p.mask, len(p.slots), p.answers) for p in self._panels))]
        if bundles or updates or asked or divides != self._divides:
            self._divides = divides
            self._processes("feed", divides, bundles, updates, asked)

    def _row(self, key: int, divides: int, entry: Entry) -> tuple[Any, Any, Any]:
        """An entry for a process: the addends that leave a state with its owner come first."""
        far = {delta for delta in entry.deltas if (key ^ key + delta) & divides}
        sends = [
            (
                delta,
                [update.number for update in updates],
                bool(
                    (key ^ key + delta) & divides
                    or any(update.slot in self._division.slots for update in updates)
                ),
            )
            for delta, updates in entry.sends
        ]
        near = tuple(delta for delta in entry.deltas if delta not in far)
        return near, tuple(delta for delta in entry.deltas if delta in far), sends

    def _panel(self, panel: Panel) -> int:
        """The number of a panel in the processes."""
        if panel not in self._panels:
            self._panels.append(panel)
        return self._panels.index(panel)

    def _ask(self, command: str, panel: Panel) -> Iterator[Any]:
        """The answers of all processes about a level, until no table misses a row."""
        assert self._processes is not None
        number = self._panel(panel)
        is_new = is_left = True
        while is_left:
            self._feed()
            is_left = False
            for answer, missing in self._processes(command, number, is_new):
                yield answer
                for packed in missing:
                    panel(packed)
                    is_left = True
            is_new = False

    def _judge(self, level: Any) -> bool:
        if self._processes is None:
            return super()._judge(level)
        panels = self._judges.group(self.found)
        firsts: list[dict[int, int]] = [{} for _ in panels]
        for panel, first in zip(panels, firsts, strict=True):
            if panel.speaks_for_all(level.one[0]):
                first.update(panel.firsts(level.one))
                continue
            for answer in self._ask("ask", panel):
                for number, packed in answer.items():
                    first.setdefault(number, packed)
        return self._judges.decide(self.found, firsts, self._number, self.tables.layout.unpack)

    def _inside(self, level: Any) -> Any:
        if self._processes is None:
            return super()._inside(level)
        assert self._within
        outside = sum(self._ask("bound", self._within))
        self._outside += outside
        return Spread(len(level) - outside, level.one)

    def _expand_all(self, level: Spread) -> Spread:
        """Expand the level; the next one."""
        assert self._processes is not None
        found = self.found
        if self._fuse_at and self._known >= self._fuse_at[0]:
            while self._fuse_at and self._known >= self._fuse_at[0]:
                del self._fuse_at[0]
            samples = self._processes("sample", FUSE_SAMPLE // self._workers)
            self.tables.rebundle([packed for each in samples for packed in each], FUSE_KEYS_MAX)
            self._processes("bundles", len(self.tables.bundles))
            self._feeds.pop("bundle", None)
        is_new, left, before = True, len(level), self._known
        while left and not found.stopped:
            self._feed()
            left = known = 0
            for answer in self._processes("expand", is_new, TURN_S):
                generated, dead, missing, still, owned = answer
                found.generated += generated
                left += still
                known += owned
                for packed in missing:
                    self._prepare(packed)
                for packed in dead:
                    if found.deadlock is None and not self._may_end(packed):
                        found.deadlock = self._number(packed)
            is_new, self._known = False, known
            self._watch.elsewhere_mib = self._processes.memory_mib
            queue = left + self._known - before
            found.stopped = self._watch.exceeded(self._known, found.generated, found.depth, queue)
        return self._begin([*zip(*self._processes("found"), strict=True)])

    def _prepare(self, packed: int) -> None:
        """Fill every table that expanding this state needs."""
        for bundle in self.tables.bundles:
            for _, updates in bundle.entry(packed).sends:
                for update in updates:
                    update.fill(packed)

    def _number(self, packed: int) -> int:
        return self._named.setdefault(packed, len(self._named))

    def _bring_back(self) -> None:
        """Bring back what the result needs: the ways to the states that it names, or all states."""
        assert self._processes is not None
        found = self.found
        # First of all, and so with their numbers, the states that are named.
        found.parents.update(dict.fromkeys(self._named, 0))
        if self._keep and found.complete:
            try:
                for states, parents, outside in self._processes("states"):
                    found.parents.update(zip(states, parents, strict=True))
                    found.outside.update(outside)
                return
            except KeyboardInterrupt:
                found.complete, found.stopped = False, INTERRUPTED
        with interrupts_held():
            todo = list(self._named)
            while todo:
                owned: list[list[int]] = [[] for _ in range(self._workers)]
                for packed in todo:
                    owned[self._division.owner(packed)].append(packed)
                answers = self._processes.each("sources", [[states] for states in owned])
                todo = []
                for states, sources in zip(owned, answers, strict=True):
                    for packed, source in zip(states, sources, strict=True):
                        found.parents[packed] = source
                        if source not in found.parents:
                            todo.append(source)
                todo = list(dict.fromkeys(todo))
