"""The figures of a study: what a command prints as JSON, made flat, kept as CSV.

An object in a row becomes columns, ``saved_bill`` with a ``value`` and an ``interval`` the columns
``saved_bill`` and ``saved_bill_interval``.  Numbers have six digits: more are noise, and the last
ones differ between releases of Python.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import msgspec

Cell: TypeAlias = str | float | int | bool | None
Figures: TypeAlias = dict[str, Cell]
"""One row."""

DIGITS = 6

_WORDS: Mapping[str, Cell] = {"": None, "true": True, "false": False}


def of_json(text: bytes) -> list[Figures]:
    """The rows of a JSON list of objects.  Raises `msgspec.DecodeError`."""
    return [dict(_flat(row, "")) for row in msgspec.json.decode(text, type=list[dict[str, Any]])]


def _flat(value: Mapping[str, Any], before: str) -> Iterator[tuple[str, Cell]]:
    for key, each in value.items():
        name = before if key == "value" else f"{before}_{key}" if before else key
        if isinstance(each, dict):
            yield from _flat(each, name)
        elif isinstance(each, list):
            yield name, " ".join(map(str, each))
        else:
            yield name, _rounded(each)


def _rounded(value: Cell) -> Cell:
    if not isinstance(value, float):
        return value
    return float(f"{value:.{DIGITS}g}")


def as_csv(rows: Sequence[Figures]) -> str:
    """The rows as CSV, with a column for each name that one of them has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_written(row.get(name)) for name in columns] for row in rows)
    return text.getvalue()


def _written(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)


def of_csv(text: str) -> list[Figures]:
    """The rows that `as_csv` wrote."""
    return [
        {name: _read(cell) for name, cell in row.items()}
        for row in csv.DictReader(io.StringIO(text))
    ]


def _read(cell: str) -> Cell:
    if cell in _WORDS:
        return _WORDS[cell]
    for kind in (int, float):
        with suppress(ValueError):
            # Only what `as_csv` writes is a number: ``.950`` and ``007`` are texts.
            if _written(value := kind(cell)) == cell:
                return value
    return cell
