"""The two tables of a comparison: what is transferred, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.markup import escape
from rich.table import Table

from coherence.simulate.experiments.figures import Comparison, Ratio
from coherence.simulate.experiments.prices import PriceModel

UNDERCUT = "<"
"""Marks a strategy that costs less than the floor, which it can by rewriting the history."""


def transferred(comparisons: Sequence[Comparison]) -> Table:
    """Tokens about artifacts, beside stale reads: no price model matters to most strategies."""
    made = _columns(
        *("tokens\nk", "times\nfloor", "saved\n%"),
        *("prompts\nk", "\ntrips", "stale\nreads"),
    )
    for row in _by_scenario(made, comparisons):
        made.add_row(
            f"  {row.strategy}",
            _thousands(row.transferred_tokens_mean),
            _multiple(row.transferred_of_floor),
            _percent(row.saved_transferred),
            _thousands(row.prompt_tokens_mean),
            f"{row.trips_mean:,.0f}",
            "-" if row.stale_reads_mean is None else f"{row.stale_reads_mean:.1f}",
        )
    return made


def priced(comparisons: Sequence[Comparison]) -> Table:
    """The cost above the bare run as multiples of the references, and the whole bill."""
    made = _columns(
        *("above\nk", "times\nfloor", "append-\nonly", "offline\nchoice"),
        *("bill\nk", "saved\n%"),
    )
    for row in _by_scenario(made, comparisons):
        mark = UNDERCUT if row.above_of_floor.value < 1 else ""
        made.add_row(
            f"  {row.strategy}",
            _thousands(row.above_mean),
            f"{mark}{_multiple(row.above_of_floor)}",
            _multiple(row.above_of_append_only),
            _multiple(row.above_of_offline),
            _thousands(row.bill_mean),
            _percent(row.saved_bill),
        )
    return made


def price_models(models: Iterable[PriceModel]) -> Table:
    """Price models, in multiples of each one's input price."""
    made = _columns("cached", "write", "output", "minimum", "life s", "match", "date", first="name")
    for model in models:
        lifetime = "-" if model.lifetime_s is None else f"{model.lifetime_s:g}"
        made.add_row(
            escape(model.name),
            *(f"{price:g}" for price in (model.cached, model.write, model.output)),
            *(str(model.minimum_tokens), lifetime, model.match, str(model.date or "-")),
        )
    return made


def remarks(prices: PriceModel, comparisons: Sequence[Comparison]) -> Iterator[str]:
    """What a reader of the money table must know."""
    source = prices.source + (f", {prices.date}" if prices.date else "")
    yield (
        f"[bold]{escape(prices.name)}[/bold]: cached {prices.cached:g}, write {prices.write:g},"
        f" output {prices.output:g} of the input price; {prices.match}. Source: {escape(source)}."
    )
    yield f"[bold]Saved[/bold]: against {comparisons[0].against}; of the whole bill where priced."
    if any(row.above_of_floor.value < 1 for row in comparisons):
        yield f"{UNDERCUT} below the floor: it rewrites the history, and the floor only appends."
    if prices.step_tokens > 1:
        yield "The references are approximate: a prefix is found in steps."
    elif not all(row.is_linear for row in comparisons):
        yield "The references are approximate: a price depends on the length of a prompt."


def _by_scenario(made: Table, comparisons: Sequence[Comparison]) -> Iterator[Comparison]:
    for scenario, rows in groupby(comparisons, key=lambda row: row.scenario):
        made.add_section()
        made.add_row(f"[bold]{escape(scenario)}[/bold]")
        yield from rows


def _columns(*titles: str, first: str = "scenario\n  strategy") -> Table:
    made = Table(padding=(0, 0), pad_edge=False)
    made.add_column(first, no_wrap=True)
    for title in titles:
        made.add_column(title, justify="right", overflow="fold")
    return made


def _thousands(tokens: float) -> str:
    return f"{tokens / 1_000:,.{1 if tokens < 1_000_000 else 0}f}"


def _multiple(found: Ratio) -> str:
    decimals = 2 if found.value < 10 else 1
    interval = "" if found.interval is None else f"±{found.interval:.{decimals}f}"
    return f"{found.value:.{decimals}f}{interval}"


def _percent(found: Ratio) -> str:
    interval = "" if found.interval is None else f"±{100 * found.interval:.1f}"
    return f"{100 * found.value:.1f}{interval}"
