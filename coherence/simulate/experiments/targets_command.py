"""The command ``coherence simulate targets``: what the experiments must show, and do show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from coherence.simulate import report
from coherence.simulate.experiments import targets as findings
from coherence.simulate.experiments.options import AsJson, Quiet
from coherence.simulate.experiments.targets import FIVE, Effort, Finding, Findings
from coherence.simulate.progress import Runs
from message_passing.commands import examples
from message_passing.console import INTERRUPTED, columns, reported, terminal_width, write

EXAMPLES = examples(
    "coherence simulate targets",
    "coherence simulate targets --quick --json",
)

MISSED = "!"
"""Marks a figure that does not reach its target."""

QUICK = Effort(seeds=2, points=20, runs_of_point=1, prices=FIVE, many=False)

MEANING = """\
Each figure is the worst of the scenarios, in multiples of what heads its column. \
[bold]Near[/bold]: how many scenarios cost at most 1.5 times the absolute floor. A price model \
without targets is reported beside; where a tier makes long prompts dearer, the references are \
approximate. --json names every figure, the scenario where it is worst, and its target."""


def targets(
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Two seeds, twenty points, the models with targets only."),
    ] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Play all that the experiments claim of the adaptive rule, beside its targets.

    Every shipped scenario under every shipped price model, points drawn at random, teams with many
    artifacts: two minutes. Few seeds miss a target by chance. Exit codes: 0 all targets reached,
    1 not, 130 interrupted.
    """
    with reported(), Runs(quiet=quiet) as progress:
        try:
            found = findings.find(QUICK if quick else Effort(), progress.advance)
        except KeyboardInterrupt:
            typer.echo("interrupted: nothing is complete", err=True)
            raise typer.Exit(INTERRUPTED) from None
    if json:
        write(report.as_json([_with_verdict(each) for each in found.all()]))
    else:
        _print(_shown(found, quiet))
    if not all(each.holds for each in found.all()):
        raise typer.Exit(1)


def _with_verdict(finding: Finding) -> dict[str, object]:
    return {**msgspec.structs.asdict(finding), "holds": finding.holds}


def _shown(found: Findings, quiet: bool) -> list[RenderableType]:
    parts: list[RenderableType] = [
        _by_prices(
            found.scenarios,
            {
                "append_only": "append-\nonly",
                "offline": "offline\nchoice",
                "better": "better\nway",
                "near_floor": "\nnear",
                "transferred_shipped": "tokens,\nshipped",
                "transferred_adaptive": "tokens,\nadaptive",
            },
        ),
        _plain(found.points),
        _by_prices(
            found.notices,
            {
                "hits_lost": "hits lost\nno marks",
                "unmarked_bill": "bill\nno marks",
                "kept_bill": "bill\nkept signal",
            },
        ),
    ]
    if found.many:
        parts.append(_plain(found.many))
    missed = [each for each in found.all() if not each.holds]
    with_target = [each for each in found.all() if each.target is not None]
    parts.append(f"{len(with_target) - len(missed)} of {len(with_target)} targets reached.")
    parts += [f"{MISSED} {escape(_sentence(each))}" for each in missed]
    return parts if quiet else [*parts, MEANING]


def _by_prices(rows: Sequence[Finding], titles: dict[str, str]) -> Table:
    """One line for each price model, one column for each figure."""
    made = Table(padding=(0, 1, 0, 0), pad_edge=False)
    made.add_column("prices", no_wrap=True)
    for title in titles.values():
        made.add_column(title, justify="right")
    cells = {(row.prices, row.figure): row for row in rows}
    goals = {row.figure: row.target for row in rows if row.target is not None}
    for prices in dict.fromkeys(row.prices for row in rows):
        made.add_row(escape(prices or ""), *(_cell(cells[prices, figure]) for figure in titles))
    if goals:
        made.add_section()
        shown = ("each" if figure == "near_floor" else _number(goals[figure]) for figure in titles)
        made.add_row("target", *shown)
    return made


def _cell(finding: Finding) -> str:
    if finding.figure == "near_floor":
        goal = "" if finding.target is None else f" of {finding.target:.0f}"
        text = f"{finding.found:.0f}{goal}"
    else:
        text = _number(finding.found)
    return text if finding.holds else f"{MISSED}{text}"


def _plain(rows: Sequence[Finding]) -> Table:
    made = Table(padding=(0, 1, 0, 0), pad_edge=False)
    made.add_column("what")
    for title in ("found", "target"):
        made.add_column(title, justify="right")
    for row in rows:
        goal = "" if row.target is None else f"{row.relation} {_number(row.target)}"
        where = f" ({row.where})" if row.where else ""
        made.add_row(escape(f"{row.what}{where}"), _cell(row), goal)
    return made


def _sentence(finding: Finding) -> str:
    """One missed target: what, how much, and where."""
    prices = f", {finding.prices}" if finding.prices else ""
    where = f" ({finding.where})" if finding.where else ""
    return (
        f"{finding.what}{prices}: {_number(finding.found)}, target"
        f" {finding.relation} {_number(finding.target or 0)}{where}"
    )


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _print(parts: Sequence[RenderableType]) -> None:
    width = columns(report.FILE_WIDTH)
    write(report.rendered(*parts, terminal=terminal_width() is not None, width=width))
