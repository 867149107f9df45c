"""The output of ``python -m coherence watch``: a live table on a terminal, else text or JSON lines.

Names come from other agents: they are shown unchanged, never interpreted as markup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from enum import Enum, auto
from fnmatch import fnmatchcase
from itertools import islice
from typing import NamedTuple, TypeAlias

import msgspec
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from coherence.stores.port import Change, Place, Store

#: How long one wait for the store lasts: the cost of a lost wake-up.
WATCH_S = 60.0
#: Lines of a terminal besides the table's rows: its head, its frame, and the prompt after it.
FRAME = 7


class Seen(NamedTuple):
    """A change."""

    change: Change
    #: Some changes before this one are no longer in the log.
    missed: bool
    #: The next change is already available.
    more: bool


Show: TypeAlias = Callable[[Seen], None]
"""Shows one more change."""


class Style(Enum):
    """How changes are shown."""

    #: A table of the last changes, updated in place.
    LIVE = auto()
    #: One line each.
    PLAIN = auto()
    #: One JSON object a line.
    JSON = auto()


def console() -> Console:
    """A console that prints text unchanged."""
    return Console(markup=False, emoji=False, highlight=False)


def when(at: float) -> str:
    """A moment of the store's clock, for a reader."""
    return datetime.fromtimestamp(at).isoformat(" ", "seconds")


def changes(store: Store, place: Place, pattern: str) -> Iterator[Seen]:
    """The versions of matching artifacts published after `place` in the log; never ends."""
    missed = False
    while True:
        found = store.since(place)
        missed = missed or found.gap or found.foreign
        wanted = [
            change
            for change in found.entries
            if change.version and fnmatchcase(change.artifact, pattern)
        ]
        for number, change in enumerate(wanted, 1):
            yield Seen(change, missed, number < len(wanted))
            missed = False
        place = found.place
        if not found.entries:
            store.wait(place.seq, WATCH_S)


def shown(style: Style, pattern: str) -> AbstractContextManager[Show]:
    """Shows changes in that style while its block runs."""
    if style is Style.LIVE:
        return _live(pattern)
    return nullcontext(_plain if style is Style.PLAIN else _json)


def _plain(seen: Seen) -> None:
    change = seen.change
    if seen.missed:
        typer.echo("... some changes are no longer in the log", err=True)
    ref = f"{change.artifact}@{change.version}"
    typer.echo(f"{when(change.at)}  {ref:30} {change.author}")


def _json(seen: Seen) -> None:
    change = seen.change
    line = {
        "ref": f"{change.artifact}@{change.version}",
        "author": change.author,
        "at": change.at,
        "seq": change.seq,
        "missed": seen.missed,
    }
    typer.echo(msgspec.json.encode(line).decode())


@contextmanager
def _live(pattern: str) -> Iterator[Show]:
    screen = console()
    last: dict[str, tuple[Change, int]] = {}
    total = 0
    gaps = 0

    def table() -> Table:
        rows = max(1, screen.height - FRAME)
        made = Table("artifact", "version", "changes", "by", "at", title=f"Changes to {pattern}")
        for change, count in islice(reversed(last.values()), rows):
            version = str(change.version)
            made.add_row(change.artifact, version, str(count), change.author, when(change.at))
        lost = f", and {gaps} gaps in the log" if gaps else ""
        made.caption = f"{total} changes to {len(last)} artifacts{lost}"
        return made

    # Refreshed explicitly: only changes are drawn, and no thread is needed.
    with Live(table(), console=screen, auto_refresh=False) as live:

        def show(seen: Seen) -> None:
            nonlocal total, gaps
            total += 1
            gaps += seen.missed
            change = seen.change
            _, count = last.pop(change.artifact, (change, 0))
            last[change.artifact] = (change, count + 1)
            if not seen.more:
                live.update(table(), refresh=True)

        try:
            yield show
        finally:
            live.update(table())
