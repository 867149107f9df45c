"""The command that shows the reads and writes of agents, and the tokens that reads have saved."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Annotated, Final

import typer
from rich.text import Text

from coherence.cli_options import TEAM, Json, Url, looking
from coherence.cli_text import QUIET, TROUBLE, fitted, moment, print_json, print_parts
from coherence.errors import BadArgument
from coherence.stores.archive import archive_of
from coherence.stores.records import day_of
from coherence.workspace.stats import By, Figures, Stats
from message_passing.console import columns, write

#: The columns of a bar, at most and at least.
BAR_MAX, BAR_MIN = 40, 8
#: The width of a table without its bars, and of a file.
TABLE_WIDTH, FILE_WIDTH = 68, 100
#: A read that was paid for, and one that was saved, of a bar.
PAID, SAVED = "█", "░"
#: Artifacts that are not counted one by one.
OTHERS: Final = "(others)"

NOTE: Final = (
    "A process sends its counts with its next write, within a minute, or as its agents leave;"
    " what a killed process had not sent is missing."
)


def stats(
    url: Url = TEAM,
    by: Annotated[By, typer.Option(help="One line for each of these.")] = "agent",
    since: Annotated[
        str, typer.Option(help="From that day on, in UTC: 7d ago, or a date such as 2026-11-29.")
    ] = "",
    json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with a header.")] = False,
) -> None:
    """The reads of agents: their tokens, and those that a refetch at each read would cost.

    A refused write would have overwritten work that its writer had not seen.
    """
    with looking(url) as store:
        if json and as_csv:
            raise BadArgument("--json and --csv are two forms", remedy="give one of them")
        first = day_of(moment(since, store.now())) if since else ""
        found = Stats(tuple(archive_of(store).tallies(first)))
    lines = found.by(by)
    if json:
        rows = [line.as_dict() for line in lines]
        print_json(by=by, since=first, total=found.total.as_dict(), rows=rows)
    elif as_csv:
        _print_csv(by, lines)
    else:
        _print_table(by, lines, found.total)


def _print_csv(by: By, lines: Sequence[Figures]) -> None:
    made = io.StringIO()
    heads = ["name", *(name for name in Figures("").as_dict() if name != "name")]
    writer = csv.DictWriter(made, heads, lineterminator="\n")
    writer.writerow({head: by if head == "name" else head for head in heads})
    writer.writerows(line.as_dict() for line in lines)
    write(made.getvalue())


def _print_table(by: By, lines: Sequence[Figures], total: Figures) -> None:
    if not lines:
        print_parts("Nothing has been counted yet.", Text(NOTE, style=QUIET))
        return
    headings = (by, "reads", "served", "refetch", "saved", "writes", "refused", "of the refetch")
    most = max(line.refetch_tokens for line in lines)
    room = min(BAR_MAX, max(BAR_MIN, columns(FILE_WIDTH) - TABLE_WIDTH))
    rows = [[*_cells(line.name or OTHERS, line), _bar(line, most, room)] for line in lines]
    if len(lines) > 1:
        rows.append([*_cells("total", total), ""])
    numbers = headings[1:-1]
    table = fitted(headings, rows, names=(by,), right=numbers, optional=(headings[-1],))
    bar = f"{PAID} tokens served, {SAVED} tokens saved; {_exactness(total)}."
    print_parts(table, "", Text(bar, style=QUIET), Text(NOTE, style=QUIET))


def _cells(name: str, line: Figures) -> list[str | Text]:
    saved = f"{line.saved:.1%}" if line.refetch_tokens else ""
    refused = Text(f"{line.conflicts:,}", style=TROUBLE if line.conflicts else "")
    tokens = [f"{count:,}" for count in (line.reads, line.served_tokens, line.refetch_tokens)]
    return [name, *tokens, saved, f"{line.writes:,}", refused]


def _bar(line: Figures, most: int, room: int) -> str:
    """A bar as long as the refetch, filled as far as it was served."""
    if not most:
        return ""
    whole = round(room * line.refetch_tokens / most)
    paid = min(whole, round(room * line.served_tokens / most))
    return PAID * paid + SAVED * (whole - paid)


def _exactness(total: Figures) -> str:
    """How the tokens were counted."""
    if not total.exact:
        return "tokens are estimated, at 4 bytes each"
    if total.exact >= total.reads:
        return "tokens are counted by a tokenizer"
    return f"a tokenizer counted {total.exact:,} of {total.reads:,} reads, the others are estimated"
