"""``python -m specs mutants NAME``: the mutants of a target before their judges, and a table.

Exit codes: 0 each mutant is seen or explained, 1 one survives, 2 a wrong call.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from functools import cache
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec

from message_passing.console import say, show
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


class Line(msgspec.Struct, frozen=True):
    """One mutant and how it was judged, for a program."""

    kind: str
    operator: str
    mutant: str
    how: str
    by: str
    steps: int | None = None


def run(options: argparse.Namespace) -> int:
    """Judge the mutants of one target, or of `all`, and write the table."""
    names = list(TARGETS) if options.name == "all" else [options.name]
    kinds = options.kind or KINDS_OF_ALL
    tests = None if options.models_only else checkout_tests(TESTS)
    lines: list[Line] = []
    for name in names:
        target_of(name)
        if CELLS in kinds and name == "mesi":
            lines += _of_cells(options, _progress())
        if set(kinds) & set(KINDS):
            lines += of_code(name, kinds, tests, options.sample, _progress())
    survivors = [line for line in lines if line.how == SURVIVES]
    if options.json:
        say(msgspec.json.encode(lines).decode())
        return 1 if survivors else 0
    for line in survivors:
        say(f"survives  {line.kind:7} {line.operator:11} {line.mutant}")
    show(table(lines), file_width=100)
    if tests is None and not options.models_only:
        say("The tests of a checkout are not at hand: models alone have judged.")
    return 1 if survivors else 0


def of_code(
    name: str,
    kinds: Sequence[str],
    tests: Tests | None,
    sample: int | None,
    progress: Callable[[str], None],
) -> Iterator[Line]:
    """Judge the mutants of guards and bodies of one target.

    Raises `UsageError` where an explanation does not fit today's code.
    """
    explained = explanations(name)
    bench = Bench(target_of(name), tests, explained)
    every = sampled(list(code_mutants(name, kinds)), sample)
    for number, mutant in enumerate(every, 1):
        progress(f"{number}/{len(every)} {mutant}")
        found = bench.judge(mutant)
        yield Line(mutant.kind, mutant.edit.operator, str(mutant), found.how, found.by, found.steps)


def sampled(every: Sequence[Any], sample: int | None) -> Sequence[Any]:
    """`sample` of `every`, evenly distributed; all if `sample` is None or larger."""
    if sample is None or sample >= len(every):
        return every
    return [every[number * len(every) // sample] for number in range(sample)]


def _of_cells(options: argparse.Namespace, progress: Callable[[str], None]) -> Iterator[Line]:
    kinds = cells.KINDS if options.slow else cells.KINDS[:2]
    of = [m for name in cells.TABLES for m in cells.mutants(name) if m.kind in kinds]
    everywhere = frozenset[cells.Cell]().union(*cells.reached())
    every = sampled(of, options.sample)
    for number, mutant in enumerate(every, 1):
        progress(f"{number}/{len(every)} {mutant}")
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


def _progress() -> Callable[[str], None]:
    if not sys.stderr.isatty():
        return lambda text: None

    def tell(text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text[:100]}")
        sys.stderr.flush()

    return tell


# The tests of a checkout.


@cache
def _judge_module(path: Path) -> Any:
    """The module at `path`, which may import its neighbours."""
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    return import_module(path.stem)


def _judge_of(path: Path) -> str:
    found: str = _judge_module(path).judge()
    return found


def checkout_tests(folder: Path) -> Tests | None:
    """Runs tests below `folder` in this process; None without a checkout or pytest."""
    try:
        import pytest
    except ImportError:
        return None
    if not folder.is_dir():
        return None

    class First:
        """Remembers the first test that fails."""

        failed = ""

        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed and not self.failed:
                self.failed = report.nodeid

        def pytest_collectreport(self, report: Any) -> None:
            if report.failed and not self.failed:
                self.failed = report.nodeid

    def failing(files: Sequence[str]) -> str:
        for file in files:
            if not Path(file).name.startswith("test_"):
                if failed := _judge_of(folder / file):
                    return failed
                continue
            first = First()
            options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-n0"]
            with redirect_stdout(StringIO()):
                pytest.main([str(folder / file), *options], plugins=[first])
            if first.failed:
                return first.failed
        return ""

    return failing
