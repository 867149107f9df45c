"""The hybrid's state: its own messages, the secrets of others, and one link to each peer.

`Snapshot` is the state in the form that is written down: windows become lists of entries, and all
else is counts.  Journals hold it, so its fields and tags stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any

import msgspec
from msgspec.structs import replace

from causal import views
from causal.messages import Data, Held, Secret
from causal.open_entries import OpenEntries
from causal.repeat import NEVER, Repeat
from causal.views import FOUNDED, View
from causal.window import Window
from message_passing.process import Address, Value


class OwnEntry(Value, frozen=True, gc=False, tag="Own"):
    """A message of this process that is undelivered, or a secret still to be released.

    `need` counts the secrets acquired before the application sent it.
    """

    party: int
    need: int
    payload: Any
    prev: int = 0
    sent: bool = False
    secret: bool = False
    acked: bool = False


def is_acked(_: int, entry: OwnEntry) -> bool:
    """Whether the entry is no longer open, as `OpenEntries.advance` asks."""
    return entry.acked


class Kept(Value, frozen=True, gc=False, tag=True):
    """A secret of the process at place `party`: its message `id`."""

    party: int
    id: int


class LinkState(Value, frozen=True, gc=False, tag=True):
    """The highest ids that have passed between this process and one peer."""

    out: int = 0  # put on the wire by us
    acked: int = 0  # delivered to them
    let: int = 0  # released by us, where a release may be lost
    got: int = 0  # delivered from them
    told: int = 0  # released by them
    filed: Window[Data[Any]] = Window()  # arrived before their turn, by `prev`
    heard: int = 0  # known to be delivered, as bits from `told` on; if deliveries are announced
    files: int = 0  # how many are filed
    repeat: Repeat = NEVER


FRESH = LinkState()


class HybridState(Value, frozen=True, gc=False, tag=True):
    """The state of the hybrid.

    The queue is the entries of `own` that are not `sent`.  It has no entry older than `waiting`.
    It has no entry between `waiting` and `ahead` that could pass the queue to the owner of the
    oldest secret.
    """

    own: OpenEntries[OwnEntry] = OpenEntries()
    kept: OpenEntries[Kept] = OpenEntries()
    links: Window[LinkState] = Window()
    waiting: int = 1
    ahead: int = 1
    view: View = FOUNDED
    ticking: bool = False

    @property
    def gone(self) -> tuple[Address, ...]:
        """The processes that have left the view."""
        return self.view.gone

    def live(self) -> list[tuple[int, Kept]]:
        """The secrets in the order in which they were acquired, each with its count."""
        told = {party: link.told for party, link in self.links.items()}
        return [(n, kept) for n, kept in self.kept.window.items() if kept.id > told[kept.party]]

    def without(self, parties: Set[int]) -> HybridState:
        """Without the links, messages and secrets of `parties`; no cursor moves."""
        links, own, kept = self.links, self.own.window, self.kept.window
        for party in parties:
            if links.get(party) is not None:
                links = links.drop(party)
        for key, entry in self.own.window.items():
            if entry.party in parties:
                own = own.drop(key)
        for key, secret in self.kept.window.items():
            if secret.party in parties:
                kept = kept.drop(key)
        return replace(
            self,
            own=replace(self.own, window=own),
            kept=replace(self.kept, window=kept),
            links=links,
        )

    def snapshot(self) -> Snapshot:
        """All but the timer and the pauses, in the form that is written down."""
        return Snapshot(
            tuple(self.own.window.items()),
            _cursors(self.own),
            tuple(self.kept.window.items()),
            _cursors(self.kept),
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
                for party, link in self.links.items()
            ),
            self.waiting,
            self.ahead,
            self.view.gone,
            self.view,
        )


def held(state: HybridState, name: Callable[[int], Address]) -> tuple[Held, ...]:
    """The queued messages, each with the secrets and own messages that it waits for."""
    live = state.live()
    waiting, queued = [], dict[int, list[int]]()
    for id, own in state.own.window.items():
        before = queued.setdefault(own.party, [])
        if not own.sent:
            secrets = sorted(
                Secret(name(kept.party), kept.id)
                for n, kept in live
                if n < own.need and kept.party != own.party
            )
            dst = name(own.party)
            waiting.append(Held(id, dst, tuple(secrets), tuple(before)))
            before.append(id)
    return tuple(waiting)


class Cursors(Value, frozen=True, gc=False, tag=True, array_like=True):
    """Open entries without the entries."""

    next: int
    first: int
    party: int
    second: int


class Counts(Value, frozen=True, gc=False, tag=True, array_like=True):
    """A link, its packets that arrived before their turn as a list."""

    party: int
    out: int
    acked: int
    let: int
    got: int
    told: int
    filed: tuple[Data[bytes], ...]
    heard: bytes = b""


class Snapshot(Value, frozen=True, gc=False, tag=True, array_like=True):
    """All of a state except its timer.  Payloads are bytes."""

    own: tuple[tuple[int, OwnEntry], ...]
    own_at: Cursors
    kept: tuple[tuple[int, Kept], ...]
    kept_at: Cursors
    links: tuple[Counts, ...]
    waiting: int
    ahead: int
    gone: tuple[Address, ...]
    view: View | None = None  # None in journals from before processes could join and leave


def restored(saved: Any) -> HybridState:
    """The state of a snapshot that was written and read, with no timer armed."""
    snapshot = msgspec.convert(saved, Snapshot)
    links: Window[LinkState] = Window()
    for c in snapshot.links:
        filed: Window[Data[Any]] = Window()
        for packet in c.filed:
            filed = filed.put(packet.prev, packet)
        heard = int.from_bytes(c.heard)
        files = len(c.filed)
        link = LinkState(c.out, c.acked, c.let, c.got, c.told, filed, heard, files)
        links = links.put(c.party, link)
    return HybridState(
        own=_entries(snapshot.own, snapshot.own_at),
        kept=_entries(snapshot.kept, snapshot.kept_at),
        links=links,
        waiting=snapshot.waiting,
        ahead=snapshot.ahead,
        view=views.restored(snapshot.view, snapshot.gone),
    )


def _cursors(entries: OpenEntries[Any]) -> Cursors:
    return Cursors(entries.next, entries.first, entries.party, entries.second)


def _entries(listed: tuple[tuple[int, Any], ...], at: Cursors) -> OpenEntries[Any]:
    window: Window[Any] = Window()
    for key, entry in listed:
        window = window.put(key, entry)
    return OpenEntries(window, at.next, at.first, at.party, at.second)
