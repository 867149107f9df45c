"""One turn of a driver, without its I/O: the timers that are due, then the event.

A driver makes a turn in four moves, in this order:

1. It steps the timers that are due (`due`), the earliest first, then the event that arrived.
2. It carries out each step's commands (`interpret`): timers are armed and disarmed at once, and
   `Effects` holds all that concerns the world outside.
3. It makes the new state, or the event from which the state follows, durable.
4. Only then it sends, delivers and answers.  After a crash in between, a message that was not sent
   counts as lost, and a caller without an answer cannot know the outcome.

Homes take all four moves in one transaction of their store (`coherence.runtime.homes`), an
endpoint in one write of its journal (`causal.writer`).  A cache is not durable, so its third
move is empty.  The simulator and the checker interpret commands in loops of their own, for speed;
a test compares both with `interpret` on random steps.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from math import inf
from typing import Any

import msgspec

from message_passing.ports import BrokenContract
from message_passing.process import (
    CancelTimer,
    Command,
    Deliver,
    Event,
    Process,
    Respond,
    Send,
    SetTimer,
    Step,
    Time,
    Timeout,
)


class Effects(msgspec.Struct, frozen=True, gc=False):
    """What a step asks of the world outside, each kind in the order of its commands."""

    sends: Sequence[Send[Any]] = ()
    deliveries: Sequence[Deliver[Any]] = ()
    answers: Sequence[Any] = ()


NOTHING = Effects()


def interpret(commands: Sequence[Command[Any, Any]], timers: MutableMapping[str, Time]) -> Effects:
    """Arm and disarm `timers`, and sort the other commands.  A second call changes nothing.

    Raises `BrokenContract` for a value that is not a command.
    """
    if not commands:
        return NOTHING
    if len(commands) == 1:  # most steps: a message, or an answer
        only: Any = commands[0]
        if type(only) is Send:
            return Effects(commands)  # type: ignore[arg-type]
        if type(only) is Respond:
            return Effects((), (), (only.result,))
    sends: list[Send[Any]] = []
    deliveries: list[Deliver[Any]] = []
    answers: list[Any] = []
    for command in commands:
        kind = type(command)
        if kind is Send:
            sends.append(command)  # type: ignore[arg-type]
        elif kind is Respond:
            answers.append(command.result)  # type: ignore[union-attr]
        elif kind is Deliver:
            deliveries.append(command)  # type: ignore[arg-type]
        elif kind is SetTimer:
            timers[command.name] = command.at  # type: ignore[union-attr]
        elif kind is CancelTimer:
            timers.pop(command.name, None)  # type: ignore[union-attr]
        else:
            raise BrokenContract(f"{command!r} is not a command")
    return Effects(sends, deliveries, answers)


def due(timers: MutableMapping[str, Time], now: Time) -> Iterator[Timeout]:
    """Disarm the timers that are due, one after the other, the earliest first.

    A timer that an earlier one has disarmed or moved does not fire.  Each fires at most once, so a
    process that arms a timer for the past does not hang its driver.
    """
    for _, name in sorted((at, name) for name, at in timers.items() if at <= now):
        if timers.get(name, inf) <= now:
            del timers[name]
            yield Timeout(name)


class Core:
    """One process with its state and its armed timers."""

    def __init__(self, process: Process[Any, Any, Any]) -> None:
        self.process = process
        self.state = process.initial()
        self.timers: dict[str, Time] = {}

    def turn(
        self, event: Event[Any, Any] | None, now: Time
    ) -> Iterator[tuple[Event[Any, Any], Step[Any], Effects]]:
        """The steps of one turn, each with its event and its effects.

        An error of a step leaves the state as it was before that step.
        """
        for timeout in due(self.timers, now):
            yield timeout, *self.step(timeout, now)
        if event is not None:
            yield event, *self.step(event, now)

    def step(self, event: Event[Any, Any], now: Time) -> tuple[Step[Any], Effects]:
        """Step `event` alone."""
        step = self.process.step(self.state, event, now)
        self.state = step.state
        if type(event) is Timeout:
            self.timers.pop(event.name, None)
        return step, interpret(step.commands, self.timers)

    @property
    def deadline(self) -> Time | None:
        """When the next timer is due."""
        return min((at for at in self.timers.values() if at < inf), default=None)

    def crash(self) -> None:
        """Keep only the durable part of the state; step `Restart` next."""
        self.state = self.process.durable(self.state)
        self.timers = {}
