"""A false alarm: a running cache is taken for dead, and another agent sends its `Leave`.

The tables of `specs.models.mesi`, and one event: at any moment home receives the `Leave` of a cache
that did not send it.  Home forgets the cache's copy, its place in the queue, its grant, and that
its acknowledgement or its commit's answer is awaited.  The cache continues: it is *mistaken*.

With `told` a notice follows the last message from home to the cache, as a line of the store's log
does.  The driver then acts as `CacheThatIsTold`: the copy must be confirmed before it is served,
the outstanding request is made again, and the cache is no longer mistaken.  Without `told` a cache
learns nothing, unless it crashes.

The model claims all of `coherence.invariants`, with two exceptions, both for mistaken caches only:
home need not know of their copies, and in strict visibility they may serve those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from coherence.cache import CACHE, RETRY, VALIDITY, Cache
from coherence.directory import HOME, Home
from coherence.invariants import Ghost, begin
from coherence.messages import Committed, Leave
from coherence.policy import Policy, Visibility
from coherence.states import READABLE, CacheAt, CacheState, HomeState
from coherence.table import Table
from message_passing.network import Guarantee
from message_passing.process import (
    Address,
    Event,
    Receive,
    Respond,
    Restart,
    Send,
    Step,
    Time,
    Timeout,
    Value,
)
from specs.checker.composite import Composite
from specs.checker.model import Property, always
from specs.environment import Bounds, Requests, View
from specs.models import mesi_ghost
from specs.models.mesi import (
    HOME_ADDRESS,
    agents_of,
    agrees,
    leaves,
    policy_of,
    protocol,
    requests_of,
)
from specs.models.mesi_live import fair, liveness

STABLE = READABLE | {CacheAt.I}


class Said(Leave, frozen=True, gc=False, tag=True):
    """A `Leave` that its cache did not send."""


class Notice(Value, frozen=True, gc=False, tag=True):
    """A notice to a cache that it was taken for dead."""


class HomeThatTells(Home):
    """A home in a store whose log names each cache whose `Leave` another agent sent."""

    told = True

    def step(self, state: HomeState, event: Event[Any, Any], now: Time) -> Step[HomeState]:
        if not (isinstance(event, Receive) and isinstance(event.message, Said)):
            return super().step(state, event, now)
        plain = Receive(event.src, Leave(event.message.serial))
        step = super().step(state, plain, now)
        if not self.told:
            return step
        return msgspec.structs.replace(step, commands=(*step.commands, Send(event.src, Notice())))


class HomeThatTellsNobody(HomeThatTells):
    """The same, without these names in the log."""

    told = False


class CacheThatIsTold(Cache):
    """A cache with its driver's reaction to a `Notice`, `Caches.start_over`."""

    def step(self, state: CacheState, event: Event[Any, Any], now: Time) -> Step[CacheState]:
        if not (isinstance(event, Receive) and isinstance(event.message, Notice)):
            return super().step(state, event, now)
        step = super().step(state, Timeout(VALIDITY), now)
        if step.state.at in STABLE:
            return step
        again = super().step(step.state, Timeout(RETRY), now)
        return Step(again.state, (*step.commands, *again.commands), again.action)


class AlarmedGhost(Value, frozen=True, gc=False, tag=True):
    """The ghost, and the caches that were taken for dead and were not told."""

    ghost: Ghost
    mistaken: tuple[Address, ...] = ()

    @property
    def broken(self) -> str:
        """As of a `Ghost`."""
        return self.ghost.broken


def mesi_alarm(
    caches: int = 2,
    requests: int = 2,
    policy: str = "lazy",
    ask: str = "Load Acquire Commit",
    validity: bool = False,
    lease: bool = False,
    alarms: int = 1,
    crashes: int = 0,
    told: bool = True,
    live: bool = False,
    broken: str = "",
) -> Composite[View]:
    """The protocol with caches taken for dead, `alarms` times in all, on reliable channels.

    For a cache that is down others may send the `Leave` any number of times.  The rest is as in
    `specs.models.mesi.mesi`; with `live` applications end their grants.
    """
    agents = agents_of(caches)
    kinds = tuple(ask.split())
    chosen = policy_of(policy, validity=validity, lease=lease)
    environment = {
        agent: Requests(partial(requests_of, agent, kinds, requests)) for agent in agents
    }
    tables: Mapping[str, Table[Any]] = {}
    if broken:
        from specs.models.mesi_broken import faulty

        tables = faulty(broken)
    model = protocol(
        chosen,
        Guarantee.ORDERED,
        agents,
        environment,
        bounds=Bounds(alarms=alarms, crashes=crashes, crashable=frozenset(agents)),
        farewells=said,
        watch=(partial(tell, chosen), witness, AlarmedGhost(begin(HomeState()))),
        cache_type=CacheThatIsTold,
        home_type=HomeThatTells if told else HomeThatTellsNobody,
        cache_table=tables.get("cache_table", CACHE),
        home_table=tables.get("home_table", HOME),
    )
    properties = [p for p in model.properties if not p.name.startswith("directory_agrees")]
    if chosen.validity is None and not crashes:
        properties += _of_the_directory(agents)
    fairness = model.fairness
    if live:
        properties += liveness(HOME_ADDRESS, agents)
        fairness = fair(Guarantee.ORDERED, finishes=True)
    return replace(
        model,
        name="mesi-alarm",
        properties=properties,
        fairness=fairness,
        terminal=partial(_at_rest, agents),
        symmetry=None,
    )


def said(agent: Address, home: HomeState) -> Iterator[Leave]:
    """As `leaves`, by others."""
    return (Said(leave.serial) for leave in leaves(agent, home))


# The ghost.


def witness(
    address: Address, before: Any, event: Event[Any, Any], step: Step[Any]
) -> tuple[Any, ...] | None:
    """The part of a step that `tell` reads, or None if it would remember nothing new."""
    seen = mesi_ghost.witness(address, before, event, step)
    message = event.message if isinstance(event, Receive) else None
    if isinstance(message, Said):
        assert isinstance(event, Receive)
        return event.src, True, seen
    if isinstance(message, Notice) or (isinstance(event, Restart) and address != HOME_ADDRESS):
        return address, False, seen
    return None if seen is None else (address, None, seen)


def tell(
    policy: Policy, known: AlarmedGhost, of: Address, mistaken: bool | None, seen: Any
) -> AlarmedGhost:
    """The ghost after a step; `mistaken` says whether that makes the cache `of` so, or None."""
    if seen is not None:
        known = msgspec.structs.replace(known, ghost=_judged(policy, known, seen))
    if mistaken is None or mistaken == (of in known.mistaken):
        return known
    others = {agent for agent in known.mistaken if agent != of}
    after = others | {of} if mistaken else others
    return msgspec.structs.replace(known, mistaken=tuple(sorted(after)))


def _judged(policy: Policy, known: AlarmedGhost, seen: Any) -> Ghost:
    address, event, step, then = seen
    if address not in known.mistaken or policy.visibility is not Visibility.STRICT:
        return mesi_ghost.remember(policy, False, known.ghost, address, event, step, then)
    # Its reads are judged as under lazy visibility; its returned commits still count.
    lazy = Policy(visibility=Visibility.LAZY)
    ghost = mesi_ghost.remember(lazy, False, known.ghost, address, event, step, then)
    results = [c.result for c in step.commands if isinstance(c, Respond)]
    returned = [r.version for r in results if isinstance(r, Committed)]
    return msgspec.structs.replace(ghost, returned=max([known.ghost.returned, *returned]))


# Properties.


def _of_the_directory(agents: Sequence[Address]) -> Iterator[Property[View]]:
    for agent in agents:
        yield always(f"directory_agrees {agent}", partial(_agrees, agent))


def _agrees(agent: Address, view: View) -> bool:
    return agent in view.ghost.mistaken or agrees(agent, view)


def _at_rest(agents: Sequence[Address], view: View) -> bool:
    """No application waits, except at caches that home has forgotten and that are not told."""
    mistaken = view.ghost.mistaken
    return not any(view.local(agent).waiting for agent in agents if agent not in mistaken)
