"""Conservative Sender Permission to Send: Almeida's Algorithm 1.

Source: Almeida, "Sender Permission to Send" (arXiv 2601.11487, 2026), abstract, and the handler by
handler account of Algorithm 1 in the Elixir library Ananke.  It is Cykas with secrets (there:
missing permits) bound to each message, several messages on the wire to one destination, and
a chain of ids that keeps each pair in order.

One departure: a release that overtakes its message is remembered, so that reordering links need
no timer.  In the paper's setting a periodic retransmission repairs that.
"""

from __future__ import annotations

from causal.messages import Secret
from causal.sender_side import SenderSide
from causal.sender_state import Own, SenderState


class Csps(SenderSide):
    """First in, first out; a message waits for the permits missing when it was sent.

    It is eager while any earlier message is unacknowledged, also one to the same destination.
    """

    name = "csps"

    def waits_for(self, state: SenderState, own: Own) -> frozenset[Secret]:
        """Permits that were missing at the send and still are (`p.first >= head.need`)."""
        return own.deps
