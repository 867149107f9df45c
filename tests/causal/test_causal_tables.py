"""The tables of docs/causal.md are what ``python -m causal.simulate tables`` prints."""

import re
from pathlib import Path

import pytest

from causal.simulate import tables

DOC = Path(__file__).parents[2] / "docs" / "causal.md"
#: Each table of the page that a command prints, by its name.
TABLE = re.compile(r"<!-- table: ([\w-]+) -->\n\n((?:\|.*\n)*)")
SHOWN = dict(TABLE.findall(DOC.read_text(encoding="utf-8")))


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow, pytest.mark.timeout(1_800)])
        if name == "traffic"
        else name
        for name in tables.TABLES
    ],
)
def test_its_tables_are_those_of_the_command(name: str, rewrite: bool) -> None:
    found = tables.markdown(tables.TABLES[name]())
    if rewrite:
        text = DOC.read_text(encoding="utf-8")
        said = f"<!-- table: {name} -->\n\n"
        new = TABLE.sub(lambda m: said + found if m[1] == name else m[0], text)
        DOC.write_text(new, encoding="utf-8")
        return
    assert SHOWN[name] == found


def test_it_has_no_other_tables_of_the_command() -> None:
    assert list(SHOWN) == ["turns", "traffic", "packets", "fan-in"]
    assert {*SHOWN} == {*tables.TABLES}


@pytest.mark.slow
def test_the_columns_of_light_traffic_are_right() -> None:
    columns = [row.strip("|\n").split("|") for row in SHOWN["traffic"].splitlines()]
    light = [f"{row[0].strip()}|{row[1].strip()}" for row in columns if "---" not in row]
    assert light == ["|".join(row) for row in tables.traffic(tables.RATES[:1])]


def test_it_counts_the_figures_of_reproduce() -> None:
    text = " ".join(DOC.read_text(encoding="utf-8").split())
    assert "12 figures that papers give" in text
    assert "1,630 closed forms" in text
