"""One transaction on the SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Final

from coherence.contents import Content
from coherence.errors import StoreCorrupt, StoreFault
from coherence.messages import Version
from coherence.stores.chance import draw, next_session
from coherence.stores.codec import pack_posts, pack_row, splice, to_bytes
from coherence.stores.port import Entry, HomeRow, Moved, Place, Post, Stored
from coherence.stores.schema import require_schema
from coherence.stores.sqlite_faults import commit_fault, fault, is_busy
from coherence.stores.sqlite_rows import BODY, LOAD, LOW, VERSION_BITS, content, prune, stored
from message_passing.process import Address

if TYPE_CHECKING:
    from coherence.stores.sqlite import SqliteStore

#: The log keeps about this many lines; a process that is further behind confirms every copy.
LOG_LINES: Final = 10_000
PRUNE_EVERY: Final = 256
#: How long to wait for another process's transaction, and how long in one turn.
BUSY_S: Final = 30.0
TURN_S: Final = 0.25
SCHEMA: Final = "PRAGMA user_version"
THEIRS: Final = "SELECT 1 FROM member WHERE agent = ? AND session > ? AND origin <> ?"
#: Older contents shorter than this are kept whole.
SPLICED_BYTES_MIN: Final = 512


class SqliteTransaction:
    """Holds the file's write lock from `__enter__` to `__exit__`."""

    __slots__ = ("_ids", "_line", "_publishes", "_store", "cursor", "now")

    def __init__(self, store: SqliteStore, publishes: bool) -> None:
        self._store = store
        self._publishes = publishes

    def __enter__(self) -> SqliteTransaction:
        store = self._store
        store._lock.acquire()
        try:
            self.cursor = self._begun(store)
        except BaseException:
            store.release()
            raise
        self._line = Place(0)
        # Never kept beyond the transaction: after a restore an id may belong to another artifact.
        self._ids: dict[str, int] = {}
        self.now = store.clock()
        return self

    def _begun(self, store: SqliteStore) -> sqlite3.Cursor:
        """The writing cursor, in a transaction.

        SQLite does not handle signals while it waits for another process, so it waits in short
        turns.
        """
        if store._writing:
            raise StoreFault("this thread is in a transaction of the store already")
        cursor = store._writer(durable=self._publishes)
        store._writing = True
        for turn in count(1):
            try:
                cursor.execute("BEGIN IMMEDIATE")
                # A process of a newer release may have changed the tables since they were opened.
                require_schema(cursor.execute(SCHEMA).fetchone()[0])
                return cursor
            except sqlite3.Error as error:
                if not (is_busy(error) and turn * TURN_S < BUSY_S):
                    raise fault(error) from error
        raise AssertionError("unreachable")

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        store = self._store
        ports: list[int] = []
        try:
            if error is None:
                try:
                    if self._line.seq:
                        rung = self.cursor.execute(
                            "SELECT port FROM bell WHERE until > ?", (self.now,)
                        )
                        ports = [port for (port,) in rung]
                    if self._publishes:
                        store.glance()
                    self.cursor.execute("COMMIT")
                    if self._line.seq:
                        store.last = self._line
                except sqlite3.Error as failure:
                    raise commit_fault(failure) from failure
        finally:
            # After a commit nothing is open; anything else is rolled back.
            store.release()
        if ports:
            store._ring(ports)
        if isinstance(error, sqlite3.Error):
            raise fault(error) from error

    def load(self, artifact: str) -> Stored | None:
        found = self.cursor.execute(LOAD, (artifact,)).fetchone()
        if found is None:
            return None
        self._ids[artifact], row = stored(found, artifact)
        return row

    def save(self, artifact: str, row: HomeRow, expected: int) -> None:
        state = row.state
        values = (expected + 1, state.version, row.exists, pack_row(row), artifact)
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
        body = to_bytes(content)
        self.cursor.execute(
            "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?)",
            (
                slot,
                str(handle.kind),
                handle.size_bytes,
                handle.digest,
                entry.author,
                entry.at,
                entry.pinned,
                body,
            ),
        )
        if previous is not None and type(previous) is type(content):
            old = to_bytes(previous)
            delta = splice(old, body) if len(old) >= SPLICED_BYTES_MIN else None
            if delta is not None:
                self.cursor.execute(
                    "UPDATE history SET whole = 0, body = ? WHERE slot = ? AND NOT pinned",
                    (delta, slot - 1),
                )
        prune(self.cursor, base, entry.version, self._store.retention, self.now)

    def append(
        self, artifact: str, version: Version, author: Address, posts: Sequence[Post]
    ) -> None:
        number = draw()
        line = self.cursor.execute(
            "INSERT INTO log (number, origin, artifact, version, author, at, posts)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                self._store.origin,
                artifact,
                version,
                author,
                self.now,
                pack_posts(tuple(posts)),
            ),
        )
        seq = line.lastrowid or 0
        self._line = Place(seq, number)
        if seq % PRUNE_EVERY == 0:
            self.cursor.execute("DELETE FROM log WHERE seq <= ?", (seq - LOG_LINES,))

    def join(self, agent: Address, beyond: int | None = None) -> int:
        """See `Store.join`."""
        store = self._store
        if beyond is not None:
            theirs = (agent, beyond, store.origin)
            if self.cursor.execute(THEIRS, theirs).fetchone() is not None:
                return 0
        found = self.cursor.execute("SELECT value FROM meta WHERE key = 'session'").fetchone()
        if found is None or type(found[0]) is not int:
            raise StoreCorrupt("the file has no valid count of sessions")
        session = next_session(found[0], self.now)
        self.cursor.execute("UPDATE meta SET value = ? WHERE key = 'session'", (session,))
        self.cursor.execute(
            "INSERT OR REPLACE INTO member (agent, session, since, origin, life, until)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (agent, session, self.now, store.origin, *store._membership.facts(self.now)),
        )
        self.append("", 0, agent, ())
        return session

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
