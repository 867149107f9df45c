"""Cykas: send eagerly, and let the recipients keep the secret.

Source: Tong, Liittschwager and Kuper, "Cykas" (arXiv 2603.14690, 2026), abstract and introduction,
and the design note of Kuper's repository `secret-causal-unicast` (README, 2022).  The paper's full
text was not available.  Three points are our reading of these sources:

* an output buffer is processed from its head (the 2022 note reads as a scan; that reading, kept
  here behind a flag, deadlocks);
* a release waits for *all* earlier messages of its sender, not for the first;
* secrets are a set: a process is muted while it keeps any.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from causal.messages import Secret
from causal.sender_side import SenderSide
from causal.sender_state import Own, SenderState
from message_passing.process import Address


class Cykas(SenderSide):
    """A process that keeps any secret sends nothing: safe, free of deadlock, may starve.

    `scan=True` lets a message pass queued ones to other processes, as the 2022 note says literally.
    A release may then wait for a queued message, and the queued message for a secret that was
    acquired later: six messages between three processes deadlock.  A specimen.
    """

    name = "cykas"
    stop_and_wait = True

    def __init__(
        self, me: Address, team: Iterable[Address], *, scan: bool = False, **options: Any
    ) -> None:
        super().__init__(me, team, **options)
        self.scans = scan  # type: ignore[misc]

    def may_go(self, state: SenderState, own: Own) -> bool:
        """At most one message in transit to each destination (README, 2022)."""
        return not any(o.dst == own.dst and o.sent and not o.acked for o in state.own)

    def waits_for(self, state: SenderState, own: Own) -> frozenset[Secret]:
        """Secret mode is global: secrets acquired after the send count as well."""
        return state.secrets

    def binds(self, state: SenderState, dst: Address) -> frozenset[Secret]:
        """No secrets are bound to a message: the current mode decides."""
        return frozenset()


class CykasRefined(Cykas):
    """Cykas without starvation: a message waits only for what its sender knew when it sent it.

    Ours.  Three changes: secrets are bound to a message at the application's send; a message to
    the owner of a secret does not wait for it, since the owner holds what its own earlier messages
    require; the buffer is scanned, and eagerness counts queued messages as well.
    """

    name = "cykas-refined"

    def __init__(self, me: Address, team: Iterable[Address], **options: Any) -> None:
        super().__init__(me, team, scan=True, **options)

    def waits_for(self, state: SenderState, own: Own) -> frozenset[Secret]:
        """Its own dependencies, except the destination's secrets."""
        return frozenset(s for s in own.deps if s.owner != own.dst)

    def binds(self, state: SenderState, dst: Address) -> frozenset[Secret]:
        """All secrets that the sender keeps now."""
        return state.secrets
