"""TCP and Unix sockets: length-prefixed frames, after authentication of both ends.

Every endpoint listens, and dials the endpoints that it sends to; a connection carries frames one
way.  Before the first frame both ends prove their names: by the team's key
(:mod:`causal.transports.greeting`), by certificates (:mod:`causal.transports.certificates`), or
both.  The key keeps strangers out, those on the path included: without TLS, each frame has a tag of
its own (:mod:`causal.transports.seal`).  But members could pose as each other, and nothing is
encrypted.  TLS encrypts, and the greeting is bound to its channel; with a certificate of its own
name for each endpoint, no endpoint can pose as another.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Mapping
from typing import Any

from causal.transports.host import Host
from causal.transports.incoming import Incoming
from causal.transports.outgoing import Outgoing
from causal.transports.port import NoRoute, NoTransport, OnFrame, OnRefusal
from causal.transports.unix import Claim, claimed
from message_passing.process import Address


class StreamTransport:
    """An endpoint's sockets.

    `addresses` gives for every endpoint, this one included, ``tcp://host:port`` or
    ``unix:///path``.  `frame_bytes_max` limits a frame; `buffer_bytes_max` the frames that wait for
    a slow or absent peer, beyond which frames are dropped (the protocol above repeats them);
    `unproved_max` the connections whose peers have not proved themselves, each for five seconds.

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
        unproved_max: int = 128,
        server_tls: ssl.SSLContext | None = None,
        client_tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host = Host(
            addresses,
            key,
            frame_bytes_max=frame_bytes_max,
            buffer_bytes_max=buffer_bytes_max,
            unproved_max=unproved_max,
            server_tls=server_tls,
            client_tls=client_tls,
        )
        self._out: dict[Address, Outgoing] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._claim: Claim | None = None

    async def start(
        self,
        name: Address,
        team: tuple[Address, ...],
        incarnation: bytes,
        on_frame: OnFrame,
        on_refusal: OnRefusal,
    ) -> None:
        """Listen at the address that `addresses` gives for `name`."""
        host, loop = self._host, asyncio.get_running_loop()
        if name not in host.routes:
            raise NoRoute(f"no address is given for {name!r} itself")
        host.begin(name, team, incarnation)
        host.on_frame, host.on_refusal = on_frame, on_refusal
        route = host.routes[name]
        try:
            if isinstance(route, str):
                await self._listen_at(route)
            else:
                self._server = await loop.create_server(lambda: Incoming(host), *route)
        except OSError as error:
            raise NoTransport(f"{name!r} cannot listen at {route}: {error}") from error
        host.is_open = True

    async def _listen_at(self, path: str) -> None:
        host, loop = self._host, asyncio.get_running_loop()
        claim = await claimed(path)
        try:
            self._server = await loop.create_unix_server(lambda: Incoming(host), sock=claim.socket)
        except BaseException:
            await claim.remove()
            claim.socket.close()
            raise
        self._claim = claim

    def send(self, dst: Address, frame: bytes) -> None:
        """Write to the connection, or keep the frame for the next one if the buffer has room."""
        out = self._out.get(dst)
        if out is None:
            self._host.route(dst)
            if not self._host.is_open:
                raise NoRoute("the transport is not open")
            out = self._out[dst] = Outgoing(self._host, dst)
        out.send(frame)

    def admit(self, name: Address, address: str) -> None:
        """Dial a new member at `address`."""
        if address or name not in self._host.routes:
            self._host.learn(name, address)

    def forget(self, name: Address) -> None:
        """Drop what waits for a former member, and close the connection to it."""
        self._host.forgotten.add(name)
        out = self._out.pop(name, None)
        if out is not None:
            self._leave(out.leave())

    async def close(self) -> None:
        """Close the server and every connection, once the frames that wait are written.

        A peer that cannot be reached within a second is not waited for.
        """
        host, server = self._host, self._server
        self._server, host.is_open = None, False
        outs, self._out = list(self._out.values()), {}
        for connection in list(host.incoming):
            connection.close()
        if self._claim is not None:
            claim, self._claim = self._claim, None
            await claim.remove()
        if server is not None:
            server.close()
        await asyncio.gather(*[out.close() for out in outs], *self._leaving)
        if server is not None:
            await server.wait_closed()
            # Connections report their loss in the loop's next round, under TLS one later.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def _leave(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
