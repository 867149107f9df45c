"""From events to a journal's entries, and from the entries back to a state, for any machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from causal.frames import with_notices
from causal.journal import (
    Admitted,
    Began,
    Dealt,
    Down,
    Entry,
    Got,
    Left,
    Rested,
    Sent,
    WrongJournal,
)
from causal.machine import Machine
from causal.messages import Admit, Leave, PeerDown, Unicast
from causal.records import DamagedJournal
from message_passing.process import Address, Event, Invoke, Receive
from message_passing.turn import Core


class Recovered(NamedTuple):
    """An endpoint as its journal last recorded it."""

    incarnation: bytes
    state: Any
    inbox: tuple[tuple[Address, int, bytes], ...]


def recorded(event: Event[Any, Any]) -> Entry | None:
    """The entry for an event that was stepped.

    None for a probe, which changes nothing, and for a time-out: a machine may repeat packets then,
    but change nothing that must survive.
    """
    if type(event) is Receive:
        return Got(event.src, event.message)
    if type(event) is Invoke:
        match event.request:
            case Unicast(dst, payload):
                return Sent(dst, payload)
            case PeerDown(peer):
                return Down(peer)
            case Admit(peer, address):
                return Admitted(peer, address)
            case Leave(at_once):
                return Left(at_once)
    return None


def recover(machine: Machine[Any], entries: Sequence[Entry]) -> Recovered:
    """Replay the entries, except the timers.

    Raises `WrongJournal` if the journal is not this machine's, and `DamagedJournal` for a snapshot
    or a packet that the machine cannot read.
    """
    began = entries[0]
    if not isinstance(began, Began) or began.name != machine.me:
        raise WrongJournal(f"it is not the journal of {machine.me!r}")
    if machine.team[: len(began.team)] != began.team:
        # States name members by their place.
        raise WrongJournal(f"its team is {began.team}, not {machine.team}")
    if began.machine != machine.name:
        # Replayed by another machine, packets that were sent might not appear.
        raise WrongJournal(f"it was written by {began.machine!r}, not by {machine.name!r}")
    core, inbox = Core(machine), deque[tuple[Address, int, bytes]]()
    for entry in entries[1:]:
        match entry:
            case Began():
                raise WrongJournal("it begins twice")
            case Rested(saved, waiting):
                core.state, inbox = _read(machine.restore, saved), deque(waiting)
            case Dealt():
                inbox.popleft()
            case _:
                _, effects = core.step(_event(machine, entry), 0.0)
                inbox += [(d.src, d.message.id, d.message.payload) for d in effects.deliveries]
    return Recovered(began.incarnation, core.state, tuple(inbox))


def _event(machine: Machine[Any], entry: Sent | Got | Down | Admitted | Left) -> Event[Any, Any]:
    match entry:
        case Sent(dst, payload):
            return Invoke(Unicast(dst, payload))
        case Got(src, packet):
            return Receive(
                src, _read(partial(msgspec.convert, type=with_notices(machine.packets)), packet)
            )
        case Down(peer):
            return Invoke(PeerDown(peer))
        case Admitted(peer, address):
            return Invoke(Admit(peer, address))
        case Left(at_once):
            return Invoke(Leave(at_once))


def _read(form: Callable[[Any], Any], saved: Any) -> Any:
    try:
        return form(saved)
    except msgspec.ValidationError as error:
        raise DamagedJournal(f"a record does not have the form of its machine: {error}") from error
