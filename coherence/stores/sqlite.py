"""A store in one SQLite file, for any number of equal processes of one host, without a daemon.

`sqlite_connections` opens the file, `sqlite_transaction` is one transaction on it, and
`sqlite_membership` knows which processes have ended.  The rest is below these: `sqlite_rows` reads
rows, `sqlite_file` compares the file that is open with the one at the path.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from msgspec.structs import replace

from coherence.contents import Content
from coherence.errors import StoreFault
from coherence.messages import Version
from coherence.stores.archive import Progress
from coherence.stores.audit import audit
from coherence.stores.bell import Bell
from coherence.stores.codec import cut_of, is_storable, pack_asked, pack_names, to_bytes
from coherence.stores.membership import HasMembers
from coherence.stores.places import LINES, another_store, follow
from coherence.stores.port import NOTHING, Changes, Cut, Entry, Held, Place, Retention, Stored
from coherence.stores.records import RefusedWrite, Tally, refused_of, tally_of
from coherence.stores.schema import require_schema
from coherence.stores.sqlite_check import contradictions
from coherence.stores.sqlite_connections import SqliteConnections
from coherence.stores.sqlite_copy import copy_file
from coherence.stores.sqlite_faults import fault, faults
from coherence.stores.sqlite_membership import SqliteMembership
from coherence.stores.sqlite_records import REFUSALS, TALLIES, fold, refuse
from coherence.stores.sqlite_rows import (
    ALL_REVISIONS,
    BODY,
    CURRENT,
    CUT,
    HEAD,
    HISTORY,
    LATEST,
    LISTING,
    LOW,
    NAMES,
    REVISIONS,
    ROWS,
    SINCE,
    STAMP,
    VERSION_BITS,
    change,
    content,
    current,
    end_of,
    entry,
    head_of,
    revisions,
    shaped,
    stamp_of,
)
from coherence.stores.sqlite_transaction import (
    LOAD,
    SCHEMA,
    SqliteTransaction,
    atomically,
    prune,
    stored,
)
from coherence.stores.sqlite_transaction import change as write
from message_passing.process import Time

#: How many columns of `CUT` are those of `LOAD`; the last of them is also the first of `BODY`.
_STORED = 5
SEQ_MAX = (1 << 63) - 1
_VERSION = "PRAGMA data_version"
#: Seconds since the epoch: one clock for all processes of the host, present and later.
_wall_clock: Callable[[], Time] = time.time  # noqa: TID251 - this is the store's own clock


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
        self.path = Path(path).absolute()
        self._connections = SqliteConnections(
            self.path, retention or Retention(), clock, create=create, readonly=readonly
        )
        self.identity, self.origin = self._connections.identity, self._connections.origin
        self._membership = SqliteMembership(self._connections)
        self._transactions = tuple(
            SqliteTransaction(self._connections, publishes=publishes) for publishes in (False, True)
        )
        self._bell: Bell | None = None
        #: Until when the bell's port is registered, on the store's clock.
        self._bell_until = 0.0
        self._closed = False
        #: Whether this opening has not yet folded the tallies of old days.
        self._folds = True

    def transaction(self, *, publishes: bool) -> SqliteTransaction:
        return self._transactions[publishes]

    # The change log.

    @property
    def last(self) -> Place:
        return self._connections.last

    def mark(self) -> int:
        # The writing connection does not count its own commits.  While it is busy, the other one is
        # queried, which may report changes that are this process's own.
        db = self._connections
        if monotonic() >= db.file.look_at:
            db.file.look()
        if db.readonly and db.file.disturbed():
            db.connect_again()
        try:
            if db.lock.acquire(blocking=False):
                try:
                    if not db.writing:
                        version: int = db.writer.execute(_VERSION).fetchone()[0]
                        return version + db.reopenings
                finally:
                    db.lock.release()
            with db.glancing:
                seen: int = db.glass.execute(_VERSION).fetchone()[0]
                return -seen - db.reopenings
        except sqlite3.Error as error:
            db.file.require()
            raise fault(error) from error

    def since(self, place: Place) -> Changes:
        db = self._connections
        db.file.look()
        require_schema(db.query(SCHEMA)[0][0])
        rows = db.query(SINCE, min(place.seq, SEQ_MAX), LINES + 1)
        (generation,) = shaped(rows[0][:1], (int,), "the store's generation")
        lines = [change(row) for row in rows if row[1] is not None]
        changes = follow(place, generation, lines, self.head)
        if changes.foreign:
            self._prove(db.meta("identity"))
        return changes

    def _prove(self, identity: str) -> None:
        """Raise if the file has become another store."""
        if identity != self.identity:
            replaced = another_store(str(self.path))
            self._connections.file.give_up(replaced)
            raise replaced

    def head(self) -> Place:
        return head_of(self._connections.query(HEAD)[0])

    def wait(self, seq: int, timeout_s: float) -> None:
        db = self._connections
        now = db.clock()
        self._membership.keep()
        bell = self._ready_bell()
        if bell.port and self._bell_until < now + timeout_s:
            until = now + 2 * timeout_s + 60
            write(db, "INSERT OR REPLACE INTO bell VALUES (?, ?)", bell.port, until)
            self._bell_until = until  # only now: a busy file has not registered it
            write(db, "DELETE FROM bell WHERE until < ?", now)
        if self.head().seq <= seq:
            bell.wait(timeout_s)

    def wake(self) -> None:
        if self._bell is not None:
            self._bell.wake()

    def _ready_bell(self) -> Bell:
        db = self._connections
        with db.lock:
            db.file.require()
            if self._bell is None:
                self._bell = Bell()
                db.port = self._bell.port
            return self._bell

    # Calls that only read.

    def names(self, prefix: str = "", *, deleted: bool = False) -> list[str]:
        if not is_storable(prefix):
            return []
        rows = self._connections.query(NAMES, prefix, end_of(prefix), deleted)
        return [shaped(row, (str,), "a name")[0] for row in rows]

    def current(
        self, prefix: str = "", *, after: str = "", at_most: int = 100
    ) -> Sequence[tuple[str, Entry, Content]]:
        if not (is_storable(prefix) and is_storable(after)):
            return []
        rows = self._connections.query(CURRENT, prefix, end_of(prefix), after, at_most)
        return [current(row) for row in rows]

    def row(self, artifact: str) -> Stored | None:
        rows = self._connections.query(LOAD, artifact)
        return stored(rows[0], artifact)[1] if rows else None

    def history(self, artifact: str, since: Version = 0) -> list[Entry]:
        if since > LOW:
            return []
        return [entry(row, artifact) for row in self._connections.query(HISTORY, since, artifact)]

    def read(self, artifact: str, version: Version) -> tuple[Entry, Content] | None:
        if not 0 < version <= LOW:
            return None
        return content(self._connections.query(BODY, artifact, version), artifact, version)

    def now(self) -> Time:
        self._connections.file.require()
        return self._connections.clock()

    def revisions(self, prefix: str = "") -> list[tuple[str, int, bool]]:
        if not is_storable(prefix):
            return []
        wanted = (REVISIONS, prefix, end_of(prefix)) if prefix else (ALL_REVISIONS,)
        return revisions(self._connections.query(*wanted)[0][0])

    def rows(self, names: Collection[str]) -> dict[str, Stored]:
        rows = self._connections.query(ROWS, pack_names(names))
        return {name: stored(row, name)[1] for name, *row in rows}

    def latest(self, names: Collection[str]) -> dict[str, Entry]:
        rows = self._connections.query(LATEST, pack_names(names))
        return {name: entry(row, name) for name, *row in rows}

    def cut(
        self, names: Collection[str], have: Mapping[str, Held] = NOTHING
    ) -> tuple[dict[str, Cut], Place]:
        rows, place = self._as_of(CUT, pack_asked(names, have))
        seen = dict.fromkeys(names, Cut())
        for name, *row in rows:
            if row[0] is not None:
                seen[name] = _cut(name, row)
        return seen, place

    def listing(self, prefix: str = "") -> tuple[dict[str, Entry], Place]:
        if not is_storable(prefix):
            return {}, self.cut(())[1]
        rows, place = self._as_of(LISTING, prefix, end_of(prefix))
        return {row[0]: entry(row, row[0]) for row in rows}, place

    def _as_of(self, sql: str, *values: object) -> tuple[list[Any], Place]:
        """The rows of `CUT` or `LISTING` without their stamps, and the place in the log."""
        self._connections.file.look()
        rows = self._connections.query(sql, *values)
        place, identity, schema = stamp_of(rows[0])
        require_schema(schema)
        self._prove(identity)
        return [row[STAMP:] for row in rows if row[STAMP] is not None], place

    # Records.

    def tally(self, rows: Sequence[Tally]) -> None:
        with SqliteTransaction(self._connections, publishes=False) as tx, faults():
            tx.tally(rows)
            if self._folds:
                fold(tx.cursor, tx.now)
        self._folds = False

    def refuse(self, line: RefusedWrite, keep: int) -> None:
        with SqliteTransaction(self._connections, publishes=False) as tx, faults():
            refuse(tx.cursor, line if line.at else replace(line, at=tx.now), keep)

    def refusals(self, prefix: str = "", since: Time = 0.0) -> list[RefusedWrite]:
        rows = self._connections.query(REFUSALS, float(since))
        return [line for line in map(refused_of, rows) if line.artifact.startswith(prefix)]

    def tallies(self, since_day: str = "") -> list[Tally]:
        return [tally_of(row) for row in self._connections.query(TALLIES, since_day)]

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

        self._connections.file.look()
        return atomically(self._connections, set_pin)

    def tidy(self) -> int:
        connections = self._connections

        def sweep(db: sqlite3.Cursor) -> int:
            now = connections.clock()
            rows = db.execute("SELECT id, version FROM artifact WHERE version").fetchall()
            gone = 0
            for row in rows:
                key, version = shaped(row, (int, int), "the list of artifacts")
                gone += prune(db, key << VERSION_BITS, version, connections.retention, now)
            fold(db, now)
            return gone

        self._membership.sweep()
        gone = atomically(connections, sweep)
        with connections.lock, faults():
            connections.file.look()
            connections.writer.execute("PRAGMA incremental_vacuum")
            connections.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def check(self) -> Iterable[str]:
        self._connections.file.require()
        yield from contradictions(self._connections)
        yield from audit(self)

    def dump(self, db: sqlite3.Connection, progress: Progress | None = None) -> None:
        file = self._connections.file
        copy_file(Path(file.path), db, progress)
        file.look()

    def release(self) -> None:
        self._connections.release()
        self._membership.release()

    def close(self) -> None:
        if self._closed:
            return
        db = self._connections
        if self._bell is not None and self._bell.port and not db.readonly:
            with suppress(StoreFault):  # it expires by itself
                write(db, "DELETE FROM bell WHERE port = ?", self._bell.port)
        db.close()
        self._closed = True
        self._membership.close()
        if self._bell is not None:
            self._bell.wake()
            self._bell.close()


def _cut(name: str, row: Sequence[Any]) -> Cut:
    """A row of `CUT` without its name."""
    found, (whole, body) = stored(row[:_STORED], name)[1], row[-2:]
    if whole is None:
        return cut_of(name, found, None)
    if body is not None:
        version = found.row.state.version
        return cut_of(name, found, content([row[_STORED - 1 :]], name, version))
    return cut_of(name, found, (entry(row[_STORED - 1 : -2], name), None))
