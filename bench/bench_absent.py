"""PostgreSQL: what an absent peer costs while its sender's backlog is full.

    python bench/bench_absent.py [--minutes M] [--messages N] [--size BYTES] [--json]

One endpoint sends to a peer that never comes, and to another that is present.  The table of frames
is looked at ten times.  `copies` are the bytes of the frames for the absent peer, as a multiple of
its undelivered messages; `table` is the size of the table with its indexes and dead rows, in the
same unit; `writes` are the rows that were written for it since the last look.
"""

from __future__ import annotations

import asyncio
import sys
from os import urandom
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from causal.endpoint import AsyncEndpoint
from causal.transports.postgres import PostgresTransport

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
KEY = b"0123456789abcdef"
LOOKS = 10
QUERY = """SELECT count(*), coalesce(sum(length(frame)), 0), coalesce(max(seq), 0),
    pg_total_relation_size('causal_frames') FROM causal_frames WHERE dst = 'absent'"""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The table at one moment."""

    minutes: float
    rows: int
    copies: float
    table: float
    writes: int


async def looks(server: Any, minutes: float, messages: int, size: int) -> list[Look]:
    """The table at equal distances, while messages flow to the peer that is present."""
    url, team, found = server.fresh(), ("sender", "absent", "present"), []
    sender, present = [
        AsyncEndpoint(name, team, PostgresTransport(url, key=KEY), backlog_max=messages + 1_000)
        for name in ("sender", "present")
    ]
    await sender.open()
    await present.open()
    for _ in range(messages):
        # Bytes that the table does not compress.
        await sender.send("absent", urandom(size))
    unit, newest = messages * size, 0
    for number in range(1, LOOKS + 1):
        # The absent peer keeps no other waiting.
        await sender.send("present", b"")
        await present.receive(timeout_s=30)
        await asyncio.sleep(60 * minutes / LOOKS)
        [(rows, held, last, total)] = server.run(QUERY, url)
        found.append(
            Look(
                minutes=round(minutes * number / LOOKS, 2),
                rows=rows,
                copies=round(int(held) / unit, 3),
                table=round(total / unit, 3),
                writes=last - newest,
            )
        )
        newest = last
    # They do not leave their team: that would wait for the absent peer.
    await sender.close()
    await present.close()
    return found


def main(
    minutes: Annotated[float, typer.Option(help="How long the peer is absent.", min=0.01)] = 0.5,
    messages: Annotated[int, typer.Option(help="Undelivered messages.", min=1)] = 1024,
    size: Annotated[int, typer.Option(help="Bytes of each.", min=1)] = 1000,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure, and fail if the table grew after the first look."""
    from postgres_server import MISSING, Server, programs

    found = programs()
    if found is None:
        print(MISSING)
        return
    server = Server(found)
    try:
        seen = asyncio.run(looks(server, minutes, messages, size))
    finally:
        server.close()
    if json:
        print(msgspec.json.encode(seen).decode())
    else:
        table = Table(*Look.__struct_fields__)
        for look in seen:
            table.add_row(*map(str, msgspec.structs.astuple(look)))
        Console().print(table)
    if any(look.writes for look in seen[1:]):
        raise SystemExit("the table grew while the peer was absent")


if __name__ == "__main__":
    typer.run(main)
