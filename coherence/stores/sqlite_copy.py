"""Copies a SQLite file page by page, under concurrent writes."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from time import monotonic
from typing import Final

from coherence.errors import StoreBusy
from coherence.stores.archive import Progress
from coherence.stores.sqlite_file import BUSY_S, TRIES, SqliteFile

#: How many pages are copied at once.
PAGES: Final = 256
#: The pause before another try on a file that another process has locked, in seconds.
_TURN_S: Final = 0.05


def copy_file(path: Path, db: sqlite3.Connection, progress: Progress | None = None) -> None:
    """Copy the file at `path` into `db`, as of one moment."""
    for _ in range(TRIES):
        file = SqliteFile(path, create=False, readonly=True)
        try:
            file.prepare()
            source = file.connect()
            # One transaction from the first page to the last.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            copy_pages(source, db, progress)
            if not file.disturbed():
                return
        except sqlite3.Error as error:
            raise file.fault(error) from error
        finally:
            file.close()
    raise StoreBusy(f"{path} was written to during every read")


def copy_pages(
    source: sqlite3.Connection,
    target: sqlite3.Connection,
    progress: Progress | None = None,
    pages: int | None = None,
) -> None:
    """Copy one file into another, `PAGES` pages at a time.

    Raises `StoreBusy` if another process holds one of them.
    """
    busy_since: float | None = None

    def step(status: int, remaining: int, total: int) -> None:
        nonlocal busy_since
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            busy_since = monotonic() if busy_since is None else busy_since
            if monotonic() - busy_since > BUSY_S:
                raise StoreBusy("another process holds the file")
        else:
            busy_since = None
        if progress is not None:
            progress(total - remaining, total)

    source.backup(target, pages=pages or PAGES, progress=step, sleep=_TURN_S)
