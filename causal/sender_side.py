"""The rules that all secret-keeping protocols share, in plain form; each adds four answers.

Packets are `Data`, `Ack` and `Release`.  A message sent while an earlier one is undelivered may go
*eagerly*; its recipient delivers it and keeps it a *secret* until its sender releases it.  The
protocols differ in what they answer to four questions: which secrets a queued message waits for
(`waits_for`), whether it may go now (`may_go`), from which processes it must be kept (`eager`), and
when it is released (`releasable`).

Everything here is a tuple or a frozenset, and every step reads all of it, so a step costs time in n
and in the queue.  :mod:`causal.hybrid` is for production; the protocols here are for reading,
checking and comparing.

Sources: Tong, Liittschwager and Kuper, "Cykas" (arXiv 2603.14690), for the packets and for acting
on secrets; Almeida, "Sender Permission to Send" (arXiv 2601.11487), for chaining messages of one
pair by `prev`.  Cumulative acknowledgements and releases are ours: messages of one pair are
delivered and released in order, so the highest id stands for all, and lost or overtaken packets
need no memory.  Views and lossy links are ours too; neither paper covers them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace

from causal.machine import RESEND, Commands
from causal.messages import (
    Ack,
    Context,
    Data,
    ForgedPacket,
    Held,
    Message,
    NamedData,
    Release,
    Secret,
    Unicast,
)
from causal.repeat import FILED_MAX, Repeating
from causal.sender_state import Link, Own, Packet, SenderState
from causal.views import restored
from message_passing.process import Address, Deliver, Respond, Send, SetTimer, Step, Time


class SenderSide(Repeating[SenderState]):
    """The common base of Cykas and its relatives."""

    packets: ClassVar[Any] = Data[bytes] | Ack | Release
    scans: ClassVar[bool] = False
    """Whether a message may pass queued ones to other processes."""
    coalesces: ClassVar[bool] = False
    """Whether one release stands for several to the same process at the same moment."""

    def initial(self) -> SenderState:
        """Nothing sent, nothing kept."""
        return SenderState(links=(Link(),) * len(self.team), view=self.founding())

    # The four questions.

    def waits_for(self, state: SenderState, own: Own) -> frozenset[Secret]:
        """The live secrets that a queued message waits for."""
        raise NotImplementedError

    def may_go(self, state: SenderState, own: Own) -> bool:
        """Whether this process's own earlier messages allow a queued message to go."""
        return True

    def eager(self, state: SenderState, own: Own) -> tuple[bool, tuple[Address, ...]]:
        """Whether `own` is a secret of its recipient, and from which processes, if named."""
        return self.precedes(state, own), ()

    def releasable(self, state: SenderState, own: Own) -> bool:
        """Whether an eager message may be released."""
        return not self.precedes(state, own)

    def precedes(self, state: SenderState, own: Own) -> bool:
        """Whether an earlier message of this process, queued or on the wire, is undelivered."""
        return any(o.id < own.id and not o.acked for o in state.own)

    # The application.

    def invoke(self, state: SenderState, request: Any, now: Time) -> Step[SenderState]:
        """Accept a message, or install a view."""
        if type(request) is not Unicast:
            return self.changed(state, request, now)
        dst, id = request.dst, state.next
        self.recipient(state.view, dst)
        state = replace(state, next=id + 1)
        if dst == self.me:
            # All messages to us in our causal past have been delivered to us.
            message = Message(id, request.payload)
            return Step(state, (Respond(id), Deliver(dst, message)), "SendToSelf")
        own = Own(id, dst, request.payload, deps=self.binds(state, dst))
        state = replace(state, own=(*state.own, own))
        return self.settle(state, (Respond(id),), "Send", now)

    def binds(self, state: SenderState, dst: Address) -> frozenset[Secret]:
        """The secrets that a message sent now depends on; empty if the mode is global."""
        return state.secrets

    # The network.

    def receive(
        self, state: SenderState, src: Address, packet: Any, now: Time
    ) -> Step[SenderState]:
        """Refuse, fence, install the sender's view, then take the packet."""
        return self.arrived(state, src, packet, now)

    def take(
        self, state: SenderState, src: Address, packet: Any, commands: list[Any], now: Time
    ) -> Step[SenderState]:
        """A packet of a member, its view installed."""
        handlers: dict[type, Callable[[SenderState, Address, Any, Time], Step[SenderState]]]
        handlers = {Ack: self.acked, Release: self.told}
        step = handlers.get(type(packet), self.data)(state, src, packet, now)
        return Step(step.state, (*commands, *step.commands), step.action)

    def data(
        self, state: SenderState, src: Address, packet: Packet, now: Time
    ) -> Step[SenderState]:
        """Deliver at once, also while keeping secrets; after a gap, deliver in order."""
        if not 0 <= packet.prev < packet.id:
            raise ForgedPacket(f"{src!r} sends {packet.id} after {packet.prev}")
        link = self.link(state, src)
        if packet.id <= link.got:
            return self.settle(state, (self.ack(state, src, link.got),), "Duplicate", now)
        filed = state.filed
        if self.chained and packet.prev != link.got:
            # A copy may differ: one repeated after the release is not a secret.
            ids = [p.id for s, p in filed if s == src]
            if packet.id not in ids and (len(ids) < FILED_MAX or not self.lossy):
                state = replace(state, filed=filed | {(src, packet)})
            return self.settle(state, (), "File", now)
        delivered: Commands = ()
        secrets = state.secrets
        ready: Packet | None = packet
        while ready is not None:
            filed -= {(src, ready)}
            if self.keeps(ready, link):
                avoid = ready.avoid if type(ready) is NamedData else ()
                secrets |= {Secret(src, ready.id, avoid)}
            delivered = (*delivered, Deliver(src, Message(ready.id, ready.payload)))
            told = link.told if link.told > ready.id else 0
            link = replace(link, got=ready.id, told=told)
            ready = next((p for s, p in filed if s == src and p.prev == link.got), None)
        link = replace(link, repeat=link.repeat.awake)
        state = replace(self.with_link(state, src, link), secrets=secrets, filed=filed)
        commands = (self.ack(state, src, link.got), *delivered)
        return self.settle(state, commands, "ReceiveData", now)

    def keeps(self, packet: Packet, link: Link) -> bool:
        """Whether an arriving message is a secret: eager, and not released ahead of its arrival."""
        eager = bool(packet.avoid) if type(packet) is NamedData else packet.eager  # type: ignore[union-attr]
        return eager and packet.id > link.told

    def acked(self, state: SenderState, src: Address, ack: Ack, now: Time) -> Step[SenderState]:
        """Record it; release the messages that waited for it."""
        link = self.link(state, src)
        if not 0 < ack.id <= link.out:
            raise ForgedPacket(f"{src!r} acknowledges {ack.id}, which it was not sent")
        own = tuple(
            replace(o, acked=True) if o.dst == src and o.id <= ack.id and not o.acked else o
            for o in state.own
        )
        if own == state.own:
            # Repeated: its sender may be asking for a release that was lost.
            again = (
                (Send(src, Release(link.let, self.carried(state.view, src))),) if link.let else ()
            )
            return self.settle(state, again, "Duplicate", now)
        commands: list[Any] = []
        state = replace(state, own=own)
        repeat = self.more(state, src, ack.id, commands)
        state = self.with_link(state, src, replace(link, repeat=repeat))
        return self.settle(state, commands, "ReceiveAck", now)

    def told(
        self, state: SenderState, src: Address, release: Release, now: Time
    ) -> Step[SenderState]:
        """Forget the secrets that may be told; remember a release that overtook its message."""
        if release.id < 1:
            raise ForgedPacket(f"{src!r} releases {release.id}, and ids count from 1")
        link = self.link(state, src)
        told = release.id if release.id > max(link.got, link.told) else link.told
        state = self.with_link(state, src, replace(link, told=told, repeat=link.repeat.awake))
        ended = {s for s in state.secrets if s.owner == src and s.id <= release.id}
        state = self.free(state, ended)
        return self.settle(state, (), "ReceiveRelease", now)

    # Views.

    def forget(
        self, state: SenderState, peers: Iterable[Address], commands: list[Any]
    ) -> SenderState:
        """A crashed process acknowledges and releases nothing: no message waits for it any more."""
        for peer in peers:
            state = self.with_link(state, peer, Link())
            state = self.free(state, {s for s in state.secrets if s.owner == peer})
            state = replace(
                state,
                own=tuple(o for o in state.own if o.dst != peer),
                filed=frozenset(f for f in state.filed if f[0] != peer),
            )
        return self.flow(state, commands)

    def is_delivered(self, state: SenderState) -> bool:
        """Whether nothing of ours is undelivered or a secret."""
        return not state.own

    # Lossy links.

    def unanswered(self, state: SenderState) -> list[tuple[Address, int]]:
        """Destination and id of what was put on the wire and not acknowledged."""
        return [(o.dst, o.id) for o in state.own if o.sent and not o.acked]

    def again(self, state: SenderState, id: int) -> Packet:
        """The packet of an own message."""
        return self.packet(state, next(o for o in state.own if o.id == id))

    # After every event.

    def settle(
        self, state: SenderState, done: Iterable[Any], action: str, now: Time
    ) -> Step[SenderState]:
        """Release what can be released, then put on the wire what may go, oldest first."""
        commands = list(done)
        return self.finish(self.flow(state, commands), commands, action, now)

    def finish(
        self, state: SenderState, commands: list[Any], action: str, now: Time
    ) -> Step[SenderState]:
        """The step, with the timer armed if an outstanding packet may have been lost."""
        state = self.leave_if_due(state, commands)
        outstanding = bool(state.own or state.secrets or state.view.unsure)
        if self.lossy and not state.ticking and outstanding:
            state = replace(state, ticking=True)
            commands.append(SetTimer(RESEND, now + self.resend_after))
        return Step(state, tuple(commands), action)

    def flow(self, state: SenderState, commands: list[Any]) -> SenderState:
        """Release what can be released, then put on the wire what may go, oldest first."""
        own, links = list(state.own), list(state.links)
        releases: dict[Address, list[Send[Release]]] = {}
        for i, o in enumerate(own):
            if o.eager and not o.released and o.sent and self.releasable(state, o):
                own[i] = replace(o, released=True)
                if self.lossy:
                    place = self.at(state.view, o.dst)
                    links[place] = replace(links[place], let=o.id)
                sends = releases.setdefault(o.dst, [])
                if self.coalesces:
                    sends.clear()
                sends.append(Send(o.dst, Release(o.id, self.carried(state.view, o.dst))))
        for sends in releases.values():
            commands += sends
        state = replace(
            state,
            links=tuple(links),
            own=tuple(o for o in own if not (o.acked and (o.released or not o.eager))),
        )
        behind: set[Address] = set()
        for o in state.own:
            if o.sent:
                continue
            if o.dst in behind or not self.may_go(state, o) or self.waits_for(state, o):
                behind.add(o.dst)
                if not self.scans:
                    break
                continue
            state, send = self.transmit(state, o)
            commands.append(send)
        return state

    def transmit(self, state: SenderState, own: Own) -> tuple[SenderState, Send[Packet]]:
        """Send `own`, as a secret if an earlier message is undelivered."""
        eager, avoid = self.eager(state, own)
        link = self.link(state, own.dst)
        out = replace(
            own,
            sent=True,
            prev=link.out if self.chained else 0,
            eager=eager,
            avoid=avoid,
            deps=own.deps if avoid else frozenset(),
        )
        state = self.with_link(state, own.dst, replace(link, out=own.id))
        state = replace(state, own=tuple(out if o is own else o for o in state.own))
        return state, Send(own.dst, self.packet(state, out))

    # Small things.

    def packet(self, state: SenderState, own: Own) -> Packet:
        """The packet of `own`."""
        eager = own.eager and not own.released
        return Data(own.id, own.prev, eager, own.payload, self.carried(state.view, own.dst))

    def ack(self, state: SenderState, dst: Address, id: int) -> Send[Ack]:
        """An acknowledgement, never delayed by secrets."""
        return Send(dst, Ack(id, self.carried(state.view, dst)))

    def link(self, state: SenderState, peer: Address) -> Link:
        """The link between this process and `peer`."""
        place = self.at(state.view, peer)
        return state.links[place] if place < len(state.links) else Link()

    def with_link(self, state: SenderState, peer: Address, link: Link) -> SenderState:
        """`state` with one link replaced."""
        place = self.at(state.view, peer)
        links = state.links + (Link(),) * (place + 1 - len(state.links))
        return replace(state, links=(*links[:place], link, *links[place + 1 :]))

    def free(self, state: SenderState, secrets: set[Secret]) -> SenderState:
        """`state` without these secrets, also as dependencies of messages."""
        if not secrets:
            return state
        own = tuple(replace(o, deps=o.deps - secrets) if o.deps & secrets else o for o in state.own)
        return replace(state, own=own, secrets=state.secrets - secrets)

    # The state on disk.

    def snapshot(self, state: SenderState) -> Any:
        """All fields but the timer's."""
        return msgspec.to_builtins(replace(state, ticking=False), builtin_types=(bytes,))

    def restore(self, saved: Any) -> SenderState:
        """The state of a snapshot."""
        state = msgspec.convert(saved, SenderState)
        gone = saved.get("gone", ()) if type(saved) is dict else ()
        early = msgspec.convert(gone, tuple[str, ...]) if gone else ()
        return replace(state, view=restored(None if early else state.view, early))

    # Inspection.

    def secrets(self, state: SenderState) -> tuple[Secret, ...]:
        """The secrets that this process keeps, by owner and id."""
        return tuple(sorted(state.secrets))

    def held(self, state: SenderState) -> tuple[Held, ...]:
        """The queued messages, with the secrets and own messages that each waits for."""
        return tuple(
            Held(
                o.id,
                o.dst,
                tuple(sorted(self.waits_for(state, o))),
                tuple(
                    p.id
                    for p in state.own
                    if p.id < o.id and not p.acked and (p.dst == o.dst or not self.scans)
                ),
            )
            for o in state.own
            if not o.sent
        )

    def idle(self, state: SenderState) -> bool:
        """Whether nothing is held, unacknowledged, unreleased, kept or filed."""
        leaving = state.view.leaving and not self.is_out(state)
        return not (state.own or state.secrets or state.filed or state.view.unsure or leaving)

    def undelivered(self, state: SenderState) -> tuple[tuple[Address, int], ...]:
        """Destination and id of the messages without an acknowledgement, oldest first."""
        return tuple((o.dst, o.id) for o in state.own if not o.acked)

    def backlog(self, state: SenderState) -> int:
        """From the oldest unacknowledged message to the newest."""
        return state.next - min((o.id for o in state.own if not o.acked), default=state.next)

    def context(self, state: SenderState) -> Context:
        """All messages sent and secrets received so far."""
        return Context(state.next, state.secrets)

    def effects_allowed(self, state: SenderState, context: Context) -> bool:
        """Whether all that precedes `context` has been delivered.  False outside the team."""
        assert isinstance(context.kept, frozenset)
        if self.is_out(state):
            return False
        own = any(o.id < context.sent and not o.acked for o in state.own)
        return not own and not context.kept & state.secrets
