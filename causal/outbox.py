"""The packets of an endpoint in one round of its loop, packed into as few frames as possible."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from causal.frames import FRAME_PACKETS_MAX, Frame, Packet
from causal.messages import Data, Delivered
from causal.transports.port import NoRoute, Transport
from message_passing.process import Address, Envelope
from message_passing.wire import Codec

_log = logging.getLogger(__name__)


class Outbox:
    """Packets by destination, in order.

    Acknowledgements and releases are cumulative: of several to one peer, the last stands for all.
    They and announcements share a frame with other packets to that peer.
    """

    def __init__(self, name: Address, codec: Codec, transport: Transport) -> None:
        self.name = name
        self._codec = codec
        self._transport = transport
        self._packets: dict[Address, dict[Any, Packet]] = {}
        self._frames = Counter[Address]()

    def post(self, dst: Address, packet: Packet) -> None:
        """Put a packet in."""
        box = self._packets.setdefault(dst, {})
        key: Any = type(packet)
        if key is Data:
            key = packet.id
        elif key is Delivered:
            key = packet
        box.pop(key, None)
        box[key] = packet

    def write(self) -> None:
        """Give all packets to the transport."""
        packets, self._packets = self._packets, {}
        for dst, box in packets.items():
            rest = tuple(box.values())
            while rest:
                now, rest = rest[:FRAME_PACKETS_MAX], rest[FRAME_PACKETS_MAX:]
                self._frames[dst] += 1
                envelope = Envelope(self.name, dst, self._frames[dst], Frame(now))
                try:
                    self._transport.send(dst, self._codec.encode(envelope))
                except NoRoute as error:
                    _log.warning("%s: %s", self.name, error)
