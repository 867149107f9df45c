"""``python -m specs mutants NAME``: the mutants of a target before their judges, and a table.

Exit codes: 0 each mutant is seen or explained, 1 one survives, 2 a wrong call.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from message_passing.console import complain, progress, say, show
from specs import mutants as cells
from specs.code_mutants import (
    CAUGHT,
    HOWS,
    KINDS,
    NOTICED,
    SURVIVES,
    Bench,
    Tests,
    code_mutants,
    explanations,
    target_of,
)
from specs.code_targets import TARGETS

CELLS = "cells"
KINDS_OF_ALL = (CELLS, *KINDS)
UNREACHED = "unreached"
TESTS = Path(__file__).parents[1] / "tests"
T = TypeVar("T")


class Line(msgspec.Struct, frozen=True):
    """One mutant and how it was judged, for a program."""

    kind: str
    operator: str
    mutant: str
    how: str
    by: str
    steps: int | None = None


def run(options: argparse.Namespace) -> int:
    """Judge the mutants of one target, or of `all`, and write the survivors and the table.

    After Ctrl-C, the number of those that were judged is written.
    """
    lines: list[Line] = []
    try:
        for line in _lines(options):
            lines.append(line)
            if line.how == SURVIVES and not options.json:
                say(f"survives  {line.kind:7} {line.operator:11} {line.mutant}")
    except KeyboardInterrupt:
        (complain if options.json else say)(f"{len(lines):,} mutants were judged")
        raise
    if options.json:
        say(msgspec.json.encode(lines).decode())
    else:
        show(table(lines), file_width=100)
        if not options.models_only and checkout_tests(TESTS) is None:
            say("The tests of a checkout are not at hand: models alone have judged.")
    return 1 if any(line.how == SURVIVES for line in lines) else 0


def _lines(options: argparse.Namespace) -> Iterator[Line]:
    names = list(TARGETS) if options.name == "all" else [options.name]
    kinds = options.kind or KINDS_OF_ALL
    tests = None if options.models_only else checkout_tests(TESTS)
    for name in names:
        target_of(name)
        if CELLS in kinds and name == "mesi":
            yield from _of_cells(options)
        if set(kinds) & set(KINDS):
            yield from of_code(name, kinds, tests, options.sample)


def of_code(
    name: str, kinds: Sequence[str], tests: Tests | None, sample: int | None
) -> Iterator[Line]:
    """Judge the mutants of guards and bodies of one target; shows progress.

    Raises `UsageError` where an explanation does not fit today's code.
    """
    bench = Bench(target_of(name), tests, explanations(name))
    for mutant in _shown(sampled(list(code_mutants(name, kinds)), sample)):
        found = bench.judge(mutant)
        yield Line(mutant.kind, mutant.edit.operator, str(mutant), found.how, found.by, found.steps)


def _shown(every: Sequence[T]) -> Iterator[T]:
    """Each of `every`, which is shown as progress with its place."""
    for number, mutant in enumerate(every, 1):
        progress(f"{number}/{len(every)} {mutant}")
        yield mutant


def sampled(every: Sequence[T], sample: int | None) -> Sequence[T]:
    """`sample` of `every`, evenly distributed; all if `sample` is None or larger."""
    if sample is None or sample >= len(every):
        return every
    return [every[number * len(every) // sample] for number in range(sample)]


def _of_cells(options: argparse.Namespace) -> Iterator[Line]:
    kinds = cells.KINDS if options.slow else cells.KINDS[:2]
    of = [m for name in cells.TABLES for m in cells.mutants(name) if m.kind in kinds]
    everywhere = frozenset[cells.Cell]().union(*cells.reached())
    for mutant in _shown(sampled(of, options.sample)):
        if mutant.cell not in everywhere:
            yield Line(CELLS, mutant.kind, str(mutant), UNREACHED, "")
            continue
        by = cells.judge(mutant)
        how = SURVIVES if not by else NOTICED if by == cells.NOTICED else CAUGHT
        yield Line(CELLS, mutant.kind, str(mutant), how, by)


def table(lines: Iterable[Line]) -> Any:
    """How many mutants of each kind and operator fell to whom, as a table of rich."""
    from rich.table import Table

    counts = Counter((line.kind, line.operator, line.how) for line in lines)
    hows = [how for how in (*HOWS[:-1], UNREACHED, SURVIVES) if _sum(counts, how=how)]
    shown = Table("kind", "operator", *hows, "all")
    for kind in dict.fromkeys(key[0] for key in counts):
        operators = sorted({key[1] for key in counts if key[0] == kind})
        for operator in operators:
            row = [counts[kind, operator, how] for how in hows]
            shown.add_row(kind, operator, *_texts(row))
        shown.add_row(kind, "all", *_texts([_sum(counts, kind, how) for how in hows]))
        shown.add_section()
    shown.add_row("all", "", *_texts([_sum(counts, how=how) for how in hows]))
    return shown


def _texts(row: Sequence[int]) -> list[str]:
    return [f"{count:,}" for count in (*row, sum(row))]


def _sum(counts: Counter[tuple[str, str, str]], kind: str = "", how: str = "") -> int:
    return sum(n for (k, _, h), n in counts.items() if kind in ("", k) and how in ("", h))


# The tests of a checkout.


@cache
def _judge_module(path: Path) -> Any:
    """The module at `path`, which may import its neighbours and those above."""
    for folder in (path.parent, path.parents[1]):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    return import_module(path.stem)


def checkout_tests(folder: Path) -> Tests | None:
    """Calls ``judge`` of files below `folder`; None without a checkout or pytest."""
    if find_spec("pytest") is None or not folder.is_dir():
        return None

    def failing(files: Sequence[str]) -> str:
        found: Iterator[str] = (_judge_module(folder / file).judge() for file in files)
        return next(filter(None, found), "")

    return failing
