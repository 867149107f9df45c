"""Senders that never stop: where Cykas starves a process, and its relatives do not.

A bounded model cannot show starvation, since its sends end.  Here two processes send to d and then,
eagerly, to b, again and again; b wants to send one message to d.  To keep the states finite, ids
start again at 1 whenever a process has nothing outstanding, and the highest ids of a link are
forgotten.  On reliable ordered links no rule reads either: a release comes before any later message
of its pair, and nothing is ever repeated.  The hybrid counts secrets as well; rules read only the
order of these counts, so the remaining ones are renumbered after each step.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec.structs import replace

from causal import hybrid_state, sender_state
from causal.cykas import Cykas, CykasRefined
from causal.hybrid import Hybrid
from causal.hybrid_plain import HybridPlain
from causal.machine import Machine
from causal.messages import Unicast
from causal.open_entries import OpenEntries
from causal.window import Window
from message_passing.network import Guarantee
from message_passing.process import Address, Event, Step, Time
from specs.checker.composite import Composite
from specs.checker.errors import ModelError
from specs.checker.model import Property, leads_to
from specs.system import Requests, System, View, fair_delivery, script, whenever

TEAM: Final = ("a", "b", "c", "d")
MACHINES: Final[dict[str, type[Machine[Any]]]] = {
    machine.name: machine for machine in (Cykas, CykasRefined, HybridPlain, Hybrid)
}


class Endless:
    """A machine with bounded counts: see the module's text."""

    def __init__(self, machine: Machine[Any]) -> None:
        self.machine = machine

    def initial(self) -> Any:
        """As the machine's."""
        return self.machine.initial()

    def durable(self, state: Any) -> Any:
        """As the machine's."""
        return state

    def step(self, state: Any, event: Event[Any, Any], now: Time) -> Step[Any]:
        """The machine's step: expand the state, step, and forget again."""
        if isinstance(state, hybrid_state.HybridState):
            step = self.machine.step(state, event, now)
            return Step(hybrid_anew(step.state), step.commands, step.action)
        carried = tuple(sender_state.Link(out=state.next - 1) for _ in state.links)
        step = self.machine.step(replace(state, links=carried), event, now)
        after = step.state
        bare = (sender_state.Link(),) * len(after.links)
        after = replace(after, links=bare, next=after.next if after.own else 1)
        return Step(after, step.commands, step.action)


def hybrid_anew(state: hybrid_state.HybridState) -> hybrid_state.HybridState:
    """A state of the hybrid with bounded counts."""
    told = {place: link.told for place, link in state.links.items()}
    live = [
        (count, kept)
        for count, kept in state.kept.window.items()
        if kept.id > told.get(kept.party, 0)
    ]

    def anew(count: int) -> int:
        return 1 + sum(older < count for older, _ in live)

    secrets: Window[hybrid_state.Kept] = Window()
    for count, kept in live:
        secrets = secrets.put(anew(count), kept)
    before = state.kept
    idle = state.own.window.root is None
    own: Window[hybrid_state.OwnEntry] = Window()
    for id, entry in state.own.window.items():
        own = own.put(id, replace(entry, need=anew(entry.need)))
    links: Window[hybrid_state.LinkState] = Window()
    for place, link in state.links.items():
        bare = (
            hybrid_state.LinkState()
            if idle
            else hybrid_state.LinkState(out=link.out, acked=link.acked)
        )
        links = links.put(place, bare)
    return replace(
        state,
        own=OpenEntries() if idle else replace(state.own, window=own),
        kept=OpenEntries(secrets, anew(before.next), 1, before.party, anew(before.second)),
        links=links,
        waiting=1 if idle else state.waiting,
        ahead=1 if idle else state.ahead,
    )


def outstanding(state: Any) -> list[Address]:
    """The destinations of undelivered or unreleased messages, oldest first."""
    if isinstance(state, hybrid_state.HybridState):
        return [TEAM[own.party] for _, own in state.own.window.items()]
    return [own.dst for own in state.own]


def endless(protocol: str = "cykas") -> Composite[View]:
    """Two processes that send secrets for ever, and one message that should get through."""
    if protocol not in MACHINES:
        raise ModelError(f"no protocol {protocol!r}", remedy="one of " + ", ".join(MACHINES))
    machines = {
        address: Endless(MACHINES[protocol](address, TEAM, links=Guarantee.ORDERED))
        for address in TEAM
    }

    def tell(state: Any) -> Iterable[Unicast[None]]:
        """Send to d and then to b, once all earlier messages are settled."""
        match outstanding(state):
            case []:
                return (Unicast("d", None),)
            case ["d"]:
                return (Unicast("b", None),)
        return ()

    environment: dict[Address, Requests] = {
        "a": whenever(tell),
        "c": whenever(tell),
        "b": script(Unicast("d", None), sequential=False),
    }
    system = System(machines, Guarantee.ORDERED, environment=environment)
    b = machines["b"].machine
    gets_through: Property[View] = leads_to(
        "a queued message is sent",
        lambda view: bool(b.held(view["b"])),
        lambda view: not b.held(view["b"]),
    )
    return system.model(f"endless-{protocol}", [gets_through], fairness=[fair_delivery()])
