"""Sentences of a page: the answer to its question, and the command that made it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from enum import Enum
from math import isclose
from pathlib import Path

import typer
from rich.text import Text

from coherence.simulate.experiments.figures import Comparison, Ratio

#: Sentences are about the first of these that is on the page.
SUBJECTS = ("adaptive", "shipped", "lazy_delta", "push_delta", "lazy")


def subject(comparisons: Sequence[Comparison]) -> str:
    """The strategy that the sentences of a page are about."""
    names = [row.strategy for row in comparisons]
    return next((name for name in SUBJECTS if name in names), names[-1])


def answer(comparisons: Sequence[Comparison]) -> str:
    """Two sentences: what is saved, and how far the bill is from the least possible.

    Every figure has its interval.  The prices are those of the first price model.
    """
    name, prices = subject(comparisons), comparisons[0].prices
    priced = [row for row in comparisons if row.prices == prices]
    mine = [row for row in priced if row.strategy == name]
    first = (
        f"Against {mine[0].against}, {name} saves"
        f" {_range([(row.saved_transferred, row.scenario) for row in mine])} of the transferred"
        f" tokens, with {_stale(mine)}, and"
        f" {_range([(row.saved_bill, row.scenario) for row in mine])} of the whole bill at the"
        f" prices of {prices}."
    )
    multiples = [(row.above_of_floor, row.scenario) for row in mine]
    second = f" What {name} adds to the bill is {_range(multiples, percent=False)} times the floor"
    return f"{first}{second}{_cheapest(priced, name)}."


def _cheapest(rows: Sequence[Comparison], name: str) -> str:
    """The strategy of the lowest mean bill, for each scenario."""
    won: dict[str, list[str]] = {}
    for scenario in dict.fromkeys(row.scenario for row in rows):
        here = [row for row in rows if row.scenario == scenario]
        least = min(row.bill_mean for row in here)
        equal = [row.strategy for row in here if isclose(row.bill_mean, least)]
        won.setdefault(name if name in equal else equal[0], []).append(scenario)
    if len({row.strategy for row in rows}) == 1:
        return ""
    if list(won) == [name]:
        return f", and no strategy shown has a lower mean bill than {name}"
    if len(won) == 1 and len(next(iter(won.values()))) == 1:
        return f", and {next(iter(won))} has the lowest mean bill"
    parts = [f"{winner} in {', '.join(where)}" for winner, where in won.items()]
    return f", and the lowest mean bill is that of {'; '.join(parts)}"


def _stale(rows: Sequence[Comparison]) -> str:
    counts = [row.stale_reads_mean for row in rows if row.stale_reads_mean is not None]
    if not counts:
        return "stale reads not counted"
    low, high = f"{min(counts):.1f}", f"{max(counts):.1f}"
    return f"{low} stale reads a run" if low == high else f"{low} to {high} stale reads a run"


def _range(found: Sequence[tuple[Ratio, str]], *, percent: bool = True) -> str:
    if len(found) == 1:
        return shown(found[0][0], percent=percent)
    low = min(found, key=lambda each: each[0].value)
    high = max(found, key=lambda each: each[0].value)
    return (
        f"from {shown(low[0], percent=percent)} ({low[1]}) to"
        f" {shown(high[0], percent=percent)} ({high[1]})"
    )


def shown(found: Ratio, *, percent: bool) -> str:
    """A ratio with its interval, as percent or as a multiple."""
    if percent:
        interval = "" if found.interval is None else f" ± {100 * found.interval:.1f}"
        return f"{_minus(100 * found.value, 1)}{interval} %"
    decimals = 2 if found.value < 10 else 1
    interval = "" if found.interval is None else f" ± {found.interval:.{decimals}f}"
    return f"{found.value:.{decimals}f}{interval}"


def plain(markup: str) -> str:
    """A text for a terminal without the marks of its style."""
    return Text.from_markup(markup).plain


def _minus(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    return text.replace("-", "−") if text.strip("-0.") else text.lstrip("-")


def command_line(context: typer.Context) -> str:
    """The command that is running, with the options that differ from their defaults.

    Of the file that gets the page, only the name is told: a page is the same wherever it is.
    """
    words = ["coherence simulate", context.info_name or ""]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if value in (None, False, (), [], parameter.get_default(context)):
            continue
        values = value if isinstance(value, (list, tuple)) else [value]
        for each in values:
            if parameter.param_type_name == "option":
                words.append(max(parameter.opts, key=len))
            if each is not True:
                words.append(shlex.quote(_plain(each)))
    return " ".join(words)


def _plain(value: object) -> str:
    if isinstance(value, Path):
        return value.name
    return str(value.value) if isinstance(value, Enum) else str(value)
