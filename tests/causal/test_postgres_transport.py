"""Frames in PostgreSQL: the kit, forged rows, broken connections, a team of endpoints."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from causal.endpoint import AsyncEndpoint
from causal.transports.conformance import CHECKS, Make, Station
from causal.transports.port import NameTaken, NoTransport
from causal.transports.postgres import PostgresTransport

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
