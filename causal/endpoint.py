"""Causal delivery for a program: an endpoint sends, and delivers no message before its cause.

::

    async with AsyncEndpoint("planner", team, transport) as planner:
        await planner.send("coder", b"step 1")
        async for message in planner.deliveries():
            ...

At the end of the block an endpoint without a journal leaves the team: it waits until its messages
are delivered, and tells every member.  One with a journal closes, and may come back.

Acknowledgements leave at once, whatever the application does: the endpoint is a sidecar.  In one
round of the event loop all of them to one peer become one, in a frame with its other packets.

Nothing here may block the protocol.  A sender waits while too many of its own messages are
undelivered.  A receiver whose inbox is full drops further messages, as if the link had lost them,
but still takes acknowledgements, so two endpoints that flood each other cannot deadlock.

The endpoint takes turns as :mod:`message_passing.turn` describes them.  `Inbox` holds what is
delivered, `Writer` what is to be written and sent, `Waiting` the tasks that wait for a change;
`Alarm` rings for the timers, and `Membership` carries the view of the team to the transport.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import chain
from typing import Any, Literal

from causal.alarm import Alarm
from causal.frames import (
    FRAME_PACKETS_MAX,
    PAYLOAD_BYTES_MAX,
    Closed,
    Delivery,
    Excluded,
    Full,
    Misdirected,
    TooLong,
    as_bytes,
    frame_of,
)
from causal.hybrid import Hybrid
from causal.inbox import Inbox
from causal.journal import Dealt, Journal, Rested
from causal.machine import Builder
from causal.membership import CONFIRM_S, PATIENCE_S, Membership, Undelivered, Watch
from causal.messages import Admit, Context, Held, Leave, PeerDown, Secret, Unicast
from causal.recorder import Recorder
from causal.requirements import built
from causal.transports.port import Transport
from causal.waiting import Waiting
from causal.writer import Outbox, Writer
from message_passing.errors import CallerError, EnvironmentFault, PeerError
from message_passing.process import Address, Event, Invoke, Receive, Restart, Time
from message_passing.turn import Core, due
from message_passing.wire import Codec

_log = logging.getLogger(__name__)


class AsyncEndpoint:
    """One process of a team that delivers causally.  Used as an async context manager.

    `machine` makes the delivery protocol: `causal.Hybrid`, `causal.Announcing` or any other that
    has what :mod:`causal.requirements` lists.  `resend_after_s` is how long an acknowledgement may
    take before messages are repeated.  `backlog_max` bounds this endpoint's undelivered messages,
    `inbox_max` the delivered ones that its application has not taken.  With a `journal` a crash
    loses nothing that was sent or acknowledged: :mod:`causal.journal`.  A `recorder` records.

    `team` are the founders, and the same for every endpoint.  One that joins later is `joining`: it
    sends once a member has admitted it.  With `suspect_after_s` a member that owes this endpoint
    something and stays silent for that long, although it was asked, is excluded.
    """

    def __init__(
        self,
        name: Address,
        team: Iterable[Address],
        transport: Transport,
        *,
        joining: bool = False,
        machine: Builder = Hybrid,
        journal: Journal | None = None,
        recorder: Recorder | None = None,
        suspect_after_s: float | None = None,
        resend_after_s: float = 0.5,
        backlog_max: int = 1024,
        inbox_max: int = 1024,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
    ) -> None:
        if min(backlog_max, inbox_max, payload_bytes_max) < 1:
            raise CallerError("a limit is below 1", remedy="give positive limits")
        self.name = name
        more = {"joining": joining, "journaled": journal is not None}
        self.machine = built(machine, name, tuple(team), resend_after_s, **more)
        #: Counts of refusals, by the code of the error.
        self.refused: Counter[str] = Counter()
        self.backlog_max, self.payload_bytes_max = backlog_max, payload_bytes_max
        frame = frame_of(self.machine.packets)
        self._codec = Codec(frame, max_bytes=FRAME_PACKETS_MAX * (payload_bytes_max + 1024))
        self._transport = transport
        self._core = Core(self.machine) if recorder is None else recorder.core(self.machine)
        self._inbox = Inbox(inbox_max)
        self._waiting = Waiting(self._stopped)
        self._alarm = Alarm(self._ring)
        self._membership = Membership(self.machine, transport, backlog_max)
        self._watch = None if suspect_after_s is None else Watch(suspect_after_s, self)
        outbox = Outbox(name, self._codec, frame, transport)
        self._writer = Writer(outbox, journal, self._rested, self._waiting.wake)
        self._phase: Literal["new", "open", "closed"] = "new"

    @property
    def state(self) -> Any:
        """The state of the machine."""
        return self._core.state

    async def __aenter__(self) -> AsyncEndpoint:
        await self.open()
        return self

    @property
    def excluded(self) -> bool:
        """Whether the team has excluded this endpoint."""
        return self._membership.excluded

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if self._writer.journaled or self._stopped() is not None:
            await self.close()
        elif kind is None:
            await self.leave(timeout_s=PATIENCE_S)
        else:
            try:
                await self.leave(timeout_s=0.0)
            except (Undelivered, Excluded) as late:
                _log.warning("%s", late)

    async def open(self) -> None:
        """Start the transport.  Raises what the transport and the journal raise."""
        self._alarm.start()
        recovered = self._writer.open(self.machine)
        self._core.state = recovered.state
        self._inbox.restore(recovered.inbox)
        try:
            self._membership.recover(recovered.state)
            await self._transport.start(
                self.name, self.machine.team, recovered.incarnation, self._on_frame, self._refuse
            )
        except BaseException:
            self._writer.close()
            raise
        self._phase = "open"
        self._membership.tell()
        if self._writer.journaled:
            self._turn((Restart(),), self._alarm.time())

    async def close(self, *, flush_s: float = 0.0) -> None:
        """Close, after waiting up to `flush_s` for deliveries.  A second call does nothing."""
        if self._phase == "closed":
            return
        if flush_s > 0 and self._stopped() is None:
            try:
                await self.flush(timeout_s=flush_s)
            except Full:
                _log.warning("%s closes with messages undelivered", self.name)
        self._phase = "closed"
        self._alarm.cancel()
        if self._watch is not None:
            self._watch.alarm.cancel()
        self._writer.write()
        self._waiting.wake()
        with closing(self._writer):
            await self._transport.close()

    # The team.

    def members(self) -> tuple[Address, ...]:
        """The names in this endpoint's view of the team, its own included."""
        return self.machine.members(self.state.view)

    @property
    def lost(self) -> tuple[tuple[Address, int], ...]:
        """Destination and id of messages whose destination was gone before it acknowledged them."""
        return tuple(self._membership.lost)

    def peer_down(self, peer: Address) -> None:
        """Exclude a crashed peer: no process waits for it any more, and its packets are ignored.

        Call it at one member; the members tell each other, and the peer, in case it lives.
        """
        self._ask(PeerDown(peer))

    def admit(self, name: Address, address: str = "") -> None:
        """Take a new endpoint into the team; the members tell each other and the endpoint.

        `address` is where it listens, if the transport uses addresses.  Raises `NoRoute` for a bad
        address, and `DepartedPeer` for a name that was used before.
        """
        self._membership.admissible(name, address)
        self._ask(Admit(name, address))

    async def leave(self, *, timeout_s: float | None = None) -> None:
        """Leave the team for good and close; a second call does nothing.

        Waits until every message of this endpoint is delivered, and accepts no new ones.  No member
        waits for it afterwards.  Delivered messages can still be received.  Raises `Undelivered`
        with what was not delivered within `timeout_s`, and `Excluded` if the team excludes it.
        """
        if self._phase == "closed":
            return
        late: Sequence[tuple[Address, int]] = ()
        try:
            self._ask(Leave())
            try:
                await self._waiting.until(lambda: self._membership.left, timeout_s)
            except Full:
                late = self.machine.undelivered(self.state)
                self._ask(Leave(at_once=True))
            with suppress(Full):
                await self._waiting.until(lambda: not self.state.view.unsure, CONFIRM_S)
        finally:
            await self.close()
        if late:
            raise Undelivered(self.name, late)

    # Sending.

    async def send(self, dst: Address, payload: bytes, *, timeout_s: float | None = None) -> int:
        """Send, and return the message's id; waits while too much is undelivered, or for the disk.

        Raises `UnknownPeer`, `DepartedPeer`, `NotBytes`, `TooLong`, `Closed`, `Excluded`,
        `JournalFault`; `Full` after `timeout_s`.  If it raises or is cancelled, nothing was or will
        be sent.  There are two exceptions, both with a journal: `OutcomeUnknown`, and a task that
        sends at the same time as others may be cancelled too late: see docs/causal.md.
        """
        if type(payload) is not bytes:
            payload = as_bytes(payload)
        if len(payload) > self.payload_bytes_max:
            raise TooLong(f"{len(payload)} bytes, the limit is {self.payload_bytes_max}")
        if not self._membership.admitted:
            await self._waiting.until(lambda: self._membership.admitted, timeout_s)
        if self.backlog() >= self.backlog_max:
            await self._waiting.until(lambda: self.backlog() < self.backlog_max, timeout_s)
        if self._writer.journaled:
            return await self._writer.accept(lambda: self._ask(Unicast(dst, payload)))
        id: int = self._ask(Unicast(dst, payload))
        return id

    async def flush(self, *, timeout_s: float | None = None) -> None:
        """Wait until every message sent so far has been delivered.  Raises `Full`, `Excluded`."""
        await self._waiting.until(lambda: not (self.backlog() or self.excluded), timeout_s)

    def backlog(self) -> int:
        """How many messages were sent from the oldest undelivered one on."""
        return self.machine.backlog(self._core.state) + len(self._writer.requests)

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
        if self._writer.journaled:
            self.dealt_with()
        if not self._inbox.arrived:
            try:
                await self._waiting.until(
                    lambda: bool(self._inbox.arrived) or self._phase == "closed", timeout_s
                )
            except Full:
                raise TimeoutError(f"nothing was delivered in {timeout_s} s") from None
        if not self._inbox.arrived:
            raise Closed(f"{self.name!r} is closed")
        return self._inbox.take()

    def dealt_with(self) -> None:
        """Mark the last received message as finished: a restart does not deliver it again.

        A call for the next message does the same.
        """
        if self._inbox.finish() and self._phase != "closed":
            self._writer.note(Dealt())

    # The knowledge and the secrets of this endpoint.

    def context(self) -> Context:
        """A handle on what this endpoint knows now; take it when a job starts."""
        return self.machine.context(self.state)

    def effects_allowed(self, context: Context) -> bool:
        """Whether everything before `context` is delivered, so that an effect is allowed."""
        return self.machine.effects_allowed(self.state, context)

    async def settled(self, context: Context, *, timeout_s: float | None = None) -> None:
        """Wait until effects are allowed.  Raises `Full` when `timeout_s` is over."""
        await self._waiting.until(lambda: self.effects_allowed(context), timeout_s)

    def secrets(self) -> tuple[Secret, ...]:
        """Eager messages that have not been released yet."""
        return self.machine.secrets(self.state)

    def held(self) -> tuple[Held, ...]:
        """Messages that wait in this endpoint, each with what it waits for."""
        return self.machine.held(self.state)

    # The driver.

    def _stopped(self) -> CallerError | EnvironmentFault | None:
        """Why this endpoint does nothing any more, if so."""
        if self._writer.failure is not None:
            return self._writer.failure
        if self._phase != "open":
            return Closed(f"{self.name!r} is not open")
        if self._membership.excluded:
            return Excluded(f"the team has excluded {self.name!r}")
        return None

    def _on_frame(self, src: Address, data: bytes) -> None:
        if self._phase == "closed" or self._writer.failure is not None:
            return
        try:
            envelope = self._codec.decode(data)
            if (envelope.src, envelope.dst) != (src, self.name):
                raise Misdirected(f"a frame of {envelope.src!r} for {envelope.dst!r} from {src!r}")
        except PeerError as error:
            self._refuse(error)
            return
        if self._watch is not None:
            self._watch.heard(src)
        self._turn(self._received(src, envelope.message.packets), self._alarm.time())

    def _received(self, src: Address, packets: Iterable[Any]) -> Iterator[Receive[Any]]:
        """The packets of a frame as events, except messages that find the inbox full."""
        inbox = self._inbox
        for packet in packets:
            if len(inbox.arrived) >= inbox.limit and hasattr(packet, "payload"):
                self.refused["inbox-full"] += 1
                continue
            yield Receive(src, packet)

    def _refuse(self, error: PeerError) -> None:
        self.refused[error.code] += 1
        _log.warning("%s refused: %s", self.name, error)

    def _ask(self, request: Any) -> Any:
        """The machine's answer to a request of the application."""
        if (error := self._stopped()) is not None:
            raise error
        return self._turn((Invoke(request),), self._alarm.time())

    def _ring(self, at: Time) -> None:
        self._turn((), max(at, self._alarm.time()))

    def _turn(self, events: Iterable[Event[Any, Any]], now: Time) -> Any:
        """Step the timers that are due, then `events`; give the last answer."""
        core, inbox, writer, answer = self._core, self._inbox, self._writer, None
        if self._alarm.at <= now:
            self._alarm.cancel()
            events = chain(due(core.timers, now), events)
        try:
            for event in events:
                before = core.state
                try:
                    _, effects = core.step(event, now)
                except PeerError as error:
                    self._refuse(error)
                    continue
                if core.state.view is not before.view:
                    self._membership.changed(before, core.state)
                if effects.deliveries:
                    inbox.put(effects.deliveries)
                if effects.sends or writer.journaled:
                    writer.put(event, effects.sends)
                if effects.answers:
                    answer = effects.answers[-1]
        finally:
            for at in core.timers.values():
                if at < self._alarm.at:
                    self._alarm.set(at)
            if self._waiting.changes:
                self._waiting.wake()
            if self._watch is not None:
                self._watch.begin(core.state)
        return answer

    def _rested(self) -> Rested:
        return Rested(self.machine.snapshot(self.state), self._inbox.unfinished())
