"""One transaction on the SQLite file, and the SQL that it and the readers share."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Final

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
from coherence.stores.port import Entry, Moved, Post, Retention, Row, Stored
from messaging.process import Address

if TYPE_CHECKING:
    from coherence.stores.sqlite import SqliteStore

#: The log keeps about this many lines; a process that is further behind checks all it holds.
LOG_LINES: Final = 10_000
PRUNE_EVERY: Final = 256
VERSION_BITS: Final = 32
#: How long to wait for another process's transaction, and how long of that in one turn.
BUSY_S: Final = 30.0
TURN_S: Final = 0.25
#: Older contents shorter than this are kept as they are.
SPLICED_BYTES_MIN: Final = 512

LOAD = "SELECT id, revision, home FROM artifact WHERE name = ?"
ENTRY = "SELECT slot, kind, size_bytes, digest, author, at, pinned FROM history"
#: A version and those after it, up to the first that is whole.
BODY = """
    SELECT slot, kind, size_bytes, digest, whole, body FROM history WHERE slot >= ?1 AND slot <=
    ifnull((SELECT slot FROM history WHERE slot >= ?1 AND whole ORDER BY slot LIMIT 1), ?1)
    ORDER BY slot
"""

_FAULTS: dict[int, type[StoreFault]] = {
    sqlite3.SQLITE_BUSY: StoreBusy,
    sqlite3.SQLITE_LOCKED: StoreBusy,
    sqlite3.SQLITE_READONLY: StoreReadOnly,
    sqlite3.SQLITE_FULL: StoreFull,
    sqlite3.SQLITE_CORRUPT: StoreCorrupt,
    sqlite3.SQLITE_NOTADB: StoreCorrupt,
    sqlite3.SQLITE_CANTOPEN: StoreMissing,
}


@contextmanager
def faults() -> Iterator[None]:
    """Turns SQLite's errors into `StoreFault`."""
    try:
        yield
    except sqlite3.Error as error:
        raise fault(error) from error


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds what was asked for."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) == sqlite3.SQLITE_BUSY


def fault(error: sqlite3.Error) -> StoreFault:
    """What SQLite's error means for a caller."""
    # The low byte is the kind, the rest says more closely what.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return _FAULTS.get(code, StoreFault)(f"SQLite: {error}")


class SqliteTransaction:
    """Holds the file's write lock from `__enter__` to `__exit__`."""

    __slots__ = ("_appended", "_new", "_publishes", "_store", "cursor", "now")

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
        self._appended = False
        self._new: dict[str, int] = {}
        self.now = store.clock()
        return self

    def _begun(self, store: SqliteStore) -> sqlite3.Cursor:
        """The writing cursor, in a transaction.

        SQLite waits for another process without listening to signals, so it waits in short turns.
        """
        if store._writing:
            raise StoreFault("this thread is in a transaction of the store already")
        cursor = store._writer(durable=self._publishes)
        store._writing = True
        for turn in count(1):
            try:
                cursor.execute("BEGIN IMMEDIATE")
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
                    if self._appended:
                        rung = self.cursor.execute(
                            "SELECT port FROM bell WHERE until > ?", (self.now,)
                        )
                        ports = [port for (port,) in rung]
                    self.cursor.execute("COMMIT")
                except sqlite3.Error as failure:
                    raise _commit_fault(failure) from failure
                store._ids.update(self._new)
        finally:
            # Nothing is open after a commit; whatever else has happened is rolled back.
            store.release()
        if ports:
            store._ring(ports)
        if isinstance(error, sqlite3.Error):
            raise fault(error) from error

    def load(self, artifact: str) -> Stored | None:
        found = self.cursor.execute(LOAD, (artifact,)).fetchone()
        if found is None:
            return None
        self._new[artifact] = found[0]
        return Stored(unpack_row(found[2]), found[1])

    def save(self, artifact: str, row: Row, expected: int) -> None:
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

    def publish(
        self, artifact: str, entry: Entry, content: Content, previous: Content | None = None
    ) -> None:
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
        line = self.cursor.execute(
            "INSERT INTO log (number, origin, artifact, version, author, at, posts)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                draw(),
                self._store.origin,
                artifact,
                version,
                author,
                self.now,
                pack_posts(tuple(posts)),
            ),
        )
        self._appended = True
        seq = line.lastrowid or 0
        if seq % PRUNE_EVERY == 0:
            self.cursor.execute("DELETE FROM log WHERE seq <= ?", (seq - LOG_LINES,))

    def join(self, agent: Address) -> int:
        """See `Store.join`."""
        (last,) = self.cursor.execute("SELECT value FROM meta WHERE key = 'session'").fetchone()
        session = next_session(last, self.now)
        self.cursor.execute("UPDATE meta SET value = ? WHERE key = 'session'", (session,))
        self.cursor.execute(
            "INSERT OR REPLACE INTO member (agent, session, since, origin) VALUES (?, ?, ?, ?)",
            (agent, session, self.now, self._store.origin),
        )
        self.append("", 0, agent, ())
        return session

    def content(self, artifact: str, version: Version) -> Content | None:
        return fetch(self.cursor, self._base(artifact), artifact, version)

    def count(self) -> int:
        # Rows are never deleted, so the largest id is their number; no need to count.
        return int(self.cursor.execute("SELECT ifnull(max(id), 0) FROM artifact").fetchone()[0])

    def _base(self, artifact: str) -> int:
        key = self._store._ids.get(artifact) or self._new.get(artifact)
        if key is None:
            (key,) = self.cursor.execute(
                "SELECT id FROM artifact WHERE name = ?", (artifact,)
            ).fetchone() or (0,)
            self._new[artifact] = key
        return key << VERSION_BITS


def prune(db: sqlite3.Cursor, base: int, current: Version, rule: Retention, now: float) -> int:
    """Let go of what the retention rule does not keep of one artifact; how many versions."""
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


def fetch(db: sqlite3.Cursor, base: int, artifact: str, version: Version) -> Content | None:
    """The content of one version, or None where it is not kept.  Raises `StoreCorrupt`."""
    rows = db.execute(BODY, (base | version,)).fetchall()
    differences: list[bytes] = []
    handle: Handle | None = None
    slot = base | version
    for found, kind, size_bytes, digest, whole, body in rows:
        if found != slot:
            break
        if handle is None:
            handle = Handle(Kind(kind), size_bytes, digest)
        if whole:
            for difference in reversed(differences):
                body = unsplice(difference, body)
            return to_content(handle, body, f"{artifact}@{version}")
        differences.append(body)
        slot += 1
    if handle is not None:
        raise StoreCorrupt(f"{artifact}@{version} is a difference to a version that is not there")
    return None


def _commit_fault(error: sqlite3.Error) -> StoreFault:
    # The write-ahead log may hold the commit although syncing it failed: after a crash of the
    # machine it could stand.
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR:
        return OutcomeUnknown(f"SQLite: {error}")
    return fault(error)
