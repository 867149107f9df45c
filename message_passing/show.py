"""Draw a trace as a message-sequence chart.

coherence trace FILE        or  python -m message_passing.show FILE
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from message_passing.chart import mermaid, text
from message_passing.commands import one_command
from message_passing.console import columns, complain, reported, say
from message_passing.trace import Header, arrows, header, on_one_clock, read, summary


def show(
    file: Annotated[Path, typer.Argument(help="A trace: one line of JSON a step.")],
    as_mermaid: Annotated[
        bool, typer.Option("--mermaid", help="Print the source of a Mermaid diagram.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print counts: steps, actions, messages by kind.")
    ] = False,
    process: Annotated[
        list[str] | None,
        typer.Option(help="Show only the messages and events of this process.  Repeatable."),
    ] = None,
    fields: Annotated[
        bool, typer.Option("--fields", help="Show the short fields of each message.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="How many arrows to show; 0 is all.")] = 0,
    width: Annotated[
        int, typer.Option(min=0, help="Columns; 0 is the terminal's, and 100 in a pipe.")
    ] = 0,
) -> None:
    """A trace as a message-sequence chart: who sent what to whom.

    ● is a local event (a request, a timeout, a restart), ✗ a message that was never received.
    Times are seconds since the recording began, or those of the simulation.
    """
    with reported():
        head, lines = header(file), list(read(file))
    lines, timed = on_one_clock(lines)
    if as_json:
        say(msgspec.json.encode({"v": 1, "header": head, **summary(lines)}).decode())
        return
    if not timed:
        complain("the file mixes several clocks, and has no header: its steps are numbered")
    drawn = arrows(lines, fields=fields)
    if process:
        drawn = [arrow for arrow in drawn if {arrow.src, arrow.dst} & set(process)]
    shown = drawn[: limit or None]
    if as_mermaid:
        say(mermaid(shown))
    else:
        if head is not None:
            say(_heading(head))
        say(text(shown, width=width or columns(100), clock="time" if timed else "step"))
    if len(shown) < len(drawn):
        complain(f"{len(drawn) - len(shown)} more; without --limit all are shown")


def _heading(head: Header) -> str:
    about = "; ".join(f"{name} {_named(value)}" for name, value in head.about.items())
    # A clock that does not count from the epoch names no moment.
    if head.start < 1e9:
        return about
    return f"{about}; seconds since {datetime.fromtimestamp(head.start).isoformat(' ', 'seconds')}"


def _named(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


app = one_command(
    show,
    "coherence trace runs/plan.md.ndjson",
    "coherence trace runs/plan.md.ndjson --process coder --fields",
    "coherence trace runs/plan.md.ndjson --mermaid",
)


def main(
    arguments: Sequence[str] | None = None, prog: str = "python -m message_passing.show"
) -> None:
    """A trace as a chart of messages.  Exits with 2 if the file is not a trace."""
    app(arguments, prog_name=prog)


if __name__ == "__main__":
    main()
