"""Messages a second between two endpoints on TCP loopback, beside the same transport bare.

    python bench/bench_endpoint.py [--messages N] [--json]

Both endpoints share one core, so the figure is for sending and receiving together.  `bare` writes
frames of as many packets with the same codec and answers none.
"""

from __future__ import annotations

import asyncio
import socket
from time import process_time
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from causal.endpoint import AsyncEndpoint
from causal.frames import FRAME_PACKETS_MAX, Frame
from causal.messages import Data
from causal.transports.stream import StreamTransport
from message_passing.process import Envelope
from message_passing.wire import Codec

KEY = b"0123456789abcdef"
PAYLOAD = b"x" * 100


def addresses() -> dict[str, str]:
    sockets = [socket.socket() for _ in "ab"]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    urls = [f"tcp://127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return dict(zip("ab", urls, strict=True))


async def causal_rate(messages: int, paced: int) -> float:
    """With causal delivery; `paced` messages at a time, each batch acknowledged before the next."""
    where = addresses()
    a = AsyncEndpoint("a", "ab", StreamTransport(where, key=KEY))
    b = AsyncEndpoint("b", "ab", StreamTransport(where, key=KEY))
    async with a, b:
        await a.send("b", PAYLOAD)
        await b.receive()
        start = process_time()

        async def take() -> None:
            for _ in range(messages):
                await b.receive()

        task = asyncio.create_task(take())
        for number in range(messages):
            await a.send("b", PAYLOAD)
            if number % paced == paced - 1:
                await a.flush()
        await task
        await a.flush()
        return messages / (process_time() - start)


async def bare_rate(messages: int) -> float:
    """The transport and the codec alone."""
    where = addresses()
    got, done = 0, asyncio.Event()
    codec = Codec(Frame, max_bytes=1 << 24)

    def on_frame(src: str, frame: bytes) -> None:
        nonlocal got
        got += len(codec.decode(frame).message.packets)
        if got >= messages:
            done.set()

    a, b = StreamTransport(where, key=KEY), StreamTransport(where, key=KEY)
    await a.start("a", ("a", "b"), b"1", lambda *_: None, print)
    await b.start("b", ("a", "b"), b"2", on_frame, print)
    start = process_time()
    for first in range(0, messages, FRAME_PACKETS_MAX):
        ids = range(first, min(messages, first + FRAME_PACKETS_MAX))
        frame = Frame(tuple(Data(n + 1, n, False, PAYLOAD) for n in ids))
        a.send("b", codec.encode(Envelope("a", "b", 1, frame)))
        await asyncio.sleep(0)
    await done.wait()
    elapsed = process_time() - start
    await a.close()
    await b.close()
    return messages / elapsed


def main(
    messages: Annotated[int, typer.Option(help="Messages of 100 bytes.", min=100)] = 20_000,
    as_json: Annotated[bool, typer.Option("--json", help="Records on standard output.")] = False,
) -> None:
    """AsyncEndpoint to endpoint on TCP loopback."""
    bare = max(asyncio.run(bare_rate(messages)) for _ in range(3))
    records = [{"what": "bare transport and codec", "messages_per_s": bare, "ratio": 1.0}]
    for what, paced in (("causal, as fast as it goes", messages), ("causal, ten at a time", 10)):
        rate = max(asyncio.run(causal_rate(messages, paced)) for _ in range(3))
        records.append({"what": what, "messages_per_s": rate, "ratio": rate / bare})
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(records)).decode())
        return
    table = Table(title="TCP loopback, both ends on one core")
    for heading in ("what", "messages/s", "ratio"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for record in records:
        table.add_row(
            str(record["what"]), f"{record['messages_per_s']:,.0f}", f"{record['ratio']:.2f}"
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
