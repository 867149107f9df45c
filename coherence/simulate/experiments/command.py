"""The command ``coherence simulate compare``: strategies against baselines and references."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Annotated

import typer
from rich.console import RenderableType

from coherence.simulate import catalogue, report
from coherence.simulate.errors import InvalidPrices, UnknownChoice, nearest
from coherence.simulate.experiments import compare as comparison
from coherence.simulate.experiments import prices as price_models
from coherence.simulate.experiments import tables
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.compare import Compared, Plan
from coherence.simulate.experiments.options import Against, AsJson, Html, Quiet, Strategies
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.strategies import STRATEGIES
from coherence.simulate.pages import saving
from coherence.simulate.pages.compared import page_of
from coherence.simulate.pages.said import command_line
from coherence.simulate.progress import Runs
from message_passing.commands import examples
from message_passing.console import INTERRUPTED, columns, reported, terminal_width, write

EXAMPLES = examples(
    "coherence simulate compare planning --prices gpt-5-6-sol --seeds 3",
    "coherence simulate compare churn --against slot_tail --cuts 0.05 --json",
    "coherence simulate compare planning --seeds 3 --html planning.html",
    "coherence simulate compare --prices list",
)

MEANING = """\
[bold]Floor[/bold]: all accesses known, texts and differences kept or shown once, no trips; \
[bold]append-only[/bold]: kept only; [bold]offline choice[/bold]: the better of telling every \
change and being asked. Multiples are of the cost above the same run without artifacts. ± is a \
95 % interval. Stale reads: by the engine, where messages travel."""


def compare(
    context: typer.Context,
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME|FILE]...", help="The canonical four if not given."),
    ] = None,
    prices: Annotated[
        list[str] | None,
        typer.Option(
            "--prices",
            metavar="NAME|FILE",
            help=f"Price models: a shipped name, or all of a TOML file; repeatable."
            f" {price_models.DEFAULT} if not given; `--prices list` lists them.",
        ),
    ] = None,
    strategy: Strategies = None,
    against: Against = "conditional_get",
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Runs, each with the next seed.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the scenarios."),
    ] = None,
    cuts: Annotated[
        float,
        typer.Option("--cuts", min=0, max=1, help="Chance that a context is lost before a call."),
    ] = 0.0,
    step_s: Annotated[
        float,
        typer.Option(
            "--step-s", min=0, help="Seconds that a step lasts: prefixes expire. 0: never."
        ),
    ] = 0.0,
    html: Html = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare ways to keep agents informed: tokens, prompts, and money with prompt caching.

    Exit codes: 0 fine, 2 wrong usage, 130 interrupted (the scenarios that were complete).
    """
    if not isfinite(step_s):
        raise typer.BadParameter("--step-s takes a finite number")
    with reported():
        if prices == ["list"]:
            _print([tables.price_models(price_models.shipped().values())])
            return
        changes = list(set_ or ())
        changes += [f"runs={seeds}"] if seeds is not None else []
        plan = Plan(
            scenarios=tuple(
                catalogue.find(name, changes) for name in scenarios or catalogue.CANONICAL
            ),
            prices=chosen_models(prices or [price_models.DEFAULT]),
            strategies=tuple(map(chosen_strategy, dict.fromkeys(strategy or ())))
            or comparison.DEFAULT_STRATEGIES,
            against=chosen_strategy(against),
            prompting=Prompting(step_s=step_s),
            cuts=cuts,
        )
        if html is not None:
            saving.require()
        with Runs(quiet=quiet) as progress:
            outcome = comparison.run(plan, progress.advance)
        if html is not None and outcome.comparisons:
            saving.save(page_of(plan, outcome, command_line(context)), html)
        if json:
            write(report.as_json(outcome.comparisons))
        else:
            _print(_shown(plan, outcome, quiet))
    if outcome.is_partial:
        typer.echo("interrupted: PARTIAL results, the scenarios that were complete", err=True)
        raise typer.Exit(INTERRUPTED)


def chosen_models(names: Sequence[str]) -> tuple[PriceModel, ...]:
    """The price models of all names and files; results name them, so no two may share a name.

    Raises `UnknownPrices` and `InvalidPrices`.
    """
    found: dict[str, PriceModel] = {}
    for name in names:
        for model in price_models.find(name):
            if found.setdefault(model.name, model) != model:
                raise InvalidPrices(
                    f"{name}: there is another price model {model.name!r}", remedy="rename one"
                )
    return tuple(found.values())


def chosen_strategy(name: str) -> str:
    """The name of a strategy.  Raises `UnknownChoice`."""
    if name not in STRATEGIES:
        allowed = ", ".join(STRATEGIES)
        hint = nearest(name, STRATEGIES)
        raise UnknownChoice(f"strategy {name!r}: unknown{hint}; allowed are {allowed}")
    return name


def _shown(plan: Plan, outcome: Compared, quiet: bool) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for prices in plan.prices:
        rows = [row for row in outcome.comparisons if row.prices == prices.name]
        if rows:
            remarks: Sequence[str] = [] if quiet else list(tables.remarks(prices, rows))
            parts += [tables.transferred(rows), tables.priced(rows), *remarks]
    return parts if quiet or not parts else [*parts, MEANING]


def _print(parts: Sequence[RenderableType]) -> None:
    width = columns(report.FILE_WIDTH)
    write(report.rendered(*parts, terminal=terminal_width() is not None, width=width))
