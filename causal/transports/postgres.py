"""Frames in a table of a PostgreSQL database, for teams whose machines share nothing else.

A frame is a row until its destination deletes it; LISTEN and NOTIFY announce new rows.  A frame
that is deleted and then lost in a crash is repeated by the protocol above.  A session lock holds an
endpoint's name, so no two endpoints use it at a time, and the table keeps the name's incarnation
for an endpoint that restarts.

A client with write access to the table could forge any sender, so each frame carries a MAC over its
source, destination and contents (HMAC, FIPS 198-1) under the team's key.  Old frames may be
replayed; they have no effect, since the protocol drops repetitions.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import blake2b
from typing import Any, Final, LiteralString

import msgspec

from causal.transports.port import (
    BadKey,
    MissingExtra,
    NameTaken,
    NoRoute,
    NoTransport,
    OnFrame,
    OnRefusal,
)
from message_passing.errors import CallerError
from message_passing.process import Address

try:
    import psycopg
    from psycopg import sql

    from message_passing.postgres_address import REMEDY, UNREADABLE, parse, told
except ImportError as error:
    raise MissingExtra("PostgreSQL needs psycopg") from error

_log = logging.getLogger(__name__)

SCHEMA: Final[tuple[LiteralString, ...]] = (
    "SELECT pg_advisory_xact_lock(7094622)",
    "CREATE TABLE IF NOT EXISTS causal_names (name text PRIMARY KEY, incarnation bytea NOT NULL)",
    """CREATE TABLE IF NOT EXISTS causal_frames (seq bigserial PRIMARY KEY, src text NOT NULL,
       dst text NOT NULL, frame bytea NOT NULL, mac bytea NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS causal_frames_dst ON causal_frames (dst, seq)",
)
CLAIM: Final[LiteralString] = """SELECT pg_try_advisory_lock(
    hashtextextended('causal.' || current_schema() || '.' || %s, 0))"""
KNOWN: Final[LiteralString] = """INSERT INTO causal_names VALUES (%s, %s)
    ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING incarnation"""
PUT: Final[LiteralString] = "INSERT INTO causal_frames (src, dst, frame, mac) VALUES (%s,%s,%s,%s)"
TAKE: Final[LiteralString] = """WITH taken AS (DELETE FROM causal_frames WHERE dst = %s
    RETURNING seq, src, frame, mac) SELECT src, frame, mac FROM taken ORDER BY seq"""
BELL: Final[LiteralString] = "SELECT pg_notify(%s, '')"
REDIAL_S: Final = (0.05, 2.0)
CLAIM_S: Final = (0.02, 0.05, 0.1, 0.2, 0.4)

_encode = msgspec.msgpack.Encoder().encode


class PostgresTransport:
    """An endpoint's access to the table.

    `url` is a connection string; no error repeats its password.  `buffer_bytes_max` limits the
    frames that wait for a database that does not answer; beyond it the oldest are dropped.
    """

    def __init__(self, url: str, *, key: bytes, buffer_bytes_max: int = 1 << 22) -> None:
        if len(key) < 16:
            raise CallerError(f"a key of {len(key)} bytes", remedy="give 16 random bytes or more")
        address = parse(url)
        if address is None:
            raise CallerError(UNREADABLE, remedy=REMEDY)
        self._address = address
        self.key, self.buffer_bytes_max = key, buffer_bytes_max
        self.name: Address = ""
        self._waiting: deque[tuple[Address, bytes]] = deque()
        self._waiting_bytes = 0
        self._some = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._open = False
        self._ear: psycopg.AsyncConnection[Any] | None = None

    async def start(
        self,
        name: Address,
        team: tuple[Address, ...],
        incarnation: bytes,
        on_frame: OnFrame,
        on_refusal: OnRefusal,
    ) -> None:
        """Claim the name and listen."""
        self.name, self.incarnation = name, incarnation
        self.on_frame, self.on_refusal = on_frame, on_refusal
        try:
            ear = await self._claim()
        except psycopg.Error as error:
            said = told(error, self._address)
            raise NoTransport(f"{name!r} cannot use the database: {said}") from None
        self._open = True
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._again(self._listen, ear)),
            loop.create_task(self._again(self._write, None)),
        ]

    def send(self, dst: Address, frame: bytes) -> None:
        """Queue the frame for the next write."""
        if not self._open:
            raise NoRoute("the transport is not open")
        self._waiting.append((dst, frame))
        self._waiting_bytes += len(frame)
        while self._waiting_bytes > self.buffer_bytes_max:
            self._waiting_bytes -= len(self._waiting.popleft()[1])
        self._some.set()

    async def close(self) -> None:
        """Release the name."""
        self._open = False
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        # A task that was cancelled before it began has not closed its connection.
        if self._ear is not None:
            await self._ear.close()

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(**self._address)

    async def _claim(self) -> psycopg.AsyncConnection[Any]:
        """A connection that holds the name's lock and listens for its frames."""
        ear = await self._connect()
        try:
            async with ear.transaction():
                for statement in SCHEMA:
                    await ear.execute(statement)
            # The server may notice a moment late that the holder of the name has gone.
            for pause_s in CLAIM_S:
                if await _value(ear, CLAIM, self.name):
                    break
                await asyncio.sleep(pause_s)
            else:
                raise NameTaken(f"another endpoint is running under the name {self.name!r}")
            known = await _value(ear, KNOWN, self.name, self.incarnation)
            if known != self.incarnation:
                raise NameTaken(f"{self.name!r} was another endpoint")
            await ear.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel(self.name))))
        except BaseException:
            await ear.close()
            raise
        self._ear = ear
        return ear

    async def _listen(self, ear: psycopg.AsyncConnection[Any] | None) -> None:
        """Take frames on each notification, over a second connection."""
        async with (
            ear or await self._claim() as ear,
            await self._connect() as hand,
        ):
            while True:
                for src, frame, mac in await (await hand.execute(TAKE, (self.name,))).fetchall():
                    if hmac.compare_digest(mac, self._mac(src, self.name, frame)):
                        self.on_frame(src, frame)
                    else:
                        self.on_refusal(BadKey(f"the writer of a frame of {src!r} lacks the key"))
                async for _ in ear.notifies(stop_after=1):
                    pass

    async def _write(self, _: Any) -> None:
        """Write all waiting frames in one transaction, and notify their destinations."""
        async with await self._connect() as hand:
            while True:
                await self._some.wait()
                self._some.clear()
                frames = list(self._waiting)
                rows = [
                    (self.name, dst, frame, self._mac(self.name, dst, frame))
                    for dst, frame in frames
                ]
                async with hand.transaction(), hand.cursor() as cursor:
                    await cursor.executemany(PUT, rows)
                    bells = {channel(dst) for dst, _ in frames}
                    await cursor.executemany(BELL, [(bell,) for bell in sorted(bells)])
                # Only now: frames that a broken connection did not write go with the next one.
                for written in frames:
                    if self._waiting and self._waiting[0] is written:
                        self._waiting.popleft()
                        self._waiting_bytes -= len(written[1])

    async def _again(self, work: Callable[[Any], Awaitable[None]], ear: Any) -> None:
        """Do the work, and start again when the connection breaks."""
        (pause_s, pause_max_s), loop = REDIAL_S, asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await work(ear)
            except psycopg.Error as error:
                _log.warning("%s: %s", self.name, told(error, self._address))
            except NameTaken as error:
                _log.warning("%s: %s", self.name, error)
            ear = None
            if loop.time() - began > pause_max_s:
                pause_s = REDIAL_S[0]
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, pause_max_s)
            self._some.set()

    def _mac(self, src: Address, dst: Address, frame: bytes) -> bytes:
        return hmac.digest(self.key, _encode((src, dst, frame)), "sha256")


def channel(name: Address) -> str:
    """The name's notification channel; names may be longer than an identifier."""
    return "causal_" + blake2b(name.encode(), digest_size=16).hexdigest()


async def _value(
    connection: psycopg.AsyncConnection[Any], query: LiteralString, *values: Any
) -> Any:
    row = await (await connection.execute(query, values)).fetchone()
    return None if row is None else row[0]
