"""A part of a chart: what is in a span of time, without what a filter removes, and bounded.

The answer is bounded, and not only the drawing: of more than `AT_MOST` intervals in a window the
important and the long ones are given, with the number of the others.  They come as the window gets
narrower.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nsmallest
from math import inf, ulp
from typing import Final

import msgspec

from coherence_console.intervals import Arrow, Chart, Interval, Kind, Lane, Mark
from coherence_console.shapes import Shape
from message_passing.process import Time

#: Intervals of a window, and as many arrows, and marks.
AT_MOST: Final = 2000
#: Names that a window lists for filters.
NAMES_MAX: Final = 500
#: The width of the narrowest window, as a part of the whole.
NARROWEST: Final = 1e-9

_RANK: Final = {kind: rank for rank, kind in enumerate(Kind)}


class More(msgspec.Struct, frozen=True):
    """How many are in the window and are not given."""

    intervals: int
    marks: int
    arrows: int


class LaneOf(msgspec.Struct, frozen=True):
    """A lane with something in the window."""

    id: int
    agent: str
    artifact: str


class Window(Shape, frozen=True, kw_only=True, rename={"begin": "from", "end": "to"}):
    """Part of a chart.  Moments count from `start`, as in `Chart`."""

    source: str
    start: Time
    unit: str
    #: The ends of the whole chart.
    first: Time
    last: Time
    begin: Time
    end: Time
    lanes: tuple[LaneOf, ...]
    intervals: tuple[Interval, ...]
    marks: tuple[Mark, ...]
    arrows: tuple[Arrow, ...]
    more: More
    #: Lanes of the whole chart, and those that the filter leaves.
    lanes_of_whole: int
    lanes_left: int
    #: The kinds of intervals and marks in the whole chart.
    kinds: tuple[str, ...]
    agents: tuple[str, ...]
    artifacts: tuple[str, ...]
    remarks: tuple[str, ...]
    #: Whether the chart grows while it is watched, and since when holds and waits are sampled.
    live: bool = False
    sampled_since: Time | None = None


def clamped(chart: Chart, begin: Time | None, end: Time | None) -> tuple[Time, Time]:
    """A span within the chart, which is not empty; the whole chart by default."""
    first, last = chart.begin, max(chart.end, chart.begin)
    low = first if begin is None else min(max(begin, first), last)
    high = last if end is None else min(max(end, first), last)
    width = max((last - first) * NARROWEST, ulp(last) * 8) or 1.0
    if high - low < width:
        low = max(first, min(low, last - width))
        high = low + width
    return low, high


def window(
    chart: Chart,
    begin: Time | None = None,
    end: Time | None = None,
    *,
    source: str = "",
    who: str = "",
    hidden: frozenset[str] = frozenset(),
    at_most: int = AT_MOST,
    live: bool = False,
    sampled_since: Time | None = None,
) -> Window:
    """The part of `chart` between two moments.

    `who` is a part of the name of an agent or of an artifact, without regard to case; lanes of
    other names are removed.  `hidden` are kinds of intervals and marks.
    """
    low, high = clamped(chart, begin, end)
    wanted = _wanted(chart.lanes, who)
    intervals = [
        each
        for each in chart.intervals
        if each.lane in wanted
        and each.kind not in hidden
        and each.begin <= high
        and (each.end is None or each.end >= low)
    ]
    marks = [
        each
        for each in chart.marks
        if each.lane in wanted and each.kind not in hidden and low <= each.at <= high
    ]
    arrows = [
        each
        for each in chart.arrows
        if (each.src in wanted or each.dst in wanted)
        and "message" not in hidden
        and each.sent <= high
        and (_end(each, chart.end) >= low)
    ]
    more = More(*(max(0, len(each) - at_most) for each in (intervals, marks, arrows)))
    intervals = _longest(intervals, low, high, at_most)
    arrows = nsmallest(at_most, arrows, key=lambda each: each.sent - _end(each, chart.end))
    if more.marks:
        marks.sort(key=lambda each: each.at)
        # Some everywhere, rather than all at one end.
        marks = [marks[number * len(marks) // at_most] for number in range(at_most)]
    used = {each.lane for each in intervals} | {each.lane for each in marks}
    used |= {number for each in arrows for number in (each.src, each.dst)}
    return Window(
        source=source,
        start=chart.start,
        unit=chart.unit,
        first=chart.begin,
        last=chart.end,
        begin=low,
        end=high,
        lanes=tuple(
            LaneOf(number, chart.lanes[number].agent, chart.lanes[number].artifact)
            for number in sorted(used)
        ),
        intervals=tuple(sorted(intervals, key=lambda each: each.begin)),
        marks=tuple(sorted(marks, key=lambda each: each.at)),
        arrows=tuple(sorted(arrows, key=lambda each: each.sent)),
        more=more,
        lanes_of_whole=len(chart.lanes),
        lanes_left=len(wanted),
        kinds=_kinds(chart),
        agents=_names(lane.agent for lane in chart.lanes),
        artifacts=_names(lane.artifact for lane in chart.lanes if lane.artifact),
        remarks=chart.remarks,
        live=live,
        sampled_since=sampled_since,
    )


def _wanted(lanes: tuple[Lane, ...], who: str) -> frozenset[int]:
    part = who.casefold()
    return frozenset(
        number
        for number, lane in enumerate(lanes)
        if part in lane.agent.casefold() or part in lane.artifact.casefold()
    )


def _longest(found: list[Interval], low: Time, high: Time, at_most: int) -> list[Interval]:
    if len(found) <= at_most:
        return found

    def order(each: Interval) -> tuple[int, Time, int]:
        end = high if each.end is None else min(each.end, high)
        return _RANK[each.kind], max(each.begin, low) - end, each.id

    return nsmallest(at_most, found, key=order)


def _end(arrow: Arrow, otherwise: Time) -> Time:
    return otherwise if arrow.delivered is None else arrow.delivered


def _kinds(chart: Chart) -> tuple[str, ...]:
    kinds = {str(each.kind) for each in chart.intervals} | {each.kind for each in chart.marks}
    if chart.arrows:
        kinds.add("message")
    order = [*map(str, Kind), "published", "refused", "message"]
    return tuple(kind for kind in order if kind in kinds)


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names))[:NAMES_MAX])


def moment(text: str) -> Time | None:
    """A moment of an address, or None for an empty text.  Raises `ValueError`."""
    if not text:
        return None
    found = float(text)
    if not -inf < found < inf:
        raise ValueError(text)
    return found
