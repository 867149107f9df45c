"""A store in PostgreSQL: any number of machines.

A row lock serialises the transactions on one artifact; transactions on different artifacts contend
only for the change log, which is in commit order.  The server's clock is the store's: it should be
slewed, not stepped, since leases are counted on it.

Every commit is synced, even one that publishes nothing: caches on other machines outlive a crash of
the server, so no entry of a directory may be lost.  A `synchronous_commit` stronger than ``on`` is
kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from coherence.contents import Content
from coherence.errors import StoreMissing
from coherence.messages import Version

try:
    import psycopg  # noqa: F401 - every module below needs it
except ImportError as error:
    raise StoreMissing(
        f"the driver for PostgreSQL is not installed: {error}",
        remedy="pip install 'psycopg[binary]'",
    ) from error

from coherence.stores import postgres_sql as sql
from coherence.stores.audit import audit
from coherence.stores.codec import is_storable, pack_asked, pack_names, unpack_posts, unpack_row
from coherence.stores.membership import HasMembers
from coherence.stores.places import LINES, another_store, follow
from coherence.stores.port import (
    NOTHING,
    Change,
    Changes,
    Cut,
    Entry,
    Held,
    Moved,
    Place,
    Retention,
    Stored,
)
from coherence.stores.postgres_connections import PostgresConnections
from coherence.stores.postgres_membership import PostgresMembership
from coherence.stores.postgres_records import FOLD, REFUSALS, TALLIES
from coherence.stores.postgres_rows import cut, entry, restore
from coherence.stores.postgres_schema import require_schema
from coherence.stores.postgres_transaction import PostgresTransaction
from coherence.stores.postgres_wire import Call, Rows, Statement, Wire
from coherence.stores.records import RefusedWrite, Tally, refused_of, tally_of
from message_passing.background import Background
from message_passing.process import Time

if TYPE_CHECKING:
    import sqlite3

    from coherence.stores.archive import Backup, Progress

#: The largest number in a column.
_SEQ_MAX: Final = (1 << 63) - 1


class PostgresStore(HasMembers):
    """Homes in the database at `url`, a libpq address such as ``postgresql://user@host/team``.

    With `create` false a database without the tables raises `StoreMissing`; with `readonly` nothing
    is written, and only calls that read are allowed.  `wire` makes each connection, and
    `background` notifies other processes: both are for tests that own time.
    """

    validates = False
    shared = True
    hashes = True
    _membership: PostgresMembership

    def __init__(
        self,
        url: str,
        retention: Retention | None = None,
        *,
        create: bool = True,
        readonly: bool = False,
        wire: Callable[[], Wire] = Wire,
        background: Background | None = None,
    ) -> None:
        self._connections = PostgresConnections(
            url,
            retention or Retention(),
            create=create,
            readonly=readonly,
            wire=wire,
            background=background,
        )
        self.identity, self.origin = self._connections.identity, self._connections.origin
        self._membership = PostgresMembership(self._connections)
        #: Whether this opening has not yet folded the tallies of old days.
        self._folds = True

    def transaction(self, *, publishes: bool) -> PostgresTransaction:
        return PostgresTransaction(self._connections, publishes=publishes)

    # The change log.

    @property
    def last(self) -> Place:
        return self._connections.last

    def mark(self) -> Any:
        return self._connections.ask(sql.MARK)[0]

    def since(self, place: Place) -> Changes:
        heard = self._connections.ear.heard
        rows = self._connections.stamped(sql.SINCE, min(place.seq, _SEQ_MAX), LINES + 1)
        require_schema(rows[0][1])
        lines = [
            Change(seq, number, origin, artifact, version, author, at, unpack_posts(posts))
            for _, _, seq, number, origin, artifact, version, author, at, posts in rows
            if seq is not None
        ]
        changes = follow(place, rows[0][0], lines, self.head)
        if changes.foreign:
            self._connections.last = Place(0)  # another line may soon have its number
            self._prove(self._connections.stamped(sql.IDENTITY)[0][0])
        if len(lines) > LINES:
            return changes
        self._connections.ear.learn(heard, changes.place.seq)
        return changes._replace(more=False)

    def _prove(self, identity: str) -> None:
        """Raise if the database holds another store now."""
        if identity != self.identity:
            raise another_store("the database")

    def head(self) -> Place:
        heard = self._connections.ear.heard
        place = Place(*self._connections.stamped(sql.HEAD)[0])
        self._connections.ear.learn(heard, place.seq)
        return place

    def wait(self, seq: int, timeout_s: float) -> None:
        # Lines of this process end no wait, unless there are many.
        self._connections.require()
        self._connections.ear.wait(seq, timeout_s)

    def wake(self) -> None:
        self._connections.ear.wake()

    # Calls that only read.

    def names(self, prefix: str = "", *, deleted: bool = False) -> list[str]:
        if not is_storable(prefix):
            return []
        return [name for (name,) in self._connections.ask(sql.NAMES, prefix, deleted)]

    def current(
        self, prefix: str = "", *, after: str = "", at_most: int = 100
    ) -> Sequence[tuple[str, Entry, Content]]:
        if not (is_storable(prefix) and is_storable(after)):
            return []
        found: list[tuple[str, Entry, Content]] = []
        for name, *row in self._connections.ask(sql.CURRENT, prefix, after, at_most):
            kept = restore([row], name, row[0])
            assert kept is not None
            found.append((name, *kept))
        return found

    def row(self, artifact: str) -> Stored | None:
        rows = self._connections.ask(sql.ROW, artifact)
        return Stored(unpack_row(rows[0][1]), rows[0][0]) if rows else None

    def history(self, artifact: str, since: Version = 0) -> list[Entry]:
        if since > _SEQ_MAX:
            return []
        return [entry(row) for row in self._connections.ask(sql.HISTORY, artifact, since)]

    def read(self, artifact: str, version: Version) -> tuple[Entry, Content] | None:
        if not 0 < version <= _SEQ_MAX:
            return None
        return restore(self._connections.ask(sql.BODY, artifact, version), artifact, version)

    def now(self) -> Time:
        [(now,)] = self._connections.ask(sql.NOW)
        return float(now)

    def revisions(self, prefix: str = "") -> list[tuple[str, int, bool]]:
        if not is_storable(prefix):
            return []
        rows = self._connections.ask(sql.REVISIONS, prefix)
        return [(name, revision, alive) for name, revision, alive in rows]

    def rows(self, names: Collection[str]) -> dict[str, Stored]:
        rows = self._connections.ask(sql.ROWS, pack_names(names))
        return {name: Stored(unpack_row(home), revision) for name, revision, home in rows}

    def latest(self, names: Collection[str]) -> dict[str, Entry]:
        rows = self._connections.ask(sql.LATEST, pack_names(names))
        return {name: entry(row) for name, *row in rows}

    def cut(
        self, names: Collection[str], have: Mapping[str, Held] = NOTHING
    ) -> tuple[dict[str, Cut], Place]:
        rows, place = self._as_of(sql.CUT, pack_asked(names, have))
        seen = dict.fromkeys(names, Cut())
        seen.update((row[0], cut(row)) for row in rows if row[1] is not None)
        return seen, place

    def listing(self, prefix: str = "") -> tuple[dict[str, Entry], Place]:
        if not is_storable(prefix):
            return {}, self.cut(())[1]
        rows, place = self._as_of(sql.LISTING, prefix)
        return {name: entry(row) for name, *row in rows}, place

    def _as_of(self, statement: Statement, value: str) -> tuple[Rows, Place]:
        """The rows of `CUT` or `LISTING` from the name on, and the place in the log."""
        rows = self._connections.stamped(statement, value)
        *place, identity, schema = rows[0][:5]
        require_schema(schema)
        self._prove(identity)
        return [row[5:] for row in rows if row[5] is not None], Place(*place)

    # Records.

    def tally(self, rows: Sequence[Tally]) -> None:
        def work(tx: PostgresTransaction) -> None:
            tx.relax()
            tx.tally(rows)
            if self._folds:
                tx.fold()

        self._repeated(work)
        self._folds = False

    def refuse(self, line: RefusedWrite, keep: int) -> None:
        self._repeated(lambda tx: tx.refuse(line, keep))

    def _repeated(self, work: Callable[[PostgresTransaction], None]) -> None:
        """Carry out `work` in a transaction, until no other one is in its way."""
        while True:
            with suppress(Moved):
                with self.transaction(publishes=False) as tx:
                    work(tx)
                return

    def refusals(self, prefix: str = "", since: Time = 0.0) -> list[RefusedWrite]:
        if not is_storable(prefix):
            return []
        return [refused_of(row) for row in self._connections.ask(REFUSALS, prefix, float(since))]

    def tallies(self, since_day: str = "") -> list[Tally]:
        return [tally_of(row) for row in self._connections.ask(TALLIES, since_day)]

    # Upkeep.

    def pin(self, artifact: str, version: Version, pinned: bool) -> bool:
        with self.transaction(publishes=False) as tx:
            return tx.pin(artifact, version, pinned)

    def tidy(self) -> int:
        self._membership.sweep()
        rule, calls = self._connections.retention, list[Call]([(FOLD, ())])
        if rule.versions is not None:
            calls.append((sql.TIDY, (rule.versions,)))
        if rule.age_s is not None:
            calls.append((sql.TIDY_AGED, (float(rule.age_s),)))
        while True:
            try:
                wire, found = self._connections.live(lambda wire: wire.trip(*calls))
            except Moved:
                continue  # a deadlock with a writer of several artifacts: nothing was removed
            self._connections.give(wire)
            return sum(len(rows) for rows in found)

    def check(self) -> Iterable[str]:
        return audit(self)

    def dump(self, db: sqlite3.Connection, progress: Progress | None = None) -> None:
        from coherence.stores.backup import fill
        from coherence.stores.postgres_backup import image

        with image(self._connections) as seen:
            fill(db, seen)

    def put_back(self, backup: Backup) -> None:
        """Restore a backup, in one transaction.

        Readers continue meanwhile, and meet another history after it; writers wait.
        """
        from coherence.stores.postgres_backup import put_into

        put_into(backup, self._connections)

    def release(self) -> None:
        self._connections.release()

    def close(self) -> None:
        self._connections.close()
