"""The frames of endpoints, their deliveries to applications, and their refusals."""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from causal.messages import Ack, Data, Delivered, Notice, Release
from causal.repeat import BATCH
from message_passing.errors import CallerError, EnvironmentFault, PeerError
from message_passing.process import Address, Value

Packet: TypeAlias = Data[bytes] | Ack | Release | Delivered | Notice
PAYLOAD_BYTES_MAX: Final = 1 << 16
FRAME_PACKETS_MAX: Final = BATCH


class Frame(Value, frozen=True, gc=False, tag=True, array_like=True):
    """All that one endpoint sends to another in one round."""

    packets: tuple[Packet, ...]


def with_notices(packets: Any) -> Any:
    """The packets of a machine, as ``A | B``, and those of every view."""
    return packets | Notice


@cache
def frame_of(packets: Any) -> Any:
    """The class of frames with packets of that union, on the wire as a `Frame`."""
    packets = with_notices(packets)
    if packets == Packet:
        return Frame
    fields = [("packets", tuple[packets, ...])]
    return msgspec.defstruct(
        "Frame", fields, bases=(Value,), frozen=True, gc=False, tag="Frame", array_like=True
    )


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


def as_bytes(payload: object) -> bytes:
    """A payload of any type that holds bytes.  Raises `NotBytes`."""
    if not isinstance(payload, bytes | bytearray | memoryview):
        raise NotBytes(f"the payload is of type {type(payload).__name__}")
    return bytes(payload)


class UnsuitableMachine(CallerError):
    """No endpoint can run that machine: a call that the endpoint needs is missing."""

    remedy = "give Hybrid, Announcing, or a machine that has what causal.requirements lists"


class Full(EnvironmentFault):
    """Too many messages are undelivered, and stayed so until the time-out."""

    remedy = "wait longer; if a peer has crashed, call peer_down"


class Excluded(EnvironmentFault):
    """The other endpoints have excluded this endpoint from their view."""

    remedy = "join again under a new name"


class Misdirected(PeerError):
    """A frame names another sender than its real one, or another destination."""
