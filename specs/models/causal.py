"""The delivery protocols under every application that sends at most so many messages.

At any moment any process may send to any other, `sends` in all: that covers every script and every
reaction of so many messages.  The first message goes from the first process to the second; this
loses no generality, since names have no meaning.

The team may change, as often as these say:

* `crashes`: a process stops for good at any moment.  At any later one *one* survivor is told; it is
  for the protocol to tell the others.
* `mistakes`: any process may be told that a living one has crashed;
* `leaves`: any process may leave, and does so when its messages are delivered;
* `joins`: further processes start outside the team, and any member may admit one.

The ghost is
:class:`causal.invariants.Knowledge`: it forgets what is delivered, so states that differ only in
settled history are one.  With `history` it forgets nothing, and the counts match those of other
tools.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, Final

from causal import specimens
from causal.announcing import Announcing
from causal.bss91 import Bss91
from causal.csps import Csps
from causal.cykas import Cykas, CykasRefined
from causal.hybrid import Hybrid
from causal.hybrid_plain import HybridPlain
from causal.invariants import Knowledge, Name, nothing, observe
from causal.kinds import HINT, kind_of
from causal.machine import Machine
from causal.messages import Admit, Broadcast, Leave, PeerDown, Unicast
from causal.mf95 import Mf95
from causal.named import Named
from causal.rst91 import Rst91
from causal.views import Viewed
from message_passing.network import Guarantee
from message_passing.process import Address, Deliver, Event, Invoke, Step, Value
from specs.checker.composite import Change, Composite, Rule
from specs.checker.errors import ModelError
from specs.checker.model import strong, weak
from specs.models.causal_properties import (
    CAUSAL,
    agreed,
    arrives,
    departs,
    drained,
    gone,
    is_in,
    learns,
    rings,
)
from specs.system import Bounds, Requests, System, View, script

Build = Callable[..., Machine[Any]]

_MACHINES: Final[tuple[type[Machine[Any]], ...]] = (
    Mf95,
    Cykas,
    CykasRefined,
    Csps,
    HybridPlain,
    Hybrid,
    Announcing,
    Named,
    Rst91,
    Bss91,
    specimens.Raw,
    specimens.Window2,
    specimens.NoSecrets,
    specimens.BooleanMode,
    specimens.Deaf,
    specimens.FirstAck,
    specimens.Forgetful,
    specimens.Unchained,
    specimens.QueuedUncounted,
    specimens.NotPassedOn,
    specimens.NamedWithViews,
    specimens.ViewsKeptBack,
    specimens.Hushed,
    specimens.Silent,
    specimens.Hasty,
    specimens.AcrossGaps,
    specimens.OwnEntryRst,
    specimens.OwnEntryBss,
)
PROTOCOLS: Final[Mapping[str, Build]] = {
    **{machine.name: machine for machine in _MACHINES},
    "cykas-scan": specimens.cykas_scan,
}


def causal(
    protocol: str = "hybrid",
    processes: int = 3,
    sends: int = 4,
    links: str = "Ordered",
    crashes: int = 0,
    history: bool = False,
    *,
    mistakes: int = 0,
    leaves: int = 0,
    joins: int = 0,
    live: bool = False,
) -> Composite[View]:
    """Any application of `sends` messages in all.

    `live` adds what must happen in the end, if the network and the timers are fair.
    """
    everyone = _team(processes + joins)
    team = everyone[:processes]
    machines = _machines(protocol, team, links)
    for newcomer in everyone[processes:]:
        machines |= _machines(protocol, team, links, newcomer)
    broadcast = issubclass(type(machines[team[0]]), Bss91)
    changes = bool(crashes or mistakes or leaves or joins)

    def requests(address: Address) -> Requests:
        everything: tuple[Hashable, ...] = (Broadcast(None),)
        machine = machines[address]

        def choose(state: Any, made: int) -> tuple[Hashable, ...]:
            if broadcast:
                return everything
            if not isinstance(machine, Viewed):
                return tuple(Unicast(peer, None) for peer in team if peer != address)
            if not is_in(machine, state):
                return ()
            peers = machine.peers(state.view)
            leaving = state.view.leaving
            sends = () if leaving else tuple(Unicast(peer, None) for peer in peers)
            news = tuple(PeerDown(peer) for peer in peers) if crashes or mistakes else ()
            exits = (Leave(),) if leaves and not leaving else ()
            strangers = [n for n in everyone if machine.placed(state.view, n) is None]
            return (*sends, *news, *exits, *(Admit(peer) for peer in strangers))

        return Requests(choose, counted=False, sequential=False)

    environment = {address: requests(address) for address in everyone}
    system = _system(machines, links, environment, Bounds(crashes=crashes), history=history)
    name = f"causal-{protocol}"
    properties = [CAUSAL, drained(machines)]
    if changes:
        properties.append(agreed(machines))
    fairness = []
    if live:
        properties += [departs(machines, address) for address in team if leaves]
        properties += [learns(machines, address) for address in team if mistakes]
        # Processes have a timer only on links that lose.
        fairness = [strong(arrives), weak(rings)] if Guarantee(links).lossy else [weak(arrives)]
    composite = system.model(name, properties, fairness=fairness, terminal=lambda view: True)
    first, second = team[:2]
    openings = {(first, Broadcast(None) if broadcast else Unicast(second, None))}
    for newcomer in everyone[processes:]:
        openings |= {(first, Unicast(newcomer, None)), (newcomer, Unicast(first, None))}
    budgets = {"sends": sends, "mistakes": mistakes, "leaves": leaves, "joins": joins}
    return _budgeted(composite, machines, budgets, openings)


def scripted(protocol: str, sends: str, links: str = "Ordered") -> Composite[View]:
    """A fixed script for each process, any interleaving: ``"a>c a>b b>c"``."""
    moves = [(word[0], word[2]) for word in sends.split()]
    team = tuple(sorted({name for move in moves for name in move}))
    machines = _machines(protocol, team, links)
    environment = {
        address: script(
            *(Unicast(dst, None) for src, dst in moves if src == address), sequential=False
        )
        for address in team
    }
    system = _system(machines, links, environment, Bounds())
    name = f"script-{protocol}"
    return system.model(name, [CAUSAL, drained(machines)], terminal=lambda view: True)


def witness(
    address: Address, state: Any, event: Event[Any, Any], step: Step[Any]
) -> tuple[Hashable, ...] | None:
    """The ghost changes with the application's sends and deliveries, and with views."""
    if type(event) is Invoke or any(type(c) is Deliver for c in step.commands):
        return address, event, step
    return (address, event, step) if gone(state) != gone(step.state) else None


class Remembered(Value, frozen=True):
    """The ghost, and every message that each process has in its past."""

    ghost: Knowledge
    past: tuple[tuple[Address, frozenset[Name]], ...] = ()
    carried: frozenset[tuple[Name, frozenset[Name]]] = frozenset()

    @property
    def broken(self) -> str:
        """As the ghost's."""
        return self.ghost.broken

    @property
    def pending(self) -> frozenset[tuple[Name, frozenset[Name]]]:
        """As the ghost's."""
        return self.ghost.pending


def remember(
    seen: Remembered, address: Address, event: Event[Any, Any], step: Step[Any]
) -> Remembered:
    """The knowledge and the history after one step."""
    ghost = observe(seen.ghost, address, event, step)
    past, carried = dict(seen.past), dict(seen.carried)
    here = past.get(address, frozenset())
    before = {name for name, _ in seen.ghost.pending}
    for name in {name for name, _ in ghost.pending} - before:
        carried[name] = here
    sent = frozenset(carried) - frozenset(dict(seen.carried))
    here |= sent
    for command in step.commands:
        if type(command) is Deliver:
            name = (command.src, command.message.id, address)
            here |= carried.pop(name, frozenset()) | {name}
    past[address] = here
    return Remembered(ghost, tuple(sorted(past.items())), frozenset(carried.items()))


def _team(processes: int) -> tuple[Address, ...]:
    if not 2 <= processes <= 8:
        raise ModelError(f"{processes} processes", remedy="from 2 to 8")
    return tuple("abcdefgh"[:processes])


def _machines(
    protocol: str, team: Sequence[Address], links: str, newcomer: Address = ""
) -> dict[Address, Machine[Any]]:
    build = PROTOCOLS.get(protocol) or kind_of(protocol)
    if build is None:
        known = ", ".join(PROTOCOLS)
        raise ModelError(f"no protocol {protocol!r}", remedy=f"one of {known}, {HINT}")
    if newcomer:
        return {newcomer: build(newcomer, team, links=Guarantee(links), joining=True)}
    return {address: build(address, team, links=Guarantee(links)) for address in team}


def _system(
    machines: Mapping[Address, Machine[Any]],
    links: str,
    environment: Mapping[Address, Requests],
    bounds: Bounds,
    *,
    history: bool = False,
) -> System:
    return System(
        machines,
        Guarantee(links),
        environment=environment,
        bounds=bounds,
        observe=remember if history else observe,
        witness=witness,
        ghost=Remembered(nothing(tuple(machines))) if history else nothing(tuple(machines)),
    )


def _budgeted(
    composite: Composite[View],
    machines: Mapping[Address, Machine[Any]],
    budgets: Mapping[str, int],
    openings: Set[tuple[Address, Hashable]],
) -> Composite[View]:
    """An environment with a budget for all processes; an opening is the first message sent.

    Crashes are for good: there is no restart.  A crash is told to a survivor if no other survivor
    that was told, or has heard, is left.
    """
    spent = {kind: left for kind, left in budgets.items() if left or kind == "sends"}
    slots = {kind: number for number, kind in enumerate(spent, len(composite.slots))}
    slot_of = {name: number for number, name in enumerate(composite.slots)}

    def heard(values: Sequence[Any], peer: Address) -> bool:
        return any(
            values[slot_of[a]].up
            and a not in gone(values[slot_of[a]].state)
            and peer in gone(values[slot_of[a]].state)
            for a in machines
        )

    def limited(rule: Rule) -> Rule:
        def possible(values: Sequence[Any]) -> Iterator[Change]:
            for change in rule(values):
                action, kind = change.action, "sends"
                if action.kind == "restart":
                    continue
                if action.kind != "invoke":
                    yield change
                    continue
                request = action.subject
                if type(request) is PeerDown:
                    if not values[slot_of[request.peer]].up:
                        if not heard(values, request.peer):
                            yield change
                        continue
                    kind = "mistakes"
                elif type(request) is Leave:
                    kind = "leaves"
                elif type(request) is Admit:
                    kind = "joins"
                if kind not in slots:
                    continue
                slot = slots[kind]
                left = values[slot]
                first = kind == "sends" and left == budgets["sends"]
                if left and (not first or (action.process, request) in openings):
                    yield change._replace(writes=(*change.writes, (slot, left - 1)))

        return possible

    names = tuple(f"{kind} left" for kind in spent)
    return replace(
        composite,
        slots=(*composite.slots, *names),
        initial=[(*state, *spent.values()) for state in composite.initial],
        rules=[limited(rule) for rule in composite.rules],
        kinds=(*composite.kinds, *names),
    )
