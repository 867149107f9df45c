"""``coherence watch``: versions as they are published, in a live table or in lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum, auto
from fnmatch import fnmatchcase
from itertools import islice
from typing import Annotated, NamedTuple, TypeAlias

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from coherence.cli_options import TEAM, Url, told
from coherence.cli_text import QUIET, console, cut, fitted, print_line, ref_of, when
from coherence.stores.opening import open_store
from coherence.stores.port import Change, Place, Store
from message_passing.console import complain, reported, say

#: How long one wait for the store lasts: the cost of a lost wake-up.
WATCH_S = 60.0
#: Lines of a terminal besides the table's rows: its head, its frame, and the prompt after it.
FRAME = 4
#: Of the name and version in a line, which has no table to fit: longer ones are cut.
REF_WIDTH = 40


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


def watch(
    pattern: Annotated[str, typer.Argument(help="Such as 'notes/*'.")] = "*",
    url: Url = TEAM,
    since: Annotated[int, typer.Option(help="From that line of the log on; -1: from now.")] = -1,
    count: Annotated[int, typer.Option(help="End after so many changes; 0: never.")] = 0,
    plain: Annotated[bool, typer.Option("--plain", help="Lines, on a terminal too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="A JSON object on each line.")] = False,
) -> None:
    """Versions as they are published, until interrupted.

    A live table on a terminal, else one line each.
    """
    style = Style.JSON if json else Style.PLAIN
    if not (json or plain) and console().is_terminal:
        style = Style.LIVE
    with reported(told):
        # Not read-only: a process that wants notifications must register its port.  It blocks no
        # other.
        store = open_store(url, create=False)
        try:
            place = store.head() if since < 0 else Place(since)
            with shown(style, pattern) as show:
                for number, seen in enumerate(changes(store, place, pattern), 1):
                    show(seen)
                    if number == count:
                        return
        except KeyboardInterrupt:
            return
        finally:
            store.close()


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
        complain("... some changes are no longer in the log")
    ref = cut(ref_of(change.artifact, change.version), REF_WIDTH)
    say(f"{when(change.at)}  {ref:{REF_WIDTH}}  {change.author}")


def _json(seen: Seen) -> None:
    change = seen.change
    print_line(
        artifact=change.artifact,
        version=change.version,
        author=change.author,
        at=change.at,
        seq=change.seq,
        missed=seen.missed,
    )


@contextmanager
def _live(pattern: str) -> Iterator[Show]:
    screen = console()
    last: dict[str, tuple[Change, int]] = {}
    total = 0
    gaps = 0

    def picture() -> Group:
        shown = list(islice(reversed(last.values()), max(1, screen.height - FRAME)))
        rows = [
            [ref_of(change.artifact, change.version), f"{count:,}", change.author, when(change.at)]
            for change, count in shown
        ]
        headings = ("version", "changes", "by", "at")
        table = fitted(
            headings, rows, names=("version", "by"), right=("changes",), width=screen.width
        )
        lost = f", and {gaps} gaps in the log" if gaps else ""
        total_said = f"{total} changes to {len(last)} artifacts of {pattern}{lost}"
        return Group(*([table] if rows else []), Text(total_said, style=QUIET))

    # Refreshed explicitly: only changes are drawn, and no thread is needed.
    with Live(picture(), console=screen, auto_refresh=False) as live:

        def show(seen: Seen) -> None:
            nonlocal total, gaps
            total += 1
            gaps += seen.missed
            change = seen.change
            _, count = last.pop(change.artifact, (change, 0))
            last[change.artifact] = (change, count + 1)
            if not seen.more:
                live.update(picture(), refresh=True)

        try:
            yield show
        finally:
            live.update(picture())
