"""Receiver-side causal delivery of unicasts, by a matrix on every message.

Source: Raynal, Schiper and Toueg, "The Causal Ordering Abstraction and a Simple Way to Implement
It" (Information Processing Letters 39, 1991).  Optimal in latency, no control messages, but each
message carries 8n² bytes.  A message to its own sender is delivered at once and not counted; the
1991 rules block on it.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from causal.machine import Machine
from causal.messages import ForgedPacket, MatrixData, Message, Unicast, Unsupported
from message_passing.process import Address, Deliver, Respond, Send, Step, Time, Value

Matrix = tuple[tuple[int, ...], ...]


class Rst91State(Value, frozen=True, gc=False, tag=True):
    """`sent[i][j]`: messages from i to j that we know of.  `delivered[i]`: from i, by us."""

    sent: Matrix
    delivered: tuple[int, ...]
    next: int = 1
    buffer: tuple[tuple[int, MatrixData[Any]], ...] = ()


class Rst91(Machine[Rst91State]):
    """Hold an arriving message until all earlier messages to us that its sender knew of are in."""

    name = "rst91"
    survives_loss = False

    def initial(self) -> Rst91State:
        """No process has sent anything."""
        n = len(self.team)
        return Rst91State(sent=((0,) * n,) * n, delivered=(0,) * n)

    def invoke(self, state: Rst91State, request: Any, now: Time) -> Step[Rst91State]:
        """Attach what we know, then count the message."""
        if type(request) is not Unicast:
            raise Unsupported(f"{self.name} has no {type(request).__name__}")
        dst, id = self.known(request.dst), state.next
        state = replace(state, next=id + 1)
        if dst == self.me:
            message = Message(id, request.payload)
            return Step(state, (Respond(id), Deliver(dst, message)), "SendToSelf")
        packet = MatrixData(id, state.sent, request.payload)
        i, j = self.place[self.me], self.place[dst]
        sent = raised(state.sent, i, j, state.sent[i][j] + 1)
        return Step(replace(state, sent=sent), (Respond(id), Send(dst, packet)), "Send")

    def receive(self, state: Rst91State, src: Address, packet: Any, now: Time) -> Step[Rst91State]:
        """Buffer, then deliver all that is deliverable."""
        n = len(self.team)
        if type(packet) is not MatrixData or [*map(len, packet.sent)] != [n] * n:
            raise ForgedPacket(f"{self.name} at {self.me!r} cannot read {packet!r}")
        if src not in self.place or src == self.me:
            raise ForgedPacket(f"{self.me!r} has no peer {src!r}")
        buffer = [*state.buffer, (self.place[src], packet)]
        sent, delivered = state.sent, list(state.delivered)
        commands = []
        j = self.place[self.me]
        while ready := next((b for b in buffer if self.deliverable(*b, delivered)), None):
            buffer.remove(ready)
            i, data = ready
            delivered[i] += 1
            sent = tuple(
                tuple(map(max, mine, theirs)) for mine, theirs in zip(sent, data.sent, strict=True)
            )
            sent = raised(sent, i, j, max(sent[i][j], data.sent[i][j] + 1))
            commands.append(Deliver(self.team[i], Message(data.id, data.payload)))
        # As a set: the order of arrival of waiting messages makes no difference.
        waits = tuple(sorted(buffer, key=lambda b: (b[0], b[1].id)))
        state = Rst91State(sent, tuple(delivered), state.next, waits)
        return Step(state, tuple(commands), "ReceiveData")

    def deliverable(self, i: int, data: MatrixData[Any], delivered: list[int]) -> bool:
        """Whether every message to us that the sender knew of has been delivered."""
        j = self.place[self.me]
        return all(delivered[k] >= row[j] for k, row in enumerate(data.sent))

    def idle(self, state: Rst91State) -> bool:
        """Whether nothing is buffered."""
        return not state.buffer


def raised(matrix: Matrix, i: int, j: int, value: int) -> Matrix:
    """`matrix` with one cell replaced."""
    row = (*matrix[i][:j], value, *matrix[i][j + 1 :])
    return (*matrix[:i], row, *matrix[i + 1 :])
