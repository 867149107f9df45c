"""Variants that are wrong in one way each: every check of delivery must catch them.

Each names the rule that it breaks.  Applications never get one.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from causal.announcing import Announcing, closed
from causal.bss91 import Bss91
from causal.cykas import Cykas, CykasRefined
from causal.hybrid import Hybrid
from causal.hybrid_plain import HybridPlain
from causal.hybrid_state import HybridState, LinkState
from causal.messages import Changes, Joined, MatrixData, Release, VectorData
from causal.mf95 import Mf95
from causal.named import Named
from causal.rst91 import Rst91
from causal.sender_side import SenderSide
from causal.sender_state import Link, Own, Packet, SenderState
from causal.views import Commands, View
from message_passing.network import Guarantee
from message_passing.process import Address, Send, Step, Time


class Raw(Mf95):
    """Bare links: every message goes at once."""

    name = "raw"

    def may_go(self, state: SenderState, own: Own) -> bool:
        return True


class Window2(Mf95):
    """Two unacknowledged messages a process instead of one."""

    name = "mf95-window-2"

    def may_go(self, state: SenderState, own: Own) -> bool:
        return sum(o.sent and not o.acked for o in state.own) < 2


class NoSecrets(Cykas):
    """Recipients of eager messages tell every process."""

    name = "cykas-no-secrets"

    def keeps(self, packet: Packet, link: Link) -> bool:
        return False


class BooleanMode(Cykas):
    """One flag in place of the set of secrets: any release ends the secret mode."""

    name = "cykas-boolean-mode"

    def told(
        self, state: SenderState, src: Address, release: Release, now: Time
    ) -> Step[SenderState]:
        return super().told(replace(state, secrets=frozenset()), src, release, now)


class Deaf(Cykas):
    """A process in secret mode does not deliver either."""

    name = "cykas-deaf"

    def receive(
        self, state: SenderState, src: Address, packet: Any, now: Time
    ) -> Step[SenderState]:
        if type(packet) is not Release:
            if state.secrets and hasattr(packet, "payload"):
                return Step(replace(state, filed=state.filed | {(src, packet)}), (), "File")
            return super().receive(state, src, packet, now)
        step = super().receive(state, src, packet, now)
        for waiting in sorted(step.state.filed, key=lambda f: (f[0], f[1].id)):
            if not step.state.secrets:
                state = replace(step.state, filed=step.state.filed - {waiting})
                more = super().receive(state, *waiting, now)
                step = Step(more.state, step.commands + more.commands, step.action)
        return step


class FirstAck(Cykas):
    """A release after the first of the earlier messages instead of all."""

    name = "cykas-first-ack"

    def eager(self, state: SenderState, own: Own) -> tuple[bool, tuple[Address, ...]]:
        # A field that Cykas does not use records which message it is.
        first = [str(o.id) for o in state.own if o.id < own.id and not o.acked][:1]
        return bool(first), tuple(first)

    def releasable(self, state: SenderState, own: Own) -> bool:
        return not any(str(o.id) in own.avoid and not o.acked for o in state.own)


class Forgetful(Cykas):
    """A release that overtakes its message is forgotten, so the secret is kept for ever."""

    name = "cykas-forgetful"

    def keeps(self, packet: Packet, link: Link) -> bool:
        return super().keeps(packet, replace(link, told=0))


class Unchained(HybridPlain):
    """Several messages of one pair on reordering links, and nothing that keeps their order."""

    name = "hybrid-unchained"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.chained = False

    def data(
        self, state: SenderState, src: Address, packet: Packet, now: Time
    ) -> Step[SenderState]:
        link = replace(self.link(state, src), got=0)
        return super().data(self.with_link(state, src, link), src, packet, now)


class QueuedUncounted(CykasRefined):
    """The owner is exempted, but eagerness looks only at what is on the wire."""

    name = "cykas-refined-queued-uncounted"

    def precedes(self, state: SenderState, own: Own) -> bool:
        return any(o.id < own.id and o.sent and not o.acked for o in state.own)


class NotPassedOn(Named):
    """Named secrets that end with their first keeper."""

    name = "named-not-passed-on"

    def eager(self, state: SenderState, own: Own) -> tuple[bool, tuple[Address, ...]]:
        return super().eager(state, replace(own, deps=frozenset()))


class NamedWithViews(Named):
    """Named secrets with the others' rule for views: secrets of a crashed process end.

    The shortest counterexample takes four processes, four messages, a crash between two of them,
    and its news before the first message arrives: 10 steps (tests/causal/test_named_with_views.py).
    Random walks seldom meet that: none of 3,000 on ordered links with 4 processes, 10 messages and
    two crashes, 15 of 3,000 with 5 processes and 40 messages.
    """

    name = "named-with-views"

    def invoke(self, state: SenderState, request: Any, now: Time) -> Step[SenderState]:
        return SenderSide.invoke(self, state, request, now)

    def receive(
        self, state: SenderState, src: Address, packet: Any, now: Time
    ) -> Step[SenderState]:
        return SenderSide.receive(self, state, src, packet, now)


class ViewsKeptBack(HybridPlain):
    """Notices alone carry a view, so the messages of a process may overtake its news."""

    name = "hybrid-views-kept-back"

    def carried(self, view: View, dst: Address) -> Changes:
        return ()


class Hushed(Hybrid):
    """A process that hears of a change stays silent; only packets that go anyway carry the view."""

    name = "hybrid-hushed"

    def install(
        self,
        state: HybridState,
        joined: tuple[Joined, ...],
        gone: tuple[Address, ...],
        src: Address,
        commands: Commands,
    ) -> HybridState:
        state = super().install(state, joined, gone, src, [])
        return self.forget(replace(state, view=replace(state.view, unsure=())), gone, commands)


class Silent(Hybrid):
    """Packets of a process that is gone are ignored without an answer, and it gets no notice."""

    name = "hybrid-silent"

    def answered(
        self, state: HybridState, src: Address, packet: Any, knows: bool, now: Time
    ) -> Step[HybridState]:
        return super().answered(state, src, packet, True, now)

    def install(
        self,
        state: HybridState,
        joined: tuple[Joined, ...],
        gone: tuple[Address, ...],
        src: Address,
        commands: Commands,
    ) -> HybridState:
        at = len(commands)
        state = super().install(state, joined, gone, src, commands)
        commands[at:] = [c for c in commands[at:] if type(c) is not Send or c.dst not in gone]
        return state


class Hasty(Hybrid):
    """A process that leaves waits for nothing."""

    name = "hybrid-hasty"

    def is_delivered(self, state: HybridState) -> bool:
        return True


class AcrossGaps(Announcing):
    """An announcement counts for everything that was sent before what it announces."""

    name = "announcing-across-gaps"

    def learnt(
        self, state: HybridState, party: int, link: LinkState, commands: Commands
    ) -> HybridState:
        link = closed(link, (link.told or 1) + link.heard.bit_length())
        return super().learnt(state, party, link, commands)


class OwnEntryRst(Rst91):
    """Reads only the counts of the sender's own messages to us."""

    name = "rst91-own-entry"

    def deliverable(self, i: int, data: MatrixData[Any], delivered: list[int]) -> bool:
        return delivered[i] >= data.sent[i][self.place[self.me]]


class OwnEntryBss(Bss91):
    """Reads only the count of the sender's own broadcasts."""

    name = "bss91-own-entry"

    def deliverable(self, i: int, data: VectorData[Any], clock: list[int]) -> bool:
        return data.clock[i] == clock[i] + 1


def cykas_scan(me: Address, team: Any, *, links: Guarantee = Guarantee.UNORDERED) -> Cykas:
    """The literal reading of the 2022 note: deadlocks."""
    return Cykas(me, team, scan=True, links=links)
