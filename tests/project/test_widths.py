"""Commands fit terminals of 80 columns and more; help does, too."""

from __future__ import annotations

import re
import shlex

import pytest
from rich.cells import cell_len
from typer.main import get_command
from typer.testing import CliRunner

from causal.cli import app as causal
from coherence.cli import app as workspace
from coherence.printing import app as tables
from coherence.simulate.cli import app as simulate
from message_passing.show import app as trace

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def shown(app, words, columns):
    terminal = {"FORCE_COLOR": "1", "COLUMNS": str(columns), "LINES": "40", "TERM": "xterm"}
    done = CliRunner(env=terminal).invoke(app, words)
    assert done.exit_code == 0, done.output
    return _ANSI.sub("", done.stdout)


def too_wide(text, columns):
    return [line for line in text.splitlines() if cell_len(line.rstrip()) > columns]


@pytest.mark.slow(fast=7)
@pytest.mark.parametrize("columns", [80, 100, 120])
@pytest.mark.parametrize(
    ("app", "words"),
    [
        (tables, ""),
        (tables, "cache --state IS_D"),
        (simulate, "list"),
        (simulate, "run planning -s lazy -s eager --runs 1 --quiet"),
        (simulate, "sweep --over agents=2,3 --over strategy=lazy,adaptive --seeds 1 -q"),
        (causal, "simulate jobs --job 1 -p hybrid -p cykas-refined"),
        (causal, "simulate traffic --rate 0.5 --runs 2 --duration 10 -p hybrid -p announcing"),
        (causal, "simulate acks -p hybrid --runs 1"),
    ],
)
def test_a_table_fits_and_no_cell_is_cut(app, words, columns):
    text = shown(app, shlex.split(words), columns)
    assert too_wide(text, columns) == []
    assert "…" not in text


def commands(app):
    """Each command of an application by the words that call it, groups included."""
    return list(_commands(get_command(app), []))


def _commands(command, words):
    yield words
    for name, found in getattr(command, "commands", {}).items():
        yield from _commands(found, [*words, name])


@pytest.mark.slow(fast=13)
@pytest.mark.parametrize(
    ("app", "words"),
    [
        pytest.param(app, words, id=" ".join([name, *words]))
        for name, app in (
            ("coherence", workspace),
            ("simulate", simulate),
            ("causal", causal),
            ("tables", tables),
            ("trace", trace),
        )
        for words in commands(app)
    ],
)
def test_help_fits_and_has_examples(app, words):
    text = shown(app, [*words, "-h"], 80)
    assert too_wide(text, 80) == []
    assert "Examples:" in text
