"""Recorded runs, checked against the tables: each step must be one that the protocol could take.

A trace of `message_passing.trace` is accepted if each of its steps is possible in turn.  An
arriving message was sent and may arrive under the network's guarantee; a timer that is due was
armed for this time or earlier; a restarting process starts from its durable state.  The real step
on that event names the recorded action, gives the recorded commands and leads to the recorded
state.

The first step that is not possible is named.  An empty trace is refused: it would prove nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from message_passing.canonical import digest, plain
from message_passing.errors import ToolkitError
from message_passing.network import Guarantee
from message_passing.process import (
    Address,
    Event,
    Invoke,
    Process,
    Receive,
    Restart,
    Step,
    Time,
    Timeout,
)
from message_passing.trace import Line
from message_passing.turn import interpret


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How far a trace is a run of the protocol: `steps` are; `refused` says why the next is not."""

    steps: int
    refused: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the whole trace is."""
        return not self.refused


class _NotPossible(Exception):
    """The current step cannot be a step of the protocol."""


class _Channel:
    """The messages sent between two processes, and those that may still arrive."""

    def __init__(self, guarantee: Guarantee) -> None:
        self._guarantee = guarantee
        self._sent: list[bytes] = []
        self._received: list[int] = []
        self._last = -1

    def send(self, message: bytes) -> None:
        self._sent.append(message)

    def receive(self, message: bytes) -> None:
        """Take the earliest copy that may arrive now."""
        for place, sent in enumerate(self._sent):
            if sent == message and self._may_arrive(place):
                self._received.append(place)
                self._last = place
                return
        raise _NotPossible("the message was not sent, or may not arrive now")

    def _may_arrive(self, place: int) -> bool:
        if not self._guarantee.ordered:
            return self._guarantee.duplicating or place not in self._received
        if place == self._last:
            return self._guarantee.duplicating
        return place > self._last if self._guarantee.lossy else place == self._last + 1


Judge: TypeAlias = Callable[[Address, Event[Any, Any], Step[Any]], str]


def _indifferent(address: Address, event: Event[Any, Any], step: Step[Any]) -> str:
    return ""


class Acceptor:
    """Follows one run.  `requests` and `messages` are the types that events carry.

    `early` are timers that a driver may fire before they are due, since the process only gives
    something up.  Without `one_clock` each process counts time by a clock of its own.  `judge`
    names the invariant that a possible step breaks, or nothing.
    """

    def __init__(
        self,
        processes: Mapping[Address, Process[Any, Any, Any]],
        guarantee: Guarantee,
        requests: Any,
        messages: Any,
        *,
        early: frozenset[str] = frozenset(),
        one_clock: bool = True,
        judge: Judge = _indifferent,
    ) -> None:
        self._processes = processes
        self._early = early
        self._one_clock = one_clock
        self._judge = judge
        self._guarantee = guarantee
        self._event = Invoke[requests] | Receive[messages] | Timeout | Restart
        self._states = {address: process.initial() for address, process in processes.items()}
        self._timers: dict[Address, dict[str, Time]] = {address: {} for address in processes}
        self._channels: dict[tuple[Address, Address], _Channel] = {}
        self._now: dict[Address, Time] = {}

    def follow(self, lines: Iterable[Line]) -> Acceptance:
        """How far `lines` are a run, from the initial state on."""
        steps = 0
        for steps, line in enumerate(lines, start=1):
            try:
                self._take(line)
            except _NotPossible as error:
                return Acceptance(steps - 1, f"step {steps} ({line.action}): {error}")
        return Acceptance(steps, "" if steps else "an empty trace")

    def _take(self, line: Line) -> None:
        if line.process not in self._processes:
            raise _NotPossible(f"no process {line.process!r}")
        clock = "" if self._one_clock else line.process
        if line.time < self._now.get(clock, float("-inf")):
            raise _NotPossible("time goes back")
        self._now[clock] = line.time
        try:
            event: Any = msgspec.convert(line.event, self._event)
        except (msgspec.ValidationError, ToolkitError) as error:
            raise _NotPossible(f"no event of the protocol: {error}") from error
        if plain(event) != line.event:
            raise _NotPossible("the event has fields that the protocol does not know")
        self._admit(line.process, event, line.time)
        process = self._processes[line.process]
        try:
            step = process.step(self._states[line.process], event, line.time)
        except ToolkitError as error:
            raise _NotPossible(str(error)) from error
        if step.action != line.action:
            raise _NotPossible(f"the table takes {step.action}")
        if plain(step.commands) != line.commands:
            raise _NotPossible("the table gives other commands")
        if digest(step.state) != line.state:
            raise _NotPossible("the table leads to another state")
        if broken := self._judge(line.process, event, step):
            raise _NotPossible(f"{broken} is broken")
        self._states[line.process] = step.state
        self._carry_out(line.process, step.commands)

    def _admit(self, address: Address, event: Any, now: Time) -> None:
        """Check that the event may happen now, and consume its message or timer."""
        if isinstance(event, Receive):
            channel = self._channels.get((event.src, address))
            if channel is None:
                raise _NotPossible(f"{event.src} has sent {address} nothing")
            channel.receive(msgspec.json.encode(plain(event.message)))
        elif isinstance(event, Timeout):
            due = self._timers[address].pop(event.name, None)
            if event.name not in self._early and (due is None or due > now):
                raise _NotPossible(f"timer {event.name} is not due")
        elif isinstance(event, Restart):
            self._states[address] = self._processes[address].durable(self._states[address])
            self._timers[address].clear()

    def _carry_out(self, address: Address, commands: Sequence[Any]) -> None:
        for send in interpret(commands, self._timers[address]).sends:
            channel = self._channels.setdefault((address, send.dst), _Channel(self._guarantee))
            channel.send(msgspec.json.encode(plain(send.message)))
