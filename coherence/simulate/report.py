"""How results are shown: tables for people, JSON and CSV for programs.

Every function returns text; writing it is the caller's.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
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
    """A published figure and what our run of the paper's rules makes of it."""

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
    """Return structs of one kind as CSV with a header; what has no meaning is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = kind.__struct_fields__
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in rows)
    return text.getvalue()


def comparison(records: Sequence[Record], rules: Sequence[str]) -> Table:
    """Savings by scenario and strategy, the sets of rules side by side, with what was published."""
    table = _table()
    table.add_column("scenario\n  strategy", no_wrap=True)
    for name in rules:
        _figures(table, f"saved %\n{name}")
    _figures(table, "saved %\npublished", "theorem\nbound %")
    for title in ("vs refetch\n{} %", "hits\n{} %", "stale\n{}", "longest\n{}"):
        _figures(table, *(title.format(name) for name in rules))
    by_scenario = groupby(records, key=lambda record: record.scenario)
    for scenario, of_scenario in by_scenario:
        table.add_section()
        table.add_row(f"[bold]{escape(scenario)}[/bold]")
        for strategy, group in groupby(of_scenario, key=lambda record: record.strategy):
            rows = {record.rules: record for record in group}
            mine = [rows.get(name) for name in rules]
            bound = next(record.lower_bound for record in mine if record)
            table.add_row(
                f"  {strategy}",
                *_each(mine, lambda r: _spread(r.savings_mean, r.savings_sd)),
                _published(scenario, strategy),
                "-" if strategy == "broadcast" else _percent(bound),
                *_each(mine, lambda r: _percent(r.savings_vs_refetch_mean)),
                *_each(mine, lambda r: _percent(r.hit_rate_mean)),
                *_each(mine, lambda r: f"{r.stale_reads_mean:.1f}"),
                *_each(mine, lambda r: str(r.max_stale_steps)),
            )
    return table


def details(records: Sequence[Record]) -> Table:
    """Tokens by kind and the other measures, a line for each record."""
    table = _table()
    table.add_column("scenario\n  strategy", no_wrap=True)
    table.add_column("\nrules", no_wrap=True)
    _figures(table, "\nruns", "tokens\nmean", "tokens\nsd", "fetched\nmean", "pushed\nmean")
    other = any(record.other_tokens_mean for record in records)
    _figures(table, "signals\nmean", *(("other\nmean",) if other else ()), "saved %\nbroadcast")
    _figures(table, "saved %\nrefetch", "bound\n%", "hits\n%", "stale\nreads", "longest\nstale")
    _figures(table, "lost\nwrites")
    for scenario, group in groupby(records, key=lambda record: record.scenario):
        table.add_section()
        table.add_row(f"[bold]{escape(scenario)}[/bold]")
        for record in group:
            table.add_row(
                f"  {record.strategy}",
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
    table = _table()
    for title in ("scenario", "strategy", "figure"):
        table.add_column(title, no_wrap=True)
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
    """Hold each figure against the record of its scenario and strategy."""
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


def rendered(*parts: RenderableType, terminal: bool, width: int) -> str:
    """Return `parts` as text: styled and fitted to `width` on a terminal, else plain and whole."""
    text = io.StringIO()
    if terminal:
        console = Console(file=text, force_terminal=True, width=width, highlight=False)
    else:
        console = Console(file=text, width=10_000, no_color=True, highlight=False)
    for part in parts:
        if isinstance(part, Table):
            part.box = box.SIMPLE_HEAD if terminal else _PLAIN
        console.print(part, soft_wrap=isinstance(part, str))
    lines = text.getvalue().splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _table() -> Table:
    return Table(padding=(0, 0), pad_edge=False)


def _figures(table: Table, *titles: str) -> None:
    for title in titles:
        table.add_column(title, justify="right", overflow="fold")


def _each(records: Sequence[Record | None], text: Callable[[Record], str]) -> list[str]:
    return [text(record) if record else "" for record in records]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _spread(mean: float | None, sd: float | None) -> str:
    return "-" if mean is None or sd is None else f"{100 * mean:.2f} ±{100 * sd:.2f}"


def _published(scenario: str, strategy: str) -> str:
    found = published.savings(scenario, strategy)
    if found is None:
        return "-"
    mean, sd = found
    digits = mean.decimals - 2
    return f"{100 * float(mean.text):.{digits}f} ±{100 * float(sd.text):.{digits}f}"
