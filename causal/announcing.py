"""The hybrid for small teams: every delivery is announced to the team, so secrets end sooner.

A secret of the hybrid ends by a release, three one-way delays after the send of the message that it
protects: message to recipient, acknowledgement to owner, release to keeper.  Here the recipient
tells the keepers as well.  Ids count all messages of their sender.  So a process that has heard of
every id before a secret's can conclude that the owner would release it.  Metadata on messages stays
constant; the price is a packet to each other process for each message, so work an event grows with
the team.

An announcement stays true for ever, and the protocol never depends on one.  It may be lost, or
never made, because its process crashed or because the message went to its own sender.  The gap in
the ids is then closed by the next release, or by the owner's next message that is not eager:
nothing older is undelivered then, except to us.

Source: a message that is delivered everywhere is called stable (Birman, Schiper and Stephenson,
"Lightweight Causal and Atomic Group Multicast", 1991); using stability to end secrets is ours.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from causal.hybrid import Hybrid
from causal.hybrid_state import FRESH, HybridState, LinkState
from causal.messages import Delivered, ForgedPacket
from causal.views import FOUNDED, Commands
from message_passing.process import Address, Deliver, Send, Step, Time

AHEAD_MAX = 1_024
"""Ids behind a gap that are remembered, a bit each: as many as an endpoint may have
undelivered by default.  Later ids wait for a release."""


class Announcing(Hybrid):
    """Constant metadata, eager starts, and n - 2 packets that announce each delivery."""

    name = "announcing"

    def receive(
        self, state: HybridState, src: Address, packet: Any, now: Time
    ) -> Step[HybridState]:
        """As the hybrid; then announce deliveries, and learn from them about `src`."""
        step = super().receive(state, src, packet, now)
        ids = [command.message.id for command in step.commands if type(command) is Deliver]
        if not ids:
            return step
        state, party = step.state, self.at(step.state.view, src)
        view = state.view
        more: Commands = [
            Send(peer, Delivered(src, id, () if view is FOUNDED else self.carried(view, peer)))
            for id in ids
            for peer in self.peers(view)
            if peer != src
        ]
        link = state.links.get(party) or FRESH
        if not packet.eager:
            link = closed(link, packet.id)
        for id in ids:
            link = marked(link, id)
        state = self.learnt(state, party, link, more)
        return Step(state, (*step.commands, *more), step.action)

    def released(self, link: LinkState, id: int) -> LinkState:
        """Release also the messages that follow `id` without a gap."""
        return closed(link, id)

    def heard(
        self, state: HybridState, src: Address, packet: Delivered, commands: Commands, now: Time
    ) -> Step[HybridState]:
        """Record the delivery; forget the secrets that no undelivered message precedes any more."""
        party = self.placed(state.view, packet.owner)
        if party is None or packet.owner in (self.me, src) or packet.id < 1:
            raise ForgedPacket(f"{src!r} announces {packet.id} of {packet.owner!r}")
        if packet.owner in state.gone:
            return self.finish(state, commands, "Fence", now)
        before = state.links.get(party) or FRESH
        link = marked(before, packet.id)
        if link is before:
            return self.finish(state, commands, "Duplicate", now)
        state = self.learnt(state, party, link, commands)
        return self.finish(state, commands, "ReceiveDelivered", now)

    def learnt(
        self, state: HybridState, party: int, link: LinkState, commands: Commands
    ) -> HybridState:
        """Replace the link, and send the messages that waited for its secrets."""
        before = state.links.get(party) or FRESH
        links = state.links.put(party, link)
        if link.told == before.told:
            return replace(state, links=links)
        return self.free(state, state.own, state.kept, links, commands)


def marked(link: LinkState, id: int) -> LinkState:
    """With message `id` known to be delivered; `link` itself if that was known."""
    first = link.told or 1
    if not first <= id < first + AHEAD_MAX or link.heard >> (id - first) & 1:
        return link
    link = replace(link, heard=link.heard | 1 << (id - first))
    return closed(link, id) if id == first else link


def closed(link: LinkState, id: int) -> LinkState:
    """With all messages before `id` known to be delivered, and those that follow without a gap."""
    first = link.told or 1
    if id < first:
        return link
    heard = link.heard >> (id - first)
    while heard & 1:
        heard >>= 1
        id += 1
    return replace(link, told=id, heard=heard)
