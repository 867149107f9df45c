"""What must hold of delivery, in every state, in quiet states, and in the end."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import partial
from typing import Any, Final

from causal.invariants import Knowledge
from causal.machine import Machine
from causal.views import Viewed, splits
from message_passing.process import Address
from specs.checker.model import Action, Property, always, leads_to
from specs.system import View

CAUSAL: Final[Property[View]] = always("causal delivery", lambda view: not view.ghost.broken)


def drained(machines: Mapping[Address, Machine[Any]]) -> Property[View]:
    """With no message in transit, no timer and no news, all is delivered and every state drained.

    Messages from or to processes outside the team do not count.
    """

    def holds(view: View) -> bool:
        ghost: Knowledge = view.ghost
        here = members(machines, view)
        lost = [
            (src, id, dst)
            for (src, id, dst), _ in ghost.pending
            if src in here and dst in here and dst not in gone(view[src])
        ]
        return not lost and all(machines[a].idle(view[a]) for a in here)

    return always("nothing is stuck", holds, when=partial(quiet, machines))


def agreed(machines: Mapping[Address, Machine[Any]]) -> Property[View]:
    """In the same moments: members have one view, and a process outside the team knows it.

    Two processes that have excluded each other are members of two teams, and both know that.  On
    links that lose, an excluded process that waits for nothing may not know: its next packet is
    answered by the news.
    """

    def holds(view: View) -> bool:
        here = members(machines, view)
        unaware = {a for a in here if machines[a].lossy and machines[a].idle(view[a])}
        return not any(splits({a: view[a].view for a in here}, unaware))

    return always("members agree", holds, when=partial(quiet, machines))


def departs(machines: Mapping[Address, Machine[Any]], address: Address) -> Property[View]:
    """A process that leaves is out in the end."""

    def leaving(view: View) -> bool:
        state = view[address]
        return bool(state.view.leaving) and is_in(machines[address], state)

    return leads_to(f"{address} departs", leaving, lambda view: not leaving(view))


def learns(machines: Mapping[Address, Machine[Any]], address: Address) -> Property[View]:
    """An excluded process that waits for something learns in the end that it is excluded."""

    def unaware(view: View) -> bool:
        machine, state = machines[address], view[address]
        if not is_in(machine, state) or machine.idle(state):
            return False
        here = members(machines, view)
        return any(address in gone(view[m]) and m not in gone(state) for m in here)

    return leads_to(f"{address} learns", unaware, lambda view: not unaware(view))


def arrives(action: Action) -> Hashable | None:
    """Fair: each packet that can arrive."""
    return (action.peer, action.process, action.subject) if action.kind == "deliver" else None


def rings(action: Action) -> Hashable | None:
    """Fair: each process's timer."""
    return action.process if action.kind == "timeout" else None


def is_in(machine: Machine[Any], state: Any) -> bool:
    """Whether a process is a member, as it knows."""
    if not isinstance(machine, Viewed):
        return True
    here: bool = state.view.has(machine.me)
    return here


def members(machines: Mapping[Address, Machine[Any]], view: View) -> list[Address]:
    """The living processes that are members, as they know."""
    return [a for a in machines if view.local(a).up and is_in(machines[a], view[a])]


def quiet(machines: Mapping[Address, Machine[Any]], view: View) -> bool:
    """Whether nothing happens any more without the application, and no crash is still unheard."""
    living = [a for a in machines if view.local(a).up]
    here = members(machines, view)
    heard = all(
        any(a in gone(view[b]) for b in here) or not here
        for a, machine in machines.items()
        if a not in living and any(knows(machines[b], view[b], a) for b in here)
    )
    timers = any(view.local(a).armed for a in living)
    return heard and not timers and not any(view.channel(s, d) for s in machines for d in living)


def knows(machine: Machine[Any], state: Any, peer: Address) -> bool:
    """Whether `peer` is, or was, in the process's view."""
    if isinstance(machine, Viewed):
        return machine.placed(state.view, peer) is not None
    return True


def gone(state: Any) -> tuple[Address, ...]:
    """The processes that have left the view of a state."""
    left: tuple[Address, ...] = getattr(state, "gone", ())
    return left
