"""The driver: runs one process on arriving events, in the calling thread.

A turn is: step the timers that are due, then the event; for each step, make durable, then act, in
the order that `message_passing.turn.Ready` defines.  `message_passing.aio` is the twin for an event
loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from message_passing.errors import EnvironmentFault
from message_passing.ports import Busy, Clock, Journal, Reentrant, Trace, Transport
from message_passing.process import Address, Envelope, Event, Invoke, Process, Restart, Time
from message_passing.turn import Core, Ready


class Unanswered(EnvironmentFault):
    """No message can come any more and no timer is armed, but the request is unanswered."""

    remedy = "the transport is closed, or messages were lost and the process set no timer"


class Runtime:
    """Runs a process in the calling thread; for one thread at a time."""

    def __init__(
        self,
        address: Address,
        process: Process[Any, Any, Any],
        transport: Transport,
        clock: Clock,
        journal: Journal,
        *,
        on_deliver: Callable[[Address, Any], None] | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.core = Core(address, process)
        self._transport, self._clock, self._journal = transport, clock, journal
        self._on_deliver, self._trace = on_deliver or _ignore, trace
        self._outbox: deque[Envelope[Any]] = deque()
        self._answers: list[Any] = []
        self._in_turn = False

    def start(self) -> None:
        """After a crash: send what may not have left, step `Restart`.  Else do nothing."""
        saved = self._journal.load()
        if saved is not None:
            self.core.restore(saved)
            self._outbox.extend(saved.unsent)
            self._turn(Restart())

    def call(self, request: Any) -> Any:
        """Ask the process, and block until it answers.

        Raises `Busy` or `Reentrant` with nothing changed; `Unanswered` with the request still
        outstanding.
        """
        if self.core.outstanding:
            raise Busy(f"{self.core.address!r} has a request outstanding")
        self._require_idle()
        self._answers.clear()
        self._turn(Invoke(request))
        while not self._answers:
            deadline = self.core.deadline
            envelope = self._transport.wait(deadline)
            if envelope is not None:
                self.receive(envelope)
            elif deadline is None:
                raise Unanswered(f"{self.core.address!r} still owes an answer to {request!r}")
            else:
                self.due()
        return self._answers.pop()

    def receive(self, envelope: Envelope[Any]) -> None:
        """Process a message.  On return it is durable, so a transport may acknowledge it."""
        self._turn(self.core.accept(envelope))

    def due(self) -> Time | None:
        """Step the timers that are due; returns when the next one will be."""
        self._turn(None)
        return self.core.deadline

    def _turn(self, event: Event[Any, Any] | None) -> None:
        self._require_idle()
        self._in_turn = True
        try:
            now = self._clock()
            for timeout in self.core.overdue(now):
                self._carry_out(self.core.step(timeout, now), now)
            if event is not None:
                self._carry_out(self.core.step(event, now), now)
        finally:
            self._in_turn = False

    def _carry_out(self, ready: Ready, now: Time) -> None:
        if self.core.must_save(ready):
            self._journal.save(ready.durable, ready.outgoing)
        self.core.adopt(ready)
        self._outbox.extend(ready.outgoing)
        self._answers.extend(ready.answers)
        if self._trace is not None:
            self._trace(now, self.core.address, ready.event, ready.step)
        for delivery in ready.deliveries:
            self._on_deliver(delivery.src, delivery.message)
        while self._outbox:
            self._transport.send(self._outbox[0])
            self._journal.sent(self._outbox.popleft())

    def _require_idle(self) -> None:
        if self._in_turn:
            raise Reentrant(f"{self.core.address!r} was called within its own step")


def _ignore(src: Address, message: Any) -> None:
    pass
