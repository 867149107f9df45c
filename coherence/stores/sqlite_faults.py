"""Maps SQLite's errors to typed errors of the store."""

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

#: By the low byte of SQLite's code, which is the kind; the other bytes are the detail.
_FAULTS: dict[int, tuple[type[StoreFault], str | None]] = {
    sqlite3.SQLITE_BUSY: (StoreBusy, None),
    sqlite3.SQLITE_LOCKED: (StoreBusy, None),
    sqlite3.SQLITE_READONLY: (StoreReadOnly, None),
    sqlite3.SQLITE_PERM: (StoreReadOnly, None),
    sqlite3.SQLITE_FULL: (StoreFull, None),
    sqlite3.SQLITE_CORRUPT: (StoreCorrupt, None),
    sqlite3.SQLITE_NOTADB: (StoreCorrupt, None),
    # The statements break no constraint of an undamaged file.
    sqlite3.SQLITE_CONSTRAINT: (StoreCorrupt, None),
    sqlite3.SQLITE_MISMATCH: (StoreCorrupt, None),
    sqlite3.SQLITE_CANTOPEN: (StoreMissing, "check that the file is there, and its permissions"),
    sqlite3.SQLITE_IOERR: (StoreFault, "check the disk: its health, free space and quotas"),
}
#: SQLite's messages for tables that were changed, under a code without a meaning.
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
    """The typed error for an error of SQLite whose text quotes damaged bytes of the file."""
    return StoreCorrupt(f"SQLite: {error}")


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds a needed lock."""
    return _kind(error) == sqlite3.SQLITE_BUSY


def fault(error: sqlite3.Error) -> StoreFault:
    """The typed error for SQLite's error."""
    kind, remedy = _FAULTS.get(_kind(error), (StoreFault, None))
    text = str(error)
    if kind is StoreFault and text.lower().startswith(_OTHER_TABLES):
        kind = StoreCorrupt
    return kind(f"SQLite: {text}", remedy=remedy)


def commit_fault(error: sqlite3.Error) -> StoreFault:
    """The typed error for SQLite's error on COMMIT.

    If syncing failed, the write-ahead log may hold the whole commit, which could survive a crash of
    the machine.  A commit that was written only in part is never read.
    """
    code = getattr(error, "sqlite_errorcode", 0)
    if _kind(error) == sqlite3.SQLITE_IOERR and code != sqlite3.SQLITE_IOERR_WRITE:
        return OutcomeUnknown(f"SQLite: {error}")
    return fault(error)


def _kind(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF
