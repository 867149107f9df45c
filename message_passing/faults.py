"""A plan of faults, each from a start to an end, played against a simulation.

The network model covers message loss and copies; this module has the faults with a duration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf
from random import Random
from typing import TypeAlias

import msgspec

from message_passing.errors import CallerError
from message_passing.process import Address, Time
from message_passing.simulator import Simulator


class Outage(msgspec.Struct, frozen=True):
    """`address` crashes at `start` and restarts at `end`."""

    address: Address
    start: Time
    end: Time = inf


class Stall(msgspec.Struct, frozen=True):
    """`address` is paused at `start` and resumed at `end`, as by a long garbage collection."""

    address: Address
    start: Time
    end: Time = inf


class Split(msgspec.Struct, frozen=True):
    """The network is cut between `groups` at `start` and healed at `end`."""

    groups: tuple[tuple[Address, ...], ...]
    start: Time
    end: Time = inf


Fault: TypeAlias = Outage | Stall | Split


class BadPlan(CallerError):
    """A plan of faults that cannot be played."""


def play(sim: Simulator, faults: Iterable[Fault], *, until: Time) -> int:
    """Run `sim` to `until`, with each fault at its time in the plan.

    Events of the same time come before the fault, and an end before a start.  A fault that lasts
    beyond `until` stays in force.  Raises `BadPlan`, with nothing changed, if faults of one
    process, or two splits, overlap.  Returns the number of steps that `Simulator.run` counted.
    """
    plan = tuple(faults)
    _check(sim, plan)
    edges = [(fault.start, 1, fault) for fault in plan] + [(fault.end, 0, fault) for fault in plan]
    steps = 0
    for time, starts, fault in sorted(edges, key=lambda edge: edge[:2]):
        if time > until:
            break
        steps += sim.run(until=time)
        if isinstance(fault, Outage):
            (sim.crash if starts else sim.restart)(fault.address)
        elif isinstance(fault, Stall):
            (sim.pause if starts else sim.resume)(fault.address)
        elif starts:
            sim.partition(fault.groups)
        else:
            sim.heal()
    return steps + sim.run(until=until)


def draw(
    rng: Random,
    addresses: Sequence[Address],
    *,
    until: Time,
    count: int,
    duration_max: Time,
) -> tuple[Fault, ...]:
    """Draw a plan of at most `count` faults that end by `until`; overlapping ones are left out.

    A run that continues after `until` can thus check whether the system has recovered.
    """
    plan: list[Fault] = []
    for _ in range(count):
        start = rng.uniform(0.0, until)
        end = min(until, start + rng.uniform(0.0, duration_max))
        kind = rng.randrange(3)
        fault: Fault
        if kind == 2:
            side = tuple(address for address in addresses if rng.random() < 0.5)
            fault = Split((side,), start, end)
        else:
            fault = (Outage, Stall)[kind](rng.choice(addresses), start, end)
        if start < end and not any(_overlap(fault, other) for other in plan):
            plan.append(fault)
    return tuple(plan)


def _subject(fault: Fault) -> Address | None:
    return None if isinstance(fault, Split) else fault.address


def _overlap(one: Fault, other: Fault) -> bool:
    same = _subject(one) == _subject(other)
    return same and one.start < other.end and other.start < one.end


def _check(sim: Simulator, plan: tuple[Fault, ...]) -> None:
    for fault in plan:
        if not sim.now <= fault.start < fault.end:
            raise BadPlan(f"{fault} at time {sim.now!r}", remedy="start from now on, end later")
        groups = fault.groups if isinstance(fault, Split) else ((fault.address,),)
        named = [address for group in groups for address in group]
        strangers = sorted(set(named) - sim.states.keys())
        if strangers:
            raise BadPlan(f"{fault} names {strangers[0]!r}", remedy="name processes of the system")
        if len(set(named)) < len(named):
            raise BadPlan(f"{fault} names a process twice", remedy="name it in one group")
    ordered = sorted(plan, key=lambda fault: (_subject(fault) or "", fault.start))
    for one, other in pairwise(ordered):
        if _overlap(one, other):
            raise BadPlan(f"{one} overlaps {other}", remedy="end one before the other starts")
