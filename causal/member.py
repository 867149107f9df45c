"""One member of a team that broadcasts: its own messages, held messages, ready messages.

The state beside `causal.Bss91` that every driver of it needs: no clock, no waiting, no channel.
Payloads belong to the driver; the member does not read them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import le
from typing import Any, Generic, TypeAlias, TypeVar

from causal.bss91 import Bss91, Bss91State
from causal.messages import Broadcast, VectorData
from message_passing.process import Address, Event, Invoke, Receive
from message_passing.turn import Core

P = TypeVar("P")

Clock: TypeAlias = tuple[int, ...]
"""For each member, in the team's order, the count of its broadcasts delivered or sent here."""


class Member(Generic[P]):
    """The member `me` of a `team`.  Raises `UnknownPeer` if `me` is not in it."""

    def __init__(self, me: Address, team: Iterable[Address]) -> None:
        self._machine = Bss91(me, team)
        self._core = Core(self._machine)
        #: Deliverable messages that are not yet taken, in causal order.
        self.ready: deque[P] = deque()

    @property
    def _state(self) -> Bss91State:
        state: Bss91State = self._core.state
        return state

    @property
    def clock(self) -> Clock:
        """The broadcasts that this member knows of."""
        return self._state.clock

    @property
    def held(self) -> tuple[VectorData[P], ...]:
        """The messages that wait for their causes."""
        return tuple(packet for _, packet in self._state.buffer)

    @contextmanager
    def saying(self) -> Iterator[Clock]:
        """Count a broadcast of ours, for the block to send under the clock that it gets.

        If the block raises, the broadcast is taken back, unless this member has changed meanwhile:
        then other members may already know of the broadcast.
        """
        before = self._state
        self._step(Invoke(Broadcast(None)))
        after = self._state
        try:
            yield after.clock
        except BaseException:
            if self._state is after:
                self._core.state = before
            raise

    def hear(self, src: Address, clock: Clock, payload: P) -> VectorData[P]:
        """Receive a broadcast of `src`: it becomes ready, with all that waited for it, or is held.

        Raises `ForgedPacket`.
        """
        packet = VectorData(clock, payload)
        self._step(Receive(src, packet))
        return packet

    def knows(self, clock: Clock) -> bool:
        """Whether all that `clock` counts has been delivered here."""
        return all(map(le, clock, self._state.clock))

    def is_held(self, packet: VectorData[P]) -> bool:
        """Whether this packet object is held."""
        return any(held is packet for held in self.held)

    def give_up(self, packet: VectorData[P]) -> None:
        """Drop a held packet.  It and the messages that it caused never become ready."""
        left = tuple(held for held in self._state.buffer if held[1] is not packet)
        self._core.state = Bss91State(self._state.clock, left)

    def save(self, dump: Callable[[P], Any]) -> dict[str, Any]:
        """Clock, held and ready messages, payloads by `dump`; plain data if that gives it."""
        return {
            "clock": self._state.clock,
            "ready": [dump(payload) for payload in self.ready],
            "held": [(at, data.clock, dump(data.payload)) for at, data in self._state.buffer],
        }

    def load(self, saved: Mapping[str, Any], load: Callable[[Any], P]) -> None:
        """Continue from a saved state: this member's own, or for a newcomer an idle member's.

        This member's own count never goes back.
        """
        held = [(at, VectorData(tuple(clock), load(said))) for at, clock, said in saved["held"]]
        mine, clock = self._machine.place[self._machine.me], list(saved["clock"])
        clock[mine] = max(clock[mine], self._state.clock[mine])
        self._core.state = Bss91State(tuple(clock), tuple(held))
        self.ready.extend(map(load, saved["ready"]))

    def _step(self, event: Event[Any, Any]) -> None:
        _, effects = self._core.step(event, 0.0)
        for delivery in effects.deliveries:
            if delivery.src != self._machine.me:
                self.ready.append(delivery.message.payload)
