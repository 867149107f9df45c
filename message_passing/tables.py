"""Tables that are wider than a terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.table import Table

_UNLIMITED: Final = 10_000


def folded(table: Table, width: int, keys: int = 1) -> list[Table]:
    """`table`, or as many tables below each other as it takes to have `width` columns each.

    Each has the first `keys` columns, so that its rows can be told apart.  A table with one more
    column than these is shown however wide it is.
    """
    groups: list[list[int]] = [[]]
    for place in range(keys, len(table.columns)):
        if groups[-1] and _width(_part(table, [*range(keys), *groups[-1], place])) > width:
            groups.append([])
        groups[-1].append(place)
    if len(groups) == 1:
        return [table]
    parts = [_part(table, [*range(keys), *group]) for group in groups]
    parts[0].title = table.title
    return parts


def _part(table: Table, places: list[int]) -> Table:
    """A table with some of the columns of another."""
    made = Table(
        box=table.box,
        padding=table.padding,
        pad_edge=table.pad_edge,
        show_edge=table.show_edge,
        title_justify=table.title_justify,
    )
    columns = [table.columns[place] for place in places]
    for column in columns:
        made.add_column(
            column.header,
            justify=column.justify,
            style=column.style,
            overflow=column.overflow,
            no_wrap=column.no_wrap,
        )
    cells = zip(*(column.cells for column in columns), strict=True)
    for row, of_row in zip(table.rows, cells, strict=True):
        made.add_row(*of_row, style=row.style, end_section=row.end_section)
    return made


def _width(table: Table) -> int:
    console = Console(width=_UNLIMITED)
    return console.measure(table).maximum
