"""The shipped MESI tables as a model: one home, some caches, and arbitrary applications.

The checked code is `coherence.cache.Cache` and `coherence.directory.Home` themselves.  Around them:

* an application at each cache makes a bounded number of requests, of any kind its state allows; it
  derives a write from the last content from its cache, under its last grant;
* the network keeps one guarantee of `message_passing.network`;
* timers are abstract: an armed timer may be due at any moment, with one exception, which is the
  clock assumption of the protocol: **a cache gives up before home does**.  Both count the same
  duration, the cache from before it asked, home from the commit; so when home's ``acks`` is due, no
  cache that home still awaits has a running ``validity`` from before that commit;
* with `crashes` a cache loses its volatile state and all of its timers;
* with `farewells` another agent sends a cache's `Leave` while it is down, with `alarms` by mistake
  while it is up.

All settings have the same invariants: those of `coherence.invariants`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from coherence.cache import CACHE, Cache
from coherence.directory import HOME, Home
from coherence.invariants import NAMES, begin, directory_agrees, well_formed
from coherence.messages import (
    Abandon,
    Acquire,
    Commit,
    Leave,
    Load,
    Replacement,
    Request,
    digest_of,
)
from coherence.policy import AccessCount, Eager, InvalidPolicy, Lazy, Policy, Visibility, kind_of
from coherence.states import READABLE, CacheAt, CacheState, HomeState
from coherence.table import Table
from message_passing.network import Guarantee
from message_passing.process import Address, Process
from specs.checker.composite import Composite
from specs.checker.errors import UsageError
from specs.checker.model import Property, always
from specs.environment import Ghost, Observe, TimerGuard, Witness, in_turn
from specs.models.mesi_ghost import draft_is_current, owners, remember, witness
from specs.models.mesi_live import fair, liveness
from specs.models.mesi_timers import (
    Lapsing,
    cache_timers_fit,
    home_gives_up_last,
    home_timers_fit,
)
from specs.system import Bounds, Hearsay, Requests, System, View, renamed

HOME_ADDRESS = "home"
ADDRESSES = "abcdefgh"

#: All requests of an application, by the names that `mesi` takes.
ALL = (
    "Load",
    "Acquire",
    "Acquire/wait",
    "Commit",
    "Commit/equal",
    "Abandon",
    "Abandon/other",
    "Replacement",
    "Leave",
)
#: The content that ``Commit/equal`` writes, for every agent.
EQUAL = ("=", 0)

#: By name: the kind of policy, and the settings that it requires.
POLICIES: dict[str, tuple[type[Policy], dict[str, Any]]] = {
    "lazy": (Lazy, {}),
    "strict": (Policy, {"visibility": Visibility.STRICT, "validity": 1.0}),
    "eager": (Eager, {}),
    "eager-strict": (Eager, {"visibility": Visibility.STRICT, "validity": 1.0}),
    "pointer": (Eager, {"pointer": True}),
    "pointer-strict": (
        Eager,
        {"pointer": True, "visibility": Visibility.STRICT, "validity": 1.0},
    ),
    "access-count": (AccessCount, {"max_accesses": 1}),
}

#: Events that name no step: they follow within one, are refused, belong to a periodic push, or to
#: the model `transactions`, whose homes are the same.
_NO_STEPS = {"LastAck", "LastAck/sole", "Lazy", "Queued", "Empty", "push", "Check", "Check/stale"}
ACTIONS = frozenset(
    row.action
    for table in (CACHE, HOME)
    for row in table.rows
    if not row.stall and not _NO_STEPS & set(row.on.split())
)


def requests_of(
    address: Address, kinds: Sequence[str], times: int, state: CacheState, made: int
) -> Iterator[Request]:
    """The next requests of the application at `address`, after `made` earlier ones.

    A commit's content names its writer and request, so that all contents differ, except those of
    ``Commit/equal``, which are all equal.  An application that has made its requests still gives
    its grant back, or others would wait for ever.
    """
    if made >= times:
        if state.epoch:
            yield Abandon(state.epoch)
        return
    known = digest_of(state.content)
    for kind in kinds:
        match kind:
            case "Load":
                yield Load()
            case "Acquire":
                yield Acquire()
            case "Acquire/wait":
                yield Acquire(1.0)
            case "Commit" | "Commit/equal":
                content = EQUAL if kind == "Commit/equal" else (address, state.serial + 1)
                yield Commit(content, state.version, digest=known)
                if state.epoch:
                    yield Commit(content, state.version, state.epoch, known)
            case "Abandon":
                if state.epoch:
                    yield Abandon(state.epoch)
            case "Abandon/other":
                if state.epoch > 1:
                    yield Abandon(state.epoch - 1)
            case "Replacement":
                yield Replacement()
            case "Leave":
                yield Leave()


def mesi(
    caches: int = 2,
    requests: int = 2,
    policy: str = "lazy",
    network: str = "Ordered",
    ask: str = "Load Acquire Commit",
    validity: bool = False,
    lease: bool = False,
    retry: bool = False,
    gaps: bool = False,
    crashes: int = 0,
    home_crashes: bool = False,
    in_flight: int = 0,
    drops: int = 0,
    duplicates: int = 0,
    live: bool = False,
    finishes: bool = False,
    farewells: bool = False,
    alarms: int = 0,
    mortal: bool = False,
    memory: int = 0,
    turns: bool = False,
    symmetric: bool = False,
    broken: str | Mapping[str, Table[Any]] = "",
) -> Composite[View]:
    """The protocol with `caches` caches, each asked `requests` times for any of `ask`.

    `policy` is one of `POLICIES`, `network` a guarantee by its name; `validity`, `lease` and
    `retry` switch timers on; with `gaps` copies lapse at any moment.  `crashes` may hit any cache,
    and with `home_crashes` also home.  `in_flight` bounds a channel, `drops` and `duplicates` bound
    the faults of the network in all; 0 means unlimited.  `live` adds the liveness properties, with
    their fairness: with `finishes` applications end their grants, else only `lease` may end them.
    `farewells` lets other agents send a `Leave` for a cache that is down, and `alarms` counts those
    for a cache that is up.  With `mortal` crashed processes need not restart, and home's timers
    need not run out.  `memory` is the policy's; 0 leaves it at its default.  With `turns` the
    applications take turns: one asks only while none waits.  `broken` takes a table with a fault
    from `specs.models.mesi_broken`, or other tables, by the names that `protocol` has.
    """
    for kind in set(ask.split()) - set(ALL):
        raise UsageError(f"no request {kind!r}", remedy="one of " + ", ".join(ALL))
    guarantees = [guarantee.value for guarantee in Guarantee]
    if network not in guarantees:
        raise UsageError(f"no network {network!r}", remedy="one of " + ", ".join(guarantees))
    chosen = policy_of(policy, validity=validity, lease=lease, retry=retry)
    if memory:
        chosen = msgspec.structs.replace(chosen, memory=memory)
    agents = agents_of(caches)
    bounds = Bounds(
        crashes=crashes,
        crashable=frozenset(agents + (HOME_ADDRESS,) * home_crashes) if crashes else None,
        drops=drops or None,
        duplicates=duplicates or None,
        in_flight=in_flight or None,
        alarms=alarms,
    )
    tables = broken
    if isinstance(tables, str):
        from specs.models.mesi_broken import faulty

        tables = faulty(tables) if tables else {}
    model = protocol(
        chosen,
        Guarantee(network),
        agents,
        {
            agent: Requests(partial(requests_of, agent, tuple(ask.split()), requests))
            for agent in agents
        },
        bounds=bounds,
        farewells=leaves if farewells or alarms else None,
        cache_type=Lapsing if gaps else Cache,
        cache_table=tables.get("cache_table", CACHE),
        home_table=tables.get("home_table", HOME),
    )
    if not (lease or alarms):
        model = replace(model, properties=[*model.properties, *owners(HOME_ADDRESS, agents)])
    if live:
        properties = [*model.properties, *liveness(HOME_ADDRESS, agents)]
        fairness = fair(Guarantee(network), finishes=finishes, mortal=mortal)
        model = replace(model, properties=properties, fairness=fairness)
    if turns:
        model = in_turn(model, agents)
    return replace(model, name="mesi", symmetry=model.symmetry if symmetric else None)


def agents_of(caches: int) -> tuple[Address, ...]:
    """The addresses of so many caches."""
    return tuple(ADDRESSES[:caches])


def policy_of(
    name: str, *, validity: bool = False, lease: bool = False, retry: bool = False
) -> Policy:
    """The policy called `name`, with its durations set or not: their length has no meaning here."""
    try:
        kind, fixed = POLICIES.get(name) or (kind_of(name), {})
    except InvalidPolicy as error:
        known = ", ".join(POLICIES)
        raise UsageError(
            f"no policy {name!r}", remedy=f"one of {known}, or {error.remedy}"
        ) from error
    fixed = {"validity": 1.0 if validity else None, **fixed}
    return kind(grant_lease=1.0 if lease else None, retry_after=1.0 if retry else None, **fixed)


def protocol(
    policy: Policy,
    guarantee: Guarantee,
    agents: Sequence[Address],
    environment: Mapping[Address, Requests],
    *,
    bounds: Bounds | None = None,
    farewells: Callable[[Address, HomeState], Iterator[Leave]] | None = None,
    watched: bool = True,
    watch: tuple[Observe, Witness, Ghost] | None = None,
    cache_type: type[Cache] = Cache,
    home_type: Callable[[Policy], Home] = Home,
    cache_table: Table[Any] = CACHE,
    home_table: Table[Any] = HOME,
    timer_guard: TimerGuard | None = None,
) -> Composite[View]:
    """The shipped processes under any policy, network and environment, with every invariant.

    `watched` keeps the ghost that the invariants need; without it the state graph is the
    protocol's own.  `watch` is another observer, with its witness and its ghost.  `timer_guard`
    says when a timer may be due, if not by the assumption above; only strict visibility asks.
    """
    home = home_type(policy)
    home.table = home_table
    processes: dict[Address, Process[Any, Any, Any]] = {HOME_ADDRESS: home}
    for agent in agents:
        cache = cache_type(policy, HOME_ADDRESS)
        cache.table = cache_table
        processes[agent] = cache
    repeats = guarantee.duplicating or policy.retry_after is not None
    strict = policy.visibility is Visibility.STRICT
    ours = partial(remember, policy, repeats), witness, begin(home.initial())
    observe, seen, ghost = (watch or ours) if watched else (None, None, None)
    system = System(
        processes,
        guarantee,
        environment=environment,
        bounds=bounds,
        timer_guard=(timer_guard or home_gives_up_last) if strict else None,
        hearsay=Hearsay(HOME_ADDRESS, frozenset(agents), farewells) if farewells else None,
        observe=observe,
        witness=seen,
        ghost=ghost,
    )
    faultless = bounds is None or not bounds.crashes
    lossless = guarantee is Guarantee.ORDERED and policy.validity is None and faultless
    properties = [*shape(agents, lossless=lossless)]
    if cache_type is Cache:
        properties += timers(policy, agents)
    if watched:
        properties += [always(name, partial(_unbroken, name)) for name in NAMES]
    model = system.model(
        "mesi",
        properties,
        terminal=partial(_at_rest, agents),
        alphabet=ACTIONS,
        symmetric=agents,
    )
    assert model.symmetry is not None
    return replace(model, symmetry=replace(model.symmetry, rename=rename))


def leaves(agent: Address, home: HomeState) -> Iterator[Leave]:
    """The `Leave` that ends all that home remembers of `agent`; an older one has no effect."""
    known = [sharer.serial for sharer in (*home.sharers, *home.unacked) if sharer.cache == agent]
    known += [waiter.serial for waiter in home.queue if waiter.cache == agent]
    if home.owner == agent:
        known.append(home.owner_serial)
    if known:
        yield Leave(max(known))


def _at_rest(agents: Iterable[Address], view: View) -> bool:
    return not any(view.local(agent).waiting for agent in agents)


# Properties.


def _unbroken(name: str, view: View) -> bool:
    return bool(view.ghost.broken != name)


def shape(agents: Sequence[Address], *, lossless: bool) -> Iterator[Property[View]]:
    """``well_formed`` and, on networks that lose nothing, ``directory_agrees``, process by process.

    Split so that each predicate reads as few slots as possible: it is then evaluated once for each
    combination of their values.
    """
    yield always("well_formed", lambda view: well_formed(view[HOME_ADDRESS], ()))
    for agent in agents:
        yield always(f"well_formed {agent}", partial(_cache_well_formed, agent))
        yield always(f"draft_is_current {agent}", partial(_draft_is_current, agent))
    if lossless:
        for agent in agents:
            yield always(f"directory_agrees {agent}", partial(agrees, agent))


def timers(policy: Policy, agents: Sequence[Address]) -> Iterator[Property[View]]:
    """Whether the required timers are armed, and no others, process by process."""
    yield always("timers_fit", partial(_home_timers_fit, policy))
    for agent in agents:
        yield always(f"timers_fit {agent}", partial(_timers_fit, policy, agent))


def _home_timers_fit(policy: Policy, view: View) -> bool:
    local = view.local(HOME_ADDRESS)
    return not local.up or home_timers_fit(policy, local.state, local.armed)


def _timers_fit(policy: Policy, agent: Address, view: View) -> bool:
    local = view.local(agent)
    return cache_timers_fit(policy, local.state, local.armed)


def _cache_well_formed(agent: Address, view: View) -> bool:
    return well_formed(HomeState(), (view[agent],))


def _draft_is_current(agent: Address, view: View) -> bool:
    state = view[agent]
    return state.at is not CacheAt.M or draft_is_current(view[HOME_ADDRESS], agent, state)


def agrees(agent: Address, view: View) -> bool:
    """``directory_agrees``, of one cache."""
    state = view[agent]
    if state.at not in READABLE:
        return True
    in_flight = [(HOME_ADDRESS, agent, m) for m in view.channel(HOME_ADDRESS, agent)]
    return directory_agrees(view[HOME_ADDRESS], {agent: state}, in_flight)


# Symmetry.


def rename(value: Any, names: Mapping[str, str]) -> Any:
    """`value` with caches renamed: parts that are sorted by address are sorted again."""
    value = renamed(value, names)
    if isinstance(value, tuple) and hasattr(value, "_replace") and hasattr(value, "state"):
        return value._replace(state=_resorted(value.state))
    return _resorted(value)


_SORTED = ("sharers", "unacked", "caches", "refused")


def _resorted(value: Any) -> Any:
    fields = [name for name in getattr(value, "__struct_fields__", ()) if name in _SORTED]
    if not fields:
        return value
    return msgspec.structs.replace(
        value, **{name: tuple(sorted(getattr(value, name), key=repr)) for name in fields}
    )
