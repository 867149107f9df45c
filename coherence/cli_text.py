"""How the commands of a workspace write times, names and tables.

Names come from other agents: they are shown unchanged, never interpreted as markup.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from coherence.errors import BadArgument
from message_passing.console import columns, shortened, show, write

#: The version of every JSON document of these commands; a field that is added does not change it.
JSON_VERSION: Final = 1
#: Columns of a file: no name is cut there.
FILE_WIDTH: Final = 10_000
#: Blanks between two columns.
GAP: Final = 2
#: A name is not cut to fewer cells than this.
NAME_MIN: Final = 12

Cell: TypeAlias = str | Text
"""A cell of a table; a text without style is a `str`."""

#: Styles of what needs an eye.
HELD, WAITING, TROUBLE, QUIET = "cyan", "yellow", "bold red", "dim"

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_SPAN = re.compile(r"(\d+(?:\.\d+)?) ?(d|h|min|m|s)")


def console() -> Console:
    """A console that prints text unchanged."""
    return Console(markup=False, emoji=False, highlight=False)


def print_parts(*parts: Any) -> None:
    """Write texts and tables, as wide as the terminal."""
    show(*parts, file_width=FILE_WIDTH, markup=False)


def print_json(**fields: Any) -> None:
    """Write one document, with its version first."""
    document = msgspec.json.encode({"v": JSON_VERSION, **fields})
    write(msgspec.json.format(document, indent=2).decode() + "\n")


def print_line(**fields: Any) -> None:
    """Write one document on one line."""
    write(msgspec.json.encode({"v": JSON_VERSION, **fields}).decode() + "\n")


def when(at: float) -> str:
    """A moment of the store's clock, as local time."""
    return datetime.fromtimestamp(at).isoformat(" ", "seconds")


def ago(at: float, now: float) -> str:
    """How long before or after `now` a moment is, in its largest unit."""
    if at > now:
        return f"in {_span(at - now)}"
    return f"{_span(now - at)} ago" if now - at >= 1 else "now"


def _span(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "1 s"


def moment(text: str, now: float) -> float:
    """The moment that `text` names: a span before `now`, such as 30min, or a date.

    A date may have a time.  Raises `BadArgument`.
    """
    span = _SPAN.fullmatch(text.strip())
    if span is not None:
        sizes = {unit: size for size, unit in _UNITS} | {"m": 60}
        return now - float(span[1]) * sizes[span[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except ValueError:
        raise BadArgument(
            f"{text!r} names no moment",
            remedy="30min, 2h or 7d before now, 2026-11-29, or '2026-11-29 10:00'",
        ) from None


def ref_of(name: str, version: int) -> str:
    """The name and the version, as `coherence.Ref` writes them."""
    return f"{name}@{version}"


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells, cut in the middle; a version at its end stays."""
    name, at, version = text.rpartition("@")
    keep = len(at + version) if name and version.isdigit() else 0
    return shortened(text, width, keep)


def fitted(
    headings: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    names: Collection[str],
    right: Collection[str] = (),
    optional: Sequence[str] = (),
    folded: str = "",
    width: int | None = None,
) -> Table:
    """A table in `width` columns, the output's by default.

    Cells under `names` are cut to fit, the widest column first.  If that is not enough, columns of
    `optional` are left out, in that order; a column without text always is.  Cells under `folded`
    get further lines instead.
    """
    room = width or columns(FILE_WIDTH)
    cells = {heading: [_text(row[i]) for row in rows] for i, heading in enumerate(headings)}
    wide = {
        heading: max(cell_len(heading), *(cell.cell_len for cell in column))
        for heading, column in cells.items()
        if any(column)
    }
    flexible = {*names, folded}
    least = {h: min(size, NAME_MIN) if h in flexible else size for h, size in wide.items()}
    for heading in optional:
        if _total(least) > room and heading in wide:
            del wide[heading], least[heading]
    while _total(wide) > room and any(wide[h] > least[h] for h in wide):
        widest = max((h for h in wide if wide[h] > least[h]), key=wide.__getitem__)
        wide[widest] -= 1
    made = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for heading in wide:
        justify: Any = "right" if heading in right else "left"
        fold = heading == folded
        made.add_column(
            heading, justify=justify, no_wrap=not fold, overflow="fold", width=wide[heading]
        )
    for i in range(len(rows)):
        made.add_row(
            *(
                cells[h][i] if h == folded else _cut_cell(cells[h][i], size)
                for h, size in wide.items()
            )
        )
    return made


def _text(cell: Cell) -> Text:
    return Text(cell) if isinstance(cell, str) else cell


def _total(wide: Mapping[str, int]) -> int:
    return sum(wide.values()) + GAP * (len(wide) - 1)


def _cut_cell(cell: Text, width: int) -> Text:
    return Text(cut(cell.plain, width), style=cell.style) if cell.cell_len > width else cell
