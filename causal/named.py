"""Named secrets: an eager message names the processes that must not learn of it yet.

Ours, experimental: checked, not proved.  In Cykas and its relatives an eagerly started process is
mute towards all processes.  Here an eager message carries `avoid`, the destinations of its sender's
earlier undelivered messages and those that the sender itself must avoid because of secrets it
depends on.  Its recipient may send to all other processes, eagerly again, so a chain of short jobs
never waits.  Metadata grows with the number of destinations that are outstanding, usually one to
three.

There are no views.  A secret that was passed on is lost if the process that passed it on crashes,
although the message that it protects is in transit from a third process.  In the other protocols a
secret protects messages of its owner only, and a view without the owner fences those off.
"""

from __future__ import annotations

from typing import Any

from causal.messages import (
    Ack,
    ForgedPacket,
    NamedData,
    Release,
    Secret,
    Unicast,
    Unsupported,
)
from causal.sender_side import SenderSide
from causal.sender_state import Own, SenderState
from message_passing.process import Address, Step, Time


class Named(SenderSide):
    """A secret is kept only from the processes that it names."""

    name = "named"
    packets = NamedData[bytes] | Ack | Release
    scans = True

    def invoke(self, state: SenderState, request: Any, now: Time) -> Step[SenderState]:
        """Accept a message; there are no views."""
        if type(request) is not Unicast:
            raise Unsupported("a secret that was passed on does not survive a change of the team")
        return super().invoke(state, request, now)

    def receive(
        self, state: SenderState, src: Address, packet: Any, now: Time
    ) -> Step[SenderState]:
        """Take a packet; there are no views."""
        if packet.view:
            raise ForgedPacket(f"{src!r} has the view {packet.view}, but {self.name} has no views")
        return super().receive(state, src, packet, now)

    def waits_for(self, state: SenderState, own: Own) -> frozenset[Secret]:
        """Secrets that name the destination."""
        return frozenset(s for s in own.deps if own.dst in s.avoid)

    def eager(self, state: SenderState, own: Own) -> tuple[bool, tuple[Address, ...]]:
        """Recipients of our earlier messages, or of those behind the secrets that we pass on."""
        ahead = {o.dst for o in state.own if o.id < own.id and not o.acked} - {own.dst}
        avoid = ahead.union(*(s.avoid for s in own.deps))
        return bool(avoid), tuple(sorted(avoid))

    def releasable(self, state: SenderState, own: Own) -> bool:
        """Our own earlier messages are delivered, and so are those behind our secrets."""
        ahead = any(o.id < own.id and not o.acked and o.dst != own.dst for o in state.own)
        return not ahead and not own.deps

    def packet(self, state: SenderState, own: Own) -> NamedData[object]:
        """The names travel with the message."""
        avoid = () if own.released else own.avoid
        return NamedData(own.id, own.prev, avoid, own.payload, self.carried(state.view, own.dst))
