"""One transaction on PostgreSQL, and the SQL that it and the readers share.

A row is locked when it is loaded, and what is saved waits until the end: an undisturbed transaction
is three round trips, to begin, to load, and to write and commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from coherence.contents import Content, Handle, Kind
from coherence.errors import (
    OutcomeUnknown,
    StoreBusy,
    StoreCorrupt,
    StoreFault,
    StoreFull,
    StoreMissing,
    StoreReadOnly,
)
from coherence.messages import Version
from coherence.stores.chance import draw, next_session
from coherence.stores.codec import (
    pack_posts,
    pack_row,
    splice,
    to_bytes,
    to_content,
    unpack_row,
    unsplice,
)
from coherence.stores.port import Entry, Moved, Place, Post, Row, Stored
from messaging.process import Address

if TYPE_CHECKING:
    from coherence.stores.postgres import PostgresStore

#: The log keeps about this many lines; a process that is further behind checks all it holds.
LOG_LINES: Final = 10_000
PRUNE_EVERY: Final = 256
#: Older contents shorter than this are kept as they are.
SPLICED_BYTES_MIN: Final = 512

BEGIN: LiteralString = "BEGIN ISOLATION LEVEL READ COMMITTED"
NOW: LiteralString = "extract(epoch FROM clock_timestamp())::float8"
ROW: LiteralString = "SELECT revision, home FROM coherence_artifact WHERE name = %s"
# The clock is read again once the lock is there: the wait for it may have been long.
LOCK: LiteralString = f"""
    WITH locked AS ({ROW} FOR UPDATE)
    SELECT locked.*, {NOW} FROM (SELECT) AS always LEFT JOIN locked ON true
"""
INSERT: LiteralString = """
    WITH counted AS (UPDATE coherence_meta SET artifacts = artifacts + 1)
    INSERT INTO coherence_artifact (revision, version, alive, home, name)
    VALUES (%s, %s, %s, %s, %s)
"""
UPDATE: LiteralString = """
    UPDATE coherence_artifact SET revision = %s, version = %s, alive = %s, home = %s
    WHERE name = %s
"""
PUBLISH: LiteralString = """
    INSERT INTO coherence_history VALUES (%s, %s, %s, %s, %s, %s, %s, %s, true, %s)
"""
SPLICE: LiteralString = """
    UPDATE coherence_history SET whole = false, body = %s
    WHERE artifact = %s AND version = %s AND whole AND NOT pinned
"""
PIN: LiteralString = """
    UPDATE coherence_history SET pinned = %s, whole = true, body = %s
    WHERE artifact = %s AND version = %s
"""
#: What the retention rule does not keep.  A limit that is null excludes nothing.
PRUNE: LiteralString = f"""
    DELETE FROM coherence_history AS h USING coherence_artifact AS a
    WHERE h.artifact = a.name AND NOT h.pinned AND h.version < a.version
    AND (h.version <= a.version - %(versions)s::bigint
         OR h.version <= (SELECT max(old.version) FROM coherence_history AS old
                          WHERE old.artifact = a.name AND old.version < a.version
                          AND old.at < {NOW} - %(age_s)s::float8))
"""
APPEND: LiteralString = """
    WITH next AS (UPDATE coherence_meta SET head = head + 1 RETURNING head)
    INSERT INTO coherence_log (seq, number, origin, artifact, version, author, at, posts)
    SELECT head, %s, %s, %s, %s, %s, %s, %s FROM next RETURNING seq
"""
SESSIONS: LiteralString = "SELECT sessions FROM coherence_meta FOR UPDATE"
JOIN: LiteralString = f"""
    WITH next AS (UPDATE coherence_meta SET sessions = %s RETURNING sessions)
    INSERT INTO coherence_member (agent, session, since, origin)
    SELECT %s, sessions, {NOW}, %s FROM next
    ON CONFLICT (agent) DO UPDATE
    SET session = excluded.session, since = excluded.since, origin = excluded.origin
    RETURNING session
"""
ENTRY: LiteralString = """
    SELECT version, kind, size_bytes, digest, author, at, pinned FROM coherence_history
"""
#: A version and those after it, up to the first that is whole.
BODY: LiteralString = """
    SELECT version, kind, size_bytes, digest, author, at, pinned, whole, body
    FROM coherence_history WHERE artifact = %(artifact)s AND version >= %(version)s
    AND version <= (SELECT coalesce(min(version), %(version)s) FROM coherence_history
                    WHERE artifact = %(artifact)s AND version >= %(version)s AND whole)
    ORDER BY version
"""

_FAULTS: Final[tuple[tuple[type[psycopg.Error], type[StoreFault]], ...]] = (
    (errors.DeadlockDetected, Moved),
    (errors.SerializationFailure, Moved),
    (errors.LockNotAvailable, StoreBusy),
    (errors.QueryCanceled, StoreBusy),
    (errors.TooManyConnections, StoreBusy),
    (errors.ReadOnlySqlTransaction, StoreReadOnly),
    (errors.InsufficientPrivilege, StoreReadOnly),
    (errors.DiskFull, StoreFull),
    (errors.DataCorrupted, StoreCorrupt),
    (errors.IndexCorrupted, StoreCorrupt),
    (errors.UndefinedTable, StoreMissing),
    (errors.InvalidCatalogName, StoreMissing),
)


def fault(error: psycopg.Error) -> StoreFault:
    """What PostgreSQL's error means for a caller."""
    if isinstance(error, errors.UniqueViolation):
        # Two made the same artifact at once, and this one came second.
        kind = Moved if error.diag.table_name == "coherence_artifact" else StoreFault
        return kind(f"PostgreSQL: {error}")
    for theirs, ours in _FAULTS:
        if isinstance(error, theirs):
            return ours(f"PostgreSQL: {error}")
    return StoreFault(f"PostgreSQL: {error}")


def lost(error: psycopg.Error) -> bool:
    """Whether it says that the connection is gone, not that the server refused."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(("08", "57P"))


class PostgresTransaction:
    """Holds the locks of the rows it has loaded, and writes all at its end."""

    __slots__ = ("_appended", "_conn", "_now", "_published", "_rows", "_store", "_writes")

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    def __enter__(self) -> PostgresTransaction:
        self._store.require()
        self._conn: psycopg.Connection[Any] | None = None
        self._now: float | None = None
        self._rows: dict[str, Stored | None] = {}
        self._published: dict[tuple[str, Version], Content] = {}
        self._writes: list[tuple[LiteralString, Any]] = []
        self._appended: list[psycopg.Cursor[Any]] = []
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is not None or not self._writes:
            self._roll_back()
            return
        try:
            self._write()
        except BaseException:
            self._roll_back()
            raise
        assert self._conn is not None
        seqs = [cursor.fetchall()[0][0] for cursor in self._appended]
        self._store.give(self._conn)
        if seqs:
            numbers = [values[0] for sql, values in self._writes if sql is APPEND]
            self._store.last = max(self._store.last, Place(seqs[-1], numbers[-1]))
            self._store.appended(seqs)

    @property
    def now(self) -> float:
        """The server's clock."""
        if self._now is None:
            self._now = self._ask(f"SELECT {NOW}")[0][0]
        return self._now

    def load(self, artifact: str) -> Stored | None:
        if artifact not in self._rows:
            [(revision, home, now)] = self._ask(LOCK, (artifact,))
            self._now = max(now, self._now or now)
            found = Stored(unpack_row(home), revision) if revision is not None else None
            self._rows[artifact] = found
        return self._rows[artifact]

    def save(self, artifact: str, row: Row, expected: int) -> None:
        stored = self.load(artifact)
        if (stored.revision if stored is not None else 0) != expected:
            raise Moved(f"{artifact!r} is not at revision {expected}")
        values = (expected + 1, row.state.version, row.exists, pack_row(row), artifact)
        self._writes.append((UPDATE if expected else INSERT, values))
        self._rows[artifact] = Stored(row, expected + 1)

    def publish(
        self, artifact: str, entry: Entry, content: Content, previous: Content | None = None
    ) -> None:
        version, handle, body = entry.version, entry.handle, to_bytes(content)
        self._published[artifact, version] = content
        what = (str(handle.kind), handle.size_bytes, handle.digest)
        values = (artifact, version, *what, entry.author, entry.at, entry.pinned, body)
        self._writes.append((PUBLISH, values))
        if previous is not None and type(previous) is type(content):
            old = to_bytes(previous)
            delta = splice(old, body) if len(old) >= SPLICED_BYTES_MIN else None
            if delta is not None:
                self._writes.append((SPLICE, (delta, artifact, version - 1)))
        rule = {**self._store.rule, "artifact": artifact}
        self._writes.append((PRUNE + "AND a.name = %(artifact)s", rule))

    def append(
        self, artifact: str, version: Version, author: Address, posts: Sequence[Post]
    ) -> None:
        packed = pack_posts(tuple(posts))
        values = (draw(), self._store.origin, artifact, version, author, self.now, packed)
        self._writes.append((APPEND, values))

    def content(self, artifact: str, version: Version) -> Content | None:
        own = self._published.get((artifact, version))
        if own is not None:
            return own
        rows = self._ask(BODY, {"artifact": artifact, "version": version})
        kept = restore(rows, artifact, version)
        return kept[1] if kept is not None else None

    def join(self, agent: Address) -> int:
        """As `Store.join`."""
        [(last,)] = self._ask(SESSIONS)
        values = (next_session(last, self.now), agent, self._store.origin)
        [(session,)] = self._ask(JOIN, values)
        self.append("", 0, agent, ())
        return int(session)

    def pin(self, artifact: str, version: Version, pinned: bool) -> bool:
        """As `Store.pin`."""
        content = self.content(artifact, version) if self.load(artifact) is not None else None
        if content is None:
            return False
        # Whole while it is pinned, since what it would be a difference to may be let go.
        self._writes.append((PIN, (pinned, to_bytes(content), artifact, version)))
        return True

    def count(self) -> int:
        # Locked, so that two who make one artifact each do not both take the last place.
        [(artifacts,)] = self._ask("SELECT artifacts FROM coherence_meta FOR UPDATE")
        return int(artifacts) + sum(1 for sql, _ in self._writes if sql is INSERT)

    def _ask(self, sql: LiteralString, values: Any = ()) -> list[Any]:
        """Rows of the server's; the first call begins the transaction there."""
        if self._conn is None:
            self._conn, rows = self._store.begin(sql, values)
            return rows
        try:
            return self._conn.execute(sql, values).fetchall()
        except psycopg.Error as error:
            if self._conn.closed or lost(error):
                raise Moved(f"the connection was cut before anything was saved: {error}") from error
            raise fault(error) from error

    def _write(self) -> None:
        if self._conn is None:
            self._ask("SELECT 1")
        conn = self._conn
        assert conn is not None
        # Last of all, since this takes the lock that orders the log.
        last = [write for write in self._writes if write[0] is APPEND]
        first = [write for write in self._writes if write[0] is not APPEND]
        failure: psycopg.Error | None = None
        try:
            with conn.pipeline():
                try:
                    for sql, values in first:
                        conn.execute(sql, values)
                    self._appended = [conn.execute(sql, values) for sql, values in last]
                    if last:
                        conn.execute("SELECT pg_notify(%s, '')", (self._store.channel,))
                    conn.execute("COMMIT")
                except psycopg.Error as error:
                    # Kept from the pipeline, whose end would log what became of the rest.
                    failure = error
        except psycopg.Error as error:
            failure = failure or error
        if failure is not None:
            if conn.closed or lost(failure):
                # COMMIT was on its way, and nobody is left to say whether it has arrived.
                raise OutcomeUnknown(f"PostgreSQL: {failure}") from failure
            raise fault(failure) from failure

    def _roll_back(self) -> None:
        conn, self._conn = self._conn, None
        if conn is None:
            return
        try:
            if conn.info.transaction_status in (
                TransactionStatus.INTRANS,
                TransactionStatus.INERROR,
            ):
                conn.execute("ROLLBACK")
        except psycopg.Error:
            conn.close()
        finally:
            self._store.give(conn)


def entry(row: Sequence[Any]) -> Entry:
    """What `ENTRY` and `BODY` select, as an entry.  Raises `StoreCorrupt`."""
    version, kind, size_bytes, digest, author, at, pinned = row[:7]
    try:
        handle = Handle(Kind(kind), size_bytes, digest)
    except ValueError as error:
        raise StoreCorrupt(f"a line of the history is damaged: {error}") from error
    return Entry(version, handle, author, at, pinned)


def restore(rows: Sequence[Any], artifact: str, version: Version) -> tuple[Entry, Content] | None:
    """What `BODY` has found of a version, or None where it is not kept.  Raises `StoreCorrupt`."""
    if not rows or rows[0][0] != version:
        return None
    found = entry(rows[0])
    name = f"{artifact}@{version}"
    *differences, (*_, whole, body) = rows
    if not whole or rows[-1][0] - version != len(differences):
        raise StoreCorrupt(f"{name} is a difference to a version that is not there")
    for *_, difference in reversed(differences):
        body = unsplice(difference, body)
    return found, to_content(found.handle, body, name)
