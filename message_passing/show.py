"""Draw a trace as a message-sequence chart.

coherence trace FILE        or  python -m message_passing.show FILE
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated

import msgspec
import typer

from message_passing.chart import mermaid, text
from message_passing.console import reported
from message_passing.trace import arrows, read, summary


def show(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A trace: one line of JSON a step.")
    ],
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
    """Print a trace as a message-sequence chart: who sent what to whom, and when it arrived.

    ● is a local event (a request, a timeout, a restart), ✗ a message that was never received.
    """
    with reported():
        lines = list(read(file))
    if as_json:
        typer.echo(msgspec.json.encode(summary(lines)))
        return
    drawn = arrows(lines, fields=fields)
    if process:
        drawn = [arrow for arrow in drawn if {arrow.src, arrow.dst} & set(process)]
    shown = drawn[: limit or None]
    columns = width or get_terminal_size((100, 24)).columns
    typer.echo(mermaid(shown) if as_mermaid else text(shown, width=columns))
    if len(shown) < len(drawn):
        typer.echo(f"{len(drawn) - len(shown)} more; without --limit all are shown", err=True)


def main(
    arguments: Sequence[str] | None = None, prog: str = "python -m message_passing.show"
) -> None:
    """A trace as a chart of messages.  Exits with 2 if the file is not a trace."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(show)
    app(arguments, prog_name=prog)


if __name__ == "__main__":
    main()
