"""One member of a team that publishes to all of it: what it has said, what it holds, what is ready.

The state beside `causal.Bss91` that every driver of it needs: no clock, no waiting, no channel.
Payloads are the driver's own, and only it looks into them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import le
from typing import Any, Generic, TypeAlias, TypeVar

from causal.bss91 import Bss91, State
from causal.messages import Broadcast, VectorData
from message_passing.process import Address, Deliver, Event, Invoke, Receive

P = TypeVar("P")

Clock: TypeAlias = tuple[int, ...]
"""Broadcasts of each member, in the team's order, that were delivered or said."""


class Member(Generic[P]):
    """The member `me` of a `team`.  Raises `UnknownPeer` where it is not in it."""

    def __init__(self, me: Address, team: Iterable[Address]) -> None:
        self._machine = Bss91(me, team)
        self._state: State = self._machine.initial()
        #: What is deliverable and not yet taken, in causal order.
        self.ready: deque[P] = deque()

    @property
    def clock(self) -> Clock:
        """What this member knows of."""
        return self._state.clock

    @property
    def held(self) -> tuple[VectorData[P], ...]:
        """What waits for messages that have not come."""
        return tuple(packet for _, packet in self._state.buffer)

    @contextmanager
    def saying(self) -> Iterator[Clock]:
        """Count a broadcast of ours, for the block to send under the clock that it gets.

        Where the block raises it is taken back, unless something has happened here meanwhile: then
        others may know already that there was to be one.
        """
        before = self._state
        self._step(Invoke(Broadcast(None)))
        after = self._state
        try:
            yield after.clock
        except BaseException:
            if self._state is after:
                self._state = before
            raise

    def hear(self, src: Address, clock: Clock, payload: P) -> VectorData[P]:
        """Take in a broadcast of `src`; it, and what waited for it, become ready, or it is held.

        Raises `ForgedPacket`.
        """
        packet = VectorData(clock, payload)
        self._step(Receive(src, packet))
        return packet

    def knows(self, clock: Clock) -> bool:
        """Whether all that `clock` counts has been delivered here."""
        return all(map(le, clock, self._state.clock))

    def is_held(self, packet: VectorData[P]) -> bool:
        """Whether that very packet waits."""
        return any(held is packet for held in self.held)

    def give_up(self, packet: VectorData[P]) -> None:
        """Hold it no longer.  It never becomes ready, nor does what it caused: the order holds."""
        left = tuple(held for held in self._state.buffer if held[1] is not packet)
        self._state = State(self._state.clock, left)

    def save(self, dump: Callable[[P], Any]) -> dict[str, Any]:
        """Clock, held and ready messages, payloads by `dump`; plain data if what it gives is."""
        return {
            "clock": self._state.clock,
            "ready": [dump(payload) for payload in self.ready],
            "held": [(at, data.clock, dump(data.payload)) for at, data in self._state.buffer],
        }

    def load(self, saved: Mapping[str, Any], load: Callable[[Any], P]) -> None:
        """Go on from there: with this member's own state, or as a newcomer with an idle other's.

        What this member has said stays said: its own count never goes back.
        """
        held = [(at, VectorData(tuple(clock), load(said))) for at, clock, said in saved["held"]]
        mine, clock = self._machine.place[self._machine.me], list(saved["clock"])
        clock[mine] = max(clock[mine], self._state.clock[mine])
        self._state = State(tuple(clock), tuple(held))
        self.ready.extend(map(load, saved["ready"]))

    def _step(self, event: Event[Any, Any]) -> None:
        step = self._machine.step(self._state, event, 0.0)
        self._state = step.state
        for command in step.commands:
            if isinstance(command, Deliver) and command.src != self._machine.me:
                self.ready.append(command.message.payload)
