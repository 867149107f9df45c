"""Receiver-side causal delivery of broadcasts, by a vector on every message.

Source: Birman, Schiper and Stephenson, "Lightweight Causal and Atomic Group Multicast" (ACM TOCS
9(3), 1991), section 5.1.  Every message goes to the whole team; unicasts are not supported.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from causal.machine import Machine
from causal.messages import Broadcast, ForgedPacket, Message, Unsupported, VectorData
from message_passing.process import Address, Deliver, Respond, Send, Step, Time, Value


class Bss91State(Value, frozen=True, gc=False, tag=True):
    """`clock[i]`: broadcasts of i delivered here, our own counted as sent."""

    clock: tuple[int, ...]
    buffer: tuple[tuple[int, VectorData[Any]], ...] = ()


class Bss91(Machine[Bss91State]):
    """Hold an arriving broadcast until all that its sender had delivered is delivered here."""

    name = "bss91"
    survives_loss = False

    def initial(self) -> Bss91State:
        """No process has sent anything."""
        return Bss91State(clock=(0,) * len(self.team))

    def invoke(self, state: Bss91State, request: Any, now: Time) -> Step[Bss91State]:
        """Count our own broadcast, attach the vector, deliver to ourselves."""
        if type(request) is not Broadcast:
            raise Unsupported(f"{self.name} has no {type(request).__name__}")
        i = self.place[self.me]
        id = state.clock[i] + 1
        clock = (*state.clock[:i], id, *state.clock[i + 1 :])
        packet = VectorData(clock, request.payload)
        sends = tuple(Send(peer, packet) for peer in self.team if peer != self.me)
        local = Deliver(self.me, Message(id, request.payload))
        return Step(replace(state, clock=clock), (Respond(id), local, *sends), "Broadcast")

    def receive(self, state: Bss91State, src: Address, packet: Any, now: Time) -> Step[Bss91State]:
        """Buffer, then deliver all that is deliverable."""
        if type(packet) is not VectorData or len(packet.clock) != len(self.team):
            raise ForgedPacket(f"{self.name} at {self.me!r} cannot read {packet!r}")
        if src not in self.place or src == self.me:
            raise ForgedPacket(f"{self.me!r} has no peer {src!r}")
        buffer = [*state.buffer, (self.place[src], packet)]
        clock = list(state.clock)
        commands = []
        while ready := next((b for b in buffer if self.deliverable(*b, clock)), None):
            buffer.remove(ready)
            i, data = ready
            clock[i] += 1
            commands.append(Deliver(self.team[i], Message(clock[i], data.payload)))
        waits = tuple(sorted(buffer, key=lambda b: (b[0], b[1].clock)))
        return Step(Bss91State(tuple(clock), waits), tuple(commands), "ReceiveData")

    def deliverable(self, i: int, data: VectorData[Any], clock: list[int]) -> bool:
        """Whether it is the sender's next, and all that it follows is delivered here."""
        return data.clock[i] == clock[i] + 1 and all(
            theirs <= clock[k] for k, theirs in enumerate(data.clock) if k != i
        )

    def idle(self, state: Bss91State) -> bool:
        """Whether nothing is buffered."""
        return not state.buffer
