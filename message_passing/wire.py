"""Envelopes as bytes.  A packet that no codec would write never reaches a step.

A packet is a header of seven bytes and a body::

    0xC1 'm'    two bytes; 0xC1 is the one byte that msgpack never uses
    version     one byte
    checksum    four bytes: CRC-32 of the body, against damage, not against forgers
    body        the envelope in msgpack, its message tagged by class name

Decoding checks, in this order: length, header, version, checksum, schema, and that the body is the
exact encoding of its value: no unknown, repeated or missing field, no longer form of a number.  So
a message that gains a field needs a new version, default or not.
"""

from __future__ import annotations

import struct
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin
from zlib import crc32

import msgspec

from message_passing.canonical import Unencodable
from message_passing.errors import CallerError, PeerError
from message_passing.process import Envelope

VERSION: Final = 1
_HEADER = struct.Struct(">2sBI")
_MAGIC = b"\xc1m"


class BadCodec(CallerError):
    """The message types do not make a tagged union, or the size limit is too small."""


class TooLarge(CallerError):
    """An envelope of ours is over the size limit, and was not sent."""


class Oversized(PeerError):
    """A packet is over the size limit."""


class Damaged(PeerError):
    """A packet is cut short, altered, or of another format."""


class UnknownVersion(PeerError):
    """A packet is of a version of the wire that this release does not speak."""

    code = "unknown-wire-version"
    remedy = "run the same major release at both ends"


class Malformed(PeerError):
    """A packet arrived whole, but its body is not an envelope of the agreed messages."""


class Codec:
    """Writes and reads envelopes whose message is one of `messages`.

    `messages` is a struct type or a union of them, each with its tag
    (`message_passing.process.Value` has one).  `max_bytes` limits a packet, header included, both
    ways.
    """

    def __init__(self, messages: Any, *, max_bytes: int = 1 << 20) -> None:
        if max_bytes <= _HEADER.size:
            raise BadCodec(f"max_bytes is {max_bytes}", remedy=f"more than {_HEADER.size}")
        try:
            self._decoder = msgspec.msgpack.Decoder(Envelope[messages])
        except TypeError as error:
            raise BadCodec(str(error), remedy="give tagged structs, as A | B | C") from error
        is_union = get_origin(messages) in (Union, UnionType)
        self._types = frozenset(get_args(messages) if is_union else (messages,))
        for kind in self._types:
            if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
                raise BadCodec(
                    f"{kind!r} is not a struct", remedy="give tagged structs, as A | B | C"
                )
            if kind.__struct_config__.tag is None:
                raise BadCodec(f"{kind.__name__} has no tag", remedy="declare it with tag=True")
        self._encoder = msgspec.msgpack.Encoder()
        self.max_bytes = max_bytes

    def encode(self, envelope: Envelope[Any]) -> bytes:
        """The packet of `envelope`.  Raises `Unencodable` or `TooLarge`."""
        if type(envelope.message) not in self._types:
            raise Unencodable(f"{type(envelope.message).__name__} is not one of the messages")
        try:
            body = self._encoder.encode(envelope)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise Unencodable(f"{type(envelope.message).__name__}: {error}") from error
        size = _HEADER.size + len(body)
        if size > self.max_bytes:
            raise TooLarge(f"{size} bytes, the limit is {self.max_bytes}")
        return _HEADER.pack(_MAGIC, VERSION, crc32(body)) + body

    def decode(self, packet: bytes) -> Envelope[Any]:
        """The envelope in `packet`.

        Raises `Oversized`, `Damaged`, `UnknownVersion` or `Malformed`, all of them `PeerError`.
        """
        if len(packet) > self.max_bytes:
            raise Oversized(f"{len(packet)} bytes, the limit is {self.max_bytes}")
        if len(packet) <= _HEADER.size:
            raise Damaged(f"{len(packet)} bytes are not a packet")
        magic, version, checksum = _HEADER.unpack_from(packet)
        body = packet[_HEADER.size :]
        if magic != _MAGIC:
            raise Damaged("it does not begin as a packet does")
        if version != VERSION:
            raise UnknownVersion(f"version {version}, this release speaks {VERSION}")
        if crc32(body) != checksum:
            raise Damaged("the checksum does not fit")
        try:
            envelope: Envelope[Any] = self._decoder.decode(body)
            exact = len(self._encoder.encode(envelope)) == len(body)
        except (msgspec.MsgspecError, CallerError, ValueError, RecursionError) as error:
            raise Malformed(str(error)) from error
        if not exact:
            raise Malformed("the body is not the exact encoding of its envelope")
        if envelope.seq < 1:
            raise Malformed(f"seq is {envelope.seq}, the first is 1")
        return envelope
