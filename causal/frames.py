"""The frames of endpoints, their deliveries to applications, and their refusals."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from causal.messages import Ack, Data, Delivered, Release
from message_passing.errors import CallerError, EnvironmentFault, PeerError
from message_passing.process import Address, Value

Packet: TypeAlias = Data[bytes] | Ack | Release | Delivered
PAYLOAD_BYTES_MAX: Final = 1 << 16
FRAME_PACKETS_MAX: Final = 64
COMPACT_BYTES_MIN: Final = 1 << 20


class Frame(Value, frozen=True, gc=False, tag=True, array_like=True):
    """All that one endpoint sends to another in one round."""

    packets: tuple[Packet, ...]


class Delivery(NamedTuple):
    """A message, in causal order.  (`src`, `id`) names it."""

    src: Address
    id: int
    payload: bytes


class Closed(CallerError):
    """The endpoint is closed."""


class TooLong(CallerError):
    """The payload is over the limit."""

    code = "payload-too-long"
    remedy = "send a reference to it, or raise payload_bytes_max at every endpoint"


class NotBytes(CallerError):
    """The payload is not bytes."""

    remedy = "encode it, such as by text.encode() or msgspec"


def checked(payload: bytes, bytes_max: int) -> bytes:
    """The payload as it goes into a message.  Raises `NotBytes`, `TooLong`."""
    if not isinstance(payload, bytes | bytearray | memoryview):
        raise NotBytes(f"the payload is of type {type(payload).__name__}")
    payload = bytes(payload)
    if len(payload) > bytes_max:
        raise TooLong(f"{len(payload)} bytes, the limit is {bytes_max}")
    return payload


class Full(EnvironmentFault):
    """Too many messages are undelivered, and stayed so until the time-out."""

    remedy = "wait longer; if a peer has crashed, call peer_down"


class Excluded(EnvironmentFault):
    """The other endpoints have excluded this endpoint from their view."""

    remedy = "join again under a new name"


class Misdirected(PeerError):
    """A frame names another sender than its real one, or another destination."""
