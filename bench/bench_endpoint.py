"""Messages a second between two endpoints, and what the authentication of frames costs.

    python bench/bench_endpoint.py [--messages N] [--json]
    python bench/bench_endpoint.py --tags [--rounds 9]
    python bench/bench_endpoint.py --against CHECKOUT [--rounds 9]

Both endpoints share one core, so a figure is for sending and receiving together.  `bare` writes
frames of as many packets with the same codec over TCP, and answers none.

`--tags` runs every shape with a key and without TLS, with the tags of frames and without them, in
turns; the figure is the median over the rounds of the ratio of CPU time within a round.

`--against` runs memory, with journals and without, and TLS with certificates, none of which has
tags, in this checkout and in another one, each in a process of its own, in turns.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from statistics import median
from time import process_time
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from causal.transports.stream import StreamTransport

KEY = b"0123456789abcdef"
ROOT = Path(__file__).parents[1]
#: Bytes of a message, how many before each wait for all acknowledgements, and how many in all.
SHAPES: dict[str, tuple[int, int, int]] = {
    "100 B, one at a time": (100, 1, 3_000),
    "100 B, full frames": (100, 20_000, 20_000),
    "1 kB, one at a time": (1_000, 1, 3_000),
    "10 kB, one at a time": (10_000, 1, 2_000),
    "60 kB, one at a time": (60_000, 1, 1_000),
}


def addresses() -> dict[str, str]:
    sockets = [socket.socket() for _ in "ab"]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    urls = [f"tcp://127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return dict(zip("ab", urls, strict=True))


def keyed() -> list[Any]:
    """Two transports over TCP with a key."""
    where = addresses()
    return [StreamTransport(where, key=KEY) for _ in "ab"]


def certified() -> list[Any]:
    """Two transports over TCP with TLS and a certificate each."""
    import trustme

    where, authority, made = addresses(), trustme.CA(), []
    for name in "ab":
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        client = ssl.create_default_context()
        server.verify_mode, client.check_hostname = ssl.CERT_REQUIRED, False
        for context in (server, client):
            authority.configure_trust(context)
            authority.issue_cert(name).configure_cert(context)
        made.append(StreamTransport(where, server_tls=server, client_tls=client))
    return made


def in_memory() -> list[Any]:
    """Two transports of one hub."""
    from causal.transports.memory import MemoryHub

    hub = MemoryHub()
    return [hub.transport() for _ in "ab"]


LINKS: dict[str, Callable[[], list[Any]]] = {
    "memory": in_memory,
    "memory and journals": in_memory,
    "TLS": certified,
    "key": keyed,
}


def endpoints(link: str, folder: str) -> list[Any]:
    """Endpoints a and b.  Releases before 0.1 called the class `Endpoint`."""
    import causal.endpoint as module
    from causal.journal import Journal

    kind = getattr(module, "AsyncEndpoint", None) or module.Endpoint  # type: ignore[attr-defined]
    made = []
    for name, each in zip("ab", LINKS[link](), strict=True):
        # Not forced to disk: the time of a disk is not ours.
        journal = Journal(f"{folder}/{name}", sync=False) if "journals" in link else None
        made.append(kind(name, "ab", each, journal=journal))
    return made


async def message_us(link: str, size: int, paced: int, messages: int) -> float:
    """CPU time of a message; `paced` at a time, each batch acknowledged before the next."""
    with tempfile.TemporaryDirectory() as folder:
        a, b = endpoints(link, folder)
        async with a, b:
            return await between_us(a, b, b"x" * size, paced, messages)


async def between_us(a: Any, b: Any, payload: bytes, paced: int, messages: int) -> float:
    """The same for two endpoints that are open."""
    await a.send("b", payload)
    await b.receive()
    await a.flush()
    start = process_time()

    async def take() -> None:
        for _ in range(messages):
            await b.receive()

    task = asyncio.create_task(take())
    for number in range(messages):
        await a.send("b", payload)
        if number % paced == paced - 1:
            await a.flush()
    await task
    await a.flush()
    return (process_time() - start) / messages * 1e6


async def bare_us(messages: int) -> float:
    """CPU time of a message over the transport and the codec alone."""
    from causal.frames import FRAME_PACKETS_MAX, Frame
    from causal.messages import Data
    from message_passing.process import Envelope
    from message_passing.wire import Codec

    codec, payload = Codec(Frame, max_bytes=1 << 24), b"x" * 100

    def frames() -> Iterator[bytes]:
        for first in range(0, messages, FRAME_PACKETS_MAX):
            ids = range(first, min(messages, first + FRAME_PACKETS_MAX))
            frame = Frame(tuple(Data(n + 1, n, False, payload) for n in ids))
            yield codec.encode(Envelope("a", "b", 1, frame))

    return await carried_us(
        frames(), messages, lambda frame: len(codec.decode(frame).message.packets)
    )


async def frame_us(size: int, frames: int) -> float:
    """CPU time of a frame over the transport alone: nothing is encoded, delivered or answered."""
    return await carried_us(repeat(b"x" * size, frames), frames, lambda frame: 1)


async def carried_us(frames: Iterable[bytes], messages: int, held: Callable[[bytes], int]) -> float:
    """CPU time of a message over the transport, until all have arrived; a frame has some `held`."""
    got, done = 0, asyncio.Event()

    def on_frame(src: str, frame: bytes) -> None:
        nonlocal got
        got += held(frame)
        if got >= messages:
            done.set()

    a, b = keyed()
    await a.start("a", ("a", "b"), b"1", lambda *_: None, print)
    await b.start("b", ("a", "b"), b"2", on_frame, print)
    start = process_time()
    for frame in frames:
        a.send("b", frame)
        await asyncio.sleep(0)
    await done.wait()
    elapsed = process_time() - start
    await a.close()
    await b.close()
    return elapsed / messages * 1e6


@contextmanager
def without_tags() -> Iterator[None]:
    """Frames as they would be without authentication."""
    from causal.transports.greeting import Said

    seal = Said.seal
    Said.seal = lambda said: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Said.seal = seal  # type: ignore[method-assign]


def ratios(rounds: int, sides: tuple[Callable[[], float], Callable[[], float]]) -> list[float]:
    """The first side's figure, the second's, and their ratio: medians over the rounds."""
    figures: list[list[float]] = []
    for number in range(rounds):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        found = dict.fromkeys(order, 0.0)
        for side in order:
            found[side] = sides[side]()
        figures.append([found[0], found[1], found[0] / found[1]])
    return [median(column) for column in zip(*figures, strict=True)]


def tagged(rounds: int) -> Iterator[dict[str, Any]]:
    """Each shape with tags and without."""
    for what, (size, paced, messages) in SHAPES.items():

        def run(size: int = size, paced: int = paced, messages: int = messages) -> float:
            return asyncio.run(message_us("key", size, paced, messages))

        yield record(what, ratios(rounds, (run, bare(run))))
    for size, frames in ((100, 5_000), (7_000, 3_000), (60_000, 1_000)):

        def alone(size: int = size, frames: int = frames) -> float:
            return asyncio.run(frame_us(size, frames))

        yield record(f"transport alone, {size} B", ratios(rounds, (alone, bare(alone))))


def bare(run: Callable[[], float]) -> Callable[[], float]:
    """The same run without tags."""

    def untagged() -> float:
        with without_tags():
            return run()

    return untagged


def record(what: str, figures: list[float]) -> dict[str, Any]:
    return dict(zip(("what", "us", "us before", "ratio"), (what, *figures), strict=True))


def against(checkout: Path, rounds: int) -> Iterator[dict[str, Any]]:
    """Each link in this checkout and in the other."""
    for link in ("memory", "memory and journals", "TLS"):
        for what in ("100 B, one at a time", "100 B, full frames", "60 kB, one at a time"):

            def run(root: Path, link: str = link, what: str = what) -> float:
                return elsewhere(root, link, what)

            sides = (lambda run=run: run(ROOT), lambda run=run: run(checkout))
            yield record(f"{link}, {what}", ratios(rounds, sides))


def elsewhere(root: Path, link: str, what: str) -> float:
    """One run of a shape with the packages of a checkout."""
    complaint = ""
    for _ in range(3):  # another process may take a port before we do
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, __file__, "--link", link, "--shape", what],
                env=os.environ | {"PYTHONPATH": str(root)},
                cwd=folder,
                capture_output=True,
                text=True,
            )
        if done.returncode == 0:
            return float(done.stdout)
        complaint = done.stderr
    raise RuntimeError(complaint)


def rates(messages: int) -> Iterator[dict[str, Any]]:
    """Messages a second over TCP."""
    us = min(asyncio.run(bare_us(messages)) for _ in range(3))
    yield {"what": "bare transport and codec", "messages_per_s": 1e6 / us, "ratio": 1.0}
    for what, paced in (("causal, as fast as it goes", messages), ("causal, ten at a time", 10)):
        each = min(asyncio.run(message_us("key", 100, paced, messages)) for _ in range(3))
        yield {"what": what, "messages_per_s": 1e6 / each, "ratio": us / each}


def show(title: str, records: list[Mapping[str, Any]]) -> None:
    table = Table(title=title)
    for heading in records[0]:
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for each in records:
        cells = (
            value if isinstance(value, str) else f"{value:,.0f}" if value > 999 else f"{value:.2f}"
            for value in each.values()
        )
        table.add_row(*cells)
    Console().print(table)


def main(
    messages: Annotated[int, typer.Option(help="Messages of 100 bytes.", min=100)] = 20_000,
    tags: Annotated[bool, typer.Option("--tags", help="With tags of frames and without.")] = False,
    checkout: Annotated[Path | None, typer.Option("--against", help="Another checkout.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds of each comparison.", min=1)] = 9,
    as_json: Annotated[bool, typer.Option("--json", help="Records on standard output.")] = False,
    link: Annotated[str, typer.Option(hidden=True)] = "",
    shape: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """AsyncEndpoint to endpoint on one core."""
    if link:
        sys.stdout.write(str(asyncio.run(message_us(link, *SHAPES[shape]))))
        return
    if tags:
        title, records = "CPU of a message, with tags and without", list(tagged(rounds))
    elif checkout is not None:
        title = "CPU of a message, here and there"
        records = list(against(checkout.resolve(), rounds))
    else:
        title, records = "TCP loopback, both ends on one core", list(rates(messages))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(records)).decode())
    else:
        show(title, records)


if __name__ == "__main__":
    typer.run(main)
