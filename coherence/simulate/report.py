"""How results are shown: tables for people, JSON and CSV for programs.

Every function returns text; writing it is the caller's.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec
from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from coherence.simulate import published
from coherence.simulate.measures import Record
from coherence.simulate.published import Figure
from coherence.simulate.scenario import Scenario
from message_passing.tables import folded

SIDE_BY_SIDE_MIN = 113
"""Columns of the comparison with both sets of rules on one line."""

KEYS = 2
"""The first columns of a table tell its rows apart."""

FILE_WIDTH = 10_000
"""Without a terminal a table has its full width; no cell is cut or folded."""

# Columns set apart by blanks, a rule under the head: reads well in a file, and awk can take it.
_PLAIN = box.Box(
    "    \n"  # top
    "    \n"  # head
    " -- \n"  # under the head
    "    \n"  # row
    "    \n"  # between rows
    "    \n"
    "    \n"
    "    \n",
    ascii=True,
)


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A published figure and the figure of our run of the paper's rules."""

    scenario: str
    strategy: str | None
    field: str
    published: str
    ours: float | None
    agrees: bool
    source: str


def as_json(values: Sequence[Any]) -> str:
    """Return `values` as a JSON list, indented, in their own order."""
    return msgspec.json.format(msgspec.json.encode(values), indent=2).decode() + "\n"


def as_csv(rows: Sequence[msgspec.Struct], kind: type[msgspec.Struct]) -> str:
    """Return structs of one kind as CSV with a header; None is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = kind.__struct_fields__
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in rows)
    return text.getvalue()


def comparison(records: Sequence[Record], rules: Sequence[str], width: int) -> Table:
    """Savings by scenario and strategy, with the published figures.

    The sets of rules are side by side if `width` allows it, else one below the other.
    """
    return _side_by_side(records, rules) if width >= SIDE_BY_SIDE_MIN else _stacked(records)


def _side_by_side(records: Sequence[Record], rules: Sequence[str]) -> Table:
    table = _table("scenario\n  strategy")
    (saved, show_saved), *others = _COMPARED
    _figures(table, *(f"{saved}\n{name}" for name in rules), "published\nsaved %", "bound\n%")
    for title, _ in others:
        _figures(table, *(f"{title}\n{name}" for name in rules))
    for strategy, group in _by_strategy(table, records):
        found = {record.rules: record for record in group}
        rows = [found.get(name) for name in rules]
        table.add_row(
            f"  {strategy}",
            *(show_saved(row) if row else "" for row in rows),
            *_promised(group[0]),
            *(show(row) if row else "" for _, show in others for row in rows),
        )
    return table


def _stacked(records: Sequence[Record]) -> Table:
    table = _table("scenario\n  strategy", "\nrules")
    (saved, show_saved), *others = _COMPARED
    _figures(table, f"{saved}\n", "published\nsaved %", "bound\n%")
    _figures(table, *(f"{title}\n" for title, _ in others))
    for strategy, group in _by_strategy(table, records):
        for row in group:
            first = row is group[0]
            table.add_row(
                f"  {strategy}" if first else "",
                row.rules,
                show_saved(row),
                *(_promised(row) if first else ("", "")),
                *(show(row) for _, show in others),
            )
    return table


def _by_strategy(table: Table, records: Sequence[Record]) -> Iterator[tuple[str, Sequence[Record]]]:
    """Yield the records of each strategy, and give `table` a heading for each scenario."""
    for scenario, of_scenario in groupby(records, key=lambda record: record.scenario):
        table.add_section()
        table.add_row(f"[bold]{escape(scenario)}[/bold]")
        for strategy, group in groupby(of_scenario, key=lambda record: record.strategy):
            yield strategy, list(group)


def _promised(record: Record) -> tuple[str, str]:
    found = published.savings(record.scenario, record.strategy)
    if found is None:
        return "-", "-"
    mean, sd = (float(figure.text) for figure in found)
    return _spread(mean, sd), _percent(record.lower_bound)


def details(records: Sequence[Record]) -> Table:
    """Tokens by kind and the other measures, a line for each record."""
    table = _table("scenario\n  strategy", "\nrules")
    _figures(table, "\nruns", "tokens\nmean", "tokens\nsd", "fetched\nmean", "pushed\nmean")
    other = any(record.other_tokens_mean for record in records)
    _figures(table, "signals\nmean", *(("other\nmean",) if other else ()), "saved %\nbroadcast")
    _figures(table, "saved %\nrefetch", "bound\n%", "hits\n%", "stale\nreads", "longest\nstale")
    _figures(table, "lost\nwrites")
    for strategy, group in _by_strategy(table, records):
        for record in group:
            table.add_row(
                f"  {strategy}",
                record.rules,
                f"{record.runs:,}",
                f"{record.sync_tokens_mean:,.1f}",
                f"{record.sync_tokens_sd:,.1f}",
                f"{record.fetch_tokens_mean:,.1f}",
                f"{record.push_tokens_mean:,.1f}",
                f"{record.invalidation_tokens_mean:,.1f}",
                *((f"{record.other_tokens_mean:,.1f}",) if other else ()),
                _percent(record.savings_mean),
                _percent(record.savings_vs_refetch_mean),
                _percent(record.lower_bound),
                _percent(record.hit_rate_mean),
                f"{record.stale_reads_mean:.1f}",
                f"{record.max_stale_steps:,}",
                f"{record.lost_updates:,}",
            )
    return table


def reproduction(cells: Sequence[Cell]) -> Table:
    """Every published figure beside ours, by scenario and strategy."""
    table = _table("scenario", "strategy", "figure")
    _figures(table, "published", "ours")
    table.add_column("agrees", no_wrap=True)
    for _, group in groupby(cells, key=lambda cell: (cell.scenario, cell.strategy)):
        table.add_section()
        for cell in group:
            decimals = len(cell.published.partition(".")[2])
            ours = "-" if cell.ours is None else f"{cell.ours:.{decimals}f}"
            table.add_row(
                cell.scenario,
                cell.strategy or "all",
                cell.field,
                cell.published,
                ours.removeprefix("0") if cell.published.startswith(".") else ours,
                "yes" if cell.agrees else "[bold red]NO[/bold red]",
            )
    return table


def cells(figures: Iterable[Figure], records: Iterable[Record]) -> list[Cell]:
    """Compare each figure with the record of its scenario and strategy."""
    by_name = {(record.scenario, record.strategy): record for record in records}
    found = []
    for figure in figures:
        ours = getattr(by_name[figure.scenario, figure.strategy or "lazy"], figure.field)
        found.append(
            Cell(
                scenario=figure.scenario,
                strategy=figure.strategy,
                field=figure.field,
                published=figure.text,
                ours=ours,
                agrees=figure.agrees(ours),
                source=figure.source,
            )
        )
    return found


def parameters(scenario: Scenario) -> str:
    """Return the parameters of a scenario in two lines."""
    sizes = ", ".join(
        f"{len(list(group)):,} of {size:,}" for size, group in groupby(scenario.sizes_tokens)
    )
    last = scenario.first_seed + scenario.runs - 1
    fixed = sum(not artifact.mutable for artifact in scenario.artifacts)
    return (
        f"{scenario.agents:,} agents, {scenario.steps:,} steps; artifacts: {sizes} tokens"
        f"{f', {fixed:,} immutable' if fixed else ''}, chosen {scenario.artifact_choice};"
        f" acts {scenario.action_probability:g}, writes {scenario.write_probability:g}\n"
        f"latency {scenario.latency_steps:,}, loss {scenario.loss_probability:g},"
        f" {scenario.context}; lease {scenario.lease_steps:,}, access count"
        f" {scenario.access_count_max:,}, timeout {scenario.transient_timeout_steps:,};"
        f" seeds {scenario.first_seed} to {last}"
    )


def rendered(*parts: RenderableType, terminal: bool, width: int, keys: int = KEYS) -> str:
    """Return `parts` as text of `width` columns: styled for a terminal, else plain.

    A table that is too wide for a terminal is folded into several, each with the first `keys`
    columns.
    """
    text = io.StringIO()
    if terminal:
        console = Console(file=text, force_terminal=True, width=width, highlight=False)
    else:
        console = Console(file=text, width=width, no_color=True, highlight=False)
    pieces: list[RenderableType] = []
    for part in parts:
        if isinstance(part, Table):
            part.box = box.SIMPLE_HEAD if terminal else _PLAIN
        pieces += folded(part, width, keys) if terminal and isinstance(part, Table) else [part]
    for part in pieces:
        if isinstance(part, Table):
            # The terminal may wrap a line; figures must not be broken within cells.
            needed = console.measure(part, options=console.options.update(width=FILE_WIDTH)).maximum
            console.width = max(width, needed)
        console.print(part, soft_wrap=not terminal and isinstance(part, str))
        console.width = width
    lines = text.getvalue().splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _table(*titles: str) -> Table:
    table = Table(padding=(0, 0), pad_edge=False)
    for title in titles:
        table.add_column(title, no_wrap=True)
    return table


def _figures(table: Table, *titles: str) -> None:
    for title in titles:
        table.add_column(title, justify="right", overflow="fold")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _spread(mean: float | None, sd: float | None) -> str:
    return "-" if mean is None or sd is None else f"{100 * mean:.1f}±{100 * sd:.1f}"


_COMPARED: tuple[tuple[str, Callable[[Record], str]], ...] = (
    ("saved %", lambda record: _spread(record.savings_mean, record.savings_sd)),
    ("refetch %", lambda record: _percent(record.savings_vs_refetch_mean)),
    ("hits %", lambda record: _percent(record.hit_rate_mean)),
    ("stale", lambda record: f"{record.stale_reads_mean:.1f}"),
    ("longest", lambda record: str(record.max_stale_steps)),
)
