"""Records as tables for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import mean, pstdev
from typing import Any

import msgspec
from rich import box
from rich.table import Table

from causal.simulate.record import Record
from causal.simulate.reproduce import Row

FIGURES = {
    "start_rtt": "start",
    "report_rtt": "report",
    "makespan_rtt": "makespan",
    "latency_mean_rtt": "latency",
    "latency_p99_rtt": "p99",
    "wait_mean_rtt": "wait",
    "wait_max_rtt": "longest",
    "control_per_message": "control",
    "metadata_bytes_mean": "bytes",
    "violations": "broken",
}
"""Field of a record to heading; a column without figures is left out."""


def as_json(values: Iterable[Any]) -> str:
    """A JSON list, one record a line."""
    lines = (msgspec.json.encode(value).decode() for value in values)
    return "[\n" + ",\n".join(lines) + "\n]\n"


def table(title: str, records: Sequence[Record], *, varying: Sequence[str] = ()) -> Table:
    """One row for each protocol and each value of the `varying` parameters; mean ± sd of runs."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        key = (*(record.parameters[name] for name in varying), record.protocol)
        groups.setdefault(key, []).append(record)
    shown = [f for f in FIGURES if any(getattr(record, f) is not None for record in records)]
    made = Table(
        title=title,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        padding=0,
        show_edge=False,
    )
    for name in (*varying, "protocol"):
        made.add_column(name, no_wrap=True)
    for field in shown:
        made.add_column(FIGURES[field], justify="right", no_wrap=True)
    for key, runs in groups.items():
        made.add_row(*map(_plain, key), *(_spread([getattr(r, f) for r in runs]) for f in shown))
    return made


def comparison(rows: Iterable[Row], *, keep: Callable[[Row], bool]) -> Table:
    """The rows that `keep` selects, and those that disagree."""
    made = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for heading in ("source", "figure", "protocol"):
        made.add_column(heading, no_wrap=heading != "figure")
    for heading in ("expected", "found", "within"):
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_column("", no_wrap=True)
    for row in rows:
        if keep(row) or not row.agrees:
            within = f"{row.tolerance:.0%}" if row.relative else f"{row.tolerance:.0e}"
            mark = "" if row.agrees else "DIFFERS"
            figures = f"{row.expected:.4f}", f"{row.found:.4f}", within
            made.add_row(row.source, row.what, row.protocol, *figures, mark)
    return made


def counts(rows: Sequence[Row]) -> str:
    """How many figures of each source agree, and what is not among them."""
    lines = []
    for source, name in (("paper", "figures of papers"), ("closed form", "closed forms")):
        of_it = [row for row in rows if row.source == source]
        lines.append(f"{name}: {sum(row.agrees for row in of_it)} of {len(of_it)} agree")
    jobs = sum(is_of_a_job(row) for row in rows)
    lines[-1] += f"; {jobs} of them are starts and ends of jobs, of which a few are shown"
    lines.append(
        "our own tables have no other source: coherence causal simulate tables\n"
        "not here: state counts (coherence specs check causal), times (bench/)"
    )
    return "\n".join(lines)


def is_of_a_job(row: Row) -> bool:
    """Whether the figure is the start or the end of a job."""
    return row.what.startswith(("start:", "end:"))


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    middle, spread = mean(known), pstdev(known)
    digits = 0 if middle >= 100 else 2
    shown = f"{middle:,.{digits}f}".removesuffix(".00")
    return f"{shown} ±{spread:.{digits}f}" if spread >= 0.005 else shown
