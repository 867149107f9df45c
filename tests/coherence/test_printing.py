"""The printed tables are the tables, and docs/tables.md is fresh."""

import subprocess
import sys
from pathlib import Path

import pytest

from coherence.printing import TABLES, cell, details, dot, grid, markdown


def test_the_page_is_fresh(rewrite):
    page = Path(__file__).parents[2] / "docs" / "tables.md"
    now = markdown(list(TABLES.values()))
    if rewrite:
        page.write_text(now, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == now, (
        "run: pytest tests/coherence/test_printing.py --rewrite"
    )


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_grid_has_every_cell_once(table):
    shown = {
        (state, event): text
        for event, *texts in grid(table)
        for state, text in zip(table.states, texts, strict=True)
    }
    assert len(shown) == len(table.states) * len(table.events)
    assert {key for key, text in shown.items() if text} == set(table.cells)
    assert all(text == cell(table.cells.get(key)) for key, text in shown.items())


def test_the_rows_of_a_state_are_its_cells():
    table = TABLES["home"]
    events = [event for _, on, *_ in details(table, "S_A") for event in on.split()]
    assert sorted(events) == sorted(on for at, on in table.cells if at == "S_A")


def test_the_graph_has_the_moves():
    text = dot(TABLES["home"])
    assert '"M" -> "S_A" [label="PutM/owner"];' in text
    assert '"M" -> "M"' not in text


def printed(*arguments):
    command = [sys.executable, "-m", "coherence.printing", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_command_prints_both_tables():
    done = printed()
    assert done.returncode == 0, done.stderr
    assert "cache: next state" in done.stdout
    assert "home: next state" in done.stdout


@pytest.mark.slow
def test_the_command_names_the_states_there_are():
    done = printed("--state", "Q")
    assert done.returncode == 2
    assert "IM_AD" not in done.stderr
    assert "IS_D_I" in done.stderr
