"""The lines of a sweep for people, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_type_hints

import msgspec
from rich.markup import escape
from rich.table import Table

from coherence.simulate.experiments.figures import Ratio
from coherence.simulate.sweeps.lines import Line, Spread
from coherence.simulate.sweeps.requests import Sweep
from coherence.simulate.sweeps.settings import STRATEGY, Value


def table(sweep: Sweep, lines: Sequence[Line]) -> Table:
    """A section for each point and a row for each strategy; or a row for each point."""
    made = Table(padding=(0, 0), pad_edge=False)
    keys = [key for key in sweep.over if key != STRATEGY]
    is_flat = len(sweep.strategies) == 1 or not keys
    first = ", ".join(keys) or STRATEGY
    made.add_column(first if is_flat else f"{first}\n  {STRATEGY}", no_wrap=True)
    is_stale = sweep.against[0] != STRATEGY
    titles = ["tokens\nk", "bill\nk", "times\nfloor", "stale\n%", "saved\n%", "difference\nk"]
    for title in (*titles, *(("difference\nstale",) if is_stale else ()), "\nverdict"):
        made.add_column(title, justify="right", overflow="fold")
    last: dict[str, Value] = {}
    for line in lines:
        if not is_flat and line.point != last:
            made.add_section()
            made.add_row(f"[bold]{_place(line.point, keys)}[/bold]")
            last = line.point
        label = line.strategy if not keys else _place(line.point, keys)
        made.add_row(label if is_flat else f"  {line.strategy}", *_cells(line, is_stale))
    return made


def remarks(sweep: Sweep, lines: Sequence[Line]) -> Iterator[str]:
    """What a reader of the table must know."""
    against = lines[0].against
    yield (
        f"[bold]Tokens[/bold] are those transferred; the [bold]bill[/bold] is of whole prompts and"
        f" outputs, in input tokens; [bold]times floor[/bold]: of the cost above the same run"
        f" without artifacts. [bold]Saved[/bold] and [bold]difference[/bold]: of the bill, against"
        f" {escape(against)}, with the same seeds. ± is a 95 % interval. Stale reads: by the"
        f" engine, where messages travel and are lost."
    )
    judged = sum(line.verdict != "baseline" for line in lines)
    if sweep.seeds == 1:
        yield "One run at each point has no interval: nothing is decided. Take more --seeds."
    elif judged >= 20:
        yield f"Of {judged:,} verdicts, one in twenty would come by chance if nothing differed."
    if not all(line.is_linear for line in lines):
        yield "Some references are approximate: a price depends on the length of a prompt."


def as_csv(sweep: Sweep, lines: Sequence[Line]) -> str:
    """CSV with a header; ``bill.mean`` is the field `mean` of `bill`, and None is left empty."""
    keys = dict.fromkeys(key for point in sweep.points for key in point.settings)
    names = [name for field, kind in _FIELDS.items() for name in _names(field, kind, keys)]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        values = msgspec.to_builtins(line)
        nested = {name: each for name, each in values.items() if isinstance(each, dict)}
        rest = {name: each for name, each in values.items() if name in names}
        parts = {f"{a}.{b}": each for a, inner in nested.items() for b, each in inner.items()}
        writer.writerow(rest | parts)
    return text.getvalue()


_FIELDS = get_type_hints(Line)


def _names(field: str, kind: Any, keys: Iterable[str]) -> list[str]:
    """The columns of a field of a line."""
    if field == "point":
        return [f"{field}.{key}" for key in keys]
    for struct in (Spread, Ratio):
        if kind in (struct, struct | None):
            return [f"{field}.{part}" for part in struct.__struct_fields__]
    return [field]


def _place(point: Mapping[str, Value], keys: Iterable[str]) -> str:
    return escape(", ".join(str(point[key]) for key in keys))


def _cells(line: Line, is_stale: bool) -> tuple[str, ...]:
    is_baseline = line.verdict == "baseline"
    stale = "" if is_baseline or not line.stale_difference else _spread(line.stale_difference)
    return (
        _thousands(line.transferred_tokens),
        _thousands(line.bill),
        _ratio(line.above_of_floor),
        "-" if line.stale_share is None else _ratio(line.stale_share, 100, 1),
        _ratio(line.saved_bill, 100, 1),
        "" if is_baseline else _thousands(line.bill_difference),
        *((stale,) if is_stale else ()),
        line.verdict + (f" ({line.runs})" if line.partial else ""),
    )


def _thousands(figure: Spread) -> str:
    return _with_interval(figure.mean / 1_000, figure.interval, 1_000, 1)


def _spread(figure: Spread) -> str:
    return _with_interval(figure.mean, figure.interval, 1, 1)


def _ratio(figure: Ratio, factor: float = 1, decimals: int = 2) -> str:
    return _with_interval(figure.value * factor, figure.interval, 1 / factor, decimals)


def _with_interval(value: float, interval: float | None, divisor: float, decimals: int) -> str:
    half = "" if interval is None else f"±{interval / divisor:,.{decimals}f}"
    return f"{value:,.{decimals}f}{half}"
