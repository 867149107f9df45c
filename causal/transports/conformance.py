"""Checks that every transport must pass.

Run them on your own::

    await verify(lambda names: {name: MyTransport(...) for name in names})

`make` gives transports that can reach each other, not yet started.  The first failure is raised as
an `AssertionError` that names the check.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final, TypeAlias

from causal.transports.port import NameTaken, NoRoute, NoTransport, Transport
from message_passing.errors import PeerError
from message_passing.process import Address

Make: TypeAlias = Callable[[tuple[Address, ...]], Mapping[Address, Transport]]

PATIENCE_S: Final = 10.0


class Station:
    """A started transport and the frames that it received."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.frames: asyncio.Queue[tuple[Address, bytes]] = asyncio.Queue()
        self.refusals: list[PeerError] = []

    async def start(self, name: Address, incarnation: bytes = b"first") -> Station:
        """Start the transport."""

        def on_frame(src: Address, frame: bytes) -> None:
            self.frames.put_nowait((src, frame))

        await self.transport.start(name, incarnation, on_frame, self.refusals.append)
        return self

    async def next(self) -> tuple[Address, bytes]:
        """The next frame; an answer that never comes fails the check."""
        return await asyncio.wait_for(self.frames.get(), PATIENCE_S)


async def frames_arrive_whole(make: Make) -> None:
    """Every frame arrives as it was sent, with the name of its sender, empty and large ones too."""
    transports = make(("a", "b", "c"))
    a, b, c = [await Station(transports[name]).start(name) for name in "abc"]
    frames = [b"", b"\x00" * 5, bytes(range(256)) * 200]
    for frame in frames:
        a.transport.send("b", frame)
        c.transport.send("b", frame)
    got = [await b.next() for _ in range(2 * len(frames))]
    assert sorted(got) == sorted((src, frame) for src in "ac" for frame in frames)
    await close(a, b, c)


async def absent_peers_block_nobody(make: Make) -> None:
    """A frame for an absent peer is kept or dropped; later frames get through."""
    transports = make(("a", "b"))
    a = await Station(transports["a"]).start("a")
    a.transport.send("b", b"early")
    await asyncio.sleep(0)
    b = await Station(transports["b"]).start("b")
    async with asyncio.timeout(PATIENCE_S):
        while b.frames.empty():
            a.transport.send("b", b"late")
            await asyncio.sleep(0.01)
    assert (await b.next())[0] == "a"
    await close(a, b)


async def peers_may_come_back(make: Make) -> None:
    """After a peer was away, frames reach its next run, if it is the same incarnation."""
    names = ("a", "b")
    transports = make(names)
    a, b = [await Station(transports[name]).start(name) for name in names]
    a.transport.send("b", b"one")
    assert await b.next() == ("a", b"one")
    await b.transport.close()
    a.transport.send("b", b"lost or not")
    back = await Station(transports["b"]).start("b")
    async with asyncio.timeout(PATIENCE_S):
        while back.frames.empty():
            a.transport.send("b", b"two")
            await asyncio.sleep(0.01)
    await close(a, back)


async def names_are_unique(make: Make) -> None:
    """A second endpoint under a taken name cannot start."""
    transports = make(("a", "b"))
    a = await Station(transports["a"]).start("a")
    try:
        await Station(transports["b"]).start("a", b"second")
    except (NameTaken, NoTransport):
        pass
    else:
        raise AssertionError("two endpoints use the name 'a'")
    await close(a)


async def unknown_destinations_are_refused_or_dropped(make: Make) -> None:
    """An unknown destination raises `NoRoute`, or counts as an absent peer."""
    a = await Station(make(("a", "b"))["a"]).start("a")
    with suppress(NoRoute):
        a.transport.send("nobody", b"")
    await close(a)


async def closing_is_final(make: Make) -> None:
    """A second close does nothing, and no frame can be sent afterwards."""
    transports = make(("a", "b"))
    a = await Station(transports["a"]).start("a")
    await a.transport.close()
    await a.transport.close()
    try:
        a.transport.send("b", b"")
    except NoRoute:
        return
    raise AssertionError("a closed transport takes frames")


async def close(*stations: Station) -> None:
    """Close all."""
    for station in stations:
        await station.transport.close()


CHECKS: Final[tuple[Callable[[Make], Awaitable[None]], ...]] = (
    frames_arrive_whole,
    absent_peers_block_nobody,
    peers_may_come_back,
    names_are_unique,
    unknown_destinations_are_refused_or_dropped,
    closing_is_final,
)


async def verify(make: Make) -> None:
    """Run every check, each on fresh transports."""
    for check in CHECKS:
        await check(make)
