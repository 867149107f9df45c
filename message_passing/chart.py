"""Message-sequence charts as text: in the terminal, or for Mermaid.  Pure: arrows in, text out.

Time runs down.  Each process has a lifeline; an arrow is drawn when its message arrives::

    time  home              a                 b
    0.00  │                 ● Load            │
    1.50  │◀──────GetS──────┤                 │
    3.00  ├──────Data──────▶│                 │
    3.00  ├───────────────Inv────────────────✗│

If the lifelines do not fit the width, each arrow is a line of text instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

_LANE_MIN = 9
_TIME = 9


class Arrow(NamedTuple):
    """A message from `src` to `dst` at its arrival; with `src` equal to `dst`, a local event.

    `lost` marks a message that was sent, at this time, and never received.
    """

    time: float
    src: str
    dst: str
    label: str
    lost: bool = False


def participants(arrows: Iterable[Arrow]) -> list[str]:
    """The processes in order of appearance."""
    return list(dict.fromkeys(end for arrow in arrows for end in (arrow.src, arrow.dst)))


def text(
    arrows: Sequence[Arrow], *, width: int = 100, order: Sequence[str] = (), clock: str = "time"
) -> str:
    """The chart in at most `width` columns, from left to right `order`, then the others.

    `clock` is the heading of the first column; under "step" it has whole numbers.
    """
    decimals = 0 if clock == "step" else _decimals([arrow.time for arrow in arrows])
    names = list(dict.fromkeys([*order, *participants(arrows)]))
    if not names:
        return ""
    lane = (width - _TIME) // len(names)
    if lane < _LANE_MIN:
        return "\n".join(_line(arrow, width, decimals) for arrow in arrows)
    lane = min(lane, max([18, *(len(arrow.label) + 6 for arrow in arrows)]))
    column = {name: index * lane for index, name in enumerate(names)}
    heads = "".join(_cut(name, lane - 1).ljust(lane) for name in names)
    rows = [f"{clock:>{_TIME - 2}}  {heads.rstrip()}"]
    rows += [f"{_clock(arrow.time, decimals)}  {_row(arrow, column, lane)}" for arrow in arrows]
    return "\n".join(rows)


def mermaid(arrows: Sequence[Arrow], *, order: Sequence[str] = ()) -> str:
    """The chart as the source of a Mermaid `sequenceDiagram`."""
    names = list(dict.fromkeys([*order, *participants(arrows)]))
    ids = {name: f"p{index}" for index, name in enumerate(names)}
    rows = ["sequenceDiagram"]
    rows += [f"    participant {ids[name]} as {_escaped(name)}" for name in names]
    for arrow in arrows:
        src, dst, label = ids[arrow.src], ids[arrow.dst], _escaped(arrow.label)
        if arrow.src == arrow.dst and not arrow.lost:
            rows.append(f"    Note over {src}: {label}")
        else:
            rows.append(f"    {src}{'-x' if arrow.lost else '->>'}{dst}: {label}")
    return "\n".join(rows)


def _row(arrow: Arrow, column: dict[str, int], lane: int) -> str:
    cells = [" "] * (max(column.values()) + lane)
    for position in column.values():
        cells[position] = "│"
    start, end = column[arrow.src], column[arrow.dst]
    if start == end:
        mark = "✗" if arrow.lost else "●"
        label = f"{mark} {_cut(arrow.label, lane - 3)}"
        cells[start : start + len(label)] = label
        return "".join(cells).rstrip()
    left, right = min(start, end), max(start, end)
    shaft = _cut(arrow.label, right - left - 3).center(right - left - 2, "─")
    if start < end:
        cells[start], shaft = "├", shaft + ("✗" if arrow.lost else "▶")
    else:
        cells[start], shaft = "┤", ("✗" if arrow.lost else "◀") + shaft
    cells[left + 1 : right] = shaft
    return "".join(cells).rstrip()


def _line(arrow: Arrow, width: int, decimals: int) -> str:
    if arrow.src == arrow.dst:
        what = f"{arrow.src} {'✗' if arrow.lost else '●'} {arrow.label}"
    else:
        what = f"{arrow.src} ──{arrow.label}──{'✗' if arrow.lost else '▶'} {arrow.dst}"
    return f"{_clock(arrow.time, decimals)}  {_cut(what, width - _TIME)}"


def _clock(time: float, decimals: int) -> str:
    return f"{time:>{_TIME - 2}.{decimals}f}"


def _decimals(times: Sequence[float]) -> int:
    """Two decimals, or four where two would not tell short times apart."""
    short = max(map(abs, times), default=0.0) < 100
    return 4 if short and any(abs(round(time, 2) - time) > 1e-6 for time in times) else 2


def _cut(label: str, width: int) -> str:
    label = " ".join(label.split())
    return label if len(label) <= width else label[: max(width - 1, 0)] + "…"


def _escaped(label: str) -> str:
    # Mermaid ends a statement at a semicolon, and reads `#...;` as a character's number.
    return " ".join(label.split()).translate({ord("#"): "#35;", ord(";"): "#59;"})
