"""Traditional sender-side causal delivery: one unacknowledged message a process.

Source: Mattern and Fünfrocken, "A Non-Blocking Lightweight Implementation of Causal Order Message
Delivery" (LNCS 938, 1995).  The application never blocks, and messages carry no metadata for order.
A message waits in the output buffer until every earlier one has been acknowledged, whatever its
destination.  There are no eager messages, hence no secrets and no releases.
"""

from __future__ import annotations

from causal.messages import Secret
from causal.sender_side import SenderSide
from causal.sender_state import Own, SenderState
from message_passing.process import Address


class Mf95(SenderSide):
    """Hold each message until all earlier ones are acknowledged."""

    name = "mf95"
    stop_and_wait = True

    def may_go(self, state: SenderState, own: Own) -> bool:
        """Stop and wait."""
        return not self.precedes(state, own)

    def waits_for(self, state: SenderState, own: Own) -> frozenset[Secret]:
        """There are no secrets."""
        return frozenset()

    def binds(self, state: SenderState, dst: Address) -> frozenset[Secret]:
        """There are no secrets."""
        return frozenset()
