"""The results in a folder: pages and figures, and two files of figures side by side.

A name leads to a file only if the folder's own listing has it: no path is ever made of a name.
Symbolic links are not followed, since they could lead out of the folder.
"""

from __future__ import annotations

import csv
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from pathlib import Path
from typing import Final

import msgspec

from coherence.simulate.studies.rows import Cell, Figures, of_csv, of_json
from message_passing.errors import CallerError, EnvironmentFault

FILES_MAX: Final = 2_000
DEPTH_MAX: Final = 6
BYTES_MAX: Final = 32 << 20
ROWS_MAX: Final = 2_000
COLUMNS_MAX: Final = 200
#: Where the title of a page is looked for.
HEAD_BYTES: Final = 16 << 10
#: Files that are read for their titles.
TITLES_MAX: Final = 200

KINDS: Final[Mapping[str, str]] = {".html": "page", ".csv": "figures", ".json": "figures"}

#: The name of a measurement, in the files of `coherence simulate`.
_MEASURED: Final = re.compile(r"[._](mean|sd|interval|share|max)$")
_TITLE: Final = re.compile(r"<title>(.*?)</title>", re.DOTALL | re.IGNORECASE)


class NoReports(EnvironmentFault):
    """The folder of results cannot be read."""

    remedy = "start the console with --reports and a folder that can be read"


class NotFigures(CallerError):
    """The file has no rows of figures."""

    remedy = "give what `coherence simulate` prints with --csv or --json"


class Result(msgspec.Struct, frozen=True):
    """A file of results."""

    #: Below the folder, with ``/`` between its parts.
    name: str
    #: ``page`` or ``figures``.
    kind: str
    title: str
    size_bytes: int
    #: When it was changed, in seconds since the epoch.
    at: float


class Rows(msgspec.Struct, frozen=True):
    """A file of figures."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    #: Rows that are not given.
    more: int = 0


class Pair(msgspec.Struct, frozen=True):
    """A row that both files have, or one of them."""

    key: tuple[Cell, ...]
    #: By the figures; None for a row that the file does not have.
    a: tuple[Cell, ...] | None
    b: tuple[Cell, ...] | None


class Comparison(msgspec.Struct, frozen=True):
    """Two files of figures, row by row."""

    #: The columns that identify a row.
    keys: tuple[str, ...]
    figures: tuple[str, ...]
    #: For each figure, the one that is half the width of its interval, or -1.
    intervals: tuple[int, ...]
    pairs: tuple[Pair, ...]
    only_a: int
    only_b: int
    #: Whether rows of equal keys were told apart by their order.
    in_order: bool
    #: Columns that one file alone has.
    missing: tuple[str, ...]
    #: Pairs that are not given.
    more: int = 0


class Folder:
    """A folder of results, listed at each call."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def listing(self) -> tuple[list[Result], int]:
        """The results, the newest first, and how many more there are.  Raises `NoReports`."""
        found = sorted(self._files(), key=lambda each: (-each[1].st_mtime, each[0]))
        listed = [
            Result(name, KINDS[Path(name).suffix.lower()], "", each.st_size, each.st_mtime)
            for name, each in found[:FILES_MAX]
        ]
        for number, result in enumerate(listed[:TITLES_MAX]):
            if result.kind == "page":
                listed[number] = msgspec.structs.replace(result, title=self._title(result.name))
        return listed, max(0, len(found) - FILES_MAX)

    def read(self, name: str, kind: str) -> bytes | None:
        """The content of a listed file of that kind, or None.

        Raises `NoReports`, and `NotFigures` for a file that is too large.
        """
        listed = self._listed(name, kind)
        if listed is None:
            return None
        if listed.st_size > BYTES_MAX:
            raise NotFigures(
                f"{name} has {listed.st_size >> 20} MiB; the limit is {BYTES_MAX >> 20} MiB",
                remedy="open the file by another program",
            )
        return self._content(name, BYTES_MAX)

    def has(self, name: str, kind: str) -> bool:
        """Whether a file of that kind is listed.  Raises `NoReports`."""
        return self._listed(name, kind) is not None

    def _listed(self, name: str, kind: str) -> os.stat_result | None:
        if KINDS.get(Path(name).suffix.lower()) != kind:
            return None
        return next((each for found, each in self._files() if found == name), None)

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        try:
            yield from _below(self._root, "", 0)
        except OSError as error:
            raise NoReports(f"{self._root.name}: {error.strerror or error}") from error

    def _title(self, name: str) -> str:
        content = self._content(name, HEAD_BYTES) or b""
        found = _TITLE.search(content.decode(errors="replace"))
        return " ".join(unescape(found[1]).split())[:200] if found else ""

    def _content(self, name: str, most: int) -> bytes | None:
        """The beginning of a file; None if it has gone, or has become a link or a device."""
        try:
            handle = os.open(self._root / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return None
            return file.read(most)


def _below(folder: Path, before: str, depth: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as found:
        for each in found:
            if each.name.startswith("."):
                continue
            if each.is_dir(follow_symlinks=False) and depth < DEPTH_MAX:
                yield from _below(Path(each.path), f"{before}{each.name}/", depth + 1)
            elif each.is_file(follow_symlinks=False) and Path(each.name).suffix.lower() in KINDS:
                yield before + each.name, each.stat(follow_symlinks=False)


def figures_of(name: str, content: bytes) -> list[Figures]:
    """The rows of a file.  Raises `NotFigures`."""
    try:
        rows = of_json(content) if name.lower().endswith(".json") else of_csv(content.decode())
        if not rows or any(type(column) is not str for row in rows for column in row):
            raise ValueError("no rows, or rows of different lengths")
        return rows
    except (ValueError, TypeError, RecursionError, csv.Error, msgspec.MsgspecError) as error:
        raise NotFigures(f"{name}: {str(error)[:200]}") from error


def table(rows: Sequence[Figures]) -> Rows:
    """The rows as a table that is bounded."""
    columns = _columns(rows)
    return Rows(
        columns,
        tuple(tuple(row.get(column) for column in columns) for row in rows[:ROWS_MAX]),
        max(0, len(rows) - ROWS_MAX),
    )


def compared(a: Sequence[Figures], b: Sequence[Figures]) -> Comparison:
    """The figures of two files side by side, for rows of the same key.

    Settings stand before measurements.  The key is made of the common settings that are words, then
    of as many common settings that are numbers, then of later words, as it takes to tell the rows
    of each file apart.
    """
    in_a, in_b = _columns(a), _columns(b)
    both = [column for column in in_a if column in set(in_b)]
    first = next((n for n, column in enumerate(both) if _MEASURED.search(column)), len(both))
    numbers = {each for each in both if any(_is_number(row.get(each)) for row in (*a, *b))}
    keys = [each for each in both[:first] if each not in numbers]
    rest = [each for each in both[:first] if each in numbers]
    rest += [each for each in both[first:] if each not in numbers]
    for column in rest:
        if _apart(a, keys) and _apart(b, keys):
            break
        keys.append(column)
    keys.sort(key=both.index)
    figures = [column for column in both if column not in keys]
    of_a, of_b = _keyed(a, keys), _keyed(b, keys)
    order = list(dict.fromkeys((*of_a, *of_b)))

    def values(row: Figures | None) -> tuple[Cell, ...] | None:
        return None if row is None else tuple(row.get(column) for column in figures)

    return Comparison(
        tuple(keys),
        tuple(figures),
        tuple(_interval(column, figures) for column in figures),
        tuple(
            Pair(key[:-1], values(of_a.get(key)), values(of_b.get(key))) for key in order[:ROWS_MAX]
        ),
        len(of_a.keys() - of_b.keys()),
        len(of_b.keys() - of_a.keys()),
        not (_apart(a, keys) and _apart(b, keys)),
        tuple(column for column in (*in_a, *in_b) if column not in both),
        max(0, len(order) - ROWS_MAX),
    )


def _columns(rows: Sequence[Figures]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(column for row in rows for column in row))[:COLUMNS_MAX]


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _apart(rows: Sequence[Figures], keys: Sequence[str]) -> bool:
    return len({tuple(row.get(key) for key in keys) for row in rows}) == len(rows)


def _keyed(rows: Sequence[Figures], keys: Sequence[str]) -> dict[tuple[Cell, ...], Figures]:
    """The rows by key; of equal keys, the first of one file is compared with that of the other."""
    seen: Counter[tuple[Cell, ...]] = Counter()
    found: dict[tuple[Cell, ...], Figures] = {}
    for row in rows:
        key = tuple(row.get(column) for column in keys)
        seen[key] += 1
        found[*key, seen[key]] = row
    return found


def _interval(column: str, figures: Sequence[str]) -> int:
    stem = re.sub(r"[._](mean|value)$", "", column)
    for name in (f"{stem}_interval", f"{stem}.interval"):
        if name in figures and name != column:
            return figures.index(name)
    return -1
