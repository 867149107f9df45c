"""The delivery protocols under every application that sends at most so many messages.

At any moment any process may send to any other, `sends` in all: that covers every script and every
reaction of so many messages.  The first message goes from the first process to the second; this
loses no generality, since names have no meaning.  With `crashes`, processes stop for good at any
moment, and the news reaches each survivor at any later one.  The ghost is
:class:`causal.invariants.Knowledge`: it forgets what is delivered, so states that differ only in
settled history are one.  With `history` it forgets nothing, and the counts match those of other
tools.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
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
from causal.messages import Broadcast, PeerDown, Unicast
from causal.mf95 import Mf95
from causal.named import Named
from causal.rst91 import Rst91
from message_passing.network import Guarantee
from message_passing.process import Address, Deliver, Event, Invoke, Step, Value
from specs.checker.composite import Change, Composite, Rule
from specs.checker.errors import ModelError
from specs.checker.model import Property, always
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
) -> Composite[View]:
    """Any application of `sends` messages in all."""
    team = _team(processes)
    machines = _machines(protocol, team, links)
    broadcast = issubclass(type(machines[team[0]]), Bss91)

    def requests(address: Address) -> Requests:
        everything: tuple[Hashable, ...] = (Broadcast(None),)
        others = [peer for peer in team if peer != address]

        def choose(state: Any, made: int) -> tuple[Hashable, ...]:
            if broadcast:
                return everything
            gone = getattr(state, "gone", ())
            living = [peer for peer in others if peer not in gone]
            news = [PeerDown(peer) for peer in living] if crashes else []
            return (*(Unicast(peer, None) for peer in living), *news)

        return Requests(choose, counted=False, sequential=False)

    environment = {a: requests(a) for a in team}
    system = _system(machines, links, environment, Bounds(crashes=crashes), history=history)
    name = f"causal-{protocol}"
    composite = system.model(name, [CAUSAL, drained(machines)], terminal=lambda view: True)
    first = Broadcast(None) if broadcast else Unicast(team[1], None)
    return _budgeted(composite, sends, (team[0], first))


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


CAUSAL: Final[Property[View]] = always("causal delivery", lambda view: not view.ghost.broken)


def drained(machines: Mapping[Address, Machine[Any]]) -> Property[View]:
    """With no message in transit, no timer and no news, all is delivered and every state drained.

    Messages from or to crashed processes do not count.
    """

    def quiet(view: View) -> bool:
        living = [a for a in machines if view.local(a).up]
        heard = all(set(machines) - set(living) <= {*_gone(view[a])} for a in living)
        timers = any(view.local(a).armed for a in living)
        return (
            heard and not timers and not any(view.channel(s, d) for s in machines for d in living)
        )

    def holds(view: View) -> bool:
        ghost: Knowledge = view.ghost
        living = [a for a in machines if view.local(a).up]
        lost = [name for name, _ in ghost.pending if name[0] in living and name[2] in living]
        return not lost and all(machines[a].idle(view[a]) for a in living)

    return always("nothing is stuck", holds, when=quiet)


def witness(
    address: Address, state: Any, event: Event[Any, Any], step: Step[Any]
) -> tuple[Hashable, ...] | None:
    """The ghost changes with the application's sends and deliveries, and with views."""
    if type(event) is Invoke or any(type(c) is Deliver for c in step.commands):
        return address, event, step
    return (address, event, step) if _gone(state) != _gone(step.state) else None


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


def _gone(state: Any) -> tuple[Address, ...]:
    gone: tuple[Address, ...] = getattr(state, "gone", ())
    return gone


def _team(processes: int) -> tuple[Address, ...]:
    if not 2 <= processes <= 8:
        raise ModelError(f"{processes} processes", remedy="from 2 to 8")
    return tuple("abcdefgh"[:processes])


def _machines(protocol: str, team: Sequence[Address], links: str) -> dict[Address, Machine[Any]]:
    build = PROTOCOLS.get(protocol) or kind_of(protocol)
    if build is None:
        known = ", ".join(PROTOCOLS)
        raise ModelError(f"no protocol {protocol!r}", remedy=f"one of {known}, {HINT}")
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
    composite: Composite[View], sends: int, opening: tuple[Address, Hashable]
) -> Composite[View]:
    """An environment with a budget of `sends` for all processes, spent on `opening` first.

    Crashes are for good: there is no restart, and news of a crash is true.
    """
    slot = len(composite.slots)
    slot_of = {name: number for number, name in enumerate(composite.slots)}

    def limited(rule: Rule) -> Rule:
        def possible(values: Sequence[Any]) -> Iterator[Change]:
            for change in rule(values):
                action = change.action
                if action.kind == "restart":
                    continue
                if action.kind != "invoke":
                    yield change
                elif type(action.subject) is PeerDown:
                    if not values[slot_of[action.subject.peer]].up:
                        yield change
                else:
                    left = values[slot]
                    if left and (left < sends or (action.process, action.subject) == opening):
                        yield change._replace(writes=(*change.writes, (slot, left - 1)))

        return possible

    return replace(
        composite,
        slots=(*composite.slots, "sends left"),
        initial=[(*state, sends) for state in composite.initial],
        rules=[limited(rule) for rule in composite.rules],
        kinds=(*composite.kinds, "sends left"),
    )
