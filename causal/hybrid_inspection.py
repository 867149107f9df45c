"""What an application, a journal and the rules of repetition read of a hybrid's state."""

from __future__ import annotations

from functools import partial
from typing import Any

from msgspec.structs import replace

from causal.hybrid_state import FRESH, HybridState, LinkState, OwnEntry, held, restored
from causal.messages import Context, Data, Held, Secret
from causal.repeat import Repeating
from causal.views import View
from message_passing.process import Address


class Inspection(Repeating[HybridState]):
    """The part of the hybrid that changes no state."""

    # Links that lose.

    def link(self, state: HybridState, peer: Address) -> LinkState:
        """The link between this process and `peer`."""
        return state.links.get(self.at(state.view, peer)) or FRESH

    def with_link(self, state: HybridState, peer: Address, link: LinkState) -> HybridState:
        """`state` with one link replaced."""
        return replace(state, links=state.links.put(self.at(state.view, peer), link))

    def unanswered(self, state: HybridState) -> list[tuple[Address, int]]:
        """Destination and id of what was put on the wire and not acknowledged."""
        own = state.own.window.items()
        name_at, view = self.name_at, state.view
        return [(name_at(view, o.party), id) for id, o in own if o.sent and not o.acked]

    def again(self, state: HybridState, id: int) -> Data[Any]:
        """The packet of an own message."""
        own = state.own.window.get(id)
        assert own is not None
        return self.packet(state.view, self.name_at(state.view, own.party), id, own)

    def packet(self, view: View, dst: Address, id: int, own: OwnEntry) -> Data[Any]:
        """The packet of `own`."""
        prev = own.prev if self.chained else 0
        return Data(id, prev, own.secret, own.payload, self.carried(view, dst))

    # The state on disk.

    def snapshot(self, state: HybridState) -> Any:
        """All of it but the timer."""
        return state.snapshot()

    def restore(self, saved: Any) -> HybridState:
        """The state of a snapshot."""
        return restored(saved)

    # Inspection.

    def secrets(self, state: HybridState) -> tuple[Secret, ...]:
        """The secrets that this process keeps, by owner and id."""
        return tuple(
            sorted(Secret(self.name_at(state.view, k.party), k.id) for _, k in state.live())
        )

    def held(self, state: HybridState) -> tuple[Held, ...]:
        """The queued messages, with the secrets and own messages that each waits for."""
        return held(state, partial(self.name_at, state.view))

    def idle(self, state: HybridState) -> bool:
        """Whether nothing is held, unacknowledged, unreleased, kept or filed."""
        if state.own.window.root is not None or state.kept.first < state.kept.next:
            return False
        if state.view.unsure or (state.view.leaving and not self.is_out(state)):
            return False
        return all(link.filed.root is None for _, link in state.links.items())

    def undelivered(self, state: HybridState) -> tuple[tuple[Address, int], ...]:
        """Destination and id of the messages without an acknowledgement, oldest first."""
        own = state.own.window.items()
        return tuple((self.name_at(state.view, o.party), id) for id, o in own if not o.acked)

    def backlog(self, state: HybridState) -> int:
        """From the oldest unacknowledged message to the newest."""
        return state.own.next - state.own.first

    def context(self, state: HybridState) -> Context:
        """All messages sent and secrets received so far."""
        return Context(state.own.next, state.kept.next)

    def effects_allowed(self, state: HybridState, context: Context) -> bool:
        """Whether all that precedes `context` has been delivered.  False outside the team."""
        assert isinstance(context.kept, int)
        if self.is_out(state):
            return False
        return state.own.first >= context.sent and state.kept.first >= context.kept
