"""One connection to a server, which sends several statements in one round trip.

It calls libpq directly.  A psycopg pipeline costs several times the CPU of its statements, sends
each in a separate packet, and ends with a Flush, after which the server does not count the idle
time of a transaction.  A trip here is one packet that ends with a Sync.

Statements are prepared once for each connection.  Values travel in binary form, each under the type
that the statement names: then the server refuses a text with a NUL, which libpq would cut off.
"""

from __future__ import annotations

import re
import select
import selectors
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, LiteralString, TypeAlias

import psycopg
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus

Value: TypeAlias = bool | int | float | str | bytes | None
Rows: TypeAlias = list[tuple[Any, ...]]


class Statement:
    """SQL with values ``$1``, ``$2``, and the name under which a connection has it prepared."""

    __slots__ = ("formats", "name", "sql")

    def __init__(self, name: str, sql: LiteralString) -> None:
        self.name, self.sql = name.encode(), sql.encode()
        #: Every value is in binary form.
        self.formats = [1] * max(map(int, _VALUE.findall(sql)), default=0)


Call: TypeAlias = tuple[Statement, Sequence[Value]]
"""A statement and its values."""

_VALUE = re.compile(r"\$(\d+)")
_double = struct.Struct("!d")


def _boolean(data: bytes) -> bool:
    return data != b"\0"


def _integer(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _real(data: bytes) -> float:
    number: float = _double.unpack(data)[0]
    return number


#: The reader for values of each type, by the type's number in the server's catalogue.
_READ: Final[dict[int, Callable[[bytes], Any]]] = {
    16: _boolean,  # boolean
    17: bytes,  # bytea
    20: _integer,  # bigint
    23: _integer,  # integer
    25: bytes.decode,  # text
    701: _real,  # double precision
}
#: The writer for values of each type.
_WRITE: Final[dict[type, Callable[[Any], bytes | None]]] = {
    bool: lambda value: b"\1" if value else b"\0",
    bytes: lambda value: value,
    float: _double.pack,
    int: struct.Struct("!q").pack,
    str: str.encode,
    type(None): lambda value: None,
}


def _written(values: Sequence[Value]) -> list[bytes | None]:
    try:
        return [v if type(v) is bytes else _WRITE[type(v)](v) for v in values]
    except KeyError:  # a value has a subtype of these
        kinds = [next(kind for kind in _WRITE if isinstance(value, kind)) for value in values]
        return [_WRITE[kind](value) for kind, value in zip(kinds, values, strict=True)]


_DONE: Final = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


class Wire:
    """A connection for one thread at a time.  `conn` is None until `open`."""

    __slots__ = ("_prepared", "_ready", "_torn", "conn", "used")

    def __init__(self) -> None:
        self.conn: psycopg.Connection[Any] | None = None
        #: When it was last given back, on the process's monotonic clock.
        self.used = 0.0
        self._prepared: set[bytes] = set()
        #: Whether a trip was cut off: the server may have prepared more than is noted here.
        self._torn = False
        self._ready: _Ready | None = None

    def open(self, address: dict[str, Any]) -> psycopg.Connection[Any]:
        """Connect.  Raises `psycopg.Error`."""
        self.conn = psycopg.connect(**address)
        self._ready = _Ready(self.conn.pgconn.socket)
        return self.conn

    @property
    def idle(self) -> bool:
        """Whether it is open, without an exchange or a transaction under way."""
        return not self._torn and self._status() == TransactionStatus.IDLE

    @property
    def begun(self) -> bool:
        """Whether a transaction is open on it that can be rolled back."""
        begun = (TransactionStatus.INTRANS, TransactionStatus.INERROR)
        return not self._torn and self._status() in begun

    @property
    def closed(self) -> bool:
        """Whether it is not open, or cut."""
        return self.conn is None or self.conn.closed

    @property
    def stirs(self) -> bool:
        """Whether unexpected data has come, such as the end of the connection."""
        return self._ready is None or self._ready.stirs()

    def _status(self) -> int:
        return (
            TransactionStatus.UNKNOWN if self.conn is None else self.conn.pgconn.transaction_status
        )

    def close(self) -> None:
        """Cut it.  The server cancels its work and rolls it back."""
        conn = self.conn
        if conn is None:
            return
        if self._status() == TransactionStatus.ACTIVE:
            # A server that waits for a lock would notice the cut only after it has the lock.
            with suppress(psycopg.Error):
                conn.cancel_safe(timeout=1.0)
        conn.close()

    def trip(self, *calls: Call) -> list[Rows]:
        """Carry out `calls` in one round trip; return the rows of each.

        Raises the first `psycopg.Error`; the calls after it are not carried out.
        """
        conn, ready = self.conn, self._ready
        assert conn is not None
        assert ready is not None
        try:
            written = [_written(values) for _, values in calls]
        except (struct.error, UnicodeError) as error:
            raise psycopg.DataError(f"a value is outside of its range: {error}") from error
        pgconn = conn.pgconn
        self._torn = True
        pgconn.enter_pipeline_mode()
        #: The request of each result: to prepare a statement, or to carry one out.
        asked: list[bytes | None] = []
        for (statement, _), values in zip(calls, written, strict=True):
            name = statement.name
            if name not in self._prepared and name not in asked:
                pgconn.send_prepare(name, statement.sql)
                asked.append(name)
            pgconn.send_query_prepared(name, values, statement.formats, 1)
            asked.append(None)
        pgconn.pipeline_sync()
        results = _results(pgconn, ready)
        pgconn.exit_pipeline_mode()
        found: list[Rows] = []
        for prepared, result in zip(asked, results, strict=False):
            if result.status not in _DONE:
                self._torn = False
                raise psycopg.errors.error_from_result(result)
            if prepared is not None:
                self._prepared.add(prepared)
            else:
                found.append(_rows(result) if result.ntuples else [])
        self._torn = False
        return found


class _Ready:
    """Waits for events on a socket."""

    __slots__ = ("_poll", "_socket")

    def __init__(self, socket: int) -> None:
        self._socket = socket
        self._poll = None
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(socket, select.POLLIN)

    def read(self) -> None:
        """Return when there is something to read."""
        if self._poll is not None:
            self._poll.poll()
        else:
            select.select([self._socket], [], [])

    def stirs(self) -> bool:
        """Whether there is something to read."""
        if self._poll is not None:
            return bool(self._poll.poll(0))
        return bool(select.select([self._socket], [], [], 0)[0])

    def both(self) -> bool:
        """Return when reading or writing is possible; whether there is something to read."""
        with selectors.DefaultSelector() as either:
            either.register(self._socket, selectors.EVENT_READ | selectors.EVENT_WRITE)
            return any(events & selectors.EVENT_READ for _, events in either.select())


def _results(pgconn: Any, ready: _Ready) -> list[Any]:
    """The server's results, up to the end of the trip."""
    results: list[Any] = []
    while pgconn.flush():  # more than one packet
        if ready.both():
            pgconn.consume_input()
    while True:
        while pgconn.is_busy():
            ready.read()
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            if pgconn.status == ConnStatus.BAD:
                raise psycopg.OperationalError("the connection was lost")
        elif result.status == ExecStatus.PIPELINE_SYNC:
            return results
        else:
            results.append(result)


def _rows(result: Any) -> Rows:
    get, rows = result.get_value, range(result.ntuples)
    reads = [(column, _READ.get(result.ftype(column), bytes)) for column in range(result.nfields)]
    return [
        tuple([None if (data := get(row, at)) is None else read(data) for at, read in reads])
        for row in rows
    ]
