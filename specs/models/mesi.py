"""The shipped MESI tables as a model: one home, some caches, and applications that ask anything.

What is checked is `coherence.cache.Cache` and `coherence.directory.Home` themselves.  Around them:

* an application at each cache makes a bounded number of requests, of any kind its state allows; it
  derives a write from what its cache last gave it, under the grant that it was last given;
* the network keeps one guarantee of `messaging.network`;
* timers are abstract: one that is armed may be due at any moment, with one exception, which is the
  clock assumption of the protocol: **a cache gives up before home does**.  Both count the same
  duration, the cache from before it asked, home from the commit; so when home's ``acks`` is due, no
  cache that home still awaits has a running ``validity`` from before that commit;
* `crashes` takes a cache's volatile state away, and all of its timers.

Whatever the settings, the same invariants are asked: those of `coherence.invariants`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from coherence.cache import CACHE, VALIDITY, Cache
from coherence.directory import ACKS, HOME, Home
from coherence.invariants import NAMES, begin, directory_agrees, well_formed
from coherence.messages import Abandon, Commit, Leave, Load, Replacement, Request, Store
from coherence.policy import Lazy, Policy
from coherence.states import READABLE, CacheAt, CacheState, HomeState
from coherence.table import Table
from messaging.network import Guarantee
from messaging.process import Address, Process
from specs.checker.composite import Composite
from specs.checker.model import Action, Fairness, Property, always, leads_to, strong, weak
from specs.models.mesi_ghost import draft_is_current, remember, witness
from specs.system import Bounds, Requests, System, View, renamed

HOME_ADDRESS = "home"
ADDRESSES = "abcdefgh"

#: Everything that an application can ask, by the names that `mesi` takes.
ALL = ("Load", "Store", "Store/wait", "Commit", "Abandon", "Replacement", "Leave")
#: Reads, drafts and optimistic writes.
READ_WRITE = ("Load", "Store", "Commit")

_ABSENT = CacheState()
_LIVE = READABLE | {CacheAt.SM_D, CacheAt.MS_A}


def requests_of(
    address: Address, kinds: Sequence[str], times: int, state: CacheState, made: int
) -> Iterator[Request]:
    """What the application of `address` may ask next, having asked `made` times before.

    A commit's content names its writer and request, so that no two contents are equal.  An
    application that has asked enough still gives its grant back, or others would wait for ever.
    """
    if made >= times:
        if state.epoch:
            yield Abandon(state.epoch)
        return
    content = (address, state.serial + 1)
    for kind in kinds:
        match kind:
            case "Load":
                yield Load()
            case "Store":
                yield Store()
            case "Store/wait":
                yield Store(1.0)
            case "Commit":
                yield Commit(content, state.version)
                if state.epoch:
                    yield Commit(content, state.version, state.epoch)
            case "Abandon":
                if state.epoch:
                    yield Abandon(state.epoch)
            case "Replacement":
                yield Replacement()
            case "Leave":
                yield Leave()
            case _:
                raise ValueError(f"no request is called {kind!r}; one of {', '.join(ALL)}")


def mesi(
    caches: int = 2,
    requests: int = 2,
    *,
    policy: Policy | None = None,
    guarantee: Guarantee = Guarantee.ORDERED,
    ask: Sequence[str] = READ_WRITE,
    bounds: Bounds | None = None,
    version: int = 0,
    watched: bool = True,
    live: bool = False,
    symmetric: bool = False,
    cache_table: Table[Any] = CACHE,
    home_table: Table[Any] = HOME,
) -> Composite[View]:
    """The protocol with `caches` caches, each asked `requests` times for any of `ask`.

    `watched` keeps the ghost that the invariants need; without it the state graph is the
    protocol's own.  `live` adds the liveness properties, with their fairness.
    """
    policy = policy or Lazy()
    agents = tuple(ADDRESSES[:caches])
    home = Home(policy, version, (HOME_ADDRESS, version) if version else None)
    home.table = home_table
    processes: dict[Address, Process[Any, Any, Any]] = {HOME_ADDRESS: home}
    for agent in agents:
        cache = Cache(policy, HOME_ADDRESS)
        cache.table = cache_table
        processes[agent] = cache
    repeats = guarantee.duplicating or policy.retry_after is not None
    system = System(
        processes,
        guarantee,
        environment={
            agent: Requests(partial(requests_of, agent, tuple(ask), requests)) for agent in agents
        },
        bounds=bounds or Bounds(),
        timer_guard=home_gives_up_last if policy.validity is not None else None,
        observe=partial(remember, policy, repeats) if watched else None,
        witness=witness if watched else None,
        ghost=begin(home.initial()) if watched else None,
    )
    lossless = guarantee is Guarantee.ORDERED and policy.validity is None and not bounds
    properties = [*shape(agents, lossless=lossless)]
    if watched:
        properties += [always(name, partial(_unbroken, name)) for name in NAMES]
    if live:
        properties += liveness(agents)
    model = system.model(
        f"mesi-{caches}x{requests}",
        properties,
        fairness=fair(guarantee) if live else (),
        terminal=partial(_at_rest, agents),
        symmetric=agents if symmetric else (),
    )
    if model.symmetry is not None:
        model = replace(model, symmetry=replace(model.symmetry, rename=rename))
    return model


def home_gives_up_last(view: View, address: Address, timer: str) -> bool:
    """Whether `timer` may be due: the clock assumption above."""
    if timer != ACKS:
        return True
    home: HomeState = view[address]
    for cache in [sharer.cache for sharer in home.unacked]:
        local = view.local(cache)
        if VALIDITY in local.armed and _asked_before(view, cache, home):
            return False
    return True


def _asked_before(view: View, cache: Address, home: HomeState) -> bool:
    """Whether `cache` last asked before the commit that home announces."""
    return any(w.cache == cache and w.asked < home.version for w in view.ghost.caches)


def _at_rest(agents: Iterable[Address], view: View) -> bool:
    return not any(view.local(agent).waiting for agent in agents)


# Properties.


def _unbroken(name: str, view: View) -> bool:
    return bool(view.ghost.broken != name)


def shape(agents: Sequence[Address], *, lossless: bool) -> Iterator[Property[View]]:
    """``well_formed`` and, on networks that lose nothing, ``directory_agrees``, process by process.

    Split so that each predicate looks at as little as it can: it is then evaluated once for each
    combination of what it looks at.
    """
    yield always("well_formed", lambda view: well_formed(view[HOME_ADDRESS], ()))
    for agent in agents:
        yield always(f"well_formed {agent}", partial(_cache_well_formed, agent))
        yield always(f"draft_is_current {agent}", partial(_draft_is_current, agent))
    if lossless:
        for agent in agents:
            yield always(f"directory_agrees {agent}", partial(_agrees, agent))


def _cache_well_formed(agent: Address, view: View) -> bool:
    return well_formed(HomeState(), (view[agent],))


def _draft_is_current(agent: Address, view: View) -> bool:
    state = view[agent]
    return state.at is not CacheAt.M or draft_is_current(view[HOME_ADDRESS], agent, state)


def _agrees(agent: Address, view: View) -> bool:
    state = view[agent]
    if state.at not in READABLE:
        return True
    in_flight = [(HOME_ADDRESS, agent, m) for m in view.channel(HOME_ADDRESS, agent)]
    return directory_agrees(view[HOME_ADDRESS], {agent: state}, in_flight)


def liveness(agents: Sequence[Address]) -> Iterator[Property[View]]:
    """What every fair behaviour comes to."""
    for agent in agents:
        for name, holds in (
            ("is answered", _waits),
            ("leaves the queue", _queued),
            ("has a valid copy or none", _outdated),
        ):
            yield leads_to(f"{agent} {name}", partial(holds, agent), partial(_ends, holds, agent))


def _ends(holds: Callable[[Address, View], bool], agent: Address, view: View) -> bool:
    return not holds(agent, view)


def _waits(agent: Address, view: View) -> bool:
    return view.local(agent).waiting


def _queued(agent: Address, view: View) -> bool:
    return any(waiter.cache == agent for waiter in view[HOME_ADDRESS].queue)


def _outdated(agent: Address, view: View) -> bool:
    state = view[agent]
    return bool(state.at in _LIVE and state.version < view[HOME_ADDRESS].version)


def fair(guarantee: Guarantee) -> tuple[Fairness, ...]:
    """What the environment owes: to deliver, to let timers run out, to restart what crashed.

    A network that may lose messages owes delivery to those who ask again and again.
    """

    def on_channel(action: Action) -> Any:
        return (action.peer, action.process) if action.kind == "deliver" else None

    def on_timer(action: Action) -> Any:
        return (action.process, action.subject) if action.kind == "timeout" else None

    def on_restart(action: Action) -> Any:
        return action.process if action.kind == "restart" else None

    deliver = strong(on_channel) if guarantee.lossy else weak(on_channel)
    return (deliver, weak(on_timer), weak(on_restart))


# Symmetry.


def rename(value: Any, names: Mapping[str, str]) -> Any:
    """`value` with caches renamed: what a state keeps sorted by address is sorted again."""
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
