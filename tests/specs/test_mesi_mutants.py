from __future__ import annotations

from collections.abc import Iterator

import pytest

from specs import mutants
from specs.mutants import NOTICED, judge, judged


@pytest.fixture
def one_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(mutants, "MODELS", mutants.MODELS[:1])
    mutants.reached.cache_clear()
    mutants._sizes.cache_clear()
    yield
    mutants.reached.cache_clear()
    mutants._sizes.cache_clear()


def pick(cell: tuple[str, str, str], change: str) -> mutants.Mutant:
    (found,) = (m for m in mutants.mutants(cell[0]) if m.cell == cell and m.change == change)
    return found


@pytest.mark.usefixtures("one_model")
@pytest.mark.parametrize(
    ("cell", "change", "by"),
    [
        (("cache", "I", "Load"), "deleted", "no step raises"),
        (("cache", "IS_D", "Data/S"), "without answer Loaded", "deadlock"),
        (("home", "I", "GetS/sole"), "to I", "well_formed"),
        (("cache", "I", "Load"), "without GetS(have, digest) to home", "well_formed a"),
        (("cache", "E", "FwdGetS"), "to I", NOTICED),
        (("cache", "M", "Leave"), "deleted", ""),
    ],
)
def test_a_mutant_is_judged(cell: tuple[str, str, str], change: str, by: str) -> None:
    assert judge(pick(cell, change)) == by


def test_every_cell_that_is_no_stall_has_mutants_of_each_kind() -> None:
    cells = {
        (name, at, on)
        for name, table in mutants.TABLES.items()
        for (at, on), row in table.cells.items()
        if not row.stall
    }
    every = [mutant for name in mutants.TABLES for mutant in mutants.mutants(name)]
    of = {kind: {m.cell for m in every if m.kind == kind} for kind in mutants.KINDS}
    assert of["to"] == cells < of["deleted"]
    assert of["without"] < cells


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_cell_can_be_deleted_unnoticed() -> None:
    found = judged(["deleted"], lambda mutant, by: None)
    assert not found.survivors
    assert found.cells >= 205
