"""The command ``coherence simulate sweep``: grids of settings, with intervals."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from coherence.simulate import report
from coherence.simulate.errors import InvalidSweep
from coherence.simulate.pages import saving
from coherence.simulate.pages.said import command_line
from coherence.simulate.pages.swept import page_of
from coherence.simulate.progress import Runs
from coherence.simulate.sweeps import requests, running, tables
from coherence.simulate.sweeps.requests import AGAINST, SEEDS, Request
from coherence.simulate.sweeps.running import Swept
from coherence.simulate.sweeps.settings import KEYS
from message_passing.commands import examples
from message_passing.console import (
    INTERRUPTED,
    columns,
    complain,
    reported,
    terminal_width,
    told,
    write,
)

EXAMPLES = examples(
    "coherence simulate sweep --over agents=2,4,8 --over strategy=lazy,adaptive --seeds 3",
    "coherence simulate sweep --over loss_probability=0,0.2 --against loss_probability=0 --csv",
    "coherence simulate sweep --over agents=2,4,8 --seeds 3 --html agents.html",
    "coherence simulate sweep --over prices=none,claude-opus-5 --set steps=20 --out results.db",
)


def sweep(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="TOML: fixed keys at its top, a table [over] of lists."
        ),
    ] = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            "--over",
            metavar="KEY=A,B,C",
            help=f"An axis of the grid; repeatable. Keys: {', '.join(KEYS)}.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Fix a key; repeatable."),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds", min=1, help="Runs at each point, with the same seeds; 10 if not given."
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="STRATEGY|KEY=VALUE",
            help="The baseline: a strategy, conditional_get if not given, or a value of an axis.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Keep every run in this SQLite file, and make none again that it has.",
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option("--on", metavar="ADDRESS", help="Measure on a Dask cluster: its scheduler."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", min=1, help="Processes that measure; one for each core if not given."
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Also write a page: pictures and tables."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list of lines.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a row for each line.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, no explanations.")
    ] = False,
) -> None:
    """Measure every combination of settings, with intervals and paired differences.

    Every point and every strategy has the same seeds. With --out a sweep that ended early, or whose
    grid has changed, measures only what is missing.

    Exit codes: 0 fine; 2 wrong usage; 3 a full disk, a process that died; 130 interrupted. After
    the last two, what was measured is printed, and is kept in --out.
    """
    if json and csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    if on is not None and jobs is not None:
        raise typer.BadParameter("--on and --jobs exclude each other")
    with reported():
        fixed: dict[str, Any] = {}
        if seeds is not None:
            fixed[SEEDS] = seeds
        if against is not None:
            fixed[AGAINST] = against
        fixed |= _pairs("--set", map(requests.setting, set_ or ()))
        request = Request(fixed, _pairs("--over", map(requests.axis, over or ())))
        asked = requests.read(file, request)
        if html is not None:
            saving.require()
        with Runs(quiet=quiet, verb="measured", unit="figures") as progress:
            outcome = running.run(asked, out=out, on=on, processes=jobs, advance=progress.advance)
        if html is not None and outcome.lines:
            command = command_line(context)
            page = page_of(asked, outcome.lines, command, is_partial=outcome.is_partial)
            saving.save(page, html)
        if json:
            write(report.as_json(outcome.lines))
        elif csv:
            write(tables.as_csv(asked, outcome.lines))
        elif outcome.lines:
            parts: list[RenderableType] = [tables.table(asked, outcome.lines)]
            parts += [] if quiet else tables.remarks(asked, outcome.lines)
            width = columns(report.FILE_WIDTH)
            terminal = terminal_width() is not None
            write(report.rendered(*parts, terminal=terminal, width=width, keys=1))
    _end(outcome)


def _pairs(option: str, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InvalidSweep(f"{option} {key}: given twice", remedy="give all values in one")
        found[key] = value
    return found


def _end(outcome: Swept) -> None:
    """Say why a sweep is incomplete, and give the exit code that says so."""
    if outcome.is_partial:
        complain(f"PARTIAL results, {outcome.done:,} of {outcome.asked:,} measurements")
    if outcome.fault is not None:
        line, code = told(outcome.fault)
        complain(line)
        raise typer.Exit(code)
    if outcome.is_partial:
        complain("interrupted")
        raise typer.Exit(INTERRUPTED)
