"""Causal delivery for a program: an endpoint sends, and delivers no message before its cause.

::

    async with AsyncEndpoint("planner", team, transport) as planner:
        await planner.send("coder", b"step 1")
        async for message in planner.deliveries():
            ...

Acknowledgements leave at once, whatever the application does: the endpoint is a sidecar.  In one
round of the event loop all of them to one peer become one, in a frame with its other packets.

Nothing here may block the protocol.  A sender waits while too many of its own messages are
undelivered.  A receiver whose inbox is full drops further messages, as if the link had lost them,
but still takes acknowledgements, so two endpoints that flood each other cannot deadlock.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from os import urandom
from types import TracebackType
from typing import Any

from causal.announcing import Announcing
from causal.frames import (
    COMPACT_BYTES_MIN,
    FRAME_PACKETS_MAX,
    PAYLOAD_BYTES_MAX,
    Closed,
    Delivery,
    Excluded,
    Frame,
    Full,
    Misdirected,
    checked,
)
from causal.hybrid import Hybrid
from causal.journal import Began, Dealt, Down, Entry, Got, Journal, Rested, Sent
from causal.messages import Context, Data, Held, PeerDown, Secret, Unicast
from causal.outbox import Outbox
from causal.recovery import recover
from causal.transports.port import Transport
from message_passing.errors import CallerError, EnvironmentFault, PeerError
from message_passing.network import Guarantee
from message_passing.process import (
    Address,
    Deliver,
    Event,
    Invoke,
    Receive,
    Respond,
    Restart,
    Send,
    SetTimer,
    Timeout,
)
from message_passing.wire import Codec

_log = logging.getLogger(__name__)


class AsyncEndpoint:
    """One process of a team that delivers causally.  Used as an async context manager.

    `team` are the names of all endpoints.  `resend_after_s` is how long an acknowledgement may take
    before messages are repeated.  `backlog_max` bounds this endpoint's undelivered messages,
    `inbox_max` the delivered messages that its application has not taken.  With `announces` the
    endpoint tells the whole team of each delivery: see :mod:`causal.announcing`.  With a `journal`
    a crash loses nothing that was sent or acknowledged: see :mod:`causal.journal`.
    """

    def __init__(
        self,
        name: Address,
        team: Iterable[Address],
        transport: Transport,
        *,
        journal: Journal | None = None,
        resend_after_s: float = 0.5,
        backlog_max: int = 1024,
        inbox_max: int = 1024,
        announces: bool = False,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
    ) -> None:
        if min(backlog_max, inbox_max, payload_bytes_max) < 1:
            raise CallerError("a limit is below 1", remedy="give positive limits")
        self.name = name
        # A frame may be lost with its connection, repeated by us, or dropped from a full buffer.
        links = Guarantee.UNORDERED_LOSSY_DUPLICATING
        build = Announcing if announces else Hybrid
        self.machine = build(name, team, links=links, resend_after=resend_after_s)
        self.state = self.machine.initial()
        #: Counts of refusals, by the code of the error.
        self.refused: Counter[str] = Counter()
        self.excluded = False
        self.backlog_max, self.inbox_max = backlog_max, inbox_max
        self.payload_bytes_max = payload_bytes_max
        frame_bytes = FRAME_PACKETS_MAX * (payload_bytes_max + 1024)
        self._codec = Codec(Frame, max_bytes=frame_bytes)
        self._transport = transport
        self._outbox = Outbox(name, self._codec, transport)
        self._journal = journal
        self._unwritten: list[Entry] = []
        self._failure: EnvironmentFault | None = None
        self._writes_due = False
        self._handed = False
        self._last: Delivery | None = None
        self._compact_at = COMPACT_BYTES_MIN
        self._incarnation = urandom(8)
        self._inbox: deque[Delivery] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._changed: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def __aenter__(self) -> AsyncEndpoint:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Start the transport.  Raises what the transport raises."""
        self._loop = asyncio.get_running_loop()
        if self._journal is not None:
            self._recover(self._journal)
        try:
            await self._transport.start(self.name, self._incarnation, self._on_frame, self._refuse)
        except BaseException:
            if self._journal is not None:
                self._journal.close()
            raise
        if self._journal is not None:
            self._step(Restart())

    def _recover(self, journal: Journal) -> None:
        """Restore this endpoint from its journal, or begin the journal if it is empty."""
        entries = journal.open()
        if not entries:
            journal.append([self._began()])
            return
        try:
            recovered = recover(self.machine, entries)
        except CallerError:
            journal.close()
            raise
        self.state, self._incarnation = recovered.state, recovered.incarnation
        self._inbox.extend(Delivery(*message) for message in recovered.inbox)

    def _began(self) -> Began:
        return Began(self.name, self.machine.team, self._incarnation, self.machine.name)

    async def close(self, *, flush_s: float = 0.0) -> None:
        """Close, after waiting up to `flush_s` for deliveries.  A second call does nothing."""
        if self._closed:
            return
        if flush_s > 0 and not self.excluded and self._failure is None:
            try:
                await self.flush(timeout_s=flush_s)
            except Full:
                _log.warning("%s closes with messages undelivered", self.name)
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()
        self._write()
        self._wake()
        await self._transport.close()
        if self._journal is not None:
            self._journal.close()

    # Sending.

    async def send(self, dst: Address, payload: bytes, *, timeout_s: float | None = None) -> int:
        """Send, and return the message's id; waits only while too much is undelivered.

        Raises `UnknownPeer`, `DepartedPeer`, `NotBytes`, `TooLong`, `Closed`, `Excluded`; `Full`
        after `timeout_s`.  If it raises, nothing was sent.
        """
        payload = checked(payload, self.payload_bytes_max)
        if self.backlog() >= self.backlog_max:
            await self._until(lambda: self.backlog() < self.backlog_max, timeout_s)
        self._usable()
        result = self._step(Invoke(Unicast(dst, payload)))
        assert isinstance(result, int)
        if self._journal is not None:
            self._note(Sent(dst, payload))
            await self._until(lambda: not self._unwritten, None)
        return result

    async def flush(self, *, timeout_s: float | None = None) -> None:
        """Wait until every message sent so far has been delivered.  Raises `Full`, `Excluded`."""
        await self._until(lambda: self.backlog() == 0, timeout_s)

    def backlog(self) -> int:
        """How many messages were sent from the oldest undelivered one on."""
        return self.machine.backlog(self.state)

    # Receiving.

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """Messages in causal order, until the endpoint is closed.  Raises `Excluded`."""
        while True:
            try:
                yield await self.receive()
            except Closed:
                return

    async def receive(self, *, timeout_s: float | None = None) -> Delivery:
        """The next message.  Raises `Closed`, `Excluded`; `TimeoutError` when the time is over."""
        self.dealt_with()
        if not self._inbox:
            try:
                await self._until(lambda: bool(self._inbox) or self._closed, timeout_s)
            except Full:
                raise TimeoutError(f"nothing was delivered in {timeout_s} s") from None
        if not self._inbox:
            raise Closed(f"{self.name!r} is closed")
        self._handed, self._last = True, self._inbox.popleft()
        return self._last

    def dealt_with(self) -> None:
        """Mark the last received message as finished: a restart does not deliver it again.

        A call for the next message does the same.
        """
        if self._handed and self._journal is not None and not self._closed:
            self._note(Dealt())
        self._handed = False

    # The knowledge and the secrets of this endpoint.

    def context(self) -> Context:
        """A handle on what this endpoint knows now; take it when a job starts."""
        return self.machine.context(self.state)

    def effects_allowed(self, context: Context) -> bool:
        """Whether everything before `context` is delivered, so that an effect is allowed."""
        return self.machine.effects_allowed(self.state, context)

    async def settled(self, context: Context, *, timeout_s: float | None = None) -> None:
        """Wait until effects are allowed.  Raises `Full` when `timeout_s` is over."""
        await self._until(lambda: self.effects_allowed(context), timeout_s)

    def secrets(self) -> tuple[Secret, ...]:
        """Eager messages that have not been released yet."""
        return self.machine.secrets(self.state)

    def held(self) -> tuple[Held, ...]:
        """Messages that wait in this endpoint, each with what it waits for."""
        return self.machine.held(self.state)

    def peer_down(self, peer: Address) -> None:
        """Exclude a crashed peer: no process waits for it any more, and its packets are ignored.

        Call it at every survivor, from the service that detects crashes.  A survivor that is not
        told learns it from the first packet of a survivor that knows.
        """
        self._usable()
        self._step(Invoke(PeerDown(peer)))
        if self._journal is not None:
            self._note(Down(peer))

    # The driver.

    def _usable(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed or self._loop is None:
            raise Closed(f"{self.name!r} is not open")
        if self.excluded:
            raise Excluded(f"the team has excluded {self.name!r}")

    def _on_frame(self, src: Address, data: bytes) -> None:
        if self._closed or self._failure is not None:
            return
        try:
            envelope = self._codec.decode(data)
            if (envelope.src, envelope.dst) != (src, self.name):
                raise Misdirected(f"a frame of {envelope.src!r} for {envelope.dst!r} from {src!r}")
        except PeerError as error:
            self._refuse(error)
            return
        for packet in envelope.message.packets:
            if self.name in packet.gone:
                self.excluded = True
                self._wake()
            if type(packet) is Data and len(self._inbox) >= self.inbox_max:
                self.refused["inbox-full"] += 1
                continue
            try:
                self._step(Receive(src, packet))
            except PeerError as error:
                self._refuse(error)
                continue
            if self._journal is not None:
                self._note(Got(src, packet))

    def _refuse(self, error: PeerError) -> None:
        self.refused[error.code] += 1
        _log.warning("%s refused: %s", self.name, error)

    def _step(self, event: Event[Any, Any]) -> Any:
        assert self._loop is not None
        now = self._loop.time()
        step = self.machine.step(self.state, event, now)
        self.state = step.state
        result = None
        command: Any
        for command in step.commands:
            kind = type(command)
            if kind is Send:
                self._outbox.post(command.dst, command.message)
                self._write_soon()
            elif kind is Deliver:
                message = command.message
                self._inbox.append(Delivery(command.src, message.id, message.payload))
            elif kind is Respond:
                result = command.result
            elif kind is SetTimer:
                self._alarm = self._loop.call_at(command.at, self._ring, command.name)
        if self._changed:
            self._wake()
        return result

    def _ring(self, name: str) -> None:
        if not self._closed:
            self._step(Timeout(name))

    def _note(self, entry: Entry) -> None:
        self._unwritten.append(entry)
        self._write_soon()

    def _write_soon(self) -> None:
        if not self._writes_due:
            assert self._loop is not None
            self._writes_due = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        """Once a round: write the journal to disk, then send."""
        self._writes_due = False
        if self._failure is not None:
            return
        if self._journal is not None and self._unwritten:
            try:
                self._record(self._journal)
            except EnvironmentFault as error:
                # Nothing may be sent before it is on disk: from here on this endpoint is mute.
                _log.error("%s stops: %s", self.name, error)
                self._failure = error
                self._wake()
                return
        self._outbox.write()

    def _record(self, journal: Journal) -> None:
        journal.append(self._unwritten)
        self._unwritten.clear()
        if journal.size > self._compact_at:
            inbox = tuple(self._inbox)
            if self._handed and self._last is not None:
                inbox = (self._last, *inbox)
            journal.replace([self._began(), Rested(self.machine.snapshot(self.state), inbox)])
            self._compact_at = max(COMPACT_BYTES_MIN, 4 * journal.size)
        self._wake()

    async def _until(self, done: Any, timeout_s: float | None) -> None:
        """Wait until a step makes `done` true."""
        deadline = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s
        while not done():
            if self._failure is not None:
                raise self._failure
            if self.excluded:
                raise Excluded(f"the team has excluded {self.name!r}")
            if self._closed:
                raise Closed(f"{self.name!r} is closed")
            change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._changed.add(change)
            try:
                async with asyncio.timeout_at(deadline):
                    await change
            except TimeoutError:
                raise Full(f"{self.name!r} waited {timeout_s} s") from None
            finally:
                self._changed.discard(change)

    def _wake(self) -> None:
        for change in self._changed:
            if not change.done():
                change.set_result(None)
