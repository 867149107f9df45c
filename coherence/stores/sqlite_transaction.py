"""One transaction on a SQLite file.

`BEGIN IMMEDIATE` serialises transactions.  A transaction that publishes a version is synced to the
disk before it returns; others survive a crash of the process, and after a crash of the machine no
cache is left that needs its directory entry.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from itertools import count
from time import monotonic
from typing import Any, Final, TypeVar

from coherence.contents import Content
from coherence.errors import StoreCorrupt, StoreFault
from coherence.messages import Version
from coherence.stores.bell import ring
from coherence.stores.chance import draw
from coherence.stores.codec import pack_posts, pack_row, stored_form, unpack_row
from coherence.stores.places import LOG_LINES, PRUNE_EVERY
from coherence.stores.port import ABSENT, Entry, HomeRow, Moved, Place, Post, Retention, Stored
from coherence.stores.records import Tally, dated, storable, tally_values
from coherence.stores.schema import MIGRATIONS, require_schema
from coherence.stores.sqlite_connections import TURN_S, SqliteConnections
from coherence.stores.sqlite_faults import commit_fault, fault, faults, is_busy
from coherence.stores.sqlite_file import BUSY_S
from coherence.stores.sqlite_records import ADD
from coherence.stores.sqlite_rows import BODY, LOW, VERSION_BITS, content, prove, shaped
from message_passing.process import Address

T = TypeVar("T")

SCHEMA: Final = "PRAGMA user_version"
#: Returns the name in the table, since the index that found it may be damaged.
LOAD: Final = """
    SELECT proved.id, proved.revision, proved.version, proved.home, proved.name
    FROM artifact AS found CROSS JOIN artifact AS proved ON proved.id = found.id
    WHERE found.name = ?
"""
_ROW: Final = (int, int, int, bytes, str)
_REVISION_MAX: Final = 1 << 62
_CURRENT: Final = len(MIGRATIONS)


class SqliteTransaction:
    """Holds the file's write lock from `__enter__` to `__exit__`, so one object can be used again.

    Its state is that of the thread that holds the lock.
    """

    __slots__ = ("_connections", "_ids", "_line", "_publishes", "cursor", "now")

    def __init__(self, connections: SqliteConnections, *, publishes: bool) -> None:
        self._connections = connections
        self._publishes = publishes

    def __enter__(self) -> SqliteTransaction:
        db = self._connections
        db.lock.acquire()
        if db.writing:
            db.lock.release()
            raise StoreFault("this thread is in a transaction of the store already")
        try:
            self.cursor = self._begun(db)
        except BaseException:
            db.release()
            raise
        self._line = Place(0)
        # Never kept beyond the transaction: after a restore an id may belong to another artifact.
        self._ids: dict[str, int] = {}
        self.now = db.clock()
        return self

    def _begun(self, db: SqliteConnections) -> sqlite3.Cursor:
        """The writing cursor, in a transaction.

        SQLite does not handle signals while it waits for another process, so it waits in short
        turns.
        """
        if monotonic() >= db.file.look_at:
            db.file.look()
        db.writing = True
        cursor = db.writer
        for turn in count(1):
            try:
                if db.durable != self._publishes:
                    cursor.execute(
                        f"PRAGMA synchronous = {'FULL' if self._publishes else 'NORMAL'}"
                    )
                    db.durable = self._publishes
                cursor.execute("BEGIN IMMEDIATE")
                # A process of a newer release may have changed the tables since they were opened.
                schema = cursor.execute(SCHEMA).fetchone()[0]
                if schema != _CURRENT:
                    require_schema(schema)
                return cursor
            except sqlite3.Error as error:
                if not (is_busy(error) and turn * TURN_S < BUSY_S):
                    raise fault(error) from error
        raise AssertionError("unreachable")

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        db, line, cursor = self._connections, self._line, self.cursor
        ports: list[int] = []
        try:
            if error is None:
                if line.seq:
                    rung = cursor.execute(
                        "SELECT port FROM bell WHERE until > ? AND port <> ?", (self.now, db.port)
                    )
                    ports = [port for (port,) in rung]
                if self._publishes:
                    db.file.glance()
                cursor.execute("COMMIT")
                if line.seq:
                    db.last = line
        except sqlite3.Error as failure:
            raise commit_fault(failure) from failure
        finally:
            if cursor.connection.in_transaction:
                db.roll_back()
            db.writing = False
            db.lock.release()
        if ports:
            ring(ports)
        if isinstance(error, sqlite3.Error):
            raise fault(error) from error

    def load(self, artifact: str) -> Stored | None:
        found = self.cursor.execute(LOAD, (artifact,)).fetchone()
        if found is None:
            return None
        self._ids[artifact], row = stored(found, artifact)
        return row

    def load_all(self, artifacts: Collection[str]) -> None:
        pass  # the file's lock is held

    def absent(self, artifact: str) -> None:
        if self.load(artifact) is not None:
            raise Moved(f"{artifact!r} has a row")

    def save(self, artifact: str, row: HomeRow, expected: int) -> None:
        state = row.state
        alive = state.content not in ABSENT
        values = (expected + 1, state.version, alive, pack_row(row), artifact)
        if expected:
            done = self.cursor.execute(
                "UPDATE artifact SET revision = ?, version = ?, alive = ?, home = ?"
                " WHERE name = ? AND revision = ?",
                (*values, expected),
            )
        else:
            done = self.cursor.execute(
                "INSERT INTO artifact (revision, version, alive, home, name)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
                values,
            )
        if done.rowcount != 1:
            raise Moved(f"{artifact!r} is not at revision {expected}")
        if not expected and done.lastrowid:
            self._ids[artifact] = done.lastrowid

    def publish(
        self, artifact: str, entry: Entry, content: Content, previous: Content | None = None
    ) -> None:
        if entry.version > LOW:
            raise StoreFault(
                f"{artifact!r} has had {LOW} versions", remedy="continue under a new name"
            )
        base = self._base(artifact)
        slot, handle = base | entry.version, entry.handle
        body, difference = stored_form(content, previous)
        self.cursor.execute(
            "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)",
            (
                slot,
                str(handle.kind),
                handle.size_bytes,
                handle.digest,
                entry.author,
                entry.at,
                entry.pinned,
                entry.base,
                entry.overwrite,
                storable(entry.reason) if entry.reason else "",
                body,
            ),
        )
        if difference is not None:
            self.cursor.execute(
                "UPDATE history SET whole = 0, body = ? WHERE slot = ? AND NOT pinned",
                (difference, slot - 1),
            )
        prune(self.cursor, base, entry.version, self._connections.retention, self.now)

    def append(
        self, artifact: str, version: Version, author: Address, posts: Sequence[Post]
    ) -> None:
        number = self._line.number or draw()
        line = self.cursor.execute(
            "INSERT INTO log (number, origin, artifact, version, author, at, posts)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                self._connections.origin,
                artifact,
                version,
                author,
                self.now,
                pack_posts(tuple(posts)) if posts else b"",
            ),
        )
        seq = line.lastrowid or 0
        self._line = Place(seq, number)
        if seq % PRUNE_EVERY == 0:
            self.cursor.execute("DELETE FROM log WHERE seq <= ?", (seq - LOG_LINES,))

    def tally(self, rows: Sequence[Tally]) -> None:
        for row in dated(rows, self.now):
            self.cursor.execute(ADD, tally_values(row))

    def content(self, artifact: str, version: Version) -> Content | None:
        rows = self.cursor.execute(BODY, (artifact, version)).fetchall()
        kept = content(rows, artifact, version)
        return kept[1] if kept is not None else None

    def count(self) -> int:
        # Rows are never deleted, so the largest id is their number; no need to count.
        return int(self.cursor.execute("SELECT ifnull(max(id), 0) FROM artifact").fetchone()[0])

    def _base(self, artifact: str) -> int:
        if artifact not in self._ids:
            self.load(artifact)
        return self._ids[artifact] << VERSION_BITS


def stored(row: Sequence[Any], artifact: str) -> tuple[int, Stored]:
    """The result of `LOAD`: the id of the artifact, and its row."""
    key, revision, version, home, name = row
    if name != artifact or type(key) is not int or type(home) is not bytes:
        shaped(row, _ROW, "the row", artifact)
        prove(name, artifact)
    found = unpack_row(home)
    if found.state.version != version:
        raise StoreCorrupt(f"the row of {artifact!r} holds two versions")
    if type(revision) is not int or not (0 < revision < _REVISION_MAX and 0 <= version <= LOW):
        raise StoreCorrupt(f"the row of {artifact!r} has an impossible number")
    return key, Stored(found, revision)


def prune(db: sqlite3.Cursor, base: int, current: Version, rule: Retention, now: float) -> int:
    """Remove one artifact's versions beyond the retention rule; return their number."""
    last = 0
    if rule.versions is not None:
        last = current - rule.versions
    if rule.age_s is not None:
        old = db.execute(
            "SELECT max(slot) FROM history WHERE slot > ? AND slot < ? AND at < ?",
            (base, base | current, now - rule.age_s),
        ).fetchone()[0]
        last = max(last, (old or base) - base)
    if last <= 0:
        return 0
    last = min(last, current - 1)
    return db.execute(
        "DELETE FROM history WHERE slot > ? AND slot <= ? AND NOT pinned", (base, base | last)
    ).rowcount


def atomically(connections: SqliteConnections, work: Callable[[sqlite3.Cursor], T]) -> T:
    """The result of `work`, in one transaction."""
    with SqliteTransaction(connections, publishes=False) as tx, faults():
        return work(tx.cursor)


def change(connections: SqliteConnections, sql: str, *values: object) -> None:
    """Carry out one statement that writes."""
    atomically(connections, lambda cursor: cursor.execute(sql, values))
