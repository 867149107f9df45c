"""`coherence stats`: a table that fits, and the same figures as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from typer.testing import CliRunner

from coherence import Conflict, Workspace
from coherence.cli import app
from coherence.runtime import token_counts
from coherence.view import View

NAMES = ("plan.md", "docs/section-00/detail/notes-about-everything.md")

TABLE = """\
artifact          reads  served  refetch  saved  writes  refused  of the refetch
docs/se…thing.md      4     240      600  60.0%       1        0  █████░░░░░░░
plan.md               4     180      600  70.0%       1        1  ████░░░░░░░░
total                 8     420    1,200  65.0%       2        1

█ tokens served, ░ tokens saved; tokens are estimated, at 4 bytes each.
A process sends its counts with its next write, within a minute, or as its
agents leave; what a killed process had not sent is missing.
"""


@pytest.fixture
def url(tmp_path, monkeypatch):
    monkeypatch.setattr(token_counts, "_installed", lambda: View.counter)
    url = f"sqlite:///{tmp_path}/team.db"
    with Workspace(url) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        for name in NAMES:
            ann.write(name, "word\n" * 120)
            have = bob.read(name).ref
            for _ in range(3):
                bob.read(name, have)
        with pytest.raises(Conflict):
            bob.write("plan.md", "mine", expect=0)
    return url


def run(url, *words, code=0, width=80):
    terminal = {"FORCE_COLOR": "1", "COLUMNS": str(width), "LINES": "24", "TERM": "xterm"}
    done = CliRunner(env=terminal).invoke(app, ["stats", "--store", url, *words])
    assert done.exit_code == code, done.output
    plain = re.sub("\x1b\\[[0-9;]*m", "", done.output)
    return "".join(f"{line.rstrip()}\n" for line in plain.splitlines())


def test_the_table_at_80_columns(url):
    assert run(url, "--by", "artifact") == TABLE


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("by", ["agent", "artifact", "day"])
def test_nothing_is_wider_than_the_terminal(url, by, width):
    assert max(map(len, run(url, "--by", by, width=width).splitlines())) <= width


def test_json_by_names(url):
    shown = json.loads(run(url, "--json"))
    assert (shown["v"], shown["by"]) == (1, "agent")
    bob = next(row for row in shown["rows"] if row["name"] == "bob")
    assert (bob["reads"], bob["full"], bob["unchanged"], bob["conflicts"]) == (8, 2, 6, 1)
    assert shown["total"]["saved_tokens"] == 1200 - 420


def test_csv_has_the_fields_of_json(url):
    (row,) = csv.DictReader(io.StringIO(run(url, "--csv", "--by", "day")))
    (same,) = json.loads(run(url, "--json", "--by", "day"))["rows"]
    assert {"name": row.pop("day"), **row} == {name: str(value) for name, value in same.items()}


def test_a_span_of_days_and_what_is_refused(url):
    assert "plan.md" in run(url, "--by", "artifact", "--since", "1d")
    assert "Nothing has been counted" in run(url, "--since", "9999-01-01")
    assert "names no moment" in run(url, "--since", "soon", code=2)
    assert "two forms" in run(url, "--json", "--csv", code=2)
    assert run(url, "--by", "hour", code=2)
