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

from causal.transports.port import NameTaken, NoRoute, NoTransport, OtherTeam, Transport
from message_passing.errors import PeerError
from message_passing.process import Address

Make: TypeAlias = Callable[[tuple[Address, ...]], Mapping[Address, Transport]]

PATIENCE_S: Final = 30.0
TEAM: Final = ("a", "b", "c")


class Station:
    """A started transport and the frames that it received."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.frames: asyncio.Queue[tuple[Address, bytes]] = asyncio.Queue()
        self.refusals: list[PeerError] = []

    async def start(
        self,
        name: Address,
        incarnation: bytes = b"first",
        team: tuple[Address, ...] = TEAM,
    ) -> Station:
        """Start the transport."""

        def on_frame(src: Address, frame: bytes) -> None:
            self.frames.put_nowait((src, frame))

        await self.transport.start(name, team, incarnation, on_frame, self.refusals.append)
        return self

    async def next(self) -> tuple[Address, bytes]:
        """The next frame; an answer that never comes fails the check."""
        return await asyncio.wait_for(self.frames.get(), PATIENCE_S)

    async def receives(self, frame: bytes, sender: Station, dst: Address) -> list[bytes]:
        """Have `frame` sent until it arrives; what arrives before it."""
        before: list[bytes] = []
        async with asyncio.timeout(PATIENCE_S):
            while True:
                sender.transport.send(dst, frame)
                await asyncio.sleep(0.01)
                while not self.frames.empty():
                    got = self.frames.get_nowait()[1]
                    if got == frame:
                        return before
                    before.append(got)


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
    assert set(await b.receives(b"late", a, "b")) <= {b"early"}
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
    assert set(await back.receives(b"two", a, "b")) <= {b"one", b"lost or not"}
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


async def the_order_of_a_team_is_free(make: Make) -> None:
    """Two endpoints that list one team in different orders reach each other."""
    transports = make(("a", "b"))
    a = await Station(transports["a"]).start("a")
    b = await Station(transports["b"]).start("b", team=TEAM[::-1])
    await b.receives(b"one", a, "b")
    await a.receives(b"two", b, "a")
    await close(a, b)


async def other_teams_are_refused(make: Make) -> None:
    """Two endpoints with different teams reach each other with no frame; both lists are told."""
    transports, teams = make(("a", "b")), {"a": TEAM, "b": ("a", "b", "d")}
    a = await Station(transports["a"]).start("a", team=teams["a"])
    b = Station(transports["b"])
    try:
        await b.start("b", team=teams["b"])
    except OtherTeam as error:
        errors: list[PeerError] = [error]
        await close(a)
    else:
        async with asyncio.timeout(PATIENCE_S):
            while not (a.refusals and b.refusals):
                a.transport.send("b", b"one")
                b.transport.send("a", b"two")
                await asyncio.sleep(0.01)
        errors = [a.refusals[0], b.refusals[0]]
        await close(a, b)
    for each in errors:
        assert isinstance(each, OtherTeam), f"{each!r}"
        assert all(str(list(team)) in str(each) for team in teams.values()), f"{each}"
    assert a.frames.empty()
    assert b.frames.empty()


async def members_are_admitted(make: Make) -> None:
    """A process that is not of the founding team is reached, and heard, once it is admitted."""
    founders, transports = ("a", "b"), make(("a", "b", "c"))
    a, b, c = [await Station(transports[name]).start(name, team=founders) for name in "abc"]
    for _ in range(2):
        for station in (a, b):
            station.transport.admit("c", "")
    for station, name in ((a, "a"), (b, "b")):
        await c.receives(name.encode(), station, "c")
        await station.receives(b"from c", c, name)
    await close(a, b, c)


async def forgotten_peers_get_one_frame_at_most(make: Make) -> None:
    """Nothing that was sent before reaches a forgotten peer, and of later frames one waits."""
    transports = make(("a", "b"))
    a = await Station(transports["a"]).start("a")
    for number in range(3):
        a.transport.send("b", b"before %d" % number)
    await asyncio.sleep(0)
    for _ in range(2):
        a.transport.forget("b")
        a.transport.forget("a stranger")
    notices = [b"notice %d" % number for number in range(3)]
    for notice in notices:
        a.transport.send("b", notice)
    await asyncio.sleep(0.01)
    b = await Station(transports["b"]).start("b")
    got = await b.receives(b"last", a, "b")
    assert len(got) <= 1, f"{len(got)} frames waited"
    assert set(got) <= set(notices), f"{got} was sent before"
    await close(a, b)


async def forgotten_peers_are_heard(make: Make) -> None:
    """The frames of a forgotten peer still arrive, so that it can be told that it is excluded."""
    transports = make(("a", "b"))
    a, b = [await Station(transports[name]).start(name) for name in "ab"]
    await a.receives(b"one", b, "a")
    await b.receives(b"two", a, "b")
    a.transport.forget("b")
    await a.receives(b"three", b, "a")
    await b.receives(b"you are excluded", a, "b")
    await close(a, b)


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


async def closing_writes_out(make: Make) -> None:
    """Frames that were sent just before the end arrive, the first to a peer included."""
    transports = make(("a", "b", "c"))
    a, b, c = [await Station(transports[name]).start(name) for name in "abc"]
    await a.receives(b"a job", b, "a")
    frames = [b"done %d" % number for number in range(20)]
    for frame in frames:
        a.transport.send("b", frame)
        a.transport.send("c", frame)
    await a.transport.close()
    for station in (b, c):
        assert {await station.next() for _ in frames} == {("a", frame) for frame in frames}
    await close(b, c)


async def close(*stations: Station) -> None:
    """Close all."""
    for station in stations:
        await station.transport.close()


CHECKS: Final[tuple[Callable[[Make], Awaitable[None]], ...]] = (
    frames_arrive_whole,
    absent_peers_block_nobody,
    peers_may_come_back,
    names_are_unique,
    the_order_of_a_team_is_free,
    other_teams_are_refused,
    members_are_admitted,
    forgotten_peers_get_one_frame_at_most,
    forgotten_peers_are_heard,
    unknown_destinations_are_refused_or_dropped,
    closing_is_final,
    closing_writes_out,
)


async def verify(make: Make) -> None:
    """Run every check, each on fresh transports."""
    for check in CHECKS:
        await check(make)
