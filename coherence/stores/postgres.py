"""A store in PostgreSQL: any number of machines.

A row lock serialises the transactions on one artifact; those on different artifacts meet only at
the change log, whose order is that in which they committed.  The server's clock is the store's: it
should be slewed, not stepped, since leases are counted on it.

Every commit is synced, also one that publishes nothing: caches on other machines outlive a crash of
the server, so that no entry of a directory may be missed after it.  What `synchronous_commit` is
set to beyond ``on`` stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import get_ident
from typing import Any, Final, LiteralString, TypeVar

from coherence.contents import Content
from coherence.errors import BadUrl, StoreCorrupt, StoreFault, StoreMissing
from coherence.messages import Version

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
    from psycopg.pq import TransactionStatus
    from psycopg_pool import ConnectionPool
except ImportError as error:
    raise StoreMissing(
        f"the driver for PostgreSQL is not there: {error}",
        remedy="pip install 'artifact-coherence[postgres]'",
    ) from error

from coherence.stores.chance import draw
from coherence.stores.codec import is_storable, unpack_posts, unpack_row
from coherence.stores.places import follow
from coherence.stores.port import Change, Changes, Entry, Member, Moved, Place, Retention, Stored
from coherence.stores.postgres_ear import Ear
from coherence.stores.postgres_schema import prepare
from coherence.stores.postgres_transaction import (
    BEGIN,
    BODY,
    ENTRY,
    LOG_LINES,
    PRUNE,
    PRUNE_EVERY,
    ROW,
    PostgresTransaction,
    entry,
    fault,
    lost,
    restore,
)
from messaging.process import Address

T = TypeVar("T")

#: How much of the change log is fetched at once.
LINES: Final = 1_000
#: Connections of one process, the one that listens not counted.
CONNECTIONS: Final = 8
#: How long to wait for a connection.
CONNECT_S: Final = 5.0
#: How long to wait for another's lock, and how long a process that has stopped may hold one.
LOCK_S: Final = 15.0
STOPPED_S: Final = 5.0
#: What an address may say otherwise.  A link that is silently cut is noticed within half a minute.
_DEFAULTS: Final = {
    "connect_timeout": int(CONNECT_S),
    "fallback_application_name": "artifact-coherence",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_SETTINGS: LiteralString = """
    SELECT set_config('lock_timeout', %(lock)s, false),
           set_config('idle_in_transaction_session_timeout', %(stopped)s, false),
           set_config('default_transaction_read_only', %(readonly)s, false),
           set_config('synchronous_commit', coalesce(
               nullif(current_setting('synchronous_commit'), 'off'), 'on'), false)
"""
_LEAVE: LiteralString = """
    DELETE FROM coherence_member WHERE agent = %s AND session = %s RETURNING 1
"""
_SINCE: LiteralString = """
    SELECT generation, seq, number, origin, artifact, version, author, at, posts
    FROM coherence_meta LEFT JOIN coherence_log ON seq >= %s ORDER BY seq LIMIT %s
"""
_HEAD: LiteralString = """
    SELECT coalesce(seq, 0), coalesce(number, 0), generation
    FROM coherence_meta LEFT JOIN coherence_log ON seq = head
"""
_CUT: LiteralString = "DELETE FROM coherence_log WHERE seq <= %s RETURNING 1"
_NAMES: LiteralString = """
    SELECT name FROM coherence_artifact
    WHERE name >= %s AND starts_with(name, %s) AND (alive OR (%s AND version > 0)) ORDER BY name
"""
_TIDY: LiteralString = f"WITH gone AS ({PRUNE} RETURNING 1) SELECT count(*) FROM gone"


class PostgresStore:
    """Homes in the database at `url`, a libpq address such as ``postgresql://user@host/team``.

    With `create` false a database without our tables is `StoreMissing`; with `readonly` nothing is
    written, and only what looks may be called.
    """

    validates = False
    shared = True
    hashes = True

    def __init__(
        self,
        url: str,
        retention: Retention | None = None,
        *,
        create: bool = True,
        readonly: bool = False,
    ) -> None:
        try:
            given = conninfo_to_dict(url)
        except psycopg.Error as error:
            # The address is not repeated: it may hold a password.
            raise BadUrl(f"no address of a PostgreSQL database: {error}") from None
        self._address = {**_DEFAULTS, **given, "client_encoding": "UTF8", "autocommit": True}
        self._readonly = readonly
        rule = retention or Retention()
        self.rule = {"versions": rule.versions, "age_s": rule.age_s}
        self._closed = False
        # Once without the pool, which would keep the reason of a failure to itself.
        try:
            conn = self._connect()
        except psycopg.Error as error:
            raise StoreMissing(
                f"PostgreSQL: {error}", remedy="check the address, and that the server runs"
            ) from error
        try:
            with conn:
                prepare(conn, create=create and not readonly)
                [(identity,)] = conn.execute("SELECT identity FROM coherence_meta").fetchall()
                self.identity = str(identity)
                self.origin = 0 if readonly else draw()
                self.last = Place(0)
        except psycopg.Error as error:
            raise fault(error) from error
        self.channel = f"coherence_{self.identity}"
        self._ear = Ear(self._connect, self.channel)
        self._pool = self._open_pool()
        #: Thread -> the connections that it has taken, each with the pool that it is of.
        self._taken: dict[int, list[tuple[ConnectionPool, psycopg.Connection[Any]]]] = {}
        #: The threads that are in a call of the pool's: cut off there, a connection is lost to it.
        self._pooling: set[int] = set()

    @classmethod
    def open(
        cls,
        url: str,
        retention: Retention | None = None,
        *,
        create: bool = True,
        readonly: bool = False,
    ) -> PostgresStore:
        """The store at `url`."""
        return cls(url, retention, create=create, readonly=readonly)

    # Connections.

    def _connect(self) -> psycopg.Connection[Any]:
        conn = psycopg.connect(**self._address)  # type: ignore[arg-type]
        try:
            self._configure(conn)
        except BaseException:
            conn.close()
            raise
        return conn

    def _open_pool(self) -> ConnectionPool:
        return ConnectionPool(
            kwargs=self._address,
            configure=self._configure,
            min_size=1,
            max_size=CONNECTIONS,
            timeout=CONNECT_S,
            # After that the next caller makes it try again, at once.
            reconnect_timeout=CONNECT_S,
            num_workers=1,
            open=True,
        )

    def _configure(self, conn: psycopg.Connection[Any]) -> None:
        settings = {
            "lock": f"{LOCK_S * 1000:.0f}ms",
            "stopped": f"{STOPPED_S * 1000:.0f}ms",
            "readonly": "on" if self._readonly else "off",
        }
        conn.execute(_SETTINGS, settings)

    def require(self) -> None:
        """Raise where the store is closed."""
        if self._closed:
            raise StoreFault("the store is closed")

    def _take(self) -> psycopg.Connection[Any]:
        self.require()
        me, pool = get_ident(), self._pool
        try:
            self._pooling.add(me)
            conn = pool.getconn()
            self._taken.setdefault(me, []).append((pool, conn))
            self._pooling.discard(me)
            return conn
        except psycopg.Error as error:
            self._pooling.discard(me)
            self.require()
            raise StoreFault(
                f"no connection within {CONNECT_S:.0f} s",
                remedy="check that the server runs and takes connections, and try again",
            ) from error

    def give(self, conn: psycopg.Connection[Any]) -> None:
        """Take a connection back; one that is in the middle of something is cut."""
        if conn.info.transaction_status != TransactionStatus.IDLE:
            conn.close()
        me = get_ident()
        mine = self._taken.get(me, [])
        for taken in mine:
            if taken[1] is conn:
                self._pooling.add(me)
                mine.remove(taken)
                with suppress(psycopg.Error):
                    taken[0].putconn(conn)
                self._pooling.discard(me)
                break
        if not mine:
            self._taken.pop(me, None)

    def release(self) -> None:
        me = get_ident()
        for pool, conn in self._taken.pop(me, []):
            conn.close()  # the server rolls back what was open
            with suppress(psycopg.Error):
                pool.putconn(conn)
        if me in self._pooling:
            # The pool may have handed out a connection that nobody has: it would stay one short.
            old, self._pool = self._pool, self._open_pool()
            self._pooling.discard(me)
            old.close(timeout=0)

    def begin(self, sql: LiteralString, values: Any) -> tuple[psycopg.Connection[Any], list[Any]]:
        """A connection on which a transaction has begun, and what its first query found."""

        def first(conn: psycopg.Connection[Any]) -> list[Any]:
            # Not as a pipeline: psycopg ends one with a Flush, and a server that has had that does
            # not count the time for which a transaction lies idle.
            conn.execute(BEGIN)
            return conn.execute(sql, values).fetchall()

        return self._live(first)

    def _live(
        self, work: Callable[[psycopg.Connection[Any]], T]
    ) -> tuple[psycopg.Connection[Any], T]:
        """A connection that lives, and what `work` did on it: something that may be done twice.

        One that was cut while it lay idle shows only in use, and the pool may be full of them.
        """
        for spare in reversed(range(CONNECTIONS + 1)):
            conn = self._take()
            try:
                return conn, work(conn)
            except BaseException as error:
                cut = isinstance(error, psycopg.Error) and (conn.closed or lost(error))
                if cut:
                    conn.close()
                self.give(conn)
                if not isinstance(error, psycopg.Error):
                    raise
                if not (cut and spare):
                    raise fault(error) from error
        raise AssertionError("unreachable")

    def _ask(self, sql: LiteralString, *values: object) -> list[Any]:
        conn, rows = self._live(lambda conn: conn.execute(sql, values).fetchall())
        self.give(conn)
        return rows

    # Transactions.

    def transaction(self, *, publishes: bool) -> PostgresTransaction:
        return PostgresTransaction(self)

    def appended(self, seqs: Iterable[int]) -> None:
        """Lines were added to the log under these numbers."""
        for seq in seqs:
            self._ear.hear(seq)
            if seq % PRUNE_EVERY == 0:
                with suppress(StoreFault):  # the next one will do it
                    self._ask(_CUT, seq - LOG_LINES)

    # The change log.

    def mark(self) -> str:
        return str(self._ask("SELECT pg_current_snapshot()::text")[0][0])

    def since(self, place: Place) -> Changes:
        rows = self._stamped(_SINCE, place.seq, LINES + 1)
        lines = [
            Change(seq, number, origin, artifact, version, author, at, unpack_posts(posts))
            for _, seq, number, origin, artifact, version, author, at, posts in rows
            if seq is not None
        ]
        return follow(place, rows[0][0], lines, self.head)

    def head(self) -> Place:
        return Place(*self._stamped(_HEAD)[0])

    def _stamped(self, sql: LiteralString, *values: object) -> list[Any]:
        """Rows that are joined to the one row of `coherence_meta`."""
        rows = self._ask(sql, *values)
        if not rows:
            raise StoreCorrupt("the workspace's tables have lost their stamp")
        return rows

    def wait(self, seq: int, timeout_s: float) -> None:
        self.require()
        self._ear.wait(seq, timeout_s)

    def wake(self) -> None:
        self._ear.wake()

    # Agents.

    def join(self, agent: Address) -> int:
        with self.transaction(publishes=False) as tx:
            return tx.join(agent)

    def leave(self, agent: Address, session: int) -> None:
        self._ask(_LEAVE, agent, session)

    def members(self) -> list[Member]:
        rows = self._ask(
            "SELECT agent, session, since, origin FROM coherence_member ORDER BY agent"
        )
        return [Member(*row) for row in rows]

    # Those who only look.

    def names(self, prefix: str = "", *, deleted: bool = False) -> list[str]:
        if not is_storable(prefix):
            return []
        return [name for (name,) in self._ask(_NAMES, prefix, prefix, deleted)]

    def row(self, artifact: str) -> Stored | None:
        rows = self._ask(ROW, artifact)
        return Stored(unpack_row(rows[0][1]), rows[0][0]) if rows else None

    def history(self, artifact: str) -> list[Entry]:
        return [
            entry(row) for row in self._ask(f"{ENTRY} WHERE artifact = %s ORDER BY 1", artifact)
        ]

    def read(self, artifact: str, version: Version) -> tuple[Entry, Content] | None:
        if not 0 < version < 1 << 63:
            return None
        wanted = {"artifact": artifact, "version": version}
        conn, rows = self._live(lambda conn: conn.execute(BODY, wanted).fetchall())
        self.give(conn)
        return restore(rows, artifact, version)

    # Upkeep.

    def pin(self, artifact: str, version: Version, pinned: bool) -> bool:
        with self.transaction(publishes=False) as tx:
            return tx.pin(artifact, version, pinned)

    def tidy(self) -> int:
        while True:
            try:
                conn, rows = self._live(lambda conn: conn.execute(_TIDY, self.rule).fetchall())
            except Moved:
                continue  # it met a writer of several artifacts crosswise, and let go of nothing
            self.give(conn)
            return int(rows[0][0])

    def check(self) -> Iterable[str]:
        from coherence.stores.audit import audit

        return audit(self)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._ear.close()
            self._pool.close()
