"""The connections of one opening of a PostgreSQL database, and what its transactions share.

A call takes a connection, which then belongs to its thread until it is given back; one more, that
of the ear, listens to other processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import RLock, get_ident
from time import monotonic
from typing import Final, TypeVar

import psycopg

from coherence.errors import BadUrl, StoreBusy, StoreCorrupt, StoreFault, StoreMissing
from coherence.stores.chance import draw
from coherence.stores.places import LOG_LINES, PRUNE_EVERY
from coherence.stores.port import Place, Retention
from coherence.stores.postgres_ear import Ear
from coherence.stores.postgres_errors import fault, lost
from coherence.stores.postgres_life import PostgresLife
from coherence.stores.postgres_recent import RecentRows
from coherence.stores.postgres_schema import note_timeline, prepare, settle
from coherence.stores.postgres_sql import FORGET_LINES
from coherence.stores.postgres_wire import Call, Rows, Statement, Value, Wire
from message_passing.background import Background, Threads
from message_passing.interrupts import Knock, free
from message_passing.postgres_address import CONNECT_S, REMEDY, UNREADABLE, parse, told

T = TypeVar("T")

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


class PostgresConnections:
    """The connections to the database at `url`, each in a `wire`.

    Raises `BadUrl`, `StoreMissing`, `StoreNewer`, `StoreOlder`.
    """

    def __init__(
        self,
        url: str,
        retention: Retention,
        *,
        create: bool,
        readonly: bool,
        wire: Callable[[], Wire] = Wire,
        background: Background | None = None,
    ) -> None:
        address = parse(url)
        if address is None:
            raise BadUrl(UNREADABLE, remedy=REMEDY)
        self._address = address
        self._readonly = readonly
        self._make = wire
        self.retention = retention
        self._closed = False
        self._ended = Knock()
        #: The thread that has each connection; 0 for an idle one.
        self._wires: dict[Wire, int] = {}
        self._handing = RLock()
        #: Threads that wait for a connection: each returned connection wakes one.
        self._waiting: deque[Knock] = deque()
        #: As `Store.origin`; 0 for an opening that only reads.
        self.origin = 0 if readonly else draw()
        #: As `Store.last`.
        self.last = Place(0)
        #: The rows that this opening saved last.
        self.recent = RecentRows()
        first = wire()
        try:
            settle(first.open(self._address), LOCK_S, STOPPED_S, readonly=readonly)
        except psycopg.Error as error:
            first.close()
            raise StoreMissing(
                f"PostgreSQL: {told(error, self._address)}",
                remedy="check the address, and that the server runs and takes connections",
            ) from None
        try:
            assert first.conn is not None
            prepare(first.conn, create=create, readonly=readonly)
            [(identity,)] = first.conn.execute("SELECT identity FROM coherence_meta").fetchall()
            if not readonly:
                note_timeline(first.conn)
            #: The lock of this process, which the ear's connection holds.
            self.life = PostgresLife(self.origin, first)
        except psycopg.Error as error:
            raise fault(error) from error
        finally:
            first.close()
        self.identity = str(identity)
        self.channel = f"coherence_{self.identity}"
        self.ear = Ear(self.connect, self.channel, self.life, background or Threads())

    def connect(self, wire: Wire | None = None) -> Wire:
        """Open a new connection.  Raises `psycopg.Error`."""
        wire = wire or self._make()
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
            wire = self._make()
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

    def begin(self, *calls: Call) -> tuple[Wire, list[Rows]]:
        """A connection, and the results of `calls` on it."""
        return self.live(lambda wire: wire.trip(*calls))

    def live(self, work: Callable[[Wire], T]) -> tuple[Wire, T]:
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

    def ask(self, statement: Statement, *values: Value) -> Rows:
        """The rows of one statement, in a transaction of its own."""
        wire, found = self.live(lambda wire: wire.trip((statement, values)))
        self.give(wire)
        return found[0]

    def stamped(self, statement: Statement, *values: Value) -> Rows:
        """Rows joined to the one row of `coherence_meta`."""
        rows = self.ask(statement, *values)
        if not rows:
            raise StoreCorrupt("the workspace's tables have lost their stamp")
        return rows

    def appended(self, lines: Sequence[Place]) -> None:
        """These lines were added to the log."""
        self.last = max(self.last, *lines)
        for line in lines:
            if line.seq % PRUNE_EVERY == 0:
                with suppress(StoreFault):  # the next call will do it
                    self.ask(FORGET_LINES, line.seq - LOG_LINES)
        self.ear.tell(len(lines))

    def release(self) -> None:
        """Release what an interrupted call of this thread has left."""
        free(self._handing, self.recent.lock)
        self.ear.release()
        self._wake_all()  # the interrupted call may have consumed a wake-up
        me = get_ident()
        mine = [wire for wire, holder in list(self._wires.items()) if holder == me]
        for wire in mine:
            wire.close()
            self.give(wire)
        if mine:
            self.ear.tell(0)  # a line may have been added before the interrupt

    def close(self) -> None:
        """Close everything; later calls raise `StoreFault`."""
        self.ear.close()
        self._closed = True
        self._ended()
        with self._handing:
            idle = [wire for wire, holder in self._wires.items() if not holder]
            for wire in idle:
                del self._wires[wire]
        self._wake_all()
        for wire in idle:
            wire.close()
