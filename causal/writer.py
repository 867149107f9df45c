"""What leaves an endpoint, once a round of its event loop: the journal first, then the wire.

This is the one place that keeps the order which :mod:`message_passing.turn` describes.  An entry is
on disk before any packet leaves that its event caused.  If the disk fails, nothing leaves any more.
Only a delivery does not wait for the disk: a message that the journal does not hold was not
acknowledged either, so its sender repeats it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from os import urandom
from typing import Any, Final

from causal.frames import FRAME_PACKETS_MAX
from causal.journal import Began, Entry, Journal, Rested
from causal.machine import Machine
from causal.messages import Ack, Data, NamedData, Release
from causal.recovery import Recovered, recorded, recover
from causal.transports.port import NoRoute, Transport
from message_passing.errors import EnvironmentFault
from message_passing.process import Address, Envelope, Event, Send
from message_passing.wire import Codec

COMPACT_BYTES_MIN: Final = 1 << 20

_log = logging.getLogger(__name__)


class Outbox:
    """Packs packets into as few frames as possible, by destination and in order.

    Acknowledgements and releases are cumulative: of several to one peer, the last stands for all.
    Of a message the last copy stands for all, and of other packets one of several that are equal.
    """

    def __init__(
        self, name: Address, codec: Codec, frame: Callable[..., Any], transport: Transport
    ) -> None:
        self._name = name
        self._codec = codec
        self._frame = frame
        self._transport = transport
        self._sent = Counter[Address]()

    def send(self, sends: Sequence[Send[Any]]) -> None:
        """Give the packets to the transport."""
        packets: dict[Address, dict[Any, Any]] = {}
        for send in sends:
            packet = send.message
            box = packets.get(send.dst)
            if box is None:
                box = packets[send.dst] = {}
            key: Any = type(packet)
            if key is Data or key is NamedData:
                key = packet.id
            elif key is not Ack and key is not Release:
                key = packet
            if key in box:
                del box[key]
            box[key] = packet
        for dst, box in packets.items():
            rest = tuple(box.values())
            while rest:
                now, rest = rest[:FRAME_PACKETS_MAX], rest[FRAME_PACKETS_MAX:]
                self._sent[dst] += 1
                envelope = Envelope(self._name, dst, self._sent[dst], self._frame(now))
                try:
                    self._transport.send(dst, self._codec.encode(envelope))
                except NoRoute as error:
                    _log.warning("%s: %s", self._name, error)


class Writer:
    """Journal and outbox of one endpoint.

    `rested` gives what a compacted journal begins with.  `changed` is called when entries have
    reached the disk, and when the disk has failed.
    """

    def __init__(
        self,
        outbox: Outbox,
        journal: Journal | None,
        rested: Callable[[], Rested],
        changed: Callable[[], None],
    ) -> None:
        #: Why nothing is written or sent any more.
        self.failure: EnvironmentFault | None = None
        self.journaled = journal is not None
        #: Counts of entries: those that were noted, and those that are on disk.
        self.noted = self.written = 0
        self._outbox, self._journal = outbox, journal
        self._rested, self._changed = rested, changed
        self._began: Began | None = None
        self._entries: list[Entry] = []
        self._sends: list[Send[Any]] = []
        self._is_due = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._compact_at = COMPACT_BYTES_MIN

    def open(self, machine: Machine[Any]) -> Recovered:
        """Recover from the journal, or begin it if it is empty.

        Raises as `Journal.open` and `recover` do; the journal is closed then.
        """
        self._loop = asyncio.get_running_loop()
        fresh = Recovered(urandom(8), machine.initial(), ())
        journal = self._journal
        if journal is None:
            return fresh
        entries = journal.open()
        try:
            recovered = recover(machine, entries) if entries else fresh
            self._began = Began(machine.me, machine.team, recovered.incarnation, machine.name)
            # Without entries this brings a journal in the earlier form up to date.
            journal.append([] if entries else [self._began])
        except BaseException:
            journal.close()
            raise
        return recovered

    def put(self, event: Event[Any, Any], sends: Sequence[Send[Any]]) -> None:
        """Take in a step: its event for the journal, its packets for the wire."""
        if self._journal is not None and (entry := recorded(event)) is not None:
            self.note(entry)
        if sends:
            self._sends += sends
            if not self._is_due:
                self._write_soon()

    def note(self, entry: Entry) -> None:
        """Take in an entry for the journal, if there is one."""
        if self._journal is not None:
            self._entries.append(entry)
            self.noted += 1
            if not self._is_due:
                self._write_soon()

    def write(self) -> None:
        """Write all entries, then send all packets."""
        self._is_due = False
        if self.failure is not None:
            self._sends.clear()
            return
        if self._entries and self._journal is not None:
            try:
                self._record(self._journal)
            except EnvironmentFault as error:
                _log.error("%s stops: %s", self._journal.path, error)
                self.failure = error
                return
            finally:
                self._changed()
        if self._sends:
            sends, self._sends = self._sends, []
            self._outbox.send(sends)

    def close(self) -> None:
        """Close the journal.  A second call does nothing."""
        if self._journal is not None:
            self._journal.close()

    def _write_soon(self) -> None:
        assert self._loop is not None
        self._is_due = True
        self._loop.call_soon(self.write)

    def _record(self, journal: Journal) -> None:
        journal.append(self._entries)
        self._entries.clear()
        self.written = self.noted
        if journal.size > self._compact_at:
            assert self._began is not None
            journal.replace([self._began, self._rested()])
            self._compact_at = max(COMPACT_BYTES_MIN, 4 * journal.size)
