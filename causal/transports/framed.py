"""A stream of bytes as frames, each after its length in four bytes."""

from __future__ import annotations

import asyncio

from causal.transports.greeting import GREETING_BYTES_MAX
from causal.transports.port import BadFrame
from causal.transports.seal import TAG_BYTES, Seal
from message_passing.errors import PeerError


class Framed(asyncio.Protocol):
    """Splits a stream of bytes into frames, and writes them."""

    wire: asyncio.Transport | None = None
    bytes_max = GREETING_BYTES_MAX
    #: The beginning of a frame that has not arrived whole.
    rest: bytes | bytearray = b""
    #: How many bytes the next frame takes with its length, as far as is known.
    wanted = 4
    #: Authenticates the frames after the greeting, where TLS does not.
    seal: Seal | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.wire = transport

    def data_received(self, data: bytes) -> None:
        if self.rest:
            if len(self.rest) + len(data) < self.wanted:
                self.keep(data)
                return
            data = bytes(self.rest + data)
            self.rest = b""
        at, end = 0, len(data)
        while end - at >= 4:
            size = int.from_bytes(data[at : at + 4], "big")
            if size > self.bytes_max:
                self.refuse(BadFrame(f"{size} bytes, the limit is {self.bytes_max}"))
                return
            if end - at < 4 + size:
                self.wanted = 4 + size
                break
            body, at = at + 4, at + 4 + size
            if self.seal is None:
                self.frame(data[body:at])
            else:
                self.sealed(data[body : body + TAG_BYTES], data[body + TAG_BYTES : at])
            if self.wire is None:
                return
        else:
            self.wanted = 4
        if at < end:
            self.rest = data[at:]

    def keep(self, data: bytes) -> None:
        """Add to the beginning of a frame, in time that does not grow with it."""
        if isinstance(self.rest, bytes):
            self.rest = bytearray(self.rest)
        self.rest += data

    def frame(self, frame: bytes) -> None:
        """One whole frame."""
        raise NotImplementedError

    def sealed(self, tag: bytes, frame: bytes) -> None:
        """One whole frame and its tag, which may not be its own."""
        raise NotImplementedError

    def refuse(self, error: PeerError) -> None:
        """Report the reason, and close."""
        raise NotImplementedError

    def write(self, frame: bytes) -> None:
        """Put one frame on the wire."""
        if self.wire is None:
            return
        if self.seal is None:
            self.wire.write(len(frame).to_bytes(4, "big") + frame)
        else:
            size = len(frame) + TAG_BYTES
            self.wire.write(b"".join((size.to_bytes(4, "big"), self.seal.tag(frame), frame)))

    def end(self) -> None:
        """Close the connection once all is written, and read nothing more."""
        wire, self.wire = self.wire, None
        if wire is not None:
            wire.close()

    def close(self) -> None:
        """Close the connection at once, without flushing."""
        wire, self.wire = self.wire, None
        if wire is not None:
            wire.abort()
