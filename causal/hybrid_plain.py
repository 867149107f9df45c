"""The hybrid's rules in plain form: the twin that :mod:`causal.hybrid` is compared with.

Both give the same packets and commands in the same order, on every link.  Here every step reads all
of the state, so that each rule is one line.  Sources as in :mod:`causal.hybrid`.
"""

from __future__ import annotations

from causal.messages import Secret
from causal.sender_side import SenderSide
from causal.sender_state import Own, SenderState


class HybridPlain(SenderSide):
    """Sender permission to send, relaxed three times."""

    name = "hybrid-plain"
    scans = True
    coalesces = True

    def precedes(self, state: SenderState, own: Own) -> bool:
        """Eager while an earlier message *to another process* is undelivered, queued or sent."""
        return any(o.id < own.id and not o.acked and o.dst != own.dst for o in state.own)

    def waits_for(self, state: SenderState, own: Own) -> frozenset[Secret]:
        """A message waits for the secrets known when it was sent, but not for its receiver's."""
        return frozenset(s for s in own.deps if s.owner != own.dst)
