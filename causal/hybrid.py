"""The default: secrets bound to messages, in constant metadata and constant work for each event.

Sources: Almeida, "Sender Permission to Send" (arXiv 2601.11487), for a permit bound to each message
and a chain of ids for each pair; Cykas (arXiv 2603.14690) for eager messages and their release.
The paper's optimal Algorithm 2 was not available; these relaxations are our reading of its aims:

1. a message is eager only if an earlier one *to another process* is undelivered: the chain already
   orders messages of one pair;
2. a message to the owner of a secret does not wait for that secret: the owner holds what its own
   earlier messages require;
3. a message that may go passes queued ones to other processes.

Both rules ask one question, of the process's own undelivered messages and of the secrets that it
keeps: is any entry older than this one and of another process?
:class:`causal.open_entries.OpenEntries` answers it from two cursors that only move forward.
:class:`HybridPlain` has the same rules in the form of :mod:`causal.sender_side` and reads all of
its state at every step.  Tests compare the two, command by command.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from causal.hybrid_inspection import Inspection
from causal.hybrid_state import (
    FRESH,
    HybridState,
    Kept,
    LinkState,
    OwnEntry,
    is_acked,
)
from causal.machine import RESEND
from causal.messages import (
    Ack,
    Data,
    Delivered,
    ForgedPacket,
    Message,
    Notice,
    Release,
    Unicast,
)
from causal.open_entries import OpenEntries
from causal.repeat import FILED_MAX, NEVER
from causal.views import FOUNDED, Commands, View
from causal.window import Window
from message_passing.process import Address, Deliver, Respond, Send, SetTimer, Step, Time


class Hybrid(Inspection):
    """Constant metadata, eager starts, per-message secrets, constant work an event."""

    name = "hybrid"
    packets = Data[bytes] | Ack | Release | Delivered

    def initial(self) -> HybridState:
        """Nothing sent, nothing kept."""
        return HybridState(view=self.founding())

    # The application.

    def invoke(self, state: HybridState, request: Any, now: Time) -> Step[HybridState]:
        """Accept a message, or install a view."""
        if type(request) is not Unicast:
            return self.changed(state, request, now)
        dst = request.dst
        party = self.place.get(dst)
        if party is None or state.view is not FOUNDED:
            party = self.recipient(state.view, dst)
        own, kept = state.own, state.kept
        id = own.next
        if dst == self.me:
            # All messages to us in our causal past have been delivered to us.
            waiting = state.waiting + (state.waiting == id)
            ahead = state.ahead + (state.ahead == id)
            state = replace(state, own=own.skip(), waiting=waiting, ahead=ahead)
            message = Message(id, request.payload)
            return Step(state, (Respond(id), Deliver(dst, message)), "SendToSelf")
        if kept.first < kept.next and kept.older(party) < kept.next:
            # A secret of another owner is among the possible causes of this message.
            state = replace(state, own=own.append(OwnEntry(party, kept.next, request.payload)))
            return self.finish(state, [Respond(id)], "Send", now)
        link = state.links.get(party) or FRESH
        secret = own.older(party) < id
        own = own.append(OwnEntry(party, kept.next, request.payload, link.out, True, secret))
        links = state.links.put(party, replace(link, out=id))
        waiting = state.waiting + (state.waiting == id)
        ahead = state.ahead + (state.ahead == id)
        state = replace(state, own=own, links=links, waiting=waiting, ahead=ahead)
        prev = link.out if self.chained else 0
        view = () if state.view is FOUNDED else self.carried(state.view, dst)
        packet = Data(id, prev, secret, request.payload, view)
        return self.finish(state, [Respond(id), Send(dst, packet)], "Send", now)

    # The network.

    def receive(
        self, state: HybridState, src: Address, packet: Any, now: Time
    ) -> Step[HybridState]:
        """Take the packet; where the team has changed, look at the view first."""
        party = self.place.get(src)
        if packet.view or state.view is not FOUNDED or party is None or src == self.me:
            return self.arrived(state, src, packet, now)
        return self.taken(state, src, party, packet, [], now)

    def take(
        self, state: HybridState, src: Address, packet: Any, commands: Commands, now: Time
    ) -> Step[HybridState]:
        """A packet of a member, its view installed."""
        return self.taken(state, src, self.at(state.view, src), packet, commands, now)

    def taken(
        self,
        state: HybridState,
        src: Address,
        party: int,
        packet: Any,
        commands: Commands,
        now: Time,
    ) -> Step[HybridState]:
        """The same, the place of its sender known."""
        kind = type(packet)
        link = state.links.get(party) or FRESH
        if kind is Data:
            if not 0 <= packet.prev < packet.id:
                raise ForgedPacket(f"{src!r} sends {packet.id} after {packet.prev}")
            if packet.id <= link.got:
                commands.append(Send(src, Ack(link.got, self.carried(state.view, src))))
                return self.finish(state, commands, "Duplicate", now)
            return self.data(state, src, party, link, packet, commands, now)
        if kind is Ack:
            return self.acked(state, src, party, link, packet.id, commands, now)
        if kind is Release:
            return self.told(state, party, link, packet.id, commands, now)
        if kind is Delivered:
            return self.heard(state, src, packet, commands, now)
        if kind is Notice:
            return self.arrived(state, src, packet, now)
        raise ForgedPacket(f"{self.name} has no packet {kind.__name__}")

    def data(
        self,
        state: HybridState,
        src: Address,
        party: int,
        link: LinkState,
        packet: Data[Any],
        commands: Commands,
        now: Time,
    ) -> Step[HybridState]:
        """Deliver at once, also while keeping secrets; after a gap, deliver in order."""
        filed = link.filed
        if self.chained and packet.prev != link.got:
            if filed.get(packet.prev) is None and (link.files < FILED_MAX or not self.lossy):
                filed = filed.put(packet.prev, packet)
                link = replace(link, filed=filed, files=link.files + 1)
                state = replace(state, links=state.links.put(party, link))
            return self.finish(state, commands, "File", now)
        kept, files = state.kept, link.files
        at = len(commands)
        ready: Data[Any] | None = packet
        while ready is not None:
            got = ready.id
            if ready.eager and got > link.told:
                kept = kept.append(Kept(party, got))
            commands.append(Deliver(src, Message(got, ready.payload)))
            ready = None if filed.root is None else filed.get(got)
            if ready is not None:
                filed, files = filed.drop(got), files - 1
        view = () if state.view is FOUNDED else self.carried(state.view, src)
        commands.insert(at, Send(src, Ack(got, view)))
        link = replace(link, got=got, filed=filed, files=files)
        if link.repeat is not NEVER:
            link = replace(link, repeat=link.repeat.awake)
        links = state.links.put(party, link)
        state = replace(state, kept=kept, links=links)
        return self.finish(state, commands, "ReceiveData", now)

    def acked(
        self,
        state: HybridState,
        src: Address,
        party: int,
        link: LinkState,
        id: int,
        commands: Commands,
        now: Time,
    ) -> Step[HybridState]:
        """Close every message up to `id` of this pair; release what waited for them."""
        if not 0 < id <= link.out:
            raise ForgedPacket(f"{src!r} acknowledges {id}, which it was not sent")
        if id <= link.acked:
            # Repeated: its sender may be asking for a release that was lost.
            if link.let:
                commands.append(Send(src, Release(link.let, self.carried(state.view, src))))
            return self.finish(state, commands, "Duplicate", now)
        window, key = state.own.window, id
        while key > link.acked:
            entry = window.get(key)
            if entry is None or entry.party != party:
                raise ForgedPacket(f"{src!r} acknowledges {key}, which it was not sent")
            if entry.secret:
                window = window.put(key, replace(entry, acked=True, payload=None))
            else:
                window = window.drop(key)
            key = entry.prev
        own = replace(state.own, window=window)
        link = replace(link, acked=id)
        if link.repeat is not NEVER:
            again = replace(state, own=own)
            link = replace(link, repeat=self.more(again, src, id, commands))
        links = state.links.put(party, link)
        own, links = self.release(own, links, state.view, commands)
        return self.finish(replace(state, own=own, links=links), commands, "ReceiveAck", now)

    def told(
        self,
        state: HybridState,
        party: int,
        link: LinkState,
        id: int,
        commands: Commands,
        now: Time,
    ) -> Step[HybridState]:
        """Forget the secrets that may be told; remember a release that overtook its message."""
        if id < 1:
            raise ForgedPacket(f"{self.name_at(state.view, party)!r} releases {id}, below 1")
        if id > link.told:
            links = state.links.put(party, self.released(link, id))
            state = self.free(state, state.own, state.kept, links, commands)
        return self.finish(state, commands, "ReceiveRelease", now)

    def released(self, link: LinkState, id: int) -> LinkState:
        """With every message up to `id` released."""
        return replace(link, told=id, heard=0, repeat=link.repeat.awake)

    def heard(
        self, state: HybridState, src: Address, packet: Delivered, commands: Commands, now: Time
    ) -> Step[HybridState]:
        """Ignored here; :mod:`causal.announcing` uses it."""
        return self.finish(state, commands, "Ignore", now)

    # Messages and secrets that nothing blocks any more.

    def release(
        self,
        own: OpenEntries[OwnEntry],
        links: Window[LinkState],
        view: View,
        commands: Commands,
    ) -> tuple[OpenEntries[OwnEntry], Window[LinkState]]:
        """Move past delivered messages; release the secrets of recipients of later ones."""
        own, passed = own.advance(is_acked)
        if not passed:
            return own, links
        let: dict[int, int] = {}  # the newest to each: the passed entries are in order
        window, first = own.window, own.first
        for key, entry in passed:
            if not entry.secret:
                continue
            let[entry.party] = key
            if key >= first:
                released = replace(entry, secret=False)
                window = window.drop(key) if entry.acked else window.put(key, released)
        for party, key in let.items():
            if self.lossy:
                links = links.put(party, replace(links.get(party) or FRESH, let=key))
            dst = self.name_at(view, party)
            changes = () if view is FOUNDED else self.carried(view, dst)
            commands.append(Send(dst, Release(key, changes)))
        return replace(own, window=window), links

    def free(
        self,
        state: HybridState,
        own: OpenEntries[OwnEntry],
        kept: OpenEntries[Kept],
        links: Window[LinkState],
        commands: Commands,
    ) -> HybridState:
        """Move past released secrets; send the messages that waited for them."""

        def told(_: int, secret: Kept) -> bool:
            return secret.id <= (links.get(secret.party) or FRESH).told

        kept, _ = kept.advance(told)
        waiting, ahead = state.waiting, state.ahead
        window, stop = own.window, own.next
        freed: list[tuple[int, OwnEntry]] = []
        # A message that was sent before the oldest secret came waits for nothing.
        first = kept.first
        while (found := window.first(waiting, stop)) is not None and found[1].need <= first:
            freed.append(found)
            waiting = found[0] + 1
        if found is None:
            waiting = ahead = stop
        else:
            waiting = found[0]
            # Messages to its owner go if they precede the oldest secret of any other owner.
            ahead = max(waiting, ahead)
            while (found := window.first(ahead, stop)) is not None and found[1].need <= kept.second:
                if found[1].party == kept.party:
                    freed.append(found)
                ahead = found[0] + 1
            ahead = stop if found is None else found[0]
        for id, entry in freed:
            if entry.sent:
                continue
            party = entry.party
            link = links.get(party) or FRESH
            entry = replace(entry, prev=link.out, sent=True, secret=own.older(party) < id)
            dst = self.name_at(state.view, party)
            commands.append(Send(dst, self.packet(state.view, dst, id, entry)))
            window = window.put(id, entry)
            links = links.put(party, replace(link, out=id))
        own = replace(own, window=window)
        return replace(state, own=own, kept=kept, links=links, waiting=waiting, ahead=ahead)

    # Views.

    def forget(
        self, state: HybridState, peers: Iterable[Address], commands: Commands
    ) -> HybridState:
        """A crashed process acknowledges and releases nothing: no message waits for it any more."""
        view = state.view
        state = state.without({self.at(view, peer) for peer in peers})
        own, links = self.release(state.own, state.links, view, commands)
        return self.free(state, own, state.kept, links, commands)

    def is_delivered(self, state: HybridState) -> bool:
        """Whether nothing of ours is undelivered or a secret."""
        return state.own.window.root is None

    # After every event.

    def finish(
        self, state: HybridState, commands: Commands, action: str, now: Time
    ) -> Step[HybridState]:
        """The step, with the timer armed if an outstanding packet may have been lost."""
        if state.view is not FOUNDED and state.view.leaving:
            state = self.leave_if_due(state, commands)
        if self.lossy and not state.ticking:
            own, kept = state.own, state.kept
            if own.window.root is not None or kept.first < kept.next or state.view.unsure:
                state = replace(state, ticking=True)
                commands.append(SetTimer(RESEND, now + self.resend_after))
        return Step(state, tuple(commands), action)
