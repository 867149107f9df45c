"""A connection that a peer opened: greetings only, until the peer is authenticated."""

from __future__ import annotations

import asyncio
import hmac
import ssl
from os import urandom
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
from causal.transports.host import Host
from causal.transports.port import BadCertificate, BadFrame, BadKey, SecondEndpoint
from message_passing.errors import PeerError

GREETING_S: Final = 30.0
"""How long a connecting peer may take to authenticate."""


class Incoming(Framed):
    """A connection that a peer opened to us: greetings only, until the peer is authenticated."""

    hello: Hello | None = None
    proved = False
    securing: asyncio.Task[None] | None = None

    def __init__(self, host: Host) -> None:
        self.host = host

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self.host.incoming.add(self)
        silence = BadFrame(f"no peer has identified itself within {GREETING_S} s")
        self.patience = loop.call_later(GREETING_S, self.refuse, silence)
        if not self.host.is_open:
            self.close()
        elif self.host.server_tls is not None:
            self.securing = loop.create_task(self.secure())

    async def secure(self) -> None:
        """Speak TLS from here on.  An asyncio server would not report which peer failed."""
        host, loop, bare = self.host, asyncio.get_running_loop(), self.wire
        if bare is None:
            return  # they, or we, hung up before this task had its turn
        assert host.server_tls is not None
        secured = failure = None
        try:
            secured = await loop.start_tls(bare, self, host.server_tls, server_side=True)
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
            host.on_refusal(failure)

    def data_received(self, data: bytes) -> None:
        if self.securing is not None:
            # Decrypted already, but the writing transport is unknown before `start_tls` returns.
            self.rest += data
        else:
            super().data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.wire = None
        self.patience.cancel()
        self.host.incoming.discard(self)

    def refuse(self, error: PeerError) -> None:
        self.close()
        self.host.on_refusal(error)

    def frame(self, frame: bytes) -> None:
        if self.proved and self.hello is not None:
            self.host.on_frame(self.hello.name, frame)
            return
        said, host = heard(frame), self.host
        if type(said) is Hello and self.hello is None:
            if said.to != host.name or said.name not in host.routes:
                self.refuse(BadFrame(f"{said.name!r} asks for {said.to!r}, here is {host.name!r}"))
                return
            assert self.wire is not None
            if host.certified and (error := certificates.mismatch(said.name, self.wire)):
                self.refuse(error)
                return
            self.hello, self.nonce = said, urandom(NONCE_BYTES)
            self.write(encode(Challenge(self.nonce, mac(host.key, "listener", said, self.nonce))))
        elif type(said) is Proof and self.hello is not None:
            expected = mac(host.key, "dialer", self.hello, self.nonce)
            if not hmac.compare_digest(said.mac, expected):
                self.refuse(BadKey(f"a peer claims to be {self.hello.name!r} but lacks the key"))
                return
            name, life = self.hello.name, self.hello.incarnation
            if host.lives.setdefault(name, life) != life:
                self.refuse(SecondEndpoint(f"there was another endpoint by the name {name!r}"))
                return
            self.proved, self.bytes_max = True, host.frame_bytes_max
            self.patience.cancel()
        else:
            self.refuse(BadFrame("a frame before its sender has identified itself"))
