"""Mutants of the protocol tables: some model should notice that a cell is wrong.

``python -m specs mutants mesi`` changes one cell at a time and puts the mutant before the small
models below, those that reach the cell, smallest first.  It is *caught* where a property is
violated, and *noticed* where at least the state graph has another size than the one that is pinned.
What survives is named: either a better property catches it, or it is equivalent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from coherence.cache import CACHE
from coherence.directory import HOME
from coherence.table import SAME, Row, Table
from specs.checker.check import check
from specs.checker.composite import Composite
from specs.checker.errors import CheckerError
from specs.checker.result import Budget, Result, Verdict
from specs.models.mesi import mesi

TABLES: Mapping[str, Table[Any]] = {"cache": CACHE, "home": HOME}
KINDS = ("deleted", "without", "to")
STATES_MAX = 60_000
NOTICED = "another state graph"

#: Events that follow within a step: one that left the state as it is would follow for ever.
_INTERNAL = frozenset({"LastAck", "LastAck/sole", "Lazy", "Queued", "Empty"})

#: Small models that between them reach the cells; smallest first.
MODELS: tuple[Mapping[str, Any], ...] = (
    {"requests": 1},
    {"requests": 1, "ask": "Load Store Store/wait Commit Abandon Replacement Leave"},
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
    {"ask": "Store Abandon Replacement"},
    {"ask": "Store Abandon/other", "lease": True},
    {"ask": "Store Commit", "live": True, "lease": True},
    {"ask": "Load Store Commit"},
    {"requests": 1, "network": "OrderedDuplicating", "duplicates": 2},
    {"network": "UnorderedDuplicating", "ask": "Load Commit", "policy": "eager"},
    {"ask": "Load Store", "network": "OrderedDuplicating", "duplicates": 1},
    {"policy": "eager", "network": "Unordered"},
    {"caches": 3, "requests": 1},
    {"requests": 1, "validity": True, "lease": True, "crashes": 1, "home_crashes": True},
    {"requests": 1, "policy": "strict", "lease": True, "crashes": 1, "home_crashes": True},
    {"requests": 3, "policy": "access-count", "ask": "Load Commit"},
    {"ask": "Store/wait Load", "lease": True},
    {"ask": "Load Replacement", "validity": True, "lease": True},
)


@dataclass(frozen=True)
class Mutant:
    """One cell of one table, changed."""

    table: str
    at: str
    on: str
    change: str
    row: Row[Any] | None

    def __str__(self) -> str:
        return f"{self.table} ({self.at}, {self.on}) {self.change}"

    def tables(self) -> dict[str, Table[Any]]:
        """The mutated table, by the name that `mesi.protocol` gives it."""
        return {f"{self.table}_table": TABLES[self.table].changed(self.at, self.on, self.row)}


def mutants(kinds: Sequence[str] = KINDS) -> Iterator[Mutant]:
    """All mutants: each cell deleted, robbed of each operation, sent to each other state."""
    for name, table in TABLES.items():
        for (at, on), row in table.cells.items():
            if row.stall:
                continue
            if "deleted" in kinds:
                yield Mutant(name, at, on, "deleted", None)
            if "without" in kinds:
                for place, op in enumerate(row.do):
                    rest = row.do[:place] + row.do[place + 1 :]
                    yield Mutant(name, at, on, f"without {op.text}", replace(row, do=rest))
            if "to" in kinds:
                to = at if row.to == SAME else row.to
                for state in map(str, table.states):
                    if state != to and not (on in _INTERNAL and state == at):
                        yield Mutant(name, at, on, f"to {state}", replace(row, to=state))


def cells_of(mutant: Mutant) -> tuple[str, str, str]:
    """The cell that a mutant changes."""
    return mutant.table, mutant.at, mutant.on


class _Reached(dict[str, Any]):
    """The compiled cells of one state, noting which are looked up."""

    def __init__(self, plain: Mapping[str, Any], note: Callable[[str], None]) -> None:
        super().__init__(plain)
        self._note = note

    def get(self, on: str, default: Any = None) -> Any:
        self._note(on)
        return super().get(on, default)


@cache
def reached() -> tuple[frozenset[tuple[str, str, str]], ...]:
    """The cells that each of the models reaches."""
    return tuple(_cells_reached(constants) for constants in MODELS)


def _cells_reached(constants: Mapping[str, Any]) -> frozenset[tuple[str, str, str]]:
    seen: set[tuple[str, str, str]] = set()
    watched: dict[str, Table[Any]] = {}
    for name, table in TABLES.items():
        copy = Table(table.name, table.states, table.cells.values())
        for at in copy.compiled:
            note = _noting(seen, name, str(at))
            copy.compiled[at] = _Reached(copy.compiled[at], note)
        watched[f"{name}_table"] = copy
    _checked(constants, watched)
    return frozenset(seen)


def _noting(seen: set[tuple[str, str, str]], name: str, at: str) -> Callable[[str], None]:
    return lambda on: seen.add((name, at, on))


def _model(constants: Mapping[str, Any], tables: Mapping[str, Table[Any]]) -> Composite[Any]:
    return mesi(**constants, broken=dict(tables))


@cache
def _sizes() -> tuple[tuple[int, int, int], ...]:
    """Of each model's state graph, with the tables as they ship."""
    return tuple(_size(_checked(constants, {})) for constants in MODELS)


def _checked(constants: Mapping[str, Any], tables: Mapping[str, Table[Any]]) -> Result:
    return check(_model(constants, tables), engine="table", budget=Budget(states=STATES_MAX))


def _size(result: Result) -> tuple[int, int, int]:
    return result.distinct, result.generated, result.depth


def judge(mutant: Mutant) -> str:
    """The property that catches a mutant, `NOTICED` where only counts differ, or ""."""
    cell = cells_of(mutant)
    noticed = ""
    for constants, cells, size in zip(MODELS, reached(), _sizes(), strict=True):
        if cell not in cells:
            continue
        try:
            result = _checked(constants, mutant.tables())
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
    """How many mutants were caught, how many noticed, in how many cells, and which were neither."""

    caught: int
    noticed: int
    cells: int
    survivors: tuple[Mutant, ...]
    unreached: tuple[Mutant, ...]


def report(kinds: Sequence[str], progress: Callable[[Mutant, str], None]) -> Report:
    """Judge all mutants of some kinds; `progress` hears of each."""
    everywhere = frozenset[tuple[str, str, str]]().union(*reached())
    caught = noticed = 0
    cells: set[tuple[str, str, str]] = set()
    survivors, unreached = [], []
    for mutant in mutants(kinds):
        if cells_of(mutant) not in everywhere:
            unreached.append(mutant)
            continue
        by = judge(mutant)
        progress(mutant, by)
        if not by:
            survivors.append(mutant)
            continue
        noticed += by == NOTICED
        caught += by != NOTICED
        cells.add(cells_of(mutant))
    return Report(caught, noticed, len(cells), tuple(survivors), tuple(unreached))
