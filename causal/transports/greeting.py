"""The handshake of a new connection, before the first frame.

Both ends prove that they know the team's key, each over a fresh number of the other's (challenge
and response, ISO/IEC 9798-4), so that a replay of recorded messages fails.

::

    dialer   -> Hello(name, to, incarnation, nonce, team)
    listener -> Challenge(nonce, team, mac of all that was said)
    dialer   -> Proof(mac of all that was said)
    dialer   -> frames, each with a tag where there is no TLS (:mod:`causal.transports.seal`)

`team` is a digest under the key: a stranger learns nothing from it.  If the two differ, each end
tells its list of names, after both have proved themselves, and the connection ends::

    dialer   -> Roster(names, mac)
    listener -> Roster(names, mac)
"""

from __future__ import annotations

import hmac
from typing import Final, NamedTuple, TypeAlias

import msgspec

from causal.transports.seal import Seal
from message_passing.process import Address

NONCE_BYTES: Final = 16
GREETING_BYTES_MAX: Final = 1024


class Hello(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The dialer names itself and the listener."""

    name: str
    to: str
    incarnation: bytes
    nonce: bytes
    team: bytes


class Challenge(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The listener proves itself and asks for proof."""

    nonce: bytes
    team: bytes
    mac: bytes


class Proof(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The dialer proves itself."""

    mac: bytes


class Roster(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The team of one end, for a peer that has proved itself and has another."""

    names: tuple[str, ...]
    mac: bytes


Greeting: TypeAlias = Hello | Challenge | Proof | Roster

encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Greeting] = msgspec.msgpack.Decoder(Greeting)


def heard(frame: bytes) -> Greeting | None:
    """The greeting in a frame, or None if the frame has none."""
    try:
        return _decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


class Said(NamedTuple):
    """What both ends have said when they prove themselves.

    `channel` identifies the TLS channel; it is None without TLS.  So a greeting that is
    relayed over another channel proves nothing.
    """

    key: bytes
    hello: Hello
    nonce: bytes
    team: bytes
    channel: bytes | None

    def mac(self, role: str, *more: object) -> bytes:
        """Proof of the key by one side over all messages so far, and over `more`."""
        return hmac.digest(self.key, encode((role, *self[1:], *more)), "sha256")

    def proves(self, mac: bytes, role: str, *more: object) -> bool:
        """Whether that is the proof of the side that has this role."""
        return hmac.compare_digest(mac, self.mac(role, *more))

    def seal(self) -> Seal | None:
        """What authenticates the dialer's frames; None where TLS does."""
        return Seal(self.mac("dialer's frames")) if self.channel is None else None

    @property
    def is_one_team(self) -> bool:
        """Whether both ends have the same team."""
        return hmac.compare_digest(self.hello.team, self.team)


def digest(key: bytes, team: tuple[Address, ...]) -> bytes:
    """A team in few bytes, whatever the order of its names."""
    return hmac.digest(key, encode(("team", sorted(set(team)))), "sha256")[:NONCE_BYTES]
