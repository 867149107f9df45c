"""What SQLite's errors mean for a caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from coherence.errors import (
    OutcomeUnknown,
    StoreBusy,
    StoreCorrupt,
    StoreFault,
    StoreFull,
    StoreMissing,
    StoreReadOnly,
)

#: By the low byte of SQLite's code, which is the kind; the rest says more closely what.
_FAULTS: dict[int, tuple[type[StoreFault], str | None]] = {
    sqlite3.SQLITE_BUSY: (StoreBusy, None),
    sqlite3.SQLITE_LOCKED: (StoreBusy, None),
    sqlite3.SQLITE_READONLY: (StoreReadOnly, None),
    sqlite3.SQLITE_PERM: (StoreReadOnly, None),
    sqlite3.SQLITE_FULL: (StoreFull, None),
    sqlite3.SQLITE_CORRUPT: (StoreCorrupt, None),
    sqlite3.SQLITE_NOTADB: (StoreCorrupt, None),
    # Our statements break no constraint of a file that is as we have left it.
    sqlite3.SQLITE_CONSTRAINT: (StoreCorrupt, None),
    sqlite3.SQLITE_MISMATCH: (StoreCorrupt, None),
    sqlite3.SQLITE_CANTOPEN: (StoreMissing, "check that the file is there, and its permissions"),
    sqlite3.SQLITE_IOERR: (StoreFault, "check the disk: its health, its room and the quotas on it"),
}
#: What SQLite says of tables that are not those we made, under a code that means nothing more.
_OTHER_TABLES = (
    "no such table",
    "no such column",
    "malformed",
    "table ",
    "duplicate column",
    "could not decode",
)


@contextmanager
def faults() -> Iterator[None]:
    """Turns SQLite's errors into `StoreFault`."""
    try:
        yield
    except sqlite3.Error as error:
        raise fault(error) from error
    except UnicodeDecodeError as error:
        raise unreadable(error) from error


def unreadable(error: UnicodeDecodeError) -> StoreFault:
    """An error of SQLite's whose text quotes damaged bytes of the file."""
    return StoreCorrupt(f"SQLite: {error}")


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds what was asked for."""
    return _kind(error) == sqlite3.SQLITE_BUSY


def fault(error: sqlite3.Error) -> StoreFault:
    """What SQLite's error means for a caller."""
    kind, remedy = _FAULTS.get(_kind(error), (StoreFault, None))
    text = str(error)
    if kind is StoreFault and text.lower().startswith(_OTHER_TABLES):
        kind = StoreCorrupt
    return kind(f"SQLite: {text}", remedy=remedy)


def commit_fault(error: sqlite3.Error) -> StoreFault:
    """What SQLite's error on COMMIT means for a caller.

    The write-ahead log may hold the whole commit although syncing it failed: after a crash of the
    machine it could stand.  Where a part of it could not be written, it will never be read.
    """
    code = getattr(error, "sqlite_errorcode", 0)
    if _kind(error) == sqlite3.SQLITE_IOERR and code != sqlite3.SQLITE_IOERR_WRITE:
        return OutcomeUnknown(f"SQLite: {error}")
    return fault(error)


def _kind(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF
