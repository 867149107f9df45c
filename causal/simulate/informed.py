"""Delivery with complete knowledge at the sender: a yardstick, not a protocol to use.

Every message carries all knowledge of its sender: the matrix of Raynal, Schiper and Toueg 1991, of
messages sent, and another of messages delivered.  Every recipient announces each delivery to the
team at once, with all its knowledge.  A message leaves when all earlier messages to the same
process *are known to be delivered*: RST91's own condition, evaluated by the sender before the
message leaves and not by the recipient at its arrival.  So no message could have left earlier, for
the given deliveries before it.  This is not a bound on the mean: a message that arrives early is in
the past of more messages, which wait for it.  Announcements delay messages on links that keep
order: use links that do not.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from causal.machine import Machine
from causal.messages import MatrixData, Unicast
from causal.rst91 import Matrix, Rst91, Rst91State
from message_passing.process import Address, Command, Respond, Send, Step, Time, Value
from message_passing.turn import interpret


class Announced(Value, frozen=True, gc=False, tag=True):
    """The deliveries that its sender knows of."""

    known: Matrix


class KnownData(MatrixData[Any], frozen=True, gc=False, tag=True):
    """As `MatrixData`, with the deliveries that its sender knows of."""

    known: Matrix


class InformedState(Value, frozen=True, gc=False, tag=True):
    """`known[i][j]`: messages from i that j is known to have delivered."""

    rst: Rst91State
    known: Matrix
    queue: tuple[tuple[Address, MatrixData[Any]], ...] = ()


class Informed(Machine[InformedState]):
    """Hold a message until all its dependencies are known to be delivered."""

    name = "informed"
    survives_loss = False

    def __init__(self, me: Address, team: Any, **options: Any) -> None:
        super().__init__(me, team, **options)
        self.inner = Rst91(me, team, **options)

    def initial(self) -> InformedState:
        rst = self.inner.initial()
        return InformedState(rst, rst.sent)

    def invoke(self, state: InformedState, request: Any, now: Time) -> Step[InformedState]:
        step = self.inner.invoke(state.rst, request, now)
        state = replace(state, rst=step.state)
        if type(request) is not Unicast or request.dst == self.me:
            return Step(state, step.commands, step.action)
        effects = interpret(step.commands, {})
        sends = tuple((send.dst, send.message) for send in effects.sends)
        state = replace(state, queue=state.queue + sends)
        return self.pump(state, [Respond(answer) for answer in effects.answers], step.action)

    def receive(
        self, state: InformedState, src: Address, packet: Any, now: Time
    ) -> Step[InformedState]:
        known = joined(state.known, packet.known)
        if type(packet) is Announced:
            return self.pump(replace(state, known=known), [], "ReceiveAnnounced")
        # Its sender had delivered all messages to itself that it knew of.
        i = self.place[src]
        known = in_column(known, i, [row[i] for row in packet.sent])
        data = MatrixData(packet.id, packet.sent, packet.payload)
        step = self.inner.receive(state.rst, src, data, now)
        known = in_column(known, self.place[self.me], step.state.delivered)
        commands = list(step.commands)
        if step.state.delivered != state.rst.delivered:
            others = [peer for peer in self.team if peer != self.me]
            commands += [Send(peer, Announced(known)) for peer in others]
        return self.pump(replace(state, rst=step.state, known=known), commands, step.action)

    def pump(
        self, state: InformedState, commands: list[Command[Any, Any]], action: str
    ) -> Step[InformedState]:
        """Send the messages whose dependencies are all known to be delivered."""
        me, kept = self.place[self.me], []
        for dst, packet in state.queue:
            j = self.place[dst]
            if all(state.known[k][j] >= row[j] for k, row in enumerate(packet.sent) if k != me):
                data = KnownData(packet.id, packet.sent, packet.payload, state.known)
                commands.append(Send(dst, data))
            else:
                kept.append((dst, packet))
        return Step(replace(state, queue=tuple(kept)), tuple(commands), action)

    def idle(self, state: InformedState) -> bool:
        return not state.queue and self.inner.idle(state.rst)


def joined(mine: Matrix, theirs: Matrix) -> Matrix:
    """The union of two states of knowledge."""
    return tuple(tuple(map(max, a, b)) for a, b in zip(mine, theirs, strict=True))


def in_column(known: Matrix, j: int, counts: Any) -> Matrix:
    """`known`, updated: the process at place `j` has delivered `counts`, one a sender."""
    return tuple(
        (*row[:j], max(row[j], count), *row[j + 1 :])
        for row, count in zip(known, counts, strict=True)
    )
