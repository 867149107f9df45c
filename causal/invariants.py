"""Invariants of delivery, as a pure ghost: what each process knows of undelivered messages.

A checker folds `observe` over every step of every path, a simulation over its one path.  Only
undelivered messages are kept, so the ghost stays as small as the network.  It judges as
:mod:`causal.history` does, and names the first breach instead of all of them.

Invariants: `Knowledge.broken` stays empty (causal delivery, no message twice or out of thin air,
and none undelivered of a process that left in good order); once nothing is in transit,
`Knowledge.pending` is empty (nothing is lost) and every process is idle (no secret is kept for
ever).
"""

from __future__ import annotations

from typing import Any, TypeAlias

from causal.hybrid_state import HybridState
from causal.messages import Broadcast, Unicast
from causal.open_entries import OpenEntries
from causal.views import FOUNDED
from message_passing.process import Address, Event, Invoke, Step, Value
from message_passing.turn import interpret

Name: TypeAlias = tuple[Address, int, Address]
"""A message to one process: its sender, the sender's count, its destination."""


class Knowledge(Value, frozen=True, gc=False, tag=True):
    """The ghost.

    `pending` are the messages sent and not delivered, each with the undelivered ones in its causal
    past; `known` gives for each process the undelivered messages in its causal past.
    """

    known: tuple[tuple[Address, frozenset[Name]], ...]
    pending: frozenset[tuple[Name, frozenset[Name]]] = frozenset()
    broken: str = ""


def nothing(team: tuple[Address, ...]) -> Knowledge:
    """Before the first event."""
    return Knowledge(tuple((address, frozenset()) for address in sorted(team)))


def observe(
    knowledge: Knowledge, address: Address, event: Event[Any, Any], step: Step[Any]
) -> Knowledge:
    """The knowledge after one step of the process at `address`."""
    effects = interpret(step.commands, {})
    known, pending, broken = dict(knowledge.known), dict(knowledge.pending), knowledge.broken
    if type(event) is Invoke and type(event.request) in (Unicast, Broadcast):
        (id,) = effects.answers
        dsts = [event.request.dst] if type(event.request) is Unicast else list(known)
        names = {(address, id, dst) for dst in dsts}
        # The copies of a broadcast are one message: a process that has one knows of the others.
        pending.update({name: known[address] | names - {name} for name in names})
        known[address] |= names
    view = getattr(step.state, "view", FOUNDED)
    gone = view.gone
    for delivery in effects.deliveries:
        name = (delivery.src, delivery.message.id, address)
        past = pending.pop(name, None)
        if past is None:
            broken = broken or f"{address} delivers {name[0]}{name[1]} twice, or from nowhere"
            continue
        early = sorted(p for p in past if p in pending and p[2] == address and p[0] not in gone)
        if early:
            broken = broken or (
                f"{address} delivers {name[0]}{name[1]} before {early[0][0]}{early[0][1]}"
            )
        known[address] |= past
    out = address in gone
    if out and view.leaving:
        # It has left in good order: its messages to processes in its view are delivered.
        owed = sorted(name for name in pending if name[0] == address and name[2] not in gone)
        if owed:
            broken = broken or f"{address} leaves before {address}{owed[0][1]} is delivered"
    # Delivered messages, and messages fenced off for ever, leave the knowledge of every process.
    if gone or effects.deliveries:
        live = frozenset(
            name for name in pending if name[2] != address or not (out or name[0] in gone)
        )
        known = {a: names & live for a, names in known.items()}
        pending = {name: past & live for name, past in pending.items() if name in live}
    return Knowledge(tuple(sorted(known.items())), frozenset(pending.items()), broken)


def cursors_hold(entries: OpenEntries[Any], closed: Any) -> bool:
    """The invariant of open entries: their cursors are where a scan of all entries puts them.

    Holds after every step for a process's own messages, `closed` being acknowledged.
    """
    still = [(key, entry.party) for key, entry in entries.window.items() if not closed(entry)]
    first = min(still, default=(entries.next, -1))
    second = min((key for key, party in still if party != first[1]), default=entries.next)
    return (entries.first, entries.second) == (first[0], second) and (
        not still or entries.party == first[1]
    )


def hybrid_holds(state: HybridState) -> bool:
    """The cursors of a hybrid's state, and no queued message that nothing holds back."""

    def told(kept: Any) -> bool:
        link = state.links.get(kept.party)
        return link is not None and kept.id <= link.told

    held = cursors_hold(state.own, lambda own: own.acked) and cursors_hold(state.kept, told)
    return held and all(
        own.sent or state.kept.older(own.party) < own.need for _, own in state.own.window.items()
    )
