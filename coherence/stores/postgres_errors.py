"""Maps PostgreSQL's errors to typed errors of the store."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import errors

from coherence.errors import (
    StoreBusy,
    StoreCorrupt,
    StoreFault,
    StoreFull,
    StoreMissing,
    StoreReadOnly,
)
from coherence.stores.port import Moved

_GRANT: Final = (
    "grant the role SELECT, INSERT, UPDATE and DELETE on the coherence_ tables, or open the"
    " workspace on the primary server as a role that has them"
)
_ROOM: Final = "free some disk space on the server"
_MISSING: Final = "check the database and the schema that the address names"

_FAULTS: Final[tuple[tuple[type[psycopg.Error], type[StoreFault], str | None], ...]] = (
    (errors.DeadlockDetected, Moved, None),
    (errors.SerializationFailure, Moved, None),
    (errors.LockNotAvailable, StoreBusy, None),
    (errors.QueryCanceled, StoreBusy, None),
    (errors.TooManyConnections, StoreBusy, "raise the server's max_connections, or try again"),
    (errors.ReadOnlySqlTransaction, StoreReadOnly, _GRANT),
    (errors.InsufficientPrivilege, StoreReadOnly, _GRANT),
    (errors.DiskFull, StoreFull, _ROOM),
    (errors.OutOfMemory, StoreFull, "give the server more memory, or split large artifacts"),
    (errors.DataCorrupted, StoreCorrupt, None),
    (errors.IndexCorrupted, StoreCorrupt, "REINDEX the coherence_ tables, or restore a backup"),
    (errors.UndefinedTable, StoreMissing, _MISSING),
    (errors.InvalidSchemaName, StoreMissing, _MISSING),
    (errors.InvalidCatalogName, StoreMissing, _MISSING),
)


def fault(error: psycopg.Error) -> StoreFault:
    """The typed error for PostgreSQL's error."""
    if isinstance(error, errors.UniqueViolation):
        # Two transactions made the same artifact concurrently, and this one was second.
        kind = Moved if error.diag.table_name == "coherence_artifact" else StoreFault
        return kind(f"PostgreSQL: {error}")
    for theirs, ours, remedy in _FAULTS:
        if isinstance(error, theirs):
            return ours(f"PostgreSQL: {error}", remedy=remedy)
    return StoreFault(f"PostgreSQL: {error}")


def lost(error: psycopg.Error) -> bool:
    """Whether it means that the connection is lost, not that the server refused."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(("08", "57P"))
