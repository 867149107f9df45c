"""Frames in PostgreSQL: the kit, forged rows, broken connections, a team of endpoints."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from traceback import format_exception
from typing import Any

import psycopg
import pytest
from postgres_server import Server

from causal.endpoint import AsyncEndpoint
from causal.transports.conformance import CHECKS, Make, Station
from causal.transports.port import NameTaken, NoTransport
from causal.transports.postgres import PostgresTransport
from message_passing.errors import CallerError

KEY = b"0123456789abcdef"


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(bounded())


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
        for _ in range(500):
            if b.refusals:
                break
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


def test_endpoints_go_on_when_their_connections_are_cut(postgres_url: str) -> None:
    async def main() -> None:
        def opened(name: str) -> AsyncEndpoint:
            transport = PostgresTransport(postgres_url, key=KEY)
            return AsyncEndpoint(name, "abc", transport, resend_after_s=0.2)

        async with opened("a") as a, opened("b") as b, opened("c") as c:
            await a.send("b", b"one")
            assert (await b.receive(timeout_s=20)).payload == b"one"
            async with await psycopg.AsyncConnection.connect(postgres_url) as cutter:
                await cutter.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            await a.send("b", b"two")
            await a.send("c", b"three")
            await c.receive(timeout_s=20)
            await c.send("b", b"four")
            got: list[Any] = [(await b.receive(timeout_s=20)).payload for _ in range(2)]
            assert got == [b"two", b"four"]

    run(main)
