"""Senders that never stop: where Cykas starves a process, and its relatives do not.

A bounded model cannot show starvation, since all that is sent in it ends.  Here two processes send
to d and then, eagerly, to b, again and again; b wants to send one message to d.  To keep the states
finite, ids begin anew whenever a process has nothing outstanding, and what a link has carried is
forgotten.  On reliable ordered links nothing reads either: a release comes before any later message
of its pair, and nothing is ever repeated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec.structs import replace

from causal.cykas import Cykas, CykasRefined
from causal.hybrid_plain import HybridPlain
from causal.messages import Unicast
from causal.sender_side import Link, SenderSide, State
from messaging.network import Guarantee
from messaging.process import Address, Event, Step, Time
from specs.checker.composite import Composite
from specs.checker.errors import ModelError
from specs.checker.model import Property, leads_to
from specs.system import Requests, System, View, fair_delivery, script, whenever

TEAM: Final = ("a", "b", "c", "d")
MACHINES: Final[dict[str, type[SenderSide]]] = {
    machine.name: machine for machine in (Cykas, CykasRefined, HybridPlain)
}


class Endless:
    """A machine whose ids begin anew whenever nothing of its own is outstanding."""

    def __init__(self, machine: SenderSide) -> None:
        self.machine = machine

    def initial(self) -> State:
        """As the machine's."""
        return self.machine.initial()

    def durable(self, state: State) -> State:
        """As the machine's."""
        return state

    def step(self, state: State, event: Event[Any, Any], now: Time) -> Step[State]:
        """The machine's step, between a state that could have carried all and one that forgot."""
        carried = tuple(Link(out=state.next - 1) for _ in state.links)
        step = self.machine.step(replace(state, links=carried), event, now)
        after = step.state
        bare = (Link(),) * len(after.links)
        after = replace(after, links=bare, next=after.next if after.own else 1)
        return Step(after, step.commands, step.action)


def endless(protocol: str = "cykas") -> Composite[View]:
    """Two tellers without end, and one message that should get through."""
    if protocol not in MACHINES:
        raise ModelError(f"no protocol {protocol!r}", remedy="one of " + ", ".join(MACHINES))
    machines = {
        address: Endless(MACHINES[protocol](address, TEAM, links=Guarantee.ORDERED))
        for address in TEAM
    }

    def tell(state: State) -> Iterable[Unicast[None]]:
        """To d and then to b, once what went before is settled."""
        if not state.own:
            return (Unicast("d", None),)
        if [own.dst for own in state.own] == ["d"]:
            return (Unicast("b", None),)
        return ()

    environment: dict[Address, Requests] = {
        "a": whenever(tell),
        "c": whenever(tell),
        "b": script(Unicast("d", None), sequential=False),
    }
    system = System(machines, Guarantee.ORDERED, environment=environment)
    gets_through: Property[View] = leads_to(
        "a queued message is sent",
        lambda view: any(not own.sent for own in view["b"].own),
        lambda view: all(own.sent for own in view["b"].own),
    )
    return system.model(f"endless-{protocol}", [gets_through], fairness=[fair_delivery()])
