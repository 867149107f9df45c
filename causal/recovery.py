"""From a journal's entries to the state, the inbox and the incarnation."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from causal.hybrid import Hybrid
from causal.hybrid_state import HybridState, restored
from causal.journal import Began, Dealt, Down, Entry, Got, Rested, Sent, WrongJournal
from causal.messages import PeerDown, Unicast
from message_passing.process import Address, Deliver, Event, Invoke, Receive


class Recovered(NamedTuple):
    """An endpoint as its journal last recorded it."""

    incarnation: bytes
    state: HybridState
    inbox: tuple[tuple[Address, int, bytes], ...]


def recover(machine: Hybrid, entries: Sequence[Entry]) -> Recovered:
    """Replay.  Raises `WrongJournal` if the journal is not this machine's."""
    began = entries[0]
    if not isinstance(began, Began) or began.name != machine.me:
        raise WrongJournal(f"it is not the journal of {machine.me!r}")
    if machine.team[: len(began.team)] != began.team:
        # States name members by their place.
        raise WrongJournal(f"its team is {began.team}, not {machine.team}")
    if began.machine != machine.name:
        # Replayed by another machine, packets that were sent might not appear.
        raise WrongJournal(f"it was written by {began.machine!r}, not by {machine.name!r}")
    state, inbox = machine.initial(), deque[tuple[Address, int, bytes]]()
    for entry in entries[1:]:
        event: Event[Any, Any]
        match entry:
            case Rested(snapshot, waiting):
                state, inbox = restored(snapshot), deque(waiting)
                continue
            case Dealt():
                inbox.popleft()
                continue
            case Sent(dst, payload):
                event = Invoke(Unicast(dst, payload))
            case Got(src, packet):
                event = Receive(src, packet)
            case Down(peer):
                event = Invoke(PeerDown(peer))
            case _:
                raise WrongJournal("it begins twice")
        step = machine.step(state, event, 0.0)
        state = step.state
        inbox += [
            (c.src, c.message.id, c.message.payload) for c in step.commands if type(c) is Deliver
        ]
    return Recovered(began.incarnation, state, tuple(inbox))
