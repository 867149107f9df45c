"""Frames in a table of a PostgreSQL database, for teams whose machines share nothing else.

A frame is a row until its destination deletes it; LISTEN and NOTIFY announce new rows.  A frame
that is deleted and then lost in a crash is repeated by the protocol above.  A session lock holds an
endpoint's name, so no two endpoints use it at a time.  A second table keeps the name's incarnation,
for an endpoint that restarts, and its team: an endpoint does not start while one with another team
is running.  So a schema of the database is for one team; another team takes another schema, such as
``?options=-csearch_path%3Dother``.

**A destination that takes nothing gets no further rows.**  The endpoint repeats its undelivered
messages all the time, packed into other frames each time, so repetitions cannot be recognized.  But
while a frame of ours lies in the table, the messages that were sent before it need no repetition.
So we drop what we are given for a destination while any frame of ours to that destination has lain
for `untaken_s`, here or in the table, and ask again at the next repetition.  If `untaken_s` is
shorter than the endpoint's `resend_after_s`, a message lies in the table once, or twice if the
endpoint's timer rang just after the send.  So the rows of an absent peer, and of a name that never
comes, are bounded by the backlogs of its senders, and each repetition to it costs one small query.
The oldest messages are kept, not the newest: a returning peer can deliver only from the oldest on.

A client with write access to the table could forge any sender, so each frame carries a MAC over its
source, destination and contents (HMAC, FIPS 198-1) under the team's key.  Old frames may be
replayed; they have no effect, since the protocol drops repetitions.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import blake2b
from typing import Any, Final, LiteralString, TypeAlias

import msgspec

from causal.transports.port import (
    FAREWELL_S,
    BadKey,
    MissingExtra,
    NameTaken,
    NoRoute,
    NoTransport,
    OnFrame,
    OnRefusal,
    OtherTeam,
)
from message_passing.errors import CallerError
from message_passing.process import Address, Time

try:
    import psycopg
    from psycopg import sql

    from message_passing.postgres_address import REMEDY, UNREADABLE, parse, told
except ImportError as error:
    raise MissingExtra("PostgreSQL needs psycopg") from error

_log = logging.getLogger(__name__)

#: Under a stricter level, an endpoint would not see what was committed while it waited its turn.
SETTINGS: Final[LiteralString] = (
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED"
)
#: Whether the tables are there and have all columns.
PREPARED: Final[LiteralString] = """SELECT count(*) = 2 FROM information_schema.columns
    WHERE table_schema = current_schema() AND (table_name, column_name) IN
    (('causal_names', 'team'), ('causal_frames', 'put_at'))"""
#: One endpoint at a time looks at the tables and the teams of others.
ONE_AT_A_TIME: Final[LiteralString] = "SELECT pg_advisory_xact_lock(7094622)"
SCHEMA: Final[tuple[LiteralString, ...]] = (
    ONE_AT_A_TIME,
    "CREATE TABLE IF NOT EXISTS causal_names (name text PRIMARY KEY, incarnation bytea NOT NULL)",
    """CREATE TABLE IF NOT EXISTS causal_frames (seq bigserial, src text NOT NULL,
       dst text NOT NULL, frame bytea NOT NULL, mac bytea NOT NULL, PRIMARY KEY (dst, seq))""",
    # Tables of an earlier release lack these, and have an index on (dst, seq) beside their key.
    "ALTER TABLE causal_names ADD COLUMN IF NOT EXISTS team text[]",
    """ALTER TABLE causal_frames
       ADD COLUMN IF NOT EXISTS put_at timestamptz NOT NULL DEFAULT clock_timestamp()""",
)
#: The lock of a name.
LOCK: Final[LiteralString] = "hashtextextended('causal.' || current_schema() || '.' || {}, 0)"
CLAIM: Final[LiteralString] = f"SELECT pg_try_advisory_lock({LOCK.format('%s')})"
#: Running endpoints that were started with another team.
OTHERS: Final[LiteralString] = f"""SELECT name, team FROM causal_names JOIN pg_locks
    ON (classid::int8 << 32) | objid::int8 = {LOCK.format("name")}
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND name <> %s AND team <> %s ORDER BY name LIMIT 1"""
#: No row if the name belongs to another incarnation.
KNOWN: Final[LiteralString] = """INSERT INTO causal_names (name, incarnation, team)
    VALUES (%s, %s, %s) ON CONFLICT (name) DO UPDATE SET team = excluded.team
    WHERE causal_names.incarnation = excluded.incarnation RETURNING name"""
#: Those of our destinations whose oldest frame of ours has lain too long.  A frame from the future
#: counts as old: the database's clock was set back.
UNTAKEN: Final[LiteralString] = """SELECT dst
    FROM unnest(%s::text[], %s::float8[]) AS given (dst, wait_s) WHERE (
        SELECT put_at NOT BETWEEN clock_timestamp() - make_interval(secs => wait_s)
            AND clock_timestamp() FROM causal_frames
        WHERE causal_frames.dst = given.dst AND src = %s ORDER BY seq LIMIT 1)"""
PUT: Final[LiteralString] = """WITH put AS (
    INSERT INTO causal_frames (src, dst, frame, mac, put_at)
    SELECT %s, dst, frame, mac, clock_timestamp() - make_interval(secs => age_s)
    FROM unnest(%s::text[], %s::bytea[], %s::bytea[], %s::float8[])
        WITH ORDINALITY AS given (dst, frame, mac, age_s, n)
    ORDER BY n) SELECT pg_notify(bell, '') FROM unnest(%s::text[]) AS bell"""
FORGET: Final[LiteralString] = "DELETE FROM causal_frames WHERE src = %s AND dst = ANY(%s)"
#: The oldest frames, up to a number of rows, and of bytes without the last frame.
TAKE: Final[LiteralString] = """WITH page AS (SELECT seq FROM (
        SELECT seq, sum(size) OVER (ORDER BY seq) - size AS before FROM (
            SELECT seq, octet_length(frame) AS size FROM causal_frames
            WHERE dst = %s ORDER BY seq LIMIT %s) AS oldest) AS summed WHERE before < %s),
    taken AS (DELETE FROM causal_frames WHERE dst = %s AND seq IN (SELECT seq FROM page)
        RETURNING seq, src, frame, mac)
    SELECT src, frame, mac FROM taken ORDER BY seq"""
PAGE_ROWS: Final = 256
PAGE_BYTES: Final = 1 << 20
#: How long to wait for a notification.  None is lost while the connection stands; this is for one
#: that should be: nothing more is written, and so announced, until its frame is taken.
POLL_S: Final = 5.0
REDIAL_S: Final = (0.05, 2.0)
CLAIM_S: Final = (0.02, 0.05, 0.1, 0.2, 0.4)

#: The destination of a frame, the frame, and when it was given to us.
Waiting: TypeAlias = tuple[Address, bytes, Time]

_encode = msgspec.msgpack.Encoder().encode


class PostgresTransport:
    """An endpoint's access to the table.

    `url` is a connection string; no error repeats its password.  `buffer_bytes_max` limits the
    frames that wait for the database; what does not fit is dropped.  A peer that leaves a frame in
    the table for `untaken_s` gets no others until it takes that one; choose less than the
    endpoints' `resend_after_s`.
    """

    def __init__(
        self,
        url: str,
        *,
        key: bytes,
        buffer_bytes_max: int = 1 << 22,
        untaken_s: float = 0.25,
    ) -> None:
        if len(key) < 16:
            raise CallerError(f"a key of {len(key)} bytes", remedy="give 16 random bytes or more")
        address = parse(url)
        if address is None:
            raise CallerError(UNREADABLE, remedy=REMEDY)
        self._address = address
        self.key, self.buffer_bytes_max, self.untaken_s = key, buffer_bytes_max, untaken_s
        self.name: Address = ""
        self._waiting: list[Waiting] = []
        #: Of each destination, when its oldest waiting frame was given to us.
        self._since: dict[Address, Time] = {}
        #: The size of the frames that have been neither written nor dropped.
        self.waiting_bytes = 0
        #: Peers that have left or are excluded, and those whose rows must still be deleted.
        self._forgotten: set[Address] = set()
        self._unwanted: set[Address] = set()
        self._some = asyncio.Event()
        self._written = asyncio.Event()
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
        for each in (name, *team):
            if not storable(each):
                raise NoTransport(f"PostgreSQL cannot hold the name {each!r}")
        self.name, self.team, self.incarnation = name, sorted({*team}), incarnation
        self.on_frame, self.on_refusal = on_frame, on_refusal
        try:
            ear = await self._claim()
        except psycopg.Error as error:
            said = told(error, self._address)
            raise NoTransport(f"{name!r} cannot use the database: {said}") from None
        self._open = True
        loop = asyncio.get_running_loop()
        self.time = loop.time
        self._tasks = [
            loop.create_task(self._again(self._listen, ear)),
            loop.create_task(self._again(self._write, None)),
        ]

    def send(self, dst: Address, frame: bytes) -> None:
        """Queue the frame for the next write."""
        if not self._open:
            raise NoRoute("the transport is not open")
        if not storable(dst):
            raise NoRoute(f"PostgreSQL cannot hold the name {dst!r}")
        if dst in self._forgotten:
            self._drop(dst)
        now = self.time()
        if now - self._since.get(dst, now) > self.untaken_s:
            return
        # If the oldest were dropped, a long backlog would never get past its first messages: all
        # of them are repeated at once, and its recipient can deliver only from the oldest on.
        if self._waiting and self.waiting_bytes + len(frame) > self.buffer_bytes_max:
            return
        self._waiting.append((dst, frame, now))
        self._since.setdefault(dst, now)
        self.waiting_bytes += len(frame)
        self._some.set()

    def admit(self, name: Address, address: str) -> None:
        """Nothing to do: the table has no list of members."""

    def forget(self, name: Address) -> None:
        """Drop the frames to it, also those in the table.  It may still take one answer."""
        self._forgotten.add(name)
        self._unwanted.add(name)
        self._drop(name)
        self._some.set()

    async def close(self) -> None:
        """Write what waits, for at most `FAREWELL_S`, and release the name."""
        if not self._tasks:
            return
        self._open = False
        (listening, writing), self._tasks = self._tasks, []
        # From now on frames stay in the table, for this endpoint's next run.
        await _ended(listening)
        if self._waiting or self._unwanted:
            self._written.clear()
            self._some.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await self._written.wait()
        await _ended(writing)
        # A task that was cancelled before it began has not closed its connection.
        if self._ear is not None:
            await self._ear.close()

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        connection = await psycopg.AsyncConnection.connect(**self._address)
        try:
            await connection.execute(SETTINGS)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _claim(self) -> psycopg.AsyncConnection[Any]:
        """A connection that holds the name's lock and listens for its frames."""
        ear = await self._connect()
        try:
            if not await _value(ear, PREPARED):
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
            async with ear.transaction():
                await ear.execute(ONE_AT_A_TIME)
                other = await (await ear.execute(OTHERS, (self.name, self.team))).fetchone()
                if other is not None:
                    raise OtherTeam.of(self.name, self.team, *other)
                if not await _value(ear, KNOWN, self.name, self.incarnation, self.team):
                    raise NameTaken(f"{self.name!r} was another endpoint")
            await ear.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel(self.name))))
        except BaseException:
            await ear.close()
            raise
        self._ear = ear
        return ear

    async def _listen(self, ear: psycopg.AsyncConnection[Any] | None) -> None:
        """Take frames on each notification, over a second connection."""
        async with ear or await self._claim() as ear, await self._connect() as hand:
            while True:
                while await self._take_page(hand):
                    pass
                async for _ in ear.notifies(timeout=POLL_S, stop_after=1):
                    pass

    async def _take_page(self, hand: psycopg.AsyncConnection[Any]) -> bool:
        """Take the oldest frames.  True if there may be more."""
        query = (self.name, PAGE_ROWS, PAGE_BYTES, self.name)
        page = await (await hand.execute(TAKE, query)).fetchall()
        for src, frame, mac in page:
            if hmac.compare_digest(mac, self._mac(src, self.name, frame)):
                self.on_frame(src, frame)
            else:
                self.on_refusal(BadKey(f"the writer of a frame of {src!r} lacks the key"))
        return len(page) == PAGE_ROWS or sum(len(frame) for _, frame, _ in page) >= PAGE_BYTES

    async def _write(self, _: Any) -> None:
        """Write all waiting frames in one transaction, and notify their destinations."""
        async with await self._connect() as hand:
            while True:
                await self._some.wait()
                self._some.clear()
                if unwanted := [*self._unwanted]:
                    await hand.execute(FORGET, (self.name, unwanted))
                    self._unwanted.difference_update(unwanted)
                frames = list(self._waiting)
                await self._put(hand, frames)
                # Only now: frames that a broken connection did not write go with the next one.
                written = {*map(id, frames)}
                self._keep([frame for frame in self._waiting if id(frame) not in written])
                if not (self._waiting or self._unwanted):
                    self._written.set()

    async def _put(self, hand: psycopg.AsyncConnection[Any], frames: list[Waiting]) -> None:
        """Write the frames for all destinations that take theirs."""
        named = sorted({dst for dst, _, _ in frames})
        # Of a forgotten peer the table keeps one frame.
        waits_s = [0.0 if dst in self._forgotten else self.untaken_s for dst in named]
        query = (named, waits_s, self.name)
        untaken = {dst for (dst,) in await (await hand.execute(UNTAKEN, query)).fetchall()}
        now = self.time()
        rows = [
            (dst, frame, self._mac(self.name, dst, frame), now - given)
            for dst, frame, given in frames
            if dst not in untaken
        ]
        if rows:
            bells = [channel(dst) for dst in named if dst not in untaken]
            await hand.execute(PUT, (self.name, *map(list, zip(*rows, strict=True)), bells))

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
            except OtherTeam as error:
                self.on_refusal(error)
            ear = None
            if loop.time() - began > pause_max_s:
                pause_s = REDIAL_S[0]
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, pause_max_s)
            self._some.set()

    def _drop(self, dst: Address) -> None:
        """Drop the frames to `dst` that wait to be written."""
        self._keep([frame for frame in self._waiting if frame[0] != dst])

    def _keep(self, frames: list[Waiting]) -> None:
        """These frames and no others wait to be written."""
        self._waiting, self.waiting_bytes = frames, sum(len(frame) for _, frame, _ in frames)
        self._since.clear()
        for dst, _, given in frames:
            self._since.setdefault(dst, given)

    def _mac(self, src: Address, dst: Address, frame: bytes) -> bytes:
        return hmac.digest(self.key, _encode((src, dst, frame)), "sha256")


def storable(name: Address) -> bool:
    """Whether the name is a text for PostgreSQL."""
    try:
        return b"\0" not in name.encode()
    except UnicodeEncodeError:
        return False


def channel(name: Address) -> str:
    """The name's notification channel; names may be longer than an identifier."""
    return "causal_" + blake2b(name.encode(), digest_size=16).hexdigest()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _value(
    connection: psycopg.AsyncConnection[Any], query: LiteralString, *values: Any
) -> Any:
    row = await (await connection.execute(query, values)).fetchone()
    return None if row is None else row[0]
