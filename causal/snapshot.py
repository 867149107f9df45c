"""The hybrid's state in a form that can be written down, and back.

Trees become lists of entries; everything else is counts.  Payloads must be bytes.
"""

from __future__ import annotations

from typing import Any

from causal.front import Front
from causal.hybrid_state import Kept, Link, Own, State
from causal.messages import Data
from causal.window import Window
from message_passing.process import Address, Value


class Cursors(Value, frozen=True, gc=False, tag=True, array_like=True):
    """A front without its entries."""

    next: int
    first: int
    party: int
    second: int


class Counts(Value, frozen=True, gc=False, tag=True, array_like=True):
    """A link without the packets that arrived before their turn."""

    party: int
    out: int
    acked: int
    let: int
    got: int
    told: int
    filed: tuple[Data[bytes], ...]
    heard: bytes = b""


class Snapshot(Value, frozen=True, gc=False, tag=True, array_like=True):
    """All of a state."""

    own: tuple[tuple[int, Own], ...]
    own_at: Cursors
    kept: tuple[tuple[int, Kept], ...]
    kept_at: Cursors
    links: tuple[Counts, ...]
    waiting: int
    ahead: int
    gone: tuple[Address, ...]


def taken(state: State) -> Snapshot:
    """The snapshot of a state; its timer is not part of it."""
    return Snapshot(
        tuple(state.own.window.items()),
        _cursors(state.own),
        tuple(state.kept.window.items()),
        _cursors(state.kept),
        tuple(
            Counts(
                party,
                link.out,
                link.acked,
                link.let,
                link.got,
                link.told,
                tuple(packet for _, packet in link.filed.items()),
                link.heard.to_bytes((link.heard.bit_length() + 7) // 8),
            )
            for party, link in state.links.items()
        ),
        state.waiting,
        state.ahead,
        state.gone,
    )


def restored(snapshot: Snapshot) -> State:
    """The state that the snapshot was taken from, without a timer."""
    links: Window[Link] = Window()
    for c in snapshot.links:
        filed: Window[Data[Any]] = Window()
        for packet in c.filed:
            filed = filed.put(packet.prev, packet)
        heard = int.from_bytes(c.heard)
        links = links.put(c.party, Link(c.out, c.acked, c.let, c.got, c.told, filed, heard))
    return State(
        own=_front(snapshot.own, snapshot.own_at),
        kept=_front(snapshot.kept, snapshot.kept_at),
        links=links,
        waiting=snapshot.waiting,
        ahead=snapshot.ahead,
        gone=snapshot.gone,
    )


def _cursors(front: Front[Any]) -> Cursors:
    return Cursors(front.next, front.first, front.party, front.second)


def _front(entries: tuple[tuple[int, Any], ...], at: Cursors) -> Front[Any]:
    window: Window[Any] = Window()
    for key, entry in entries:
        window = window.put(key, entry)
    return Front(window, at.next, at.first, at.party, at.second)
