"""The judges of a mutant of a function, as `python -m specs mutants mesi` calls them.

They look at what the tests of this folder look at, without the cost of collecting them: the pinned
rows, the guards of the examples, edges, plain tests, the transcripts, random teams.
"""

from __future__ import annotations

import cells
import edges
import plain
import play
import test_digests
import test_joint
import test_policies
import test_rows
from fuzzing import CASES, Run

RUNS = 4


def judge() -> str:
    """The first test that the code of this moment fails, or ""."""
    return _rows() or _edges() or _plain() or _transcripts() or _teams()


def _edges() -> str:
    for name in edges.EDGES:
        try:
            wrong = edges.failure(name)
        except Exception:
            wrong = "an error"
        if wrong:
            return f"edge: {name}"
    return ""


def _plain() -> str:
    modules = (test_rows, test_digests, test_policies, test_joint)
    return next(filter(None, map(plain.failed, modules)), "")


def _rows() -> str:
    for name in cells.TABLES:
        for (at, on), pinned in cells.pinned(name).items():
            where = f"row ({at}, {on}) of the {name}"
            try:
                if cells.outcome(name, at, on) != pinned:
                    return where
                if on not in cells.INTERNAL and _guard(name, at, on) != on:
                    return f"guard of {where}"
            except Exception:
                return where
    return ""


def _guard(name: str, at: str, on: str) -> str:
    policy, state, event = cells.example(name, at, on)
    process = cells.automaton(name, cells.TABLES[name], policy)
    found: str = process.classify(process.scratch(process, state, cells.NOW), event)
    return found


def _transcripts() -> str:
    for path in play.TRANSCRIPTS:
        text = path.read_text(encoding="utf-8")
        try:
            if play.played(text) != text:
                return f"transcript {path.stem}"
        except Exception:
            return f"transcript {path.stem}"
    return ""


def _teams() -> str:
    for seed in range(RUNS):
        for case in CASES:
            try:
                Run(CASES[case], seed)()
            except Exception as error:
                name = getattr(error, "name", "") or type(error).__name__
                return f"random team {case!r}, seed {seed}: {name}"
    return ""
