"""The page of ``coherence simulate sweep``: figures over the axis that has the most values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from coherence.simulate.experiments.figures import Ratio
from coherence.simulate.pages.page import Chart, Curve, Mark, Page, Panel
from coherence.simulate.pages.said import SUBJECTS, shown
from coherence.simulate.sweeps.lines import Line
from coherence.simulate.sweeps.requests import Sweep
from coherence.simulate.sweeps.settings import STRATEGY, Value

CHARTS_MAX: Final = 24
"""A grid of more charts is shown in part: no reader looks at all of them."""


def page_of(sweep: Sweep, lines: Sequence[Line], command: str, *, is_partial: bool) -> Page:
    """What is swept, with a chart for each combination of the other axes."""
    axes = [key for key, values in sweep.over.items() if key != STRATEGY and len(values) > 1]
    x = _longest(sweep, axes)
    charts = list(_charts(sweep, lines, x, [key for key in axes if key != x]))
    remarks = ["Stale reads are the engine's, where messages travel and are lost."]
    if len(charts) > CHARTS_MAX:
        remarks.append(f"The first {CHARTS_MAX} of {len(charts)} charts; --csv has every figure.")
    if is_partial:
        remarks.append("The sweep ended early: some figures are of fewer runs, or missing.")
    name = _subject(lines)
    return Page(
        question=f"How do the savings of {name} depend on {_listed(axes) or 'the strategy'}?",
        command=command,
        answer=_answer(lines, name, axes),
        facts=tuple(_facts(sweep)),
        charts=tuple(charts[:CHARTS_MAX]),
        remarks=tuple(remarks),
    )


def _longest(sweep: Sweep, axes: Sequence[str]) -> str:
    """The axis of most numbers, or of most values if none is of numbers."""
    numeric = [key for key in axes if _is_numeric(sweep.over[key])]
    return max(numeric or axes, key=lambda key: len(sweep.over[key]), default=STRATEGY)


def _is_numeric(values: Sequence[Value]) -> bool:
    return all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in values)


def _charts(sweep: Sweep, lines: Sequence[Line], x: str, others: Sequence[str]) -> Iterator[Chart]:
    groups: dict[tuple[Value, ...], list[Line]] = {}
    for line in lines:
        groups.setdefault(tuple(line.point[key] for key in others), []).append(line)
    values = sweep.over.get(x, sweep.strategies)
    labels = () if x != STRATEGY and _is_numeric(values) else tuple(map(str, values))
    against = f"against {lines[0].against}" if lines else ""
    for place, mine in groups.items():
        where = ", ".join(f"{key} {value}" for key, value in zip(others, place, strict=True))
        saved = [(line, line.saved_bill) for line in mine]
        stale = [
            (line, Ratio(line.stale_reads.mean, line.stale_reads.interval))
            for line in mine
            if line.stale_reads is not None
        ]
        yield Chart(
            f"Over {x}" + (f": {where}" if where else ""),
            x,
            (
                Panel(f"bill saved {against}", _curves(saved, x, values), is_percent=True),
                Panel("stale reads a run", _curves(stale, x, values)),
            ),
            labels=labels,
        )


def _curves(
    figures: Sequence[tuple[Line, Ratio]], x: str, values: Sequence[Value]
) -> tuple[Curve, ...]:
    points: dict[str, list[Mark]] = {}
    for line, figure in figures:
        value = line.strategy if x == STRATEGY else line.point[x]
        place = value if _is_numeric(values) else values.index(value)
        name = "all" if x == STRATEGY else line.strategy
        points.setdefault(name, []).append(Mark(float(place), figure.value, figure.interval))
    return tuple(Curve(name, tuple(each)) for name, each in points.items())


def _subject(lines: Sequence[Line]) -> str:
    names = [line.strategy for line in lines]
    return next((name for name in SUBJECTS if name in names), names[-1])


def _answer(lines: Sequence[Line], name: str, axes: Sequence[str]) -> str:
    mine = [line for line in lines if line.strategy == name]
    least = min(mine, key=lambda line: line.saved_bill.value)
    most = max(mine, key=lambda line: line.saved_bill.value)
    stale = [line.stale_share.value for line in mine if line.stale_share is not None]
    beside = (
        f", with {100 * min(stale):.1f} to {100 * max(stale):.1f} % of reads stale" if stale else ""
    )

    def told(line: Line) -> str:
        where = ", ".join(f"{key} {line.point[key]}" for key in axes)
        return f"{shown(line.saved_bill, percent=True)}" + (f" ({where})" if where else "")

    verdicts = Counter[str](line.verdict for line in mine)
    counts = ", ".join(f"{word} at {verdicts[word]}" for word in ("cheaper", "dearer", "undecided"))
    return (
        f"Against {mine[0].against}, {name} saves from {told(least)} to {told(most)} of the whole"
        f" bill{beside}. By the 95 % intervals of paired differences it is {counts} of"
        f" {len(mine)} points."
    )


def _facts(sweep: Sweep) -> Iterator[tuple[str, str]]:
    first = sweep.points[0].scenario
    yield "seeds", f"{sweep.seeds} from {first.first_seed}, the same at every point"
    for key, values in sweep.over.items():
        yield key, ", ".join(map(str, values))
    if STRATEGY not in sweep.over:
        yield STRATEGY, ", ".join(sweep.strategies)
    for key, value in sweep.points[0].settings.items():
        if key not in sweep.over:
            yield key, str(value)


def _listed(words: Sequence[str]) -> str:
    *most, last = list(words) or [""]
    return f"{', '.join(most)} and {last}" if most else last
