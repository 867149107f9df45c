"""The connections that an endpoint opens, one to each peer that it sends to."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from contextlib import suppress
from os import urandom
from typing import Final

from causal.transports import certificates
from causal.transports.framed import Framed
from causal.transports.greeting import (
    NONCE_BYTES,
    Challenge,
    Hello,
    Proof,
    Roster,
    Said,
    encode,
    heard,
)
from causal.transports.host import Host
from causal.transports.port import FAREWELL_S, BadCertificate, BadFrame, BadKey
from message_passing.errors import PeerError
from message_passing.process import Address

REDIAL_S: Final = (0.02, 1.0)
DIAL_S: Final = 10.0
"""How long a peer may take to accept a connection and to prove itself."""


class Outgoing:
    """The route to one peer: dials, redials, and keeps frames while the buffer has room.

    To a forgotten peer it dials once for a frame, and keeps the newest frame only.
    """

    def __init__(self, host: Host, dst: Address) -> None:
        self.host, self.dst = host, dst
        self.waiting: deque[bytes] = deque()
        self.waiting_bytes = 0
        self.line: Line | None = None
        self.closing = asyncio.Event()
        self.dialling = asyncio.get_running_loop().create_task(self.dial())

    def send(self, frame: bytes) -> None:
        """Write, keep or drop."""
        line = self.line
        if line is not None and line.wire is not None:
            if line.wire.get_write_buffer_size() <= self.host.buffer_bytes_max:
                line.write(frame)
            return
        if self.dst in self.host.forgotten:
            self.drop()
        self.waiting.append(frame)
        self.waiting_bytes += len(frame)
        while self.waiting_bytes > self.host.buffer_bytes_max:
            self.waiting_bytes -= len(self.waiting.popleft())
        if self.dialling.done():
            self.dialling = asyncio.get_running_loop().create_task(self.dial())

    def drop(self) -> None:
        """Drop the frames that wait for a connection."""
        self.waiting.clear()
        self.waiting_bytes = 0

    async def dial(self) -> None:
        """Connect and prove ourselves, for as long as there is something to send."""
        pause_s, pause_max_s = REDIAL_S
        while True:
            try:
                line = await self.connected()
            except (OSError, PeerError) as error:
                refused = self.report(error)
                if self.dst in self.host.forgotten or (refused and self.closing.is_set()):
                    self.drop()
                    return
                await self.pause(pause_s)
                pause_s = min(2 * pause_s, pause_max_s)
                continue
            self.line = line
            while self.waiting:
                line.write(self.waiting.popleft())
            self.waiting_bytes = 0
            return

    async def pause(self, pause_s: float) -> None:
        """Wait before the next attempt; a short time once the endpoint is closing."""
        if self.closing.is_set():
            await asyncio.sleep(min(pause_s, FAREWELL_S / 10))
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self.closing.wait()

    async def connected(self) -> Line:
        """A connection to a peer that has proved itself, and to which we have.

        Raises `OSError` if the peer cannot be reached, and `PeerError` if another process answers.
        """
        loop, tls = asyncio.get_running_loop(), self.host.client_tls
        route = self.host.route(self.dst)
        line = Line(self.host, self.dst, loop.create_future())
        try:
            async with asyncio.timeout(DIAL_S):
                if isinstance(route, str):
                    nameless = None if tls is None else ""
                    await loop.create_unix_connection(
                        line.itself, route, ssl=tls, server_hostname=nameless
                    )
                else:
                    await loop.create_connection(line.itself, *route, ssl=tls)
                await line.opened
        except BaseException:
            line.close()
            if not line.opened.cancel() and not line.opened.cancelled():
                line.opened.exception()  # the loop would report one that is not looked at
            raise
        return line

    def report(self, error: OSError | PeerError) -> bool:
        """Tell the endpoint if a peer was refused.  False for one that is only absent."""
        if isinstance(error, ssl.SSLError):
            error = BadCertificate(f"connecting to {self.dst!r}: {error}")
        if isinstance(error, PeerError):
            self.host.on_refusal(error)
            return True
        return False

    async def close(self) -> None:
        """Write the frames that wait, if the peer can be reached within `FAREWELL_S`, and leave."""
        self.closing.set()
        if self.waiting:
            await asyncio.wait([self.dialling], timeout=FAREWELL_S)
        await self.leave()

    async def leave(self) -> None:
        """Stop dialling, and close once the written frames are sent."""
        self.drop()
        self.dialling.cancel()
        await asyncio.wait([self.dialling])
        if self.line is not None:
            await self.line.leave()


class Line(Framed):
    """A connection that we opened: it reads the listener's greeting, and nothing after that."""

    def __init__(self, host: Host, dst: Address, opened: asyncio.Future[None]) -> None:
        self.host, self.dst, self.opened = host, dst, opened
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        nonce = urandom(NONCE_BYTES)
        self.hello = Hello(host.name, dst, host.incarnation, nonce, host.team_digest)
        self.said: Said | None = None

    def itself(self) -> Line:
        """The protocol factory for asyncio."""
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.wire is not None
        if self.host.certified and (error := certificates.mismatch(self.dst, self.wire)):
            self.refuse(error)
        else:
            self.write(encode(self.hello))

    def connection_lost(self, error: Exception | None) -> None:
        self.wire = None
        if not self.opened.done():
            self.opened.set_exception(OSError("hung up before it proved itself"))
        if not self.lost.done():
            self.lost.set_result(None)

    async def leave(self) -> None:
        """Send the remaining frames and close, within `FAREWELL_S`."""
        wire, self.wire = self.wire, None
        if wire is not None:
            wire.close()
            await asyncio.wait([self.lost], timeout=FAREWELL_S)
            if not self.lost.done():
                wire.abort()

    def refuse(self, error: PeerError) -> None:
        self.close()
        if self.opened.done():
            self.host.on_refusal(error)
        else:
            self.opened.set_exception(error)

    def frame(self, frame: bytes) -> None:
        greeting = heard(frame)
        if type(greeting) is Challenge and self.said is None:
            self.prove(greeting)
        elif type(greeting) is Roster and self.said is not None and not self.opened.done():
            self.part(self.said, greeting)
        else:
            self.refuse(BadFrame(f"{self.dst!r} sends an answer that was not asked for"))

    def sealed(self, tag: bytes, frame: bytes) -> None:
        self.refuse(BadFrame(f"{self.dst!r} sends a frame on a connection of ours"))

    def prove(self, challenge: Challenge) -> None:
        """Prove ourselves to a listener that has, and tell our team if its own is another."""
        host, hello = self.host, self.hello
        assert self.wire is not None
        channel = certificates.channel(self.wire)
        self.said = said = Said(host.key, hello, challenge.nonce, challenge.team, channel)
        if not said.proves(challenge.mac, "listener"):
            self.refuse(BadKey(f"the peer that answers for {self.dst!r} lacks the key"))
            return
        self.write(encode(Proof(said.mac("dialer"))))
        if said.is_one_team:
            host.agrees(self.dst)
            self.seal = said.seal()
            self.opened.set_result(None)
        else:
            self.write(encode(Roster(host.team, said.mac("dialer's team", host.team))))
            self.bytes_max = host.frame_bytes_max

    def part(self, said: Said, roster: Roster) -> None:
        """Hear the peer's team, and hang up."""
        if not said.proves(roster.mac, "listener's team", roster.names):
            self.refuse(BadKey(f"the team of {self.dst!r} is told by another"))
            return
        self.host.differs(self.dst, said.team, roster.names)
        self.end()
        self.opened.set_exception(OSError("it has another team"))
