"""The best that waiting at the sender can do: a yardstick, not a protocol to use.

Every message carries all that its sender knows (the matrix of Raynal, Schiper and Toueg 1991), and
every delivery is announced by its recipient to everybody at once.  A message leaves when all
earlier messages to the same process *are known to be delivered*: RST91's own condition, asked by
the sender before the message leaves and not by the recipient when it has arrived.  A protocol that
delivers what arrives cannot know more, nor earlier except by luck, so what it takes longer is the
price of what it does not carry.  Announcements stand in the way of messages on links that keep
order: look at links that do not.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from causal import rst91
from causal.machine import Machine
from causal.messages import MatrixData, Unicast
from causal.rst91 import Matrix, Rst91
from messaging.process import Address, Command, Respond, Send, Step, Time, Value


class Announced(Value, frozen=True, gc=False, tag=True):
    """How many messages of each process its sender has delivered."""

    delivered: tuple[int, ...]


class State(Value, frozen=True, gc=False, tag=True):
    """`known[i][j]`: messages from i that j is known to have delivered."""

    rst: rst91.State
    known: Matrix
    queue: tuple[tuple[Address, MatrixData[Any]], ...] = ()


class Informed(Machine[State]):
    """Hold a message until all that it depends on is known to be in."""

    name = "informed"
    survives_loss = False

    def __init__(self, me: Address, team: Any, **options: Any) -> None:
        super().__init__(me, team, **options)
        self.inner = Rst91(me, team, **options)

    def initial(self) -> State:
        rst = self.inner.initial()
        return State(rst, rst.sent)

    def invoke(self, state: State, request: Any, now: Time) -> Step[State]:
        step = self.inner.invoke(state.rst, request, now)
        state = replace(state, rst=step.state)
        if type(request) is not Unicast or request.dst == self.me:
            return Step(state, step.commands, step.action)
        sends = tuple((c.dst, c.message) for c in step.commands if type(c) is Send)
        state = replace(state, queue=state.queue + sends)
        answers: list[Command[Any, Any]] = [c for c in step.commands if type(c) is Respond]
        return self.pump(state, answers, step.action)

    def receive(self, state: State, src: Address, packet: Any, now: Time) -> Step[State]:
        if type(packet) is Announced:
            known = self.learnt(state.known, src, packet.delivered)
            return self.pump(replace(state, known=known), [], "ReceiveAnnounced")
        step = self.inner.receive(state.rst, src, packet, now)
        delivered = step.state.delivered
        commands = list(step.commands)
        if delivered != state.rst.delivered:
            others = [peer for peer in self.team if peer != self.me]
            commands += [Send(peer, Announced(delivered)) for peer in others]
        return Step(replace(state, rst=step.state), tuple(commands), step.action)

    def learnt(self, known: Matrix, peer: Address, delivered: tuple[int, ...]) -> Matrix:
        """`known` after `peer` has said what it has delivered."""
        j = self.place[peer]
        return tuple(
            (*row[:j], max(row[j], count), *row[j + 1 :])
            for row, count in zip(known, delivered, strict=True)
        )

    def pump(self, state: State, commands: list[Command[Any, Any]], action: str) -> Step[State]:
        """Let out what depends on nothing that may still be on its way."""
        me, kept = self.place[self.me], []
        for dst, packet in state.queue:
            j = self.place[dst]
            if all(state.known[k][j] >= row[j] for k, row in enumerate(packet.sent) if k != me):
                commands.append(Send(dst, packet))
            else:
                kept.append((dst, packet))
        return Step(replace(state, queue=tuple(kept)), tuple(commands), action)

    def idle(self, state: State) -> bool:
        return not state.queue and self.inner.idle(state.rst)
