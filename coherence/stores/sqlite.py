"""A store in one SQLite file, for any number of equal processes of one host, without a daemon.

`BEGIN IMMEDIATE` serialises transactions.  A transaction that publishes a version is synced to the
disk before it returns; others survive a crash of the process, and after a crash of the machine no
cache is left that needs its directory entry.

There are three connections: one writes, one reads, and one only queries ``PRAGMA data_version``,
which changes when another connection commits.  The query must be outside any transaction, or it
would answer as of the transaction's start; so the writing connection is queried only when it is
idle.

Each connection has one cursor.  A statement that an interrupt has left unfinished would keep the
connection at its start; the cursor's next statement ends it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from coherence.contents import Content
from coherence.errors import (
    StoreBusy,
    StoreCorrupt,
    StoreFault,
)
from coherence.messages import Version
from coherence.stores.bell import Bell, ring
from coherence.stores.chance import draw
from coherence.stores.codec import is_storable, to_bytes
from coherence.stores.membership import HasMembers
from coherence.stores.places import another_store, follow
from coherence.stores.port import Changes, Entry, Place, Retention, Stored
from coherence.stores.schema import prepare, require_schema
from coherence.stores.sqlite_faults import fault, faults, unreadable
from coherence.stores.sqlite_file import SqliteFile
from coherence.stores.sqlite_membership import SqliteMembership
from coherence.stores.sqlite_rows import (
    BODY,
    CURRENT,
    HEAD,
    HISTORY,
    LOAD,
    LOW,
    NAMES,
    SINCE,
    VERSION_BITS,
    change,
    content,
    current,
    end_of,
    entry,
    head_of,
    prune,
    shaped,
    stored,
)
from coherence.stores.sqlite_transaction import SCHEMA, TURN_S, SqliteTransaction
from message_passing.interrupts import free, owned
from message_passing.process import Address, Time

T = TypeVar("T")

#: How much of the change log is fetched at once.
LINES = 1_000
SEQ_MAX = (1 << 63) - 1
#: How often a process that does not write checks that the file still exists.
LOOK_S = 1.0
#: How often a file is read again after other processes have written to it.
TRIES = 3
#: More than a connection can count of other connections' commits.
TURN = 1 << 32
_VERSION = "PRAGMA data_version"


def _wall_clock() -> Time:
    """Seconds since the epoch: one clock for all processes of the host, present and later."""
    return time.time()  # noqa: TID251 - this is the store's own clock


class SqliteStore(HasMembers):
    """Homes in the file at `path`.  `clock` is for tests that own time.

    With `create` false a missing file raises `StoreMissing`; with `readonly` nothing is written,
    and only calls that read are allowed.
    """

    validates = True
    shared = True
    hashes = True
    _membership: SqliteMembership

    def __init__(
        self,
        path: str | Path,
        retention: Retention | None = None,
        *,
        create: bool = True,
        readonly: bool = False,
        clock: Callable[[], Time] = _wall_clock,
    ) -> None:
        self.path = Path(path)
        self.clock = clock
        self.retention = retention or Retention()
        self._readonly = readonly
        self._lock = threading.RLock()
        self._reading = threading.RLock()
        self._glancing = threading.RLock()
        #: Whether a thread is in a transaction: `mark` then asks another connection.
        self._writing = False
        self._durable = True
        self._bell: Bell | None = None
        self._bell_until = 0.0
        self._closed = False
        #: When to check next that the file still exists, on this process's clock.
        self._look_at = 0.0
        #: Distinguishes the marks of one set of connections from those of the next.
        self._turns = 0
        with faults():
            self._file = SqliteFile(self.path, create=create, readonly=readonly)
            try:
                self._connect()
                self.identity = self._meta("identity")
                self.origin = 0 if readonly else draw()
                self._membership = SqliteMembership(self)
                self.last = Place(0)
                self._file.settle()
            except BaseException:
                self._file.close()
                raise

    def _connect(self) -> None:
        self._file.prepare()
        self._write = self._file.connect()
        self._write_sql = self._write.cursor()
        if self._readonly:
            self._file.require_schema(self._write)
        else:
            self._file.write_ahead(self._write)
            prepare(self._write)
            self._write_sql.execute(f"PRAGMA busy_timeout = {TURN_S * 1000:.0f}")
        self._read = self._file.connect()
        self._read_sql = self._read.cursor()
        self._glass = self._file.connect()
        self._glass_sql = self._glass.cursor()

    def _connect_again(self) -> None:
        """Other processes now write to a file that was read at rest: open it as they do."""
        with self._lock, self._reading, self._glancing, faults():
            self._require()
            self._file.disconnect()
            self._connect()
            self._file.settle()
            self._turns += TURN

    # Transactions.

    def transaction(self, *, publishes: bool) -> SqliteTransaction:
        return SqliteTransaction(self, publishes)

    def _writer(self, *, durable: bool) -> sqlite3.Cursor:
        """The writing connection, for the thread that holds the lock."""
        if monotonic() >= self._look_at:
            self.look()
        self._require()
        if durable != self._durable:
            self._write_sql.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        return self._write_sql

    def _require(self) -> None:
        """Raise if the store is closed or its file is gone."""
        if self._closed:
            raise StoreFault("the store is closed")
        if self._file.gone is not None:
            raise self._file.gone.with_traceback(None)

    def look(self) -> None:
        """Raise if the file is gone; then all later calls raise too."""
        self._look_at = 0.0
        self._file.look()
        self._look_at = monotonic() + LOOK_S

    def glance(self) -> None:
        """As `look`, but cheap, for frequent calls."""
        try:
            self._file.glance()
        except StoreFault:
            self._look_at = 0.0
            raise

    # The change log.

    def mark(self) -> int:
        # The writing connection does not count its own commits.  While it is busy, the other one is
        # queried, which may report changes that are this process's own.
        if monotonic() >= self._look_at:
            self.look()
        if self._readonly and self._file.disturbed():
            self._connect_again()
        try:
            if self._lock.acquire(blocking=False):
                try:
                    if not self._writing:
                        version: int = self._write_sql.execute(_VERSION).fetchone()[0]
                        return version + self._turns
                finally:
                    self._lock.release()
            with self._glancing:
                seen: int = self._glass_sql.execute(_VERSION).fetchone()[0]
                return -seen - self._turns
        except sqlite3.Error as error:
            self._require()
            raise fault(error) from error

    def since(self, place: Place) -> Changes:
        self.look()
        require_schema(self._query(SCHEMA)[0][0])
        rows = self._query(SINCE, min(place.seq, SEQ_MAX), LINES + 1)
        (generation,) = shaped(rows[0][:1], (int,), "the store's generation")
        lines = [change(row) for row in rows if row[1] is not None]
        changes = follow(place, generation, lines, self.head)
        if changes.foreign and self._meta("identity") != self.identity:
            self._look_at = 0.0
            self._file.gone = another_store(str(self.path))
            raise self._file.gone
        return changes

    def head(self) -> Place:
        return head_of(self._query(HEAD)[0])

    def wait(self, seq: int, timeout_s: float) -> None:
        now = self.clock()
        self._membership.keep()
        bell = self._ready_bell()
        if bell.port and self._bell_until < now + timeout_s:
            until = now + 2 * timeout_s + 60
            self._change("INSERT OR REPLACE INTO bell VALUES (?, ?)", bell.port, until)
            self._bell_until = until  # only now: a busy file has not registered it
            self._change("DELETE FROM bell WHERE until < ?", now)
        if self.head().seq <= seq:
            bell.wait(timeout_s)

    def wake(self) -> None:
        if self._bell is not None:
            self._bell.wake()

    def _ring(self, ports: list[int]) -> None:
        mine = self._bell.port if self._bell is not None else 0
        others = [port for port in ports if port != mine]
        if others:
            ring(others)

    def _ready_bell(self) -> Bell:
        with self._lock:
            self._require()
            if self._bell is None:
                self._bell = Bell()
            return self._bell

    # Agents.

    def join(self, agent: Address, *, beyond: int | None = None) -> int:
        self._membership.sweep_in_passing()
        with self.transaction(publishes=False) as tx:
            return tx.join(agent, beyond)

    # Calls that only read.

    def names(self, prefix: str = "", *, deleted: bool = False) -> list[str]:
        if not is_storable(prefix):
            return []
        rows = self._query(NAMES, prefix, end_of(prefix), deleted)
        return [shaped(row, (str,), "a name")[0] for row in rows]

    def current(
        self, prefix: str = "", *, after: str = "", at_most: int = 100
    ) -> Sequence[tuple[str, Entry, Content]]:
        if not (is_storable(prefix) and is_storable(after)):
            return []
        rows = self._query(CURRENT, prefix, end_of(prefix), after, at_most)
        return [current(row) for row in rows]

    def row(self, artifact: str) -> Stored | None:
        rows = self._query(LOAD, artifact)
        return stored(rows[0], artifact)[1] if rows else None

    def history(self, artifact: str, since: Version = 0) -> list[Entry]:
        if since > LOW:
            return []
        return [entry(row, artifact) for row in self._query(HISTORY, since, artifact)]

    def read(self, artifact: str, version: Version) -> tuple[Entry, Content] | None:
        if not 0 < version <= LOW:
            return None
        return content(self._query(BODY, artifact, version), artifact, version)

    # Upkeep.

    def pin(self, artifact: str, version: Version, pinned: bool) -> bool:
        if not 0 < version <= LOW:
            return False

        def set_pin(db: sqlite3.Cursor) -> bool:
            rows = db.execute(BODY, (artifact, version)).fetchall()
            kept = content(rows, artifact, version)
            if kept is None:
                return False
            # Whole while pinned, since the next version, its base, may be removed.
            db.execute(
                "UPDATE history SET pinned = ?, whole = 1, body = ? WHERE slot = ?",
                (pinned, to_bytes(kept[1]), rows[0][1]),
            )
            return True

        self.look()
        return self._atomically(set_pin)

    def tidy(self) -> int:
        def sweep(db: sqlite3.Cursor) -> int:
            now = self.clock()
            rows = db.execute("SELECT id, version FROM artifact WHERE version").fetchall()
            gone = 0
            for row in rows:
                key, version = shaped(row, (int, int), "the list of artifacts")
                gone += prune(db, key << VERSION_BITS, version, self.retention, now)
            return gone

        self._membership.sweep()
        gone = self._atomically(sweep)
        with self._lock, faults():
            self._writer(durable=False).execute("PRAGMA incremental_vacuum")
            self._write_sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def check(self) -> Iterable[str]:
        from coherence.stores.audit import audit
        from coherence.stores.sqlite_check import contradictions

        self._require()
        yield from contradictions(self)
        yield from audit(self)

    def release(self) -> None:
        if owned(self._lock):
            self._end_transaction()
        self._membership.release()
        free(self._lock, self._reading, self._glancing)

    def _end_transaction(self) -> None:
        """Roll back an open transaction, for the thread that holds the lock."""
        db = self._write
        with suppress(sqlite3.Error):
            if db.in_transaction:
                db.rollback()
        self._writing = False

    def close(self) -> None:
        if self._closed:
            return
        if self._bell is not None and self._bell.port and not self._readonly:
            with suppress(StoreFault):  # it expires by itself
                self._change("DELETE FROM bell WHERE port = ?", self._bell.port)
        with self._lock, self._reading, self._glancing:
            self._closed = True
            self._file.close()
        self._membership.close()
        if self._bell is not None:
            self._bell.wake()
            self._bell.close()

    # SQL.

    def _query(self, sql: str, *values: object) -> list[Any]:
        """The rows of one statement that only reads."""
        if monotonic() >= self._look_at:
            self.look()
        for attempt in range(TRIES):
            try:
                with self._reading:
                    self._require()
                    rows = self._read_sql.execute(sql, values).fetchall()
                    if not self._readonly or not self._file.disturbed():
                        return rows
            except sqlite3.Error as error:
                self._require()
                if not self._file.lean or attempt == TRIES - 1:
                    raise fault(error) from error
            except UnicodeDecodeError as error:
                raise unreadable(error) from error
            self._connect_again()
        raise StoreBusy(f"{self.path} was written to during every read")

    def _change(self, sql: str, *values: object) -> None:
        self._atomically(lambda db: db.execute(sql, values))

    def _atomically(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        with self.transaction(publishes=False) as tx, faults():
            return work(tx.cursor)

    def _meta(self, key: str) -> str:
        rows = self._query("SELECT value FROM meta WHERE key = ?", key)
        if not rows:
            raise StoreCorrupt(f"the file has no {key}")
        return str(rows[0][0])
