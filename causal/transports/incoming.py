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
    Roster,
    Said,
    encode,
    heard,
)
from causal.transports.host import Host
from causal.transports.port import BadCertificate, BadFrame, BadKey, ForgedFrame, SecondEndpoint
from causal.transports.seal import TAG_BYTES
from message_passing.errors import PeerError
from message_passing.process import Address

GREETING_S: Final = 5.0
"""How long a connecting peer may take to authenticate."""

SHOWN_MAX: Final = 64
"""How much of a stranger's name an error repeats."""


class Incoming(Framed):
    """A connection that a peer opened to us: greetings only, until the peer is authenticated."""

    source = ""
    name: Address = ""
    said: Said | None = None
    proved = False
    #: Whether the peer has proved itself and has another team.
    disputing = False
    securing: asyncio.Task[None] | None = None

    def __init__(self, host: Host) -> None:
        self.host = host

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self.host.incoming.add(self)
        silence = BadFrame(f"no peer has identified itself within {GREETING_S} s")
        self.patience = loop.call_later(GREETING_S, self.refuse, silence)
        peer = transport.get_extra_info("peername")
        self.source = str(peer[0]) if isinstance(peer, tuple) else ""
        self.host.meets(self.source, self)
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
            self.keep(data)
        else:
            super().data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.wire = None
        self.patience.cancel()
        self.host.incoming.discard(self)
        self.host.strangers.leave(self.source, self)

    def refuse(self, error: PeerError) -> None:
        self.close()
        self.host.on_refusal(error)

    def frame(self, frame: bytes) -> None:
        if self.proved:
            self.host.on_frame(self.name, frame)
            return
        greeting = heard(frame)
        if type(greeting) is Hello and self.said is None:
            self.challenge(greeting)
        elif type(greeting) is Proof and self.said is not None and not self.disputing:
            self.accept(self.said, greeting)
        elif type(greeting) is Roster and self.said is not None and self.disputing:
            self.part(self.said, greeting)
        else:
            self.refuse(BadFrame("a frame before its sender has identified itself"))

    def sealed(self, tag: bytes, frame: bytes) -> None:
        assert self.seal is not None
        if hmac.compare_digest(tag, self.seal.tag(frame)):
            self.host.on_frame(self.name, frame)
        else:
            self.refuse(ForgedFrame(f"a frame on a connection of {self.name!r}"))

    def challenge(self, hello: Hello) -> None:
        """Prove ourselves to the peer, and ask for its proof."""
        host, name = self.host, hello.name
        if hello.to != host.name:
            asked = f"{name[:SHOWN_MAX]!r} asks for {hello.to[:SHOWN_MAX]!r}"
            self.refuse(BadFrame(f"{asked}, here is {host.name!r}"))
            return
        # A peer may have joined before we have heard of it: it is for the protocol to know members.
        assert self.wire is not None
        if host.certified and (error := certificates.mismatch(name, self.wire)):
            self.refuse(error)
            return
        self.name, nonce = name, urandom(NONCE_BYTES)
        channel = certificates.channel(self.wire)
        self.said = said = Said(host.key, hello, nonce, host.team_digest, channel)
        self.write(encode(Challenge(nonce, host.team_digest, said.mac("listener"))))

    def accept(self, said: Said, proof: Proof) -> None:
        """Take frames from here on, if the peer has proved itself and has our team."""
        host, name, life = self.host, self.name, said.hello.incarnation
        if not said.proves(proof.mac, "dialer"):
            self.refuse(BadKey(f"a peer claims to be {name[:SHOWN_MAX]!r} but lacks the key"))
            return
        host.strangers.leave(self.source, self)
        if not said.is_one_team:
            self.disputing, self.bytes_max = True, host.frame_bytes_max
            self.write(encode(Roster(host.team, said.mac("listener's team", host.team))))
            return
        host.agrees(name)
        if host.lives.setdefault(name, life) != life:
            self.refuse(SecondEndpoint(f"there was another endpoint by the name {name!r}"))
            return
        self.proved, self.bytes_max = True, host.frame_bytes_max
        self.seal = said.seal()
        if self.seal is not None:
            self.bytes_max += TAG_BYTES
        self.patience.cancel()

    def part(self, said: Said, roster: Roster) -> None:
        """Hear the peer's team, and hang up once ours is written."""
        if not said.proves(roster.mac, "dialer's team", roster.names):
            self.refuse(BadKey(f"the team of {self.name!r} is told by another"))
            return
        self.host.differs(self.name, said.hello.team, roster.names)
        self.end()
