"""Observations in the form of Jepsen, for elle-cli and other checkers outside.

``elle-cli --model list-append FILE`` reads what `edn` writes: one operation a line, in the order of
time, with whole contents for reads.  A transaction is read first and written then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from specs.histories.lines import BadHistory, heading, rows


def edn(paths: Iterable[Path]) -> Iterator[str]:
    """The operations of these files, one a line.

    Tokens become numbers, as the model of list-append has them.  A transaction without an outcome
    stays open.  Raises `NoHistory`, and `BadHistory` for files of versions.
    """
    events: list[tuple[float, int, str, Any]] = []
    for path in paths:
        if heading(path).values != "appends":
            raise BadHistory(
                f"{path} has versions, and list-append has contents",
                remedy="convert files whose values are appends",
            )
        open_: dict[str, Any] = {}
        for _, _, line in rows(path, "appends"):
            if line.type == "invoke":
                open_[line.i] = line
                events.append((line.t, 1, line.i, line))
            else:
                begun = open_.pop(line.i, line)
                line.w = begun.w if line.w is None else line.w
                events.append((line.t, 0, line.i, line))
    events.sort(key=lambda event: event[:3])
    numbers: dict[str, int] = {}
    processes: dict[str, int] = {}
    for index, (at, _, txn, line) in enumerate(events):
        process = processes.setdefault(txn, len(processes))
        value = " ".join(_operations(line, txn, numbers))
        yield (
            f"{{:index {index}, :time {int(at * 1e9)}, :type :{line.type}, :process {process},"
            f" :f :txn, :value [{value}]}}"
        )


def _operations(line: Any, txn: str, numbers: dict[str, int]) -> Iterator[str]:
    """The reads and the appends of a line."""

    def number(token: str) -> int:
        return numbers.setdefault(token, len(numbers) + 1)

    for name, seen in line.r.items():
        yield f"[:r {_quoted(name)} [{' '.join(str(number(token)) for token in seen)}]]"
    written = line.w or []
    appended = {name: [txn] for name in written} if isinstance(written, list) else written
    for name, tokens in appended.items():
        for token in tokens:
            yield f"[:append {_quoted(name)} {number(token)}]"


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
