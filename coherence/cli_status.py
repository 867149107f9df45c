"""``coherence status``: who wrote, holds and waits, once or kept up to date on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from threading import Event
from typing import Annotated, Final

import typer
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from coherence.cli_options import TEAM, Json, Url, looking
from coherence.cli_text import (
    FILE_WIDTH,
    HELD,
    QUIET,
    TROUBLE,
    WAITING,
    Cell,
    ago,
    console,
    fitted,
    print_json,
    print_line,
    print_parts,
    ref_of,
)
from coherence.errors import BadArgument
from coherence.stores.port import Store
from coherence.workspace.overview import Observer, Overview, Standing, contested, overview
from message_passing.console import columns

#: Between two looks of `--watch`.
LOOK_S: Final = 0.25
#: Contested artifacts that `--watch` shows, at most this share of its lines.
CONTESTED_SHARE: Final = 0.4

LEGEND: Final = "States: M grant held, E one copy, S copies, I none known, S_A commit under way."


def status(
    pattern: Annotated[str, typer.Argument(help="Only these artifacts, such as 'docs/*'.")] = "*",
    url: Url = TEAM,
    agent: Annotated[
        str, typer.Option("--agent", "-a", help="Only what involves this agent.")
    ] = "",
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep it up to date, until interrupted.")
    ] = False,
    count: Annotated[
        int, typer.Option(help="With --watch: end after so many looks; 0: never.")
    ] = 0,
    json: Json = False,
) -> None:
    """Artifacts and agents now: authors, grants, queues, refusals.

    Contested artifacts come first.  An agent whose process has ended is not shown, even if its
    grants are still recorded.  With --watch the rows are looked at four times a second: nothing is
    written, and no agent is slowed; with --json each look that differs is one line.
    """
    with looking(url) as store:
        if watch:
            _watch(store, pattern, agent, count, json=json)
            return
        seen = overview(store, pattern).only(agent=agent)
    if json:
        print_json(**_document(seen))
    else:
        print_parts(*_parts(seen, columns(FILE_WIDTH)))


def _watch(store: Store, pattern: str, agent: str, count: int, *, json: bool) -> None:
    screen = console()
    if not (json or screen.is_terminal):
        raise BadArgument(
            "--watch draws on a terminal",
            remedy="add --json for a line for each change, or use `watch` for the versions",
        )
    observer = Observer(store, pattern)
    pause = Event()
    looks = 0
    try:
        with nullcontext() if json else Live(console=screen, auto_refresh=False) as live:
            while True:
                differs = observer.look()
                seen = observer.seen.only(agent=agent)
                if live is not None:
                    live.update(Group(*_parts(seen, screen.width, screen.height)), refresh=True)
                elif differs:
                    print_line(**_document(seen))
                looks += 1
                if looks == count or pause.wait(LOOK_S):
                    return
    except KeyboardInterrupt:
        return


def _document(seen: Overview) -> dict[str, object]:
    return {"now": seen.now, "agents": seen.agents, "artifacts": seen.artifacts}


def _parts(seen: Overview, width: int, height: int | None = None) -> list[RenderableType]:
    """What is shown, in at most `height` lines if that is given."""
    busy = [each for each in contested(seen.artifacts) if each.contested]
    every = contested(seen.artifacts)
    joined = _joined(seen, width, one_line=height is not None)
    parts: list[RenderableType] = []
    # The headings, the lines for what is left out, the blank lines, the end, and the prompt.
    room = (height or FILE_WIDTH) - len(joined.plain) // width - 10
    if busy:
        shown = busy[: max(1, int(room * CONTESTED_SHARE)) if height else None]
        parts += [_contested(shown, seen.now, width), *_more(busy, shown), Text()]
        room -= len(shown)
    if every:
        listed = every[: max(1, room) if height else None]
        parts += [_artifacts(listed, seen.now, width), *_more(every, listed), Text()]
    parts += [_totals(seen), joined]
    return [*parts, Text(LEGEND, style=QUIET)] if every else parts


def _more(all_of: Sequence[Standing], shown: Sequence[Standing]) -> list[Text]:
    left = len(all_of) - len(shown)
    return [Text(f"... and {left} more", style=QUIET)] if left else []


def _contested(artifacts: Sequence[Standing], now: float, width: int) -> Table:
    rows: list[list[Cell]] = [
        [
            ref_of(each.artifact, each.version),
            Text(each.holder, style=HELD),
            _lease(each, now),
            Text(_some([waiter.agent for waiter in each.waiting]), style=WAITING),
            Text(str(each.refused or ""), style=TROUBLE),
        ]
        for each in artifacts
    ]
    return fitted(
        ("contested", "held by", "lease ends", "waiting", "refused"),
        rows,
        names=("contested", "held by", "waiting"),
        right=("refused",),
        width=width,
    )


def _artifacts(artifacts: Sequence[Standing], now: float, width: int) -> Table:
    rows: list[list[Cell]] = [
        [
            ref_of(each.artifact, each.version),
            str(each.state),
            f"{each.size_bytes:,}",
            each.author,
            ago(each.at, now) if each.at else "",
            _some(list(each.copies)),
        ]
        for each in artifacts
    ]
    return fitted(
        ("artifact", "state", "bytes", "by", "written", "copies"),
        rows,
        names=("artifact", "by", "copies"),
        right=("bytes",),
        width=width,
    )


def _lease(each: Standing, now: float) -> Text:
    if each.until is None:
        return Text()
    if each.until <= now:
        return Text("expired", style=TROUBLE)
    return Text(ago(each.until, now), style=HELD)


def _some(names: list[str]) -> str:
    """The first two names, or the first one and the number of the others."""
    return ", ".join(names) if len(names) <= 2 else f"{names[0]} +{len(names) - 1}"


def _totals(seen: Overview) -> Text:
    held = sum(bool(each.holder) for each in seen.artifacts)
    waiting = sum(len(each.waiting) for each in seen.artifacts)
    refused = sum(each.refused for each in seen.artifacts)
    made = Text(f"{_many(len(seen.artifacts), 'artifact')}, {_many(len(seen.agents), 'agent')}")
    for number, what, style in (
        (held, "held", HELD),
        (waiting, "waiting", WAITING),
        (refused, "refused", TROUBLE),
    ):
        if number:
            made.append(", ").append(f"{number} {what}", style=style)
    return made


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _joined(seen: Overview, width: int, *, one_line: bool) -> Text:
    """The agents, with the time since they joined where a line has room for all of them."""
    names = [each.agent for each in seen.agents]
    timed = (f"{each.agent} ({ago(each.since, seen.now)})" for each in seen.agents)
    line = f"Joined: {', '.join(timed)}"
    if cell_len(line) <= width:
        return Text(line if names else "")
    line = f"Joined: {', '.join(names)}"
    if one_line and cell_len(line) > width:
        kept = names
        while kept and cell_len(line) > width:
            kept = kept[:-1]
            line = f"Joined: {', '.join(kept)} +{len(names) - len(kept)}"
    return Text(line)
