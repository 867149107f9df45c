"""Frames in PostgreSQL: the kit, forged rows, broken connections, a team of endpoints."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from traceback import format_exception
from typing import Any

import psycopg
import pytest
from postgres_server import Server

from causal.endpoint import AsyncEndpoint
from causal.transports.conformance import CHECKS, TEAM, Make, Station
from causal.transports.port import NameTaken, NoRoute, NoTransport, OtherTeam
from causal.transports.postgres import PostgresTransport
from message_passing.errors import CallerError

KEY = b"0123456789abcdef"


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(bounded())


def patient(url: str) -> PostgresTransport:
    """One that drops nothing, however long its peer and the machine take."""
    return PostgresTransport(url, key=KEY, untaken_s=3_600.0)


@pytest.mark.slow(fast=6)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_kit(postgres_url: str, check: Callable[[Make], Awaitable[None]]) -> None:
    async def main() -> None:
        await check(
            lambda names: {name: PostgresTransport(postgres_url, key=KEY) for name in names}
        )

    run(main)


def test_another_life_by_a_known_name_is_refused(postgres_url: str) -> None:
    async def main() -> None:
        a = await Station(PostgresTransport(postgres_url, key=KEY)).start("a", b"first")
        await a.transport.close()
        with pytest.raises(NameTaken):
            await Station(PostgresTransport(postgres_url, key=KEY)).start("a", b"second")
        again = await Station(PostgresTransport(postgres_url, key=KEY)).start("a", b"first")
        await again.transport.close()

    run(main)


def test_a_row_without_the_key_is_refused(postgres_url: str) -> None:
    async def main() -> None:
        b = await Station(PostgresTransport(postgres_url, key=KEY)).start("b")
        forger = await Station(PostgresTransport(postgres_url, key=b"x" * 16)).start("a")
        forger.transport.send("b", b"forged")
        while not b.refusals:
            await asyncio.sleep(0.01)
        assert [error.code for error in b.refusals] == ["bad-key"]
        assert b.frames.empty()
        await b.transport.close()
        await forger.transport.close()

    run(main)


def test_a_server_that_is_not_there_is_said() -> None:
    async def main() -> None:
        with pytest.raises(NoTransport):
            await Station(PostgresTransport("host=/nowhere dbname=x", key=KEY)).start("a")

    run(main)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:s3 cret@host/team",
        "postgresql://ann:s3%ZZcret@host/team",
        "postgresql://ann:s3cret@host:port/team",
        "postgresql://ann:s3cret]@[::1/team",
        "postgresql://[s3cret",
        "host=/nowhere password='s3cret",
    ],
)
def test_an_address_that_cannot_be_read_keeps_its_password_to_itself(url: str) -> None:
    with pytest.raises(CallerError) as refused:
        PostgresTransport(url, key=KEY)
    assert "cret" not in "".join(format_exception(refused.value)).split("CallerError:")[1]
    assert refused.value.__context__ is None


@pytest.mark.slow
def test_no_error_and_no_log_repeats_a_password(
    postgres: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # libpq's error repeats the folder, and the server's the table: both are the password here.
    nowhere = f"postgresql://ann:s3cret@/team?host={tmp_path}/s3cret"
    url = postgres.fresh().replace("tester@", "tester:causal_frames@")

    async def main() -> None:
        with pytest.raises(NoTransport) as refused:
            await Station(PostgresTransport(nowhere, key=KEY)).start("a")
        assert "s3cret" not in "".join(format_exception(refused.value)).split("NoTransport:")[1]
        a = await Station(PostgresTransport(url, key=KEY)).start("a")
        postgres.run("DROP TABLE causal_frames", url)
        a.transport.send("b", b"frame")
        while not caplog.records:
            await asyncio.sleep(0.01)
        await a.transport.close()
        assert 'relation "***" does not exist' in caplog.text
        assert "causal_frames" not in caplog.text

    run(main)


def stored(postgres: Server, url: str) -> list[tuple[object, ...]]:
    """Source, destination and size of every frame in the table, oldest first."""
    return postgres.run("SELECT src, dst, length(frame) FROM causal_frames ORDER BY seq", url)


async def settled(transport: PostgresTransport) -> None:
    """Return when the transport has written or dropped what it was given."""
    while transport.waiting_bytes:
        await asyncio.sleep(0.001)


def test_a_peer_that_takes_nothing_gets_nothing_more(postgres: Server, postgres_url: str) -> None:
    async def main() -> None:
        a = await Station(PostgresTransport(postgres_url, key=KEY, untaken_s=0.0)).start("a")
        for frame in (b"1", b"22", b"333"):
            a.transport.send("b", frame)
            a.transport.send("c", frame)
            await settled(a.transport)
        assert stored(postgres, postgres_url) == [("a", "b", 1), ("a", "c", 1)]
        # What b takes makes room for what is sent from then on.
        b = await Station(PostgresTransport(postgres_url, key=KEY, untaken_s=0.0)).start("b")
        assert await b.next() == ("a", b"1")
        a.transport.send("b", b"4444")
        assert await b.next() == ("a", b"4444")
        await a.transport.close()
        await b.transport.close()

    run(main)


@contextmanager
def stalled(url: str) -> Iterator[None]:
    """The table answers no query meanwhile."""
    with psycopg.connect(url) as conn:
        conn.execute("LOCK TABLE causal_frames")
        yield


def test_a_database_that_stalls_gets_no_repetitions_afterwards(
    postgres: Server, postgres_url: str
) -> None:
    async def main() -> None:
        a = await Station(PostgresTransport(postgres_url, key=KEY)).start("a")
        ticks = count()
        a.transport.time = lambda: next(ticks)
        with stalled(postgres_url):
            for frame in (b"1", b"22", b"333"):
                a.transport.send("b", frame)
                a.transport.send("c", frame)
        await settled(a.transport)
        assert stored(postgres, postgres_url) == [("a", "b", 1), ("a", "c", 1)]
        await a.transport.close()

    run(main)


def test_a_frame_counts_as_old_as_its_send(postgres: Server, postgres_url: str) -> None:
    async def main() -> None:
        a = await Station(PostgresTransport(postgres_url, key=KEY, untaken_s=5_000.0)).start("a")
        now = 0.0
        a.transport.time = lambda: now
        with stalled(postgres_url):
            a.transport.send("b", b"frame")
            now = 3_600.0
        await settled(a.transport)
        old = "SELECT put_at < clock_timestamp() - interval '59 min' FROM causal_frames"
        assert postgres.run(old, postgres_url) == [(True,)]
        await a.transport.close()

    run(main)


def test_after_its_clock_was_set_back_the_table_still_does_not_grow(
    postgres: Server, postgres_url: str
) -> None:
    async def main() -> None:
        a = await Station(PostgresTransport(postgres_url, key=KEY, untaken_s=1_000.0)).start("a")
        for wait in ("0 s", "1 hour"):
            a.transport.send("b", b"x")
            await settled(a.transport)
            postgres.run(f"UPDATE causal_frames SET put_at = put_at + '{wait}'", postgres_url)
        a.transport.send("b", b"x")
        await settled(a.transport)
        assert len(stored(postgres, postgres_url)) == 2
        await a.transport.close()

    run(main)


@pytest.mark.slow
def test_the_rows_of_an_absent_peer_are_bounded_by_the_backlog(
    postgres: Server, postgres_url: str
) -> None:
    messages, size = 300, 1_000

    async def main() -> None:
        given: Counter[str] = Counter()

        class Counting(PostgresTransport):
            def send(self, dst: str, frame: bytes) -> None:
                given[dst] += len(frame)
                super().send(dst, frame)

        transport = Counting(postgres_url, key=KEY, untaken_s=0.03)
        async with AsyncEndpoint("a", "abc", transport, resend_after_s=0.05) as a:
            for _ in range(messages):
                await a.send("b", b"x" * size)
            seen = []
            for copies in (2, 3):
                while given["b"] < copies * messages * size:
                    await asyncio.sleep(0.01)
                rows = stored(postgres, postgres_url)
                seen.append((len(rows), sum(int(str(row[2])) for row in rows)))
            assert seen[0] == seen[1]
            assert messages * size <= seen[0][1] <= 2.1 * messages * size
            async with AsyncEndpoint("b", "abc", PostgresTransport(postgres_url, key=KEY)) as b:
                got = [(await b.receive(timeout_s=60)).id for _ in range(messages)]
                assert got == [*range(1, messages + 1)]
                await a.flush(timeout_s=60)

    run(main)


def test_a_backlog_beyond_the_buffer_gets_through(postgres_url: str) -> None:
    # All of it is repeated at once, and b can deliver only from the oldest message on.
    messages = 300

    async def main() -> None:
        def opened(name: str) -> AsyncEndpoint:
            transport = PostgresTransport(
                postgres_url, key=KEY, buffer_bytes_max=100_000, untaken_s=0.03
            )
            return AsyncEndpoint(name, "ab", transport, resend_after_s=0.05)

        async with opened("a") as a, opened("b") as b:
            for _ in range(messages):
                await a.send("b", b"x" * 1_000)
            for _ in range(messages):
                await b.receive(timeout_s=60)
            await a.flush(timeout_s=60)

    run(main)


def test_closing_writes_what_waits(
    postgres: Server, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("causal.transports.postgres.FAREWELL_S", 30.0)

    async def main() -> None:
        # However slow the machine is, the peer that has left gets the second frame too.
        first, second = patient(postgres_url), patient(postgres_url)
        a = await Station(first).start("a")
        b = await Station(PostgresTransport(postgres_url, key=KEY)).start("b")
        await b.receives(b"first", a, "b")
        await b.transport.close()
        # Before and after the writer's connection is open.
        for transport in (a.transport, second):
            if transport is not a.transport:
                await Station(transport).start("a")
            transport.send("b", b"last words")
            await transport.close()
        last = ("a", "b", len(b"last words"))
        assert stored(postgres, postgres_url).count(last) == 2

    run(main)


def test_closing_does_not_wait_for_a_database_that_stalls(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("causal.transports.postgres.FAREWELL_S", 0.01)

    async def main() -> None:
        a = await Station(PostgresTransport(postgres_url, key=KEY)).start("a")
        with stalled(postgres_url):
            a.transport.send("b", b"last words")
            async with asyncio.timeout(20):
                await a.transport.close()

    run(main)


def test_the_rows_of_a_forgotten_peer_are_deleted(postgres: Server, postgres_url: str) -> None:
    async def main() -> None:
        a, b = [await Station(patient(postgres_url)).start(name) for name in "ab"]
        for station, dst in ((a, "x"), (a, "y"), (a, "x"), (b, "x")):
            station.transport.send(dst, b"row")
            await settled(station.transport)
        a.transport.send("z", b"not yet written")
        a.transport.forget("z")
        a.transport.forget("x")
        for answer in (b"1", b"22", b"333"):
            a.transport.send("x", answer)
            await settled(a.transport)
        # What others keep for it is theirs to delete.
        assert stored(postgres, postgres_url) == [("a", "y", 3), ("b", "x", 3), ("a", "x", 1)]
        await a.transport.close()
        # A last call is kept too.
        b.transport.forget("x")
        await b.transport.close()
        assert stored(postgres, postgres_url) == [("a", "y", 3), ("a", "x", 1)]

    run(main)


@pytest.mark.parametrize(
    ("rows", "size_bytes", "pages"), [(4, 1 << 20, [4, 4, 2]), (256, 1_000, [3, 3, 3, 1])]
)
def test_a_returning_peer_takes_its_frames_in_pages_and_in_order(
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    size_bytes: int,
    pages: list[int],
) -> None:
    monkeypatch.setattr("causal.transports.postgres.PAGE_ROWS", rows)
    monkeypatch.setattr("causal.transports.postgres.PAGE_BYTES", size_bytes)
    monkeypatch.setattr("causal.transports.postgres.POLL_S", 1_000.0)

    async def main() -> None:
        a = await Station(patient(postgres_url)).start("a")
        sent = [number.to_bytes(400) for number in range(10)]
        for frame in sent:
            a.transport.send("b", frame)
        await settled(a.transport)
        turns: list[list[bytes]] = [[]]

        async def divide() -> None:
            while True:
                await asyncio.sleep(0)
                if turns[-1]:
                    turns.append([])

        dividing = asyncio.create_task(divide())
        b = PostgresTransport(postgres_url, key=KEY)
        await b.start("b", TEAM, b"first", lambda _, frame: turns[-1].append(frame), print)
        while sum(map(len, turns)) < len(sent):
            await asyncio.sleep(0.001)
        dividing.cancel()
        assert [frame for turn in turns for frame in turn] == sent
        assert [len(turn) for turn in turns if turn] == pages
        await a.transport.close()
        await b.close()

    run(main)


def test_a_frame_whose_notification_is_lost_is_taken(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("causal.transports.postgres.POLL_S", 0.05)
    names = count()
    monkeypatch.setattr("causal.transports.postgres.channel", lambda _: f"unheard_{next(names)}")

    async def main() -> None:
        a = await Station(patient(postgres_url)).start("a")
        b = await Station(PostgresTransport(postgres_url, key=KEY)).start("b")
        for frame in (b"1", b"2", b"3"):
            a.transport.send("b", frame)
            assert await b.next() == ("a", frame)
        await a.transport.close()
        await b.transport.close()

    run(main)


@pytest.mark.slow
def test_an_endpoint_of_another_team_does_not_start(postgres_url: str) -> None:
    def transport() -> PostgresTransport:
        return PostgresTransport(postgres_url, key=KEY)

    async def main() -> None:
        async with AsyncEndpoint("a", "abc", transport()):
            with pytest.raises(OtherTeam) as refused:
                await AsyncEndpoint("b", "abd", transport()).open()
            assert all(str([*team]) in str(refused.value) for team in ("abc", "abd"))
            # Even one that has no name in common with the first: names may join.
            with pytest.raises(OtherTeam):
                await AsyncEndpoint("x", "xy", transport()).open()
            async with AsyncEndpoint("b", "cba", transport()):
                pass

    run(main)


def test_an_endpoint_that_was_wrong_starts_again_with_the_right_team(postgres_url: str) -> None:
    async def start(name: str, *team: str) -> Station:
        station = Station(PostgresTransport(postgres_url, key=KEY))
        return await station.start(name, team=team)

    async def main() -> None:
        wrong = await start("a", "a", "b")
        await wrong.transport.close()
        # Only a running endpoint counts.
        b = await start("b", "a", "b", "c")
        with pytest.raises(OtherTeam):
            await start("a", "a", "b")
        right = await start("a", "a", "b", "c")
        joiner = await start("d", "a", "b", "c")
        for station in (b, right, joiner):
            await station.transport.close()

    run(main)


@pytest.mark.slow
def test_an_endpoint_that_lost_its_connection_meets_another_team(
    postgres: Server, postgres_url: str
) -> None:
    async def main() -> None:
        a = await Station(PostgresTransport(postgres_url, key=KEY)).start("a")
        postgres.run("UPDATE causal_names SET team = NULL", postgres_url)
        b = await Station(PostgresTransport(postgres_url, key=KEY)).start("b", team=("b", "x"))
        postgres.cut()
        while not (a.refusals or b.refusals):
            await asyncio.sleep(0.01)
        assert [error.code for error in (a.refusals or b.refusals)] == ["other-team"]
        await a.transport.close()
        await b.transport.close()

    run(main)


@pytest.mark.parametrize("name", ["nul\0", "half \ud800"])
def test_names_that_it_cannot_hold_are_refused(postgres_url: str, name: str) -> None:
    async def main() -> None:
        with pytest.raises(NoTransport):
            await Station(PostgresTransport(postgres_url, key=KEY)).start(name)
        with pytest.raises(NoTransport):
            await Station(PostgresTransport(postgres_url, key=KEY)).start("a", team=("a", name))
        a = await Station(PostgresTransport(postgres_url, key=KEY)).start("a")
        with pytest.raises(NoRoute):
            a.transport.send(name, b"")
        await a.transport.close()

    run(main)


@pytest.mark.slow
def test_a_server_with_a_strict_isolation_level_can_be_used(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{postgres_url}%20-cdefault_transaction_isolation%3Dserializable"
    messages = 400

    async def main() -> None:
        team = [AsyncEndpoint(name, "abc", PostgresTransport(url, key=KEY)) for name in "abc"]
        for endpoint in team:
            await endpoint.open()
        for _ in range(messages):
            for endpoint in team:
                for peer in team:
                    if peer is not endpoint:
                        await endpoint.send(peer.name, b"")
            await asyncio.sleep(0)
        for endpoint in team:
            for _ in range(2 * messages):
                await endpoint.receive(timeout_s=60)
        for endpoint in team:
            await endpoint.flush(timeout_s=60)
        for endpoint in team:
            await endpoint.close()
        assert caplog.messages == []

    run(main)


def test_tables_of_the_release_before_are_used(postgres: Server, postgres_url: str) -> None:
    for statement in (
        "CREATE TABLE causal_names (name text PRIMARY KEY, incarnation bytea NOT NULL)",
        "CREATE TABLE causal_frames (seq bigserial PRIMARY KEY, src text NOT NULL,"
        " dst text NOT NULL, frame bytea NOT NULL, mac bytea NOT NULL)",
        "CREATE INDEX causal_frames_dst ON causal_frames (dst, seq)",
        "INSERT INTO causal_names VALUES ('b', 'first')",
    ):
        postgres.run(statement, postgres_url)

    async def main() -> None:
        a = await Station(patient(postgres_url)).start("a")
        postgres.run(
            "INSERT INTO causal_frames (src, dst, frame, mac) VALUES ('a', 'b', 'old', '')",
            postgres_url,
        )
        a.transport.send("b", b"new")
        await settled(a.transport)
        b = await Station(PostgresTransport(postgres_url, key=KEY)).start("b")
        assert await b.next() == ("a", b"new")
        assert [error.code for error in b.refusals] == ["bad-key"]
        await a.transport.close()
        await b.transport.close()

    run(main)


def test_endpoints_go_on_when_their_connections_are_cut(postgres_url: str) -> None:
    async def main() -> None:
        def opened(name: str) -> AsyncEndpoint:
            transport = PostgresTransport(postgres_url, key=KEY)
            return AsyncEndpoint(name, "abc", transport, resend_after_s=0.2)

        async with opened("a") as a, opened("b") as b, opened("c") as c:
            await a.send("b", b"one")
            assert (await b.receive(timeout_s=60)).payload == b"one"
            async with await psycopg.AsyncConnection.connect(postgres_url) as cutter:
                await cutter.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            await a.send("b", b"two")
            await a.send("c", b"three")
            await c.receive(timeout_s=60)
            await c.send("b", b"four")
            got: list[Any] = [(await b.receive(timeout_s=60)).payload for _ in range(2)]
            assert got == [b"two", b"four"]

    run(main)
