"""The handshake of a new connection, before the first frame.

Both ends prove that they know the team's key, each over a fresh number of the other's (challenge
and response, ISO/IEC 9798-4), so that a replay of recorded messages fails.

::

    dialer   -> Hello(name, to, incarnation, nonce)
    listener -> Challenge(nonce, mac of all that was said)
    dialer   -> Proof(mac of all that was said)
    dialer   -> frames
"""

from __future__ import annotations

import hmac
from typing import Final, TypeAlias

import msgspec

NONCE_BYTES: Final = 16
GREETING_BYTES_MAX: Final = 1024


class Hello(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The dialer names itself and the listener."""

    name: str
    to: str
    incarnation: bytes
    nonce: bytes


class Challenge(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The listener proves itself and asks for proof."""

    nonce: bytes
    mac: bytes


class Proof(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The dialer proves itself."""

    mac: bytes


Greeting: TypeAlias = Hello | Challenge | Proof

encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Greeting] = msgspec.msgpack.Decoder(Greeting)


def heard(frame: bytes) -> Greeting | None:
    """The greeting in a frame, or None if the frame has none."""
    try:
        return _decoder.decode(frame)
    except msgspec.MsgspecError:
        return None


def mac(key: bytes, role: str, hello: Hello, nonce: bytes) -> bytes:
    """Proof of the key by one side over all messages so far."""
    return hmac.digest(key, encode((role, hello, nonce)), "sha256")
