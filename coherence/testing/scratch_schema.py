"""A schema in PostgreSQL for a test, whose tables are on the time of the test.

The statements of the store name `clock_timestamp()` without its schema.  Here the search path names
a schema with a function of that name before the server's own schema.  The function gives the time
that its session was told last, and each transaction begins with telling it.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from coherence.errors import BadUrl, StoreMissing, StoreReadOnly
from coherence.stores.chance import draw
from coherence.stores.port import Retention
from coherence.stores.postgres import PostgresStore
from coherence.stores.postgres_errors import fault
from coherence.stores.postgres_sql import BEGIN
from coherence.stores.postgres_wire import Call, Rows, Statement, Wire
from coherence.testing.owned import Owned
from message_passing.ports import Clock
from message_passing.postgres_address import REMEDY, UNREADABLE, parse, told

#: What the names of the schemas begin with.  The number after it is that of a lock, which the
#: process holds while it lives.
PREFIX: Final = "coherence_scratch_"
#: How long a schema waits for locks of others on its tables.
LOCK_TIMEOUT: Final = "5s"

# A commit need not reach the disk, since nothing here outlives the test.
_TELL: Final = Statement(
    "TELL",
    "SELECT set_config('coherence.now', $1, false), set_config('synchronous_commit', 'off', false)",
)
# A session that was told nothing, such as psql, has the server's time.
_CLOCK: Final = """
    CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
        SELECT coalesce(
            to_timestamp(nullif(current_setting('coherence.now', true), '')::float8),
            pg_catalog.clock_timestamp())
    $$
"""
_PLACE: Final = "SELECT pg_postmaster_start_time()::text, current_database(), current_schema()"
_TABLES: Final = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
_SCRATCH: Final = """
    SELECT nspname FROM pg_namespace
    WHERE starts_with(nspname, %s) AND pg_has_role(nspowner, 'USAGE')
"""
# Such as one of a thread that hangs within a transaction.
_CUT: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE pid <> pg_backend_pid() AND relation IN (
        SELECT oid FROM pg_class WHERE relnamespace = to_regnamespace(%s)
    )
"""


class Reached(NamedTuple):
    """A connection, and the server, the database and the schema that it is to."""

    conn: psycopg.Connection[Any]
    place: tuple[object, ...]


def reach(url: str) -> Reached:
    """Connect to the database that `url` names.  Raises `BadUrl`, `StoreMissing`."""
    address = parse(url)
    if address is None:
        raise BadUrl(UNREADABLE, remedy=REMEDY)
    try:
        conn = psycopg.connect(**address)
        try:
            [place] = conn.execute(_PLACE).fetchall()
        except BaseException:
            conn.close()
            raise
    except psycopg.Error as error:
        raise StoreMissing(
            f"PostgreSQL: {told(error, address)}",
            remedy="check the address, and that the server runs and takes connections",
        ) from None
    return Reached(conn, place)


class ScratchSchema:
    """A new schema of the database at `url`, with empty tables, until `close`.

    Also drops the schemas of processes that have died.  Raises `StoreReadOnly`, `StoreFault`.
    """

    def __init__(self, url: str, reached: Reached) -> None:
        self._url, self.place = url, reached.place
        conn, number = reached.conn, draw()
        name = f"{PREFIX}{number:016x}"
        links = _Links(f"{name}, pg_catalog")
        self._conn, self._links = conn, links
        #: Ends it, also where `close` is not called.
        self._end = weakref.finalize(self, _drop, conn, name, links)
        try:
            conn.execute("SELECT set_config('lock_timeout', %s, false)", (LOCK_TIMEOUT,))
            for left in _left(conn):
                _drop_schema(conn, left)
            conn.execute("SELECT pg_advisory_lock(%s)", (number,))
            conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
            _search(conn, links.path)
            conn.execute(_CLOCK)
            self.open(float).close()
            self._empties = _emptying(conn)
        except BaseException as error:
            self._end()
            if isinstance(error, psycopg.errors.InsufficientPrivilege):
                raise StoreReadOnly(
                    f"PostgreSQL: {error}",
                    remedy="GRANT CREATE ON DATABASE to the role: a test has its own schema",
                ) from error
            if isinstance(error, psycopg.Error):
                raise fault(error) from error
            raise

    def open(self, clock: Clock, retention: Retention | None = None) -> PostgresStore:
        """The store in it, on `clock`.  Raises `StoreFault`."""

        def wire() -> _TestWire:
            return _TestWire(self._links, clock)

        return PostgresStore(self._url, retention, wire=wire, background=Owned())

    def empty(self) -> None:
        """Make its tables what they were at first.  Raises `StoreFault`."""
        try:
            self._conn.execute(self._empties)
        except psycopg.Error as error:
            raise fault(error) from error

    def close(self) -> None:
        """Drop it.  Idempotent."""
        self._end()


def _search(conn: psycopg.Connection[Any], path: str) -> None:
    # Tables without statistics look large, and to compile a statement takes longer than a test.
    conn.execute(
        "SELECT set_config('search_path', %s, false), set_config('jit', 'off', false)", (path,)
    )


def _emptying(conn: psycopg.Connection[Any]) -> bytes:
    """Statements that make the tables what they are now: one has a row, the others none."""
    tables = [name for (name,) in conn.execute(_TABLES).fetchall()]
    conn.execute("CREATE TABLE scratch_meta AS SELECT * FROM coherence_meta")
    again = "INSERT INTO coherence_meta SELECT * FROM scratch_meta"
    return "; ".join([*(f"DELETE FROM {name}" for name in sorted(tables)), again]).encode()


# The lock of a schema is free once the connection of its process has ended.
def _left(conn: psycopg.Connection[Any]) -> list[str]:
    """The schemas of processes that have died; keeps others from taking them too."""
    named = [name for (name,) in conn.execute(_SCRATCH, (PREFIX,)).fetchall()]
    found = []
    for name in named:
        with suppress(ValueError):
            number = int(name.removeprefix(PREFIX), 16)
            [(free,)] = conn.execute("SELECT pg_try_advisory_lock(%s)", (number,)).fetchall()
            if free:
                found.append(name)
    return found


def _drop_schema(conn: psycopg.Connection[Any], name: str) -> None:
    conn.execute(_CUT, (name,))
    conn.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


def _drop(conn: psycopg.Connection[Any], name: str, links: _Links) -> None:
    """The end of a schema.  Where it fails, the next test on the database drops the schema."""
    links.close()
    with suppress(psycopg.Error):
        _drop_schema(conn, name)
    conn.close()


class _Link(NamedTuple):
    """A connection that is not in use, and what its wire knew of it."""

    conn: psycopg.Connection[Any]
    prepared: set[bytes]
    ready: Any


class _Links:
    """The connections to one schema that are kept from store to store."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._idle: list[_Link] = []
        self._is_closed = False

    def take(self) -> _Link | None:
        """One that is alive, as far as is known."""
        while self._idle:
            link = self._idle.pop()
            if not (link.conn.closed or link.ready.stirs()):
                return link
            link.conn.close()
        return None

    def give(self, link: _Link) -> None:
        """Keep it for another store."""
        if self._is_closed:
            link.conn.close()
        else:
            self._idle.append(link)

    def close(self) -> None:
        """Close those that are idle now, and each of the others when it comes back."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().conn.close()


class _TestWire(Wire):
    """A connection on the time of `clock`, which comes from `links` and goes back there."""

    __slots__ = ("_clock", "_links")

    def __init__(self, links: _Links, clock: Clock) -> None:
        super().__init__()
        self._links, self._clock = links, clock

    def open(self, address: dict[str, Any]) -> psycopg.Connection[Any]:
        """See `Wire.open`."""
        if (link := self._links.take()) is not None:
            self.conn, self._prepared, self._ready = link
            return link.conn
        conn = super().open(address)
        _search(conn, self._links.path)
        return conn

    def close(self) -> None:
        """See `Wire.close`."""
        if self.conn is not None and self.idle:
            self._links.give(_Link(self.conn, self._prepared, self._ready))
            self.conn, self._prepared, self._ready = None, set(), None
        else:
            super().close()

    def trip(self, *calls: Call) -> list[Rows]:
        """See `Wire.trip`."""
        # Time does not pass within a transaction, and one that has failed takes no statement.
        if self._status() != TransactionStatus.IDLE:
            return super().trip(*calls)
        at = 1 if calls[0][0] is BEGIN else 0
        found = super().trip(*calls[:at], (_TELL, (repr(float(self._clock())),)), *calls[at:])
        del found[at]
        return found
