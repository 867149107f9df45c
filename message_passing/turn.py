"""One turn of a driver, without its I/O: first the durable state, then the effects.

`Ready` says, field by field, what must be durable before what is sent.  After a crash a new driver
starts on the same journal.  It sends the saved envelopes that may not have left, then steps
`Restart`, in which the process arms its timers again, since timers are not durable.

An envelope that left just before a crash is sent again with the same `seq`.  A transport without
duplicates drops it by that number; over any other the process must tolerate it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any, NamedTuple

from message_passing.errors import PeerError
from message_passing.ports import BrokenContract, Busy, Saved
from message_passing.process import (
    Address,
    CancelTimer,
    Deliver,
    Envelope,
    Event,
    Invoke,
    Process,
    Receive,
    Respond,
    Send,
    SetTimer,
    Step,
    Time,
    Timeout,
)

_NEVER = object()


class Misaddressed(PeerError):
    """An envelope was handed to a process that it is not addressed to."""


class Ready(NamedTuple):
    """The effects of a step, in the order in which its driver performs them."""

    event: Event[Any, Any]
    step: Step[Any]
    #: First, in one write with `outgoing`: the part of the state that survives.
    durable: Any
    #: Saved BEFORE the first of them is sent; sent in this order.
    outgoing: tuple[Envelope[Any], ...]
    #: Handed over once `durable` is saved.  A crash in between loses them: at most once.
    deliveries: tuple[Deliver[Any], ...]
    #: At most one, returned once `durable` is saved.  After a crash in between the caller cannot
    #: know the outcome.
    answers: tuple[Any, ...]


class Core:
    """One process with its state, timers and sequence numbers; no I/O.

    `step` changes nothing, so a failed save leaves the process unchanged; `adopt` follows a save.
    """

    def __init__(self, address: Address, process: Process[Any, Any, Any]) -> None:
        self.address = address
        self.process = process
        self.state = process.initial()
        self.timers: dict[str, Time] = {}
        self.outstanding = False
        self._sequence: dict[Address, int] = {}
        self._saved: Any = _NEVER

    def restore(self, saved: Saved) -> None:
        """Continue from the contents of the journal."""
        self.state = self._saved = saved.state
        self._sequence = dict(saved.sequence)

    def step(self, event: Event[Any, Any], now: Time) -> Ready:
        """Compute the effects of `event`.  Raises `Busy` for a second request."""
        if type(event) is Invoke and self.outstanding:
            raise Busy(f"{self.address!r} has a request outstanding")
        step = self.process.step(self.state, event, now)
        sequence: dict[Address, int] = {}
        outgoing = []
        for command in step.commands:
            if type(command) is Send:
                dst = command.dst
                sequence[dst] = sequence.get(dst, self._sequence.get(dst, 0)) + 1
                outgoing.append(Envelope(self.address, dst, sequence[dst], command.message))
        answers = tuple(c.result for c in step.commands if type(c) is Respond)
        if len(answers) > (self.outstanding or type(event) is Invoke):
            raise BrokenContract(f"{self.address!r} gave more answers than there are requests")
        deliveries = tuple(c for c in step.commands if type(c) is Deliver)
        durable = self.process.durable(step.state)
        return Ready(event, step, durable, tuple(outgoing), deliveries, answers)

    def must_save(self, ready: Ready) -> bool:
        """Whether anything new must become durable: a step that only reads writes nothing."""
        return bool(ready.outgoing) or self._saved is _NEVER or ready.durable != self._saved

    def adopt(self, ready: Ready) -> None:
        """Adopt the step's outcome, timers included."""
        self.state, self._saved = ready.step.state, ready.durable
        if type(ready.event) is Timeout:
            self.timers.pop(ready.event.name, None)
        for command in ready.step.commands:
            if type(command) is SetTimer:
                self.timers[command.name] = command.at
            elif type(command) is CancelTimer:
                self.timers.pop(command.name, None)
        for envelope in ready.outgoing:
            self._sequence[envelope.dst] = envelope.seq
        self.outstanding = (self.outstanding or type(ready.event) is Invoke) and not ready.answers

    def overdue(self, now: Time) -> Iterator[Timeout]:
        """The timers that are due now, earliest first, each if it is still due when its turn comes.

        Each fires at most once, so a process that arms a timer for the past does not hang its
        driver.
        """
        for _, name in sorted((at, name) for name, at in self.timers.items() if at <= now):
            if self.timers.get(name, inf) <= now:
                yield Timeout(name)

    @property
    def deadline(self) -> Time | None:
        """When the next timer is due."""
        return min((at for at in self.timers.values() if at < inf), default=None)

    def accept(self, envelope: Envelope[Any]) -> Receive[Any]:
        """The event of an envelope.  Raises `Misaddressed`."""
        if envelope.dst != self.address:
            raise Misaddressed(f"{self.address!r} was handed an envelope for {envelope.dst!r}")
        return Receive(envelope.src, envelope.message)
