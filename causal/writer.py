"""What leaves an endpoint, once a round of its event loop: the journal first, then the wire.

This is the one place that keeps the order which :mod:`message_passing.turn` describes.  An entry is
on disk before any packet leaves that its event caused.  If the disk fails, nothing leaves any more.
A request that must be on disk is asked in the round that writes it: see `Writer.accept`.
Only a delivery does not wait for the disk: a message that the journal does not hold was not
acknowledged either, so its sender repeats it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from os import urandom
from typing import Any, Final, TypeAlias, TypeVar

from causal.frames import FRAME_PACKETS_MAX
from causal.journal import Began, Entry, Journal, JournalFault, OutcomeUnknown, Rested
from causal.machine import Machine
from causal.messages import Ack, Data, NamedData, Release
from causal.recovery import Recovered, recorded, recover
from causal.transports.port import NoRoute, Transport
from message_passing.errors import EnvironmentFault
from message_passing.process import Address, Envelope, Event, Send
from message_passing.wire import Codec

COMPACT_BYTES_MIN: Final = 1 << 20

T = TypeVar("T")
_Requests: TypeAlias = list[tuple[Callable[[], Any], asyncio.Future[Any]]]
_Answers: TypeAlias = list[tuple[asyncio.Future[Any], Any]]

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

    `rested` gives what a compacted journal begins with.  `changed` is called when requests were
    asked or given up, and when the disk has failed.
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
        #: Requests that this round asks, with what tells their callers the answers.
        self.requests: _Requests = []
        self._outbox, self._journal = outbox, journal
        self._rested, self._changed = rested, changed
        self._began: Began | None = None
        self._entries: list[Entry] = []
        self._sends: list[Send[Any]] = []
        #: Whether a round is due; what will begin it, unless a task does.
        self._is_due = False
        self._round: asyncio.Handle | None = None
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
            if not self._is_due:
                self._write_soon()

    async def accept(self, ask: Callable[[], T]) -> T:
        """What `ask` answers, after its entries have reached the disk.

        Requests of one round are asked and written together, so nothing was asked if the caller is
        cancelled before.  The round belongs to the task of the first request: no cancellation comes
        between its write and its answer.  For the tasks of the others one can, later in that round.
        Raises what `ask` raises, and the error of the disk.  Before `open` it is asked at once.
        """
        if self._loop is None:
            return ask()
        answer: asyncio.Future[T] = self._loop.create_future()
        request = ask, answer
        self.requests.append(request)
        if len(self.requests) > 1:
            return await answer
        if self._round is not None:
            self._round.cancel()
        self._is_due = True
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if answer.done():
                # `close` was faster; what it answered is of no use any more.
                answer.exception()
            else:
                self.requests.remove(request)
            self._write_soon()
            self._changed()
            raise
        self.write()
        return answer.result()

    def write(self) -> None:
        """Ask what was requested, write all entries, then send all packets."""
        answers: _Answers = []
        if requests := self.requests:
            self.requests = []
            answers = self._asked(requests)
        self._is_due = False
        error = self.failure
        if error is None and self._entries and self._journal is not None:
            error = self._append(self._journal)
        for answer, value in answers:
            if error is None:
                answer.set_result(value)
            else:
                answer.set_exception(error)
        if requests or error is not None:
            self._changed()
        sends, self._sends = self._sends, []
        if sends and self.failure is None:
            self._outbox.send(sends)

    def close(self) -> None:
        """Close the journal.  A second call does nothing."""
        if self._journal is not None:
            self._journal.close()

    def _write_soon(self) -> None:
        assert self._loop is not None
        self._is_due = True
        self._round = self._loop.call_soon(self.write)

    def _asked(self, requests: _Requests) -> _Answers:
        """The answers to the requests, except of those whose callers have been cancelled."""
        answers: _Answers = []
        for ask, answer in requests:
            if not answer.done():
                try:
                    answers.append((answer, ask()))
                except Exception as error:
                    answer.set_exception(error)
        return answers

    def _append(self, journal: Journal) -> EnvironmentFault | None:
        """Write the entries, and compact the journal if it is due.  The error of the entries."""
        try:
            journal.append(self._entries)
        except EnvironmentFault as error:
            self._fail(journal, error)
            return error
        self._entries.clear()
        if journal.size > self._compact_at:
            assert self._began is not None
            try:
                journal.replace([self._began, self._rested()])
            except EnvironmentFault as error:
                self._fail(journal, error)
            self._compact_at = max(COMPACT_BYTES_MIN, 4 * journal.size)
        return None

    def _fail(self, journal: Journal, error: EnvironmentFault) -> None:
        _log.error("%s stops: %s", journal.path, error)
        # Later calls are refused, so their outcome is known.
        is_known = not isinstance(error, OutcomeUnknown)
        self.failure = error if is_known else JournalFault(f"{journal.path} has failed")
