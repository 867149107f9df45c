"""A store in PostgreSQL: any number of machines.

A row lock serialises the transactions on one artifact; transactions on different artifacts contend
only for the change log, which is in commit order.  The server's clock is the store's: it should be
slewed, not stepped, since leases are counted on it.

Every commit is synced, even one that publishes nothing: caches on other machines outlive a crash of
the server, so no entry of a directory may be lost.  A `synchronous_commit` stronger than ``on`` is
kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from threading import RLock, get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from coherence.contents import Content
from coherence.errors import StoreBusy, StoreCorrupt, StoreFault, StoreMissing
from coherence.messages import Version

try:
    import psycopg
except ImportError as error:
    raise StoreMissing(
        f"the driver for PostgreSQL is not installed: {error}",
        remedy="pip install 'artifact-coherence[postgres]'",
    ) from error

from coherence.stores import postgres_sql as sql
from coherence.stores.chance import draw
from coherence.stores.codec import is_storable, unpack_posts, unpack_row
from coherence.stores.membership import HasMembers
from coherence.stores.places import another_store, follow
from coherence.stores.port import Change, Changes, Entry, Moved, Place, Retention, Stored
from coherence.stores.postgres_address import CONNECT_S, parse, told
from coherence.stores.postgres_ear import Ear
from coherence.stores.postgres_errors import fault, lost
from coherence.stores.postgres_membership import PostgresMembership
from coherence.stores.postgres_recent import RecentRows
from coherence.stores.postgres_schema import note_timeline, prepare, settle
from coherence.stores.postgres_transaction import (
    LOG_LINES,
    PRUNE_EVERY,
    PostgresTransaction,
    entry,
    restore,
)
from coherence.stores.postgres_wire import Call, Rows, Statement, Value, Wire
from message_passing.interrupts import Knock, free
from message_passing.process import Address

if TYPE_CHECKING:
    from coherence.stores.backup import Image

T = TypeVar("T")

#: How much of the change log is fetched at once.
LINES: Final = 1_000
#: Connections of one process, besides the one that listens.
CONNECTIONS: Final = 8
#: How long a connection beyond the first may be idle before it is closed, in seconds.
IDLE_S: Final = 60.0
#: How long after its last use a connection counts as alive without a check, in seconds.
QUIET_S: Final = 1.0
#: The pause before a failed connection is tried again, in seconds: at first, and at most.
AGAIN_S: Final = 0.05
AGAIN_S_MAX: Final = 0.5
#: How long to wait for a lock, and how long a stopped process may hold one.
LOCK_S: Final = 15.0
STOPPED_S: Final = 5.0
#: The largest number in a column.
_SEQ_MAX: Final = (1 << 63) - 1


class PostgresStore(HasMembers):
    """Homes in the database at `url`, a libpq address such as ``postgresql://user@host/team``.

    With `create` false a database without the tables raises `StoreMissing`; with `readonly` nothing
    is written, and only calls that read are allowed.
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
    ) -> None:
        self._address = parse(url)
        self._readonly = readonly
        self.retention = retention or Retention()
        self._closed = False
        self._ended = Knock()
        #: The thread that has each connection; 0 for an idle one.
        self._wires: dict[Wire, int] = {}
        self._handing = RLock()
        #: Threads that wait for a connection: each returned connection wakes one.
        self._waiting: deque[Knock] = deque()
        self.origin = 0 if readonly else draw()
        first = Wire()
        try:
            settle(first.open(self._address), LOCK_S, STOPPED_S, readonly=readonly)
        except psycopg.Error as error:
            first.close()
            raise StoreMissing(
                f"PostgreSQL: {told(error, self._address)}",
                remedy="check the address, and that the server runs",
            ) from None
        try:
            assert first.conn is not None
            prepare(first.conn, create=create, readonly=readonly)
            [(identity,)] = first.conn.execute("SELECT identity FROM coherence_meta").fetchall()
            if not readonly:
                note_timeline(first.conn)
            self._membership = PostgresMembership(self, first)
        except psycopg.Error as error:
            raise fault(error) from error
        finally:
            first.close()
        self.identity = str(identity)
        self.channel = f"coherence_{self.identity}"
        self._ear = Ear(self.connect, self.channel, self._membership)
        self.last = Place(0)
        self.recent = RecentRows()

    # Connections.

    def connect(self, wire: Wire | None = None) -> Wire:
        """Open a new connection.  Raises `psycopg.Error`."""
        wire = wire or Wire()
        try:
            conn = wire.open(self._address)
            settle(conn, LOCK_S, STOPPED_S, readonly=self._readonly)
            if not self._readonly:
                note_timeline(conn)
        except BaseException:
            wire.close()
            raise
        return wire

    def require(self) -> None:
        """Raise if the store is closed."""
        if self._closed:
            raise StoreFault("the store is closed")

    def _take(self) -> Wire:
        """A connection for this thread alone, until it is given back."""
        until = monotonic() + CONNECT_S
        wire = self._idle() or self._freed(until)
        if wire.conn is not None:
            return wire
        again_s = AGAIN_S
        while True:
            try:
                return self.connect(wire)
            except psycopg.Error as error:
                if self._ended.wait(again_s) or monotonic() > until:
                    self.give(wire)
                    self.require()
                    raise StoreFault(
                        f"no connection within {CONNECT_S:.0f} s: {told(error, self._address)}",
                        remedy="check that the server runs and takes connections, and try again",
                    ) from None
                again_s = min(2 * again_s, AGAIN_S_MAX)

    def _idle(self) -> Wire | None:
        """An idle connection, or one to be opened; None if all are in use."""
        with self._handing:
            self.require()
            for wire, holder in self._wires.items():
                if not holder:
                    self._wires[wire] = get_ident()
                    return wire
            if len(self._wires) >= CONNECTIONS:
                return None
            wire = Wire()
            self._wires[wire] = get_ident()
            return wire

    def _freed(self, until: float) -> Wire:
        """As `_idle`, but wait for a connection of another thread.  Raises `StoreBusy`."""
        freed = Knock()
        try:
            while True:
                self._waiting.append(freed)
                wire = self._idle()
                if wire is not None:
                    return wire
                if not freed.wait(until - monotonic()):
                    raise StoreBusy(
                        f"all {CONNECTIONS} connections of this process are in use",
                        remedy="try again, or spread the agents over more processes",
                    )
        finally:
            with suppress(ValueError):
                self._waiting.remove(freed)

    def _wake_all(self) -> None:
        for freed in tuple(self._waiting):
            freed()

    def take_quiet(self) -> Wire | None:
        """A connection that is alive, as far as known without a round trip; None if in doubt."""
        wire = self._take()
        if monotonic() - wire.used < QUIET_S and not wire.stirs:
            return wire
        self.give(wire)
        return None

    def give(self, wire: Wire) -> None:
        """Take a connection back; one in the middle of an exchange is cut."""
        if not wire.idle:
            wire.close()
        now = wire.used = monotonic()
        surplus: list[Wire] = []
        with self._handing:
            if wire.closed or self._closed:
                surplus.append(wire)
            else:
                self._wires[wire] = 0
            if len(self._wires) > 1:  # close those that were idle for long, except the first
                others = list(self._wires.items())[1:]
                surplus += [other for other, by in others if not by and now - other.used > IDLE_S]
            for other in surplus:
                self._wires.pop(other, None)
        with suppress(IndexError):
            self._waiting.popleft()()
        for other in surplus:
            other.close()

    def release(self) -> None:
        free(self._handing, self.recent.lock)
        self._ear.release()
        self._wake_all()  # the interrupted call may have consumed a wake-up
        me = get_ident()
        mine = [wire for wire, holder in list(self._wires.items()) if holder == me]
        for wire in mine:
            wire.close()
            self.give(wire)
        if mine:
            self._ear.tell(0)  # a line may have been added before the interrupt

    def begin(self, *calls: Call) -> tuple[Wire, list[Rows]]:
        """A connection, and the results of `calls` on it."""
        return self._live(lambda wire: wire.trip(*calls))

    def _live(self, work: Callable[[Wire], T]) -> tuple[Wire, T]:
        """A live connection, and the result of `work` on it, which must be repeatable.

        A connection that was cut while idle is noticed only in use, and all of them may be cut.
        """
        for spare in reversed(range(CONNECTIONS + 1)):
            wire = self._take()
            try:
                return wire, work(wire)
            except BaseException as error:
                cut = isinstance(error, psycopg.Error) and (wire.closed or lost(error))
                if cut:
                    wire.close()
                self.give(wire)
                if not isinstance(error, psycopg.Error):
                    raise
                if not (cut and spare):
                    raise fault(error) from error
        raise AssertionError("unreachable")

    def _ask(self, statement: Statement, *values: Value) -> Rows:
        wire, found = self._live(lambda wire: wire.trip((statement, values)))
        self.give(wire)
        return found[0]

    # Transactions.

    def transaction(self, *, publishes: bool) -> PostgresTransaction:
        return PostgresTransaction(self, publishes)

    def appended(self, lines: Sequence[Place]) -> None:
        """These lines were added to the log."""
        self.last = max(self.last, *lines)
        for line in lines:
            if line.seq % PRUNE_EVERY == 0:
                with suppress(StoreFault):  # the next call will do it
                    self._ask(sql.CUT, line.seq - LOG_LINES)
        self._ear.tell(len(lines))

    # The change log.

    def mark(self) -> Any:
        return self._ask(sql.MARK)[0]

    def since(self, place: Place) -> Changes:
        heard = self._ear.heard
        rows = self._stamped(sql.SINCE, min(place.seq, _SEQ_MAX), LINES + 1)
        lines = [
            Change(seq, number, origin, artifact, version, author, at, unpack_posts(posts))
            for _, seq, number, origin, artifact, version, author, at, posts in rows
            if seq is not None
        ]
        changes = follow(place, rows[0][0], lines, self.head)
        if changes.foreign:
            self.last = Place(0)  # another line may soon have its number
            if self._stamped(sql.IDENTITY)[0][0] != self.identity:
                raise another_store("the database")
        if len(lines) > LINES:
            return changes
        self._ear.learn(heard, changes.place.seq)
        return changes._replace(more=False)

    def head(self) -> Place:
        heard = self._ear.heard
        place = Place(*self._stamped(sql.HEAD)[0])
        self._ear.learn(heard, place.seq)
        return place

    def _stamped(self, statement: Statement, *values: Value) -> Rows:
        """Rows joined to the one row of `coherence_meta`."""
        rows = self._ask(statement, *values)
        if not rows:
            raise StoreCorrupt("the workspace's tables have lost their stamp")
        return rows

    def wait(self, seq: int, timeout_s: float) -> None:
        # Lines of this process end no wait, unless there are many.
        self.require()
        self._ear.wait(seq, timeout_s)

    def wake(self) -> None:
        self._ear.wake()

    # Agents.

    def join(self, agent: Address, *, beyond: int | None = None) -> int:
        self._membership.sweep_in_passing()
        with self.transaction(publishes=False) as tx:
            session = tx.join(agent, beyond)
        self._ear.attend()
        return session

    # Calls that only read.

    def names(self, prefix: str = "", *, deleted: bool = False) -> list[str]:
        if not is_storable(prefix):
            return []
        return [name for (name,) in self._ask(sql.NAMES, prefix, deleted)]

    def current(
        self, prefix: str = "", *, after: str = "", at_most: int = 100
    ) -> Sequence[tuple[str, Entry, Content]]:
        if not (is_storable(prefix) and is_storable(after)):
            return []
        found: list[tuple[str, Entry, Content]] = []
        for name, *row in self._ask(sql.CURRENT, prefix, after, at_most):
            kept = restore([row], name, row[0])
            assert kept is not None
            found.append((name, *kept))
        return found

    def row(self, artifact: str) -> Stored | None:
        rows = self._ask(sql.ROW, artifact)
        return Stored(unpack_row(rows[0][1]), rows[0][0]) if rows else None

    def history(self, artifact: str, since: Version = 0) -> list[Entry]:
        if since > _SEQ_MAX:
            return []
        return [entry(row) for row in self._ask(sql.HISTORY, artifact, since)]

    def read(self, artifact: str, version: Version) -> tuple[Entry, Content] | None:
        if not 0 < version <= _SEQ_MAX:
            return None
        return restore(self._ask(sql.BODY, artifact, version), artifact, version)

    # Upkeep.

    def pin(self, artifact: str, version: Version, pinned: bool) -> bool:
        with self.transaction(publishes=False) as tx:
            return tx.pin(artifact, version, pinned)

    def tidy(self) -> int:
        self._membership.sweep()
        rule, calls = self.retention, list[Call]()
        if rule.versions is not None:
            calls.append((sql.TIDY, (rule.versions,)))
        if rule.age_s is not None:
            calls.append((sql.TIDY_AGED, (float(rule.age_s),)))
        while calls:
            try:
                wire, found = self._live(lambda wire: wire.trip(*calls))
            except Moved:
                continue  # a deadlock with a writer of several artifacts: nothing was removed
            self.give(wire)
            return sum(len(rows) for rows in found)
        return 0

    def check(self) -> Iterable[str]:
        from coherence.stores.audit import audit

        return audit(self)

    def image(self) -> AbstractContextManager[Image]:
        """Everything in the store, as of one moment: see `coherence.stores.backup`."""
        from coherence.stores.postgres_backup import image

        self.require()
        return image(self)

    def close(self) -> None:
        self._ear.close()
        self._closed = True
        self._ended()
        with self._handing:
            idle = [wire for wire, holder in self._wires.items() if not holder]
            for wire in idle:
                del self._wires[wire]
        self._wake_all()
        for wire in idle:
            wire.close()
