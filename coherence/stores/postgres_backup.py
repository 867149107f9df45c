"""Backups of a store in PostgreSQL, as of one moment, and their restore."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Final, LiteralString

import psycopg

from coherence.errors import StoreCorrupt, StoreFault
from coherence.stores.archive import Backup, Image
from coherence.stores.backup import image_of
from coherence.stores.chance import draw
from coherence.stores.port import Moved
from coherence.stores.postgres_connections import PostgresConnections
from coherence.stores.postgres_errors import fault
from coherence.stores.postgres_records import COLUMNS, LINE

#: How many rows of a table are fetched at once; a row may hold a whole content.
ROWS: Final = 100
#: How often a restore is repeated after a deadlock with writers.
TRIES: Final = 10

_SNAPSHOT: LiteralString = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
#: A copy may pause for longer than the limit for a process stopped in a transaction.
_PATIENT: LiteralString = "SET LOCAL idle_in_transaction_session_timeout = 0"
_META: LiteralString = "SELECT identity, sessions FROM coherence_meta"
_ARTIFACTS: LiteralString = """
    SELECT name, revision, version, alive::int, home FROM coherence_artifact
"""
_VERSIONS: LiteralString = """
    SELECT artifact, version, kind, size_bytes, digest, author, at, pinned::int, base,
           overwrite::int, reason, whole::int, body
    FROM coherence_history
"""
_LINES: LiteralString = """
    SELECT seq, number, origin, artifact, version, author, at, posts
    FROM coherence_log ORDER BY seq
"""
_REFUSALS: LiteralString = f"SELECT {LINE} FROM coherence_refusal ORDER BY seq"
_TALLIES: LiteralString = f"SELECT {COLUMNS} FROM coherence_tally"
_TABLES: tuple[LiteralString, ...] = (_ARTIFACTS, _VERSIONS, _LINES, _REFUSALS, _TALLIES)
#: Writers take these locks in this order; readers continue.
_LOCK: LiteralString = """
    LOCK TABLE coherence_artifact, coherence_history, coherence_refusal, coherence_tally,
               coherence_log, coherence_member, coherence_meta IN EXCLUSIVE MODE
"""
_EMPTY: tuple[LiteralString, ...] = (
    "DELETE FROM coherence_history",
    "DELETE FROM coherence_artifact",
    "DELETE FROM coherence_log",
    "DELETE FROM coherence_member",
    "DELETE FROM coherence_refusal",
    "DELETE FROM coherence_tally",
)
_COPY_ARTIFACTS: LiteralString = """
    COPY coherence_artifact (name, revision, version, alive, home) FROM STDIN
"""
_COPY_VERSIONS: LiteralString = """
    COPY coherence_history
    (artifact, version, kind, size_bytes, digest, author, at, pinned, base, overwrite, reason,
     whole, body) FROM STDIN
"""
_COPY_LINES: LiteralString = """
    COPY coherence_log (seq, number, origin, artifact, version, author, at, posts) FROM STDIN
"""
_COPY_REFUSALS: LiteralString = f"COPY coherence_refusal ({LINE}) FROM STDIN"
_COPY_TALLIES: LiteralString = f"COPY coherence_tally ({COLUMNS}) FROM STDIN"
_SETTLE: LiteralString = """
    UPDATE coherence_meta SET identity = %s, generation = %s, sessions = greatest(sessions, %s),
        head = (SELECT coalesce(max(seq), 0) FROM coherence_log),
        artifacts = (SELECT count(*) FROM coherence_artifact)
"""


@contextmanager
def image(connections: PostgresConnections) -> Iterator[Image]:
    """Everything in the database, by a transaction that sees one moment and blocks no other."""
    connections.require()
    try:
        with closing(connections.connect()) as wire:
            conn = wire.conn
            assert conn is not None
            conn.execute(_SNAPSHOT)
            conn.execute(_PATIENT)
            found = conn.execute(_META).fetchone()
            if found is None:
                raise StoreCorrupt("the workspace's tables have lost their stamp")
            tables = (_rows(conn, sql) for sql in _TABLES)
            yield Image(*found, *tables)
    except psycopg.Error as error:
        raise fault(error) from error


def _rows(conn: psycopg.Connection[Any], sql: LiteralString) -> Iterator[Any]:
    with conn.cursor(name="coherence_backup") as cursor:
        cursor.itersize = ROWS
        yield from cursor.execute(sql)


def put_into(backup: Backup, connections: PostgresConnections) -> None:
    """Restore a backup into the database of `connections`, in one transaction.

    Readers continue meanwhile, and meet another history after it; writers wait.
    """
    for _ in range(TRIES):
        try:
            return _put(connections, image_of(backup))
        except Moved:
            continue
    raise StoreFault(f"writers blocked the restore {TRIES} times", remedy="try again")


def _put(connections: PostgresConnections, image: Image) -> None:
    try:
        with closing(connections.connect()) as wire:
            conn = wire.conn
            assert conn is not None
            with conn.transaction():
                conn.execute(_PATIENT)
                conn.execute(_LOCK)
                for sql in _EMPTY:
                    conn.execute(sql)
                _fill(conn, _COPY_ARTIFACTS, (_typed(row, 3) for row in image.artifacts))
                _fill(conn, _COPY_VERSIONS, (_typed(row, 7, 9, 11) for row in image.versions))
                _fill(conn, _COPY_LINES, image.lines)
                _fill(conn, _COPY_REFUSALS, image.refusals)
                _fill(conn, _COPY_TALLIES, image.tallies)
                conn.execute(_SETTLE, (image.identity, draw(), image.sessions))
                # On the channel to which the present processes listen.
                conn.execute("SELECT pg_notify(%s, '')", (connections.channel,))
    except psycopg.Error as error:
        raise fault(error) from error


def _fill(
    conn: psycopg.Connection[Any], sql: LiteralString, rows: Iterable[tuple[Any, ...]]
) -> None:
    with conn.cursor().copy(sql) as copy:
        for row in rows:
            copy.write_row(row)


def _typed(row: tuple[Any, ...], *booleans: int) -> tuple[Any, ...]:
    return tuple(bool(value) if place in booleans else value for place, value in enumerate(row))
