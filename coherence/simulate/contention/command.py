"""The command ``coherence simulate transactions``: what a refused transaction costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Annotated, Any, Final, get_type_hints

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table

from coherence.simulate import report
from coherence.simulate.contention.play import WAYS, Crew, CrewOutcome, Way, play
from coherence.simulate.errors import InvalidScenario, nearest
from coherence.simulate.experiments.figures import Ratio, ratio
from coherence.simulate.progress import Runs
from message_passing.commands import examples
from message_passing.console import columns, reported, terminal_width, write

EXAMPLES = examples(
    "coherence simulate transactions",
    "coherence simulate transactions --over reads=1,3,6 --set agents=8",
    "coherence simulate transactions --over think_s=5,30,120 --seeds 20 --json",
)

TEAMS_MAX: Final = 1_000
KEYS = {key: kind for key, kind in get_type_hints(Crew).items() if key != "seed"}

MEANING = """\
[bold]Calls[/bold]: model calls for each committed transaction, with those of refused attempts; \
[bold]refused[/bold]: of all attempts; [bold]mean[/bold] and [bold]longest[/bold]: seconds from a \
transaction's beginning to its commit; [bold]waited[/bold]: of the mean, for grants. optimistic \
holds nothing; transact takes grants from the second attempt on; grants from the first. ± is a \
95 % interval over the seeds; longest is over all."""


class CrewLine(msgspec.Struct, frozen=True, kw_only=True):
    """One way of one team, over its seeds."""

    team: Mapping[str, float]
    way: Way
    runs: int
    calls_per_commit: Ratio
    refused_share: Ratio
    mean_s: Ratio
    waited_s: Ratio
    longest_s: float
    given_up: int


def transactions(
    over: Annotated[
        list[str] | None,
        typer.Option("--over", metavar="KEY=A,B,...", help="agents=2,4,8,16 if not given."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help=f"One of {', '.join(KEYS)}."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs, each with the next.")] = 10,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress or meaning.")] = False,
) -> None:
    """Measure refused transactions in model calls, and grants in time.

    Agents read, think for a model call or more, and commit on the protocol that ships.  Exit
    codes: 0 done, 2 wrong usage, 130 interrupted.
    """
    with reported():
        axes = dict(_axis(text) for text in over or ["agents=2,4,8,16"])
        fixed = {key: values[0] for key, values in map(_axis, set_ or ())}
        teams = list(_teams(axes, fixed))
        if len(teams) > TEAMS_MAX:
            raise InvalidScenario(f"{len(teams):,} teams: at most {TEAMS_MAX:,}")
        with Runs(quiet=quiet) as progress:
            found = list(lines(teams, range(1, seeds + 1), progress))
    if json:
        write(report.as_json(found))
        return
    parts: list[RenderableType] = [_table(found, list(axes)), *([] if quiet else [MEANING])]
    terminal = terminal_width() is not None
    write(report.rendered(*parts, terminal=terminal, width=columns(report.FILE_WIDTH)))


def lines(teams: Sequence[Crew], seeds: Sequence[int], progress: Runs) -> Iterator[CrewLine]:
    """Every team in every way, with the same seeds."""
    asked, done = len(teams) * len(WAYS) * len(seeds), 0
    progress.advance(done, asked)
    for team, way in product(teams, WAYS):
        outcomes = []
        for seed in seeds:
            outcomes.append(play(msgspec.structs.replace(team, seed=seed), way))
            progress.advance(done := done + 1, asked)
        yield line(team, way, outcomes)


def line(team: Crew, way: Way, outcomes: Sequence[CrewOutcome]) -> CrewLine:
    """The figures of some runs."""
    committed = [outcome.committed for outcome in outcomes]
    each = [1.0] * len(outcomes)
    attempts = [outcome.committed + outcome.refused for outcome in outcomes]
    return CrewLine(
        team={key: value for key, value in msgspec.to_builtins(team).items() if key in KEYS},
        way=way,
        runs=len(outcomes),
        calls_per_commit=ratio([outcome.calls for outcome in outcomes], committed),
        refused_share=ratio([outcome.refused for outcome in outcomes], attempts),
        mean_s=ratio([outcome.mean_s for outcome in outcomes], each),
        waited_s=ratio([outcome.waited_s for outcome in outcomes], each),
        longest_s=max(outcome.longest_s for outcome in outcomes),
        given_up=sum(outcome.given_up for outcome in outcomes),
    )


def _teams(axes: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any]) -> Iterator[Crew]:
    for values in product(*axes.values()):
        yield Crew(**{**fixed, **dict(zip(axes, values, strict=True))})


def _axis(text: str) -> tuple[str, list[Any]]:
    """Key and values of ``key=a,b``.  Raises `InvalidScenario`."""
    key, _, values = text.partition("=")
    if key not in KEYS:
        raise InvalidScenario(
            f"{text!r}: no key {key!r}{nearest(key, KEYS)}", remedy=f"one of {', '.join(KEYS)}"
        )
    try:
        return key, [msgspec.convert(each, KEYS[key], strict=False) for each in values.split(",")]
    except msgspec.ValidationError:
        kind = "whole numbers" if KEYS[key] is int else "numbers"
        raise InvalidScenario(f"{text!r}: {key} takes {kind}") from None


def _table(found: Sequence[CrewLine], axes: Sequence[str]) -> Table:
    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for key in (*axes, "way"):
        made.add_column(key)
    for title in ("calls", "refused\n%", "mean\ns", "waited\ns", "longest\ns"):
        made.add_column(title, justify="right")
    before = None
    for row in found:
        place = [f"{row.team[key]:g}" for key in axes]
        if before is not None and place != before:
            made.add_section()
        shown = place if place != before else [""] * len(axes)
        before = place
        made.add_row(
            *shown,
            row.way + (f" ({row.given_up} given up)" if row.given_up else ""),
            _within(row.calls_per_commit, 1, "{:.2f}"),
            _within(row.refused_share, 100, "{:.1f}"),
            _within(row.mean_s, 1, "{:,.0f}"),
            _within(row.waited_s, 1, "{:,.0f}"),
            f"{row.longest_s:,.0f}",
        )
    return made


def _within(figure: Ratio, times: float, form: str) -> str:
    shown = form.format(figure.value * times)
    return shown if figure.interval is None else f"{shown}±{form.format(figure.interval * times)}"
