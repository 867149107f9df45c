"""Mutants of the protocol tables: some model should notice that a cell is wrong.

``python -m specs mutants mesi`` changes one cell at a time and runs the small models below on the
mutant: those that reach the cell, smallest first.  The mutant is *caught* if a property is
violated, and *noticed* if at least the state graph has another size, or other steps are called.
Survivors are listed: either a better property catches them, or they are equivalent.  The engine's
own tests run random teams, transcripts and the rows on the same mutants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from typing import Any, TypeAlias

from coherence.cache import CACHE
from coherence.directory import HOME
from coherence.table import SAME, Row, Table
from specs.catalogue import factory
from specs.checker.check import check
from specs.checker.errors import CheckerError
from specs.checker.result import Budget, Result, Verdict

TABLES: Mapping[str, Table[Any]] = {"cache": CACHE, "home": HOME}
KINDS = ("deleted", "without", "to")
STATES_MAX = 80_000
#: For a mutant that was noticed, larger models than these are not searched for a violation.
NOTICED_MAX = 3_000
NOTICED = "another state graph"
ENDLESS = "a step that never ends"

Cell: TypeAlias = tuple[str, str, str]

#: Events that follow within a step as long as the state stays the same.
_FOLLOWING = frozenset({"LastAck", "LastAck/sole", "Lazy", "Empty"})

_MESI: tuple[Mapping[str, Any], ...] = (
    {"requests": 1},
    {"requests": 1, "ask": "Load Acquire Acquire/wait Commit Abandon Replacement Leave"},
    {"requests": 1, "policy": "strict", "lease": True, "live": True},
    {"requests": 1, "policy": "eager-strict", "network": "Unordered"},
    {"requests": 1, "policy": "pointer-strict", "lease": True, "network": "Unordered"},
    {"requests": 1, "network": "UnorderedDuplicating", "ask": "Load Commit Replacement"},
    {
        "requests": 1,
        "network": "OrderedLossy",
        "ask": "Load Commit",
        "validity": True,
        "retry": True,
        "in_flight": 1,
        "live": True,
    },
    {"ask": "Load Replacement"},
    {"ask": "Load Commit Leave", "policy": "eager"},
    {"ask": "Commit Replacement", "network": "Unordered"},
    {"ask": "Acquire Abandon Replacement"},
    {"ask": "Acquire Abandon/other", "lease": True},
    {"ask": "Acquire Commit", "live": True, "lease": True},
    {"ask": "Load Acquire Commit"},
    {"requests": 1, "network": "OrderedDuplicating", "duplicates": 2},
    {"network": "UnorderedDuplicating", "ask": "Load Commit", "policy": "eager"},
    {"ask": "Load Acquire", "network": "OrderedDuplicating", "duplicates": 1},
    {"policy": "eager", "network": "Unordered"},
    {"caches": 3, "requests": 1},
    {"requests": 1, "validity": True, "lease": True, "crashes": 1, "home_crashes": True},
    {"requests": 1, "policy": "strict", "lease": True, "crashes": 1, "home_crashes": True},
    {"requests": 3, "policy": "access-count", "ask": "Load Commit"},
    {"ask": "Acquire/wait Load", "lease": True},
    {"ask": "Load Replacement", "validity": True, "lease": True},
    {"requests": 1, "gaps": True, "ask": "Load Acquire/wait Commit Replacement"},
    {"requests": 1, "validity": True, "ask": "Load Acquire/wait Commit Replacement Leave"},
    {"requests": 1, "policy": "strict", "network": "Unordered"},
    {"ask": "Load Commit/equal"},
    {"ask": "Acquire Commit/equal", "lease": True},
    {"ask": "Load Commit/equal", "policy": "eager-strict", "network": "Unordered"},
    {"policy": "strict", "ask": "Acquire Commit"},
    {"policy": "strict", "ask": "Load Commit"},
    {"requests": 1, "policy": "eager", "validity": True, "crashes": 1, "home_crashes": True},
    {
        "requests": 1,
        "policy": "eager-strict",
        "network": "OrderedLossyDuplicating",
        "ask": "Load Commit",
        "retry": True,
        "drops": 1,
        "duplicates": 1,
    },
    {"requests": 3, "ask": "Load Acquire", "policy": "access-count"},
    {"ask": "Acquire Replacement", "validity": True},
    {"ask": "Load Commit", "validity": True, "network": "Unordered"},
    {"ask": "Load Commit", "policy": "pointer"},
    {"ask": "Acquire Commit", "policy": "pointer"},
    {"ask": "Acquire Leave", "lease": True},
    {"ask": "Load Acquire Abandon", "validity": True},
    {"requests": 1, "network": "UnorderedDuplicating", "ask": "Load Commit", "crashes": 1},
    {"ask": "Acquire Commit", "policy": "eager", "validity": True},
    {
        "requests": 1,
        "network": "OrderedLossy",
        "ask": "Load Acquire/wait Commit",
        "validity": True,
        "retry": True,
        "drops": 1,
        "in_flight": 1,
    },
    {"ask": "Load Commit", "network": "UnorderedDuplicating"},
    {"ask": "Acquire/wait", "network": "Unordered"},
    {"ask": "Load Acquire/wait Leave", "validity": True},
)
#: Small models that together reach the cells: names of the catalogue, and constants.
MODELS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    *(("mesi", constants) for constants in _MESI),
    ("transactions", {}),
    ("transactions", {"turns": True, "lease": True}),
    ("transactions", {"turns": True, "strict": True}),
)


@dataclass(frozen=True)
class Mutant:
    """One cell of one table, changed; None for a row deletes the cell."""

    #: Table, state, event.
    cell: Cell
    change: str
    row: Row[Any] | None

    def __str__(self) -> str:
        name, at, on = self.cell
        return f"{name} ({at}, {on}) {self.change}"

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return self.change.split()[0]

    @property
    def table(self) -> Table[Any]:
        """The mutated table."""
        name, at, on = self.cell
        return TABLES[name].changed(at, on, self.row)

    @property
    def endless(self) -> bool:
        """Whether the events that follow by themselves would follow for ever."""
        _, at, on = self.cell
        to = None if self.row is None else at if self.row.to == SAME else self.row.to
        # From S_A without awaited acknowledgements LastAck leads to S.
        return on in _FOLLOWING and (to == at or (at, on, to) == ("S", "Empty", "S_A"))


def mutants(name: str) -> Iterator[Mutant]:
    """All mutants of a table, cell by cell: deleted, another next state, or one operation less.

    A cell that waits can only be deleted.
    """
    table = TABLES[name]
    for (at, on), row in table.cells.items():
        cell = (name, at, on)
        yield Mutant(cell, "deleted", None)
        if row.stall:
            continue
        to = at if row.to == SAME else row.to
        for state in map(str, table.states):
            if state != to:
                yield Mutant(cell, f"to {state}", replace(row, to=state))
        for place, op in enumerate(row.do):
            rest = row.do[:place] + row.do[place + 1 :]
            yield Mutant(cell, f"without {op.text}", replace(row, do=rest))


class _Reached(dict[str, Any]):
    """The compiled cells of one state; records the cells that are looked up."""

    def __init__(self, plain: Mapping[str, Any], note: Callable[[str], None]) -> None:
        super().__init__(plain)
        self._plain = plain
        self._note = note

    def __getitem__(self, on: str) -> Any:
        self._note(on)
        return self._plain[on]


def watched(seen: set[Cell]) -> dict[str, Table[Any]]:
    """Both tables by name, adding to `seen` each cell that is run."""

    def noting(name: str, at: str) -> Callable[[str], None]:
        return lambda on: seen.add((name, at, on))

    tables = {}
    for name, table in TABLES.items():
        tables[name] = copy = Table(table.name, table.states, table.cells.values())
        for at in copy.compiled:
            copy.compiled[at] = _Reached(copy.compiled[at], noting(name, str(at)))
    return tables


@cache
def reached() -> tuple[frozenset[Cell], ...]:
    """The cells that each of the models reaches."""
    return tuple(_cells_reached(name, constants) for name, constants in MODELS)


def _cells_reached(name: str, constants: Mapping[str, Any]) -> frozenset[Cell]:
    seen: set[Cell] = set()
    _checked(name, constants, watched(seen))
    return frozenset(seen)


@cache
def _sizes() -> tuple[tuple[int, int, int, int], ...]:
    """The figures of each model's state graph, with the shipped tables."""
    return tuple(_size(_checked(name, constants, {})) for name, constants in MODELS)


def _checked(name: str, constants: Mapping[str, Any], tables: Mapping[str, Table[Any]]) -> Result:
    broken = {f"{table}_table": changed for table, changed in tables.items()}
    model = factory(name)(**constants, broken=broken)
    result = check(model, engine="table", budget=Budget(states=STATES_MAX))
    if result.interrupted:
        raise KeyboardInterrupt  # half a search would count as another state graph
    return result


def _size(result: Result) -> tuple[int, int, int, int]:
    return result.distinct, result.generated, result.depth, result.step_calls


def _first(of: Sequence[Any]) -> Any:
    return of[0]


def judge(mutant: Mutant) -> str:
    """The property that catches a mutant, `NOTICED` where only counts differ, or ""."""
    if mutant.endless:
        return ENDLESS
    noticed = ""
    ordered = sorted(zip(_sizes(), MODELS, reached(), strict=True), key=_first)
    for size, (name, constants), cells in ordered:
        if noticed and size[0] > NOTICED_MAX:
            break
        if mutant.cell not in cells:
            continue
        try:
            result = _checked(name, constants, {mutant.cell[0]: mutant.table})
        except CheckerError as error:
            return type(error).__name__
        if result.verdict is Verdict.VIOLATED:
            names = [f.name for f in result.findings if f.verdict is Verdict.VIOLATED]
            return names[0] if names else "deadlock"
        if _size(result) != size:
            noticed = NOTICED
    return noticed


@dataclass(frozen=True)
class Report:
    """Counts of caught and noticed mutants and of their cells, and the survivors."""

    caught: int
    noticed: int
    cells: int
    survivors: tuple[Mutant, ...]
    unreached: tuple[Mutant, ...]


def judged(kinds: Sequence[str], progress: Callable[[Mutant, str], None]) -> Report:
    """Judge all mutants of some kinds; `progress` is called for each."""
    everywhere = frozenset[Cell]().union(*reached())
    caught = noticed = 0
    cells: set[Cell] = set()
    survivors, unreached = [], []
    for mutant in chain.from_iterable(map(mutants, TABLES)):
        if mutant.kind not in kinds:
            continue
        if mutant.cell not in everywhere:
            unreached.append(mutant)
            continue
        by = judge(mutant)
        progress(mutant, by)
        if not by:
            survivors.append(mutant)
            continue
        noticed += by == NOTICED
        caught += by != NOTICED
        cells.add(mutant.cell)
    return Report(caught, noticed, len(cells), tuple(survivors), tuple(unreached))
