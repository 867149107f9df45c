"""Why each message was held or went eagerly, how long secrets were kept, and what it cost.

    coherence causal explain TRACE...

Reads a trace of any delivery protocol, as `message_passing.trace.TraceWriter` writes it, or the
files that `causal.recorder` wrote for the endpoints of one run, and prints a line for each message
with its time drawn: waiting in its sender (·), in transit (─), waiting in its receiver (:),
delivered (●), a secret of its recipient (▒).
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich import box
from rich.cells import cell_len
from rich.table import Table

from causal.account import Account, Accounts, accounts
from message_passing.commands import SETTINGS, Single, examples
from message_passing.console import columns, reported, show, write
from message_passing.errors import CallerError
from message_passing.trace import header, merged, read

#: Columns of a timeline, and the least; the least of a reason; and those of a table in a file.
BAR, BAR_MIN, WHY_MIN, FILE_WIDTH = 40, 16, 18, 150
HEADINGS = ("message", "sent", "latency", "held", "secret", "why")

EXAMPLES = examples(
    "coherence causal explain run.ndjson",
    "coherence causal explain runs/*.ndjson --json",
    "coherence causal explain run.ndjson --svg run.svg",
)


class NoMessages(CallerError):
    """A trace in which no process sends by a delivery protocol."""

    remedy = "give a trace of a causal endpoint; `coherence trace FILE` draws any trace"


def bar(message: Account, start: float, end: float, width: int = BAR) -> str:
    """The message's timeline, on the scale of the trace."""
    scale = (width - 1) / (end - start) if end > start else 0.0
    cells = [" "] * width

    def fill(begin: float | None, finish: float | None, sign: str) -> None:
        if begin is None:
            return
        last = end if finish is None else finish
        for place in range(round((begin - start) * scale), round((last - start) * scale) + 1):
            cells[place] = sign

    if message.eager and message.delivered is not None:
        fill(message.delivered, message.told, "▒")
    fill(message.went, message.arrived, "─")
    if message.held(end):
        fill(message.sent, message.went, "·")
    if message.buffered(end):
        fill(message.arrived, message.delivered, ":")
    if message.delivered is not None:
        cells[round((message.delivered - start) * scale)] = "●"
    return "".join(cells)


def table(book: Accounts, width: int = FILE_WIDTH) -> Table:
    """A line for each message; where `width` is short, the timeline and the reason are narrower."""
    start = min((message.sent for message in book), default=0.0)
    rows = [(*_figures(message, book.end), message.why()) for message in book]
    wide = [max(map(cell_len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    left = width - sum(wide[:-1]) - len(wide)
    why = min(wide[-1], max(left - BAR, left // 2, WHY_MIN))
    length = max(min(left - why, BAR), BAR_MIN)
    made = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for heading in HEADINGS:
        right = heading not in ("message", "why")
        made.add_column(
            heading,
            justify="right" if right else "left",
            no_wrap=heading != "why",
            width=why if heading == "why" else None,
        )
    made.add_column("", no_wrap=True)
    for message, row in zip(book, rows, strict=True):
        made.add_row(*row, bar(message, start, book.end, length))
    return made


def _figures(m: Account, end: float) -> tuple[str, ...]:
    waited = m.held(end) + m.buffered(end)
    return (
        f"{m.name} → {m.dst}",
        f"{m.sent:g}",
        "never" if m.delivered is None else f"{m.delivered - m.sent:.3g}",
        f"{waited:.3g}" if waited else "",
        f"{m.kept(end):.3g}" if m.kept(end) else "",
    )


def summary(book: Accounts) -> dict[str, float]:
    """The trace in figures; each time is a mean over the messages that it applies to."""
    messages = list(book)
    held = [m.held(book.end) for m in messages if m.held(book.end) > 0]
    kept = [m.kept(book.end) for m in messages if m.kept(book.end) > 0]
    latencies = [m.delivered - m.sent for m in messages if m.delivered is not None]
    return {
        "messages": len(messages),
        "undelivered": sum(m.delivered is None for m in messages),
        "eager": sum(m.eager for m in messages),
        "held": len(held),
        "held_mean": sum(held) / len(held) if held else 0.0,
        "secrets": len(kept),
        "secret_mean": sum(kept) / len(kept) if kept else 0.0,
        "latency_mean": sum(latencies) / len(latencies) if latencies else 0.0,
    }


def svg(book: Accounts) -> str:
    """The same picture as a drawing that stands alone."""
    start = min((message.sent for message in book), default=0.0)
    span = max(book.end - start, 1e-9)
    left, width, row = 110, 640, 18
    parts = []

    def phase(y: int, begin: float | None, finish: float | None, colour: str, what: str) -> None:
        if begin is None:
            return
        last = book.end if finish is None else finish
        x = left + (begin - start) / span * width
        length = max(1.0, (last - begin) / span * width)
        parts.append(
            f'<rect x="{x:.1f}" y="{y + 4}" width="{length:.1f}" height="10" fill="{colour}">'
            f"<title>{escape(what)}</title></rect>"
        )

    for number, m in enumerate(book):
        y = number * row
        parts.append(f'<text x="4" y="{y + 13}">{escape(f"{m.name} → {m.dst}")}</text>')
        if m.held(book.end):
            phase(y, m.sent, m.went, "#e0a030", m.why())
        phase(y, m.went, m.arrived, "#4878a8", "in transit")
        if m.buffered(book.end):
            phase(y, m.arrived, m.delivered, "#e0a030", m.why())
        if m.kept(book.end):
            phase(y, m.delivered, m.told, "#b05050", f"a secret of {m.dst}")
    height = max(1, len(book.messages)) * row + 6
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 10}" height="{height}" '
        f'font-family="monospace" font-size="12">{"".join(parts)}</svg>\n'
    )


def mermaid(book: Accounts) -> str:
    """A sequence diagram: messages where they are delivered, secrets as notes."""
    happened: list[tuple[float, int, str]] = []
    for number, m in enumerate(book):
        if m.held(book.end):
            happened.append((m.sent, number, f"Note over {m.src}: {m.name} {m.why()}"))
        if m.delivered is not None:
            arrow = "-->>" if m.eager else "->>"
            happened.append((m.delivered, number, f"{m.src}{arrow}{m.dst}: {m.name}"))
        if m.kept(book.end):
            note = f"Note over {m.dst}: keeps {m.name} for {m.kept(book.end):g}"
            happened.append((m.delivered or 0.0, number, note))
    return "sequenceDiagram\n" + "".join(f"    {line}\n" for _, _, line in sorted(happened))


def main(
    traces: Annotated[
        list[Path],
        typer.Argument(metavar="TRACE...", help="A trace, or the files of a Recorder's run."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Accounts and summary as JSON.")] = False,
    drawing: Annotated[Path | None, typer.Option("--svg", help="Write a drawing there.")] = None,
    as_mermaid: Annotated[bool, typer.Option("--mermaid", help="A Mermaid diagram.")] = False,
) -> None:
    """Explain a trace of causal delivery, message by message."""
    with reported():
        book = accounts(merged([(header(trace), read(trace)) for trace in traces]))
        if not book.messages:
            raise NoMessages(f"{traces[0]} has no message of a delivery protocol")
        if drawing is not None:
            drawing.write_text(svg(book), encoding="utf-8")
    if as_json:
        body: dict[str, Any] = {"v": 1, "summary": summary(book), "messages": list(book)}
        write(msgspec.json.format(msgspec.json.encode(body)).decode() + "\n")
    elif as_mermaid:
        write(mermaid(book))
    else:
        figures = ", ".join(f"{key} {value:g}" for key, value in summary(book).items())
        show(table(book, columns(FILE_WIDTH)), figures, file_width=FILE_WIDTH)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command(cls=Single, context_settings=SETTINGS, epilog=EXAMPLES)(main)

if __name__ == "__main__":
    app(prog_name="python -m causal.explain")
