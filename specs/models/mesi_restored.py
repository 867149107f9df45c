"""Home goes back: a backup was restored, or a copy that lagged behind took over.

The tables of `specs.models.mesi`, and two events.  At any moment home is *saved*, with its timers;
at any moment after that it is *restored*: the commits and grants in between are lost, and the
versions after the saved one are counted a second time.  Caches are not told.  Messages from home to
caches, and from caches to home, are still in transit.  All that a cache holds from before is in
*doubt* until it gets an answer that home sent after the restore.  The claims for the time after:

``confirmed``
    A cache that is not in doubt and holds home's version number has home's content.
``no_lost_update``
    Every commit is derived from the content that it replaces.
and the rest of `coherence.invariants`
    of home and, within the history that home has now, of caches that are not in doubt.  A cache in
    doubt serves contents of a lost history: only a driver that is told can drop them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from coherence.cache import Cache
from coherence.directory import Home
from coherence.invariants import Ghost, begin
from coherence.messages import (
    Committed,
    Data,
    GetM,
    GetS,
    Granted,
    Loaded,
    PutAck,
    PutM,
    Refused,
    Update,
    digest_of,
)
from coherence.policy import Policy
from coherence.states import CacheAt, CacheState, HomeState
from message_passing.network import Guarantee
from message_passing.process import Address, Event, Receive, Respond, Step, Time, Value
from specs.checker.composite import Change, Composite
from specs.checker.errors import UsageError
from specs.checker.model import Action, Property, always
from specs.environment import Bounds, Local, Requests, View
from specs.models import mesi_ghost
from specs.models.mesi import HOME_ADDRESS, agents_of, policy_of, protocol, requests_of
from specs.models.mesi_live import fair, liveness
from specs.models.mesi_timers import Lapsing

#: In the slot of the backup: it was restored.
SPENT = "spent"
RESTORED = "restored"

#: By name: the messages whose digests home ignores.
BROKEN: Mapping[str, tuple[type, ...]] = {
    "confirmed a": (GetS, GetM),
    "no_lost_update": (PutM,),
}


class RestoredGhost(Value, frozen=True, gc=False, tag=True):
    """The ghost of home's current history, and the remains of a lost one."""

    ghost: Ghost
    #: Caches that home has not answered since it was restored.
    doubtful: tuple[Address, ...] = ()
    #: How many messages from before are in transit to each of them.
    old: tuple[tuple[Address, int], ...] = ()

    @property
    def broken(self) -> str:
        """As of a `Ghost`."""
        return self.ghost.broken


class ByNumber(Home):
    """A home that treats equal numbers as equal contents, in messages of some kinds."""

    def __init__(self, kinds: tuple[type, ...], policy: Policy) -> None:
        super().__init__(policy)
        self.kinds = kinds

    def step(self, state: HomeState, event: Event[Any, Any], now: Time) -> Step[HomeState]:
        if isinstance(event, Receive) and isinstance(event.message, self.kinds):
            message: Any = event.message
            known = digest_of(state.content)
            event = Receive(event.src, msgspec.structs.replace(message, digest=known))
        return super().step(state, event, now)


def home_of(broken: str) -> Callable[[Policy], Home]:
    """The home with a fault, by its name in `BROKEN`; the shipped one without a name."""
    if not broken:
        return Home
    if broken not in BROKEN:
        raise UsageError(f"no fault {broken!r}", remedy="one of " + ", ".join(BROKEN))
    return partial(ByNumber, BROKEN[broken])


def mesi_restored(
    caches: int = 2,
    requests: int = 2,
    policy: str = "lazy",
    ask: str = "Load Commit",
    validity: bool = False,
    lease: bool = False,
    retry: bool = False,
    gaps: bool = False,
    in_flight: int = 0,
    live: bool = False,
    broken: str = "",
) -> Composite[View]:
    """The protocol with a home that is saved once and restored once, on reliable channels.

    The rest is as in `specs.models.mesi.mesi`; `broken` is a name in `BROKEN`.  A home that goes
    back forgets accepted requests: without `retry` or a deadline they are never answered.
    """
    agents = agents_of(caches)
    kinds = tuple(ask.split())
    chosen = policy_of(policy, validity=validity, lease=lease, retry=retry)
    bounds = Bounds(in_flight=in_flight or None)
    environment = {
        agent: Requests(partial(requests_of, agent, kinds, requests)) for agent in agents
    }
    model = restorable(
        chosen, agents, environment, bounds=bounds, home_type=home_of(broken), gaps=gaps
    )
    if live:
        properties = [*model.properties, *liveness(HOME_ADDRESS, agents)]
        fairness = fair(Guarantee.ORDERED, finishes=False)
        model = replace(model, properties=properties, fairness=fairness)
    return replace(model, name="mesi-restored")


def restorable(
    policy: Policy,
    agents: Sequence[Address],
    environment: Mapping[Address, Requests],
    *,
    bounds: Bounds | None = None,
    watched: bool = True,
    home_type: Callable[[Policy], Home] = Home,
    gaps: bool = False,
) -> Composite[View]:
    """`specs.models.mesi.protocol` with a slot for a backup, and the two events."""
    model = protocol(
        policy,
        Guarantee.ORDERED,
        agents,
        environment,
        bounds=bounds,
        watched=watched,
        watch=(partial(tell, policy), witness, RestoredGhost(begin(HomeState()))),
        cache_type=Lapsing if gaps else Cache,
        home_type=home_type,
    )
    slots = [*model.slots, "backup"]
    place = {name: number for number, name in enumerate(slots)}
    # A home that went back does not know of copies that it knew of, nor all of whose grants.
    asked = ("directory_agrees", "draft_is_current")
    properties: list[Property[View]] = []
    if watched:
        # First: of two properties that fail in one state, the first one is named.
        for agent in agents:
            properties.append(always(f"confirmed {agent}", partial(_confirmed, agent)))
            drafts = partial(_draft_is_current, agent)
            properties.append(always(f"draft_is_current {agent}", drafts))
    properties += [p for p in model.properties if not p.name.startswith(asked)]
    return replace(
        model,
        slots=slots,
        initial=[(*state, None) for state in model.initial],
        rules=[*model.rules, partial(_save, place), partial(_restore, place, tuple(agents))],
        properties=properties,
        kinds=[*model.kinds, ("extra", "backup")],
        symmetry=None,
    )


# The two events.


def _save(place: Mapping[str, int], values: Sequence[Any]) -> Iterator[Change]:
    backup = place["backup"]
    home: Local = values[place[HOME_ADDRESS]]
    if values[backup] is None and home.up:
        yield Change(Action("Save", HOME_ADDRESS, "save"), ((backup, home),))


def _restore(
    place: Mapping[str, int], agents: Sequence[Address], values: Sequence[Any]
) -> Iterator[Change]:
    backup = place["backup"]
    saved: Local | str | None = values[backup]
    if not isinstance(saved, Local) or not values[place[HOME_ADDRESS]].up:
        return
    updates: tuple[tuple[int, Any], ...] = ()
    if "ghost" in place:
        old = tuple((agent, len(values[place[f"{HOME_ADDRESS}->{agent}"]])) for agent in agents)
        updates = ((place["ghost"], (RESTORED, saved.state.version, old)),)
    writes = ((place[HOME_ADDRESS], saved), (backup, SPENT))
    yield Change(Action("Restore", HOME_ADDRESS, "restore"), writes, updates)


# The ghost.


def witness(
    address: Address, before: Any, event: Event[Any, Any], step: Step[Any]
) -> tuple[Any, ...] | None:
    """The part of a step that `tell` reads, or None if it would remember nothing new."""
    seen = mesi_ghost.witness(address, before, event, step)
    if isinstance(step.state, HomeState):
        return None if seen is None else ("home", seen, False)
    if not isinstance(event, Receive):
        return None if seen is None else (address, seen, False)
    return f"{address} hears", seen, _answered(event.message, step)


def _answered(message: Any, step: Step[CacheState]) -> bool:
    """Whether the cache now has the version that home's answer names."""
    if isinstance(message, Data | PutAck):
        return any(isinstance(command, Respond) for command in step.commands)
    has = (step.state.version, step.state.content)
    return isinstance(message, Update) and has == (message.version, message.content)


def tell(policy: Policy, known: RestoredGhost, of: str, seen: Any, more: Any) -> RestoredGhost:
    """The ghost after a step, or after home was restored: `of` says which."""
    if of == RESTORED:
        return _restored(known, seen, more)
    address, _, hears = of.partition(" ")
    late = False
    if hears:
        known, late = _heard(known, address, answered=more)
    if seen is None:
        return known
    by, event, step, then = seen
    unclaimed: tuple[type, ...] = ()
    if late:
        unclaimed = (Loaded, Granted, Committed, Refused)
    elif address in known.doubtful:
        unclaimed = (Loaded, Granted, Committed)
    if unclaimed:
        kept = tuple(c for c in step.commands if not _is(c, unclaimed))
        step = Step(step.state, kept, step.action)
    repeats = policy.retry_after is not None
    ghost = mesi_ghost.remember(policy, repeats, known.ghost, by, event, step, then)
    return msgspec.structs.replace(known, ghost=ghost)


def _restored(
    known: RestoredGhost, version: int, old: tuple[tuple[Address, int], ...]
) -> RestoredGhost:
    ghost = known.ghost
    kept = ghost.commits[: version - ghost.first]
    return RestoredGhost(
        Ghost(
            first=ghost.first,
            first_content=ghost.first_content,
            commits=kept,
            broken=ghost.broken,
        ),
        tuple(agent for agent, _ in old),
        tuple((agent, count) for agent, count in old if count),
    )


def _heard(known: RestoredGhost, address: Address, *, answered: bool) -> tuple[RestoredGhost, bool]:
    """The ghost after an arrival, and whether the message belongs to the lost history."""
    left = dict(known.old)
    if address in left:
        left[address] -= 1
        old = tuple((agent, count) for agent, count in left.items() if count)
        return msgspec.structs.replace(known, old=old), True
    if answered and address in known.doubtful:
        doubtful = tuple(agent for agent in known.doubtful if agent != address)
        known = msgspec.structs.replace(known, doubtful=doubtful)
    return known, False


def _is(command: Any, results: tuple[type, ...]) -> bool:
    return isinstance(command, Respond) and isinstance(command.result, results)


# Properties.


def _confirmed(agent: Address, view: View) -> bool:
    # Readable or not: a dead copy is the base of a cheap answer.
    cache: CacheState = view[agent]
    home: HomeState = view[HOME_ADDRESS]
    if not cache.version or cache.version != home.version or agent in view.ghost.doubtful:
        return True
    return bool(cache.content == home.content)


def _draft_is_current(agent: Address, view: View) -> bool:
    state = view[agent]
    if state.at is not CacheAt.M or agent in view.ghost.doubtful:
        return True
    return mesi_ghost.draft_is_current(view[HOME_ADDRESS], agent, state)
