"""TCP and Unix sockets: length-prefixed frames, after authentication of both ends.

Every endpoint listens, and dials the endpoints that it sends to; a connection carries frames one
way.  Before the first frame both ends prove their names: by the team's key
(:mod:`causal.transports.greeting`), by certificates (:mod:`causal.transports.certificates`), or
both.  The key keeps strangers out, but members could pose as each other, and it does not encrypt.
TLS encrypts; with a certificate of its own name for each endpoint, no endpoint can pose as another.
"""

from __future__ import annotations

import asyncio
import hmac
import ssl
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from os import unlink, urandom
from typing import Final

from causal.transports import certificates
from causal.transports.framed import Framed
from causal.transports.greeting import (
    NONCE_BYTES,
    Challenge,
    Hello,
    Proof,
    encode,
    heard,
    mac,
)
from causal.transports.port import (
    BadCertificate,
    BadFrame,
    BadKey,
    NameTaken,
    NoRoute,
    NoTransport,
    OnFrame,
    OnRefusal,
    SecondEndpoint,
)
from message_passing.errors import CallerError, PeerError
from message_passing.process import Address

REDIAL_S: Final = (0.02, 1.0)
GREETING_S: Final = 30.0
"""How long a connecting peer may take to authenticate."""
FAREWELL_S: Final = 1.0
"""How long a connection may take to send its last frames and close."""


class StreamTransport:
    """An endpoint's sockets.

    `addresses` gives for every endpoint, this one included, ``tcp://host:port`` or
    ``unix:///path``.  `frame_bytes_max` limits a frame; `buffer_bytes_max` the frames that wait for
    a slow or absent peer, beyond which frames are dropped (the protocol above repeats them).

    With TLS contexts connections are encrypted.  If `server_tls` requires certificates, that of a
    peer must contain the name under which it connects or is dialled, and no key is needed.
    """

    def __init__(
        self,
        addresses: Mapping[Address, str],
        *,
        key: bytes = b"",
        frame_bytes_max: int = 1 << 20,
        buffer_bytes_max: int = 1 << 22,
        server_tls: ssl.SSLContext | None = None,
        client_tls: ssl.SSLContext | None = None,
    ) -> None:
        self.certified = certificates.required(server_tls, client_tls)
        if len(key) < 16 and (key or not self.certified):
            raise CallerError(
                f"a key of {len(key)} bytes",
                remedy="give 16 random bytes or more, or TLS contexts that require certificates",
            )
        self.routes = {name: parsed(url) for name, url in addresses.items()}
        paths = any(isinstance(route, str) for route in self.routes.values())
        if paths and client_tls is not None and client_tls.check_hostname:
            raise CallerError(
                "a Unix socket has no host name to check",
                remedy="set check_hostname = False on client_tls",
            )
        self.key = key
        self.frame_bytes_max = frame_bytes_max
        self.buffer_bytes_max = buffer_bytes_max
        self.server_tls, self.client_tls = server_tls, client_tls
        self.name: Address = ""
        self.incarnation = b""
        self.lives: dict[Address, bytes] = {}
        self.incoming: set[Incoming] = set()
        self._out: dict[Address, Outgoing] = {}
        self._server: asyncio.Server | None = None
        self._path: str | None = None

    async def start(
        self, name: Address, incarnation: bytes, on_frame: OnFrame, on_refusal: OnRefusal
    ) -> None:
        """Listen at the address that `addresses` gives for `name`."""
        if name not in self.routes:
            raise NoRoute(f"no address is given for {name!r} itself")
        self.name, self.incarnation = name, incarnation
        self.on_frame, self.on_refusal = on_frame, on_refusal
        loop = asyncio.get_running_loop()
        route = self.routes[name]
        try:
            if isinstance(route, str):
                if await answers(route):
                    raise NameTaken(f"another process listens at {route} already")
                self._server = await loop.create_unix_server(lambda: Incoming(self), route)
                self._path = route
            else:
                self._server = await loop.create_server(lambda: Incoming(self), *route)
        except OSError as error:
            raise NoTransport(f"{name!r} cannot listen at {route}: {error}") from error

    def send(self, dst: Address, frame: bytes) -> None:
        """Write to the connection, or keep the frame for the next one if the buffer has room."""
        out = self._out.get(dst)
        if out is None:
            if dst not in self.routes:
                raise NoRoute(f"no address is given for {dst!r}")
            if self.closed:
                raise NoRoute("the transport is not open")
            out = self._out[dst] = Outgoing(self, dst)
        out.send(frame)

    @property
    def closed(self) -> bool:
        """Whether the server is not running, before the start or after the close."""
        return self._server is None

    async def close(self) -> None:
        """Close the server and every connection."""
        server, self._server = self._server, None
        outs, self._out = list(self._out.values()), {}
        for connection in list(self.incoming):
            connection.close()
        if server is not None:
            server.close()
        await asyncio.gather(*[out.close() for out in outs])
        if server is not None:
            await server.wait_closed()
            # Connections report their loss in the loop's next round, under TLS one later.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if self._path is not None:
                with suppress(FileNotFoundError):
                    unlink(self._path)


def parsed(url: str) -> tuple[str, int] | str:
    """A host and port, or the path of a Unix socket.  Raises `NoRoute`."""
    kind, _, rest = url.partition("://")
    host, _, port = rest.rpartition(":")
    if kind == "unix" and rest:
        return rest
    if kind == "tcp" and host and port.isdecimal() and int(port) < 1 << 16:
        return host.strip("[]"), int(port)
    raise NoRoute(f"{url!r} is not an address", remedy="tcp://host:port or unix:///path")


async def answers(path: str) -> bool:
    """Whether a process listens at a Unix socket; a crash may leave the file without one."""
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        with suppress(FileNotFoundError):
            unlink(path)
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


class Incoming(Framed):
    """A connection that a peer opened to us: greetings only, until the peer is authenticated."""

    hello: Hello | None = None
    proved = False
    securing: asyncio.Task[None] | None = None

    def __init__(self, owner: StreamTransport) -> None:
        self.owner = owner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self.owner.incoming.add(self)
        silence = BadFrame(f"no peer has identified itself within {GREETING_S} s")
        self.patience = loop.call_later(GREETING_S, self.refuse, silence)
        if self.owner.closed:
            self.close()
        elif self.owner.server_tls is not None:
            self.securing = loop.create_task(self.secure())

    async def secure(self) -> None:
        """Speak TLS from here on.  An asyncio server would not report which peer failed."""
        owner, loop, bare = self.owner, asyncio.get_running_loop(), self.wire
        if bare is None:
            return  # they, or we, hung up before this task had its turn
        assert owner.server_tls is not None
        secured = failure = None
        try:
            secured = await loop.start_tls(bare, self, owner.server_tls, server_side=True)
        except ssl.SSLError as error:
            failure = BadCertificate(f"a connecting peer: {error}")
        except OSError:
            pass  # they hung up in the middle
        finally:
            self.securing, self.wire = None, secured
        if secured is not None:
            self.data_received(b"")
            return
        # asyncio does not announce a connection lost during the handshake.
        self.connection_lost(None)
        if failure is not None:
            owner.on_refusal(failure)

    def data_received(self, data: bytes) -> None:
        if self.securing is not None:
            # Decrypted already, but the writing transport is unknown before `start_tls` returns.
            self.rest += data
        else:
            super().data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.wire = None
        self.patience.cancel()
        self.owner.incoming.discard(self)

    def refuse(self, error: PeerError) -> None:
        self.close()
        self.owner.on_refusal(error)

    def frame(self, frame: bytes) -> None:
        if self.proved and self.hello is not None:
            self.owner.on_frame(self.hello.name, frame)
            return
        said, owner = heard(frame), self.owner
        if type(said) is Hello and self.hello is None:
            if said.to != owner.name or said.name not in owner.routes:
                self.refuse(BadFrame(f"{said.name!r} asks for {said.to!r}, here is {owner.name!r}"))
                return
            assert self.wire is not None
            if owner.certified and (error := certificates.mismatch(said.name, self.wire)):
                self.refuse(error)
                return
            self.hello, self.nonce = said, urandom(NONCE_BYTES)
            self.write(encode(Challenge(self.nonce, mac(owner.key, "listener", said, self.nonce))))
        elif type(said) is Proof and self.hello is not None:
            expected = mac(owner.key, "dialer", self.hello, self.nonce)
            if not hmac.compare_digest(said.mac, expected):
                self.refuse(BadKey(f"a peer claims to be {self.hello.name!r} but lacks the key"))
                return
            name, life = self.hello.name, self.hello.incarnation
            if owner.lives.setdefault(name, life) != life:
                self.refuse(SecondEndpoint(f"there was another endpoint by the name {name!r}"))
                return
            self.proved, self.bytes_max = True, owner.frame_bytes_max
            self.patience.cancel()
        else:
            self.refuse(BadFrame("a frame before its sender has identified itself"))


class Outgoing:
    """The route to one peer: dials, redials, and keeps frames while the buffer has room."""

    def __init__(self, owner: StreamTransport, dst: Address) -> None:
        self.owner, self.dst = owner, dst
        self.waiting: deque[bytes] = deque()
        self.waiting_bytes = 0
        self.line: Line | None = None
        self.dialling = asyncio.get_running_loop().create_task(self.dial())

    def send(self, frame: bytes) -> None:
        """Write, keep or drop."""
        line = self.line
        if line is not None and line.wire is not None:
            if line.wire.get_write_buffer_size() <= self.owner.buffer_bytes_max:
                line.write(frame)
            return
        self.waiting.append(frame)
        self.waiting_bytes += len(frame)
        while self.waiting_bytes > self.owner.buffer_bytes_max:
            self.waiting_bytes -= len(self.waiting.popleft())
        if self.dialling.done():
            self.dialling = asyncio.get_running_loop().create_task(self.dial())

    async def dial(self) -> None:
        """Connect and prove ourselves, for as long as there is something to send."""
        owner, loop = self.owner, asyncio.get_running_loop()
        pause_s, pause_max_s = REDIAL_S
        route = owner.routes[self.dst]
        while True:
            opened: asyncio.Future[None] = loop.create_future()
            line = Line(self, opened)
            try:
                if isinstance(route, str):
                    nameless = None if owner.client_tls is None else ""
                    await loop.create_unix_connection(
                        line.itself, route, ssl=owner.client_tls, server_hostname=nameless
                    )
                else:
                    await loop.create_connection(line.itself, *route, ssl=owner.client_tls)
                await opened
            except asyncio.CancelledError:
                line.close()
                raise
            except (OSError, PeerError) as error:
                if isinstance(error, ssl.SSLError):
                    error = BadCertificate(f"connecting to {self.dst!r}: {error}")
                if isinstance(error, PeerError):
                    owner.on_refusal(error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, pause_max_s)
                continue
            self.line = line
            while self.waiting:
                line.write(self.waiting.popleft())
            self.waiting_bytes = 0
            return

    async def close(self) -> None:
        """Stop dialling, and close once the written frames are sent."""
        self.dialling.cancel()
        if self.line is not None:
            await self.line.leave()


class Line(Framed):
    """A connection that we opened: it reads the challenge, and nothing after that."""

    def __init__(self, way: Outgoing, opened: asyncio.Future[None]) -> None:
        self.way, self.opened = way, opened
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        owner = way.owner
        self.hello = Hello(owner.name, way.dst, owner.incarnation, urandom(NONCE_BYTES))

    def itself(self) -> Line:
        """The protocol factory for asyncio."""
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.wire is not None
        if self.way.owner.certified and (error := certificates.mismatch(self.way.dst, self.wire)):
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
        if not self.opened.done():
            self.opened.set_exception(error)

    def frame(self, frame: bytes) -> None:
        owner, said = self.way.owner, heard(frame)
        if type(said) is not Challenge or self.opened.done():
            self.refuse(BadFrame(f"{self.way.dst!r} sends an answer that was not asked for"))
            return
        expected = mac(owner.key, "listener", self.hello, said.nonce)
        if not hmac.compare_digest(said.mac, expected):
            self.refuse(BadKey(f"the peer that answers for {self.way.dst!r} lacks the key"))
            return
        self.write(encode(Proof(mac(owner.key, "dialer", self.hello, said.nonce))))
        self.opened.set_result(None)
