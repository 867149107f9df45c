"""The MESI tables with clocks: "a cache gives up before home does" is checked, not assumed.

In `specs.models.mesi` an armed timer may be due at any moment, except that home's ``acks`` waits
for the ``validity`` of the caches that home still awaits.  Here every process has a clock that
counts whole ticks, the durations of the policy are numbers of ticks, and a timer is due when its
process's clock says so.  All clocks tick together; any number of other steps may lie between two
ticks, so messages take any time.  As in a driver's turn (`message_passing.turn`), a timer that is
due comes before the next request or message of its process; it may come late.

With `drift`, home's clock may gain so many ticks in all.  That is the assumption which remains: a
tick is equally long everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from coherence.cache import CACHE, DEADLINE, RETRY, VALIDITY, Cache
from coherence.directory import ACKS, GRANT, HOME, PUSH, Home
from coherence.invariants import begin
from coherence.policy import Policy, Visibility
from coherence.states import HomeState
from coherence.table import Table
from message_passing.network import Guarantee
from message_passing.process import (
    Address,
    CancelTimer,
    Command,
    Event,
    Respond,
    SetTimer,
    Step,
    Time,
    Timeout,
)
from message_passing.turn import interpret
from specs.checker.composite import Change, Composite, Rule
from specs.checker.errors import UsageError
from specs.checker.model import Action
from specs.environment import Bounds, Requests
from specs.models.mesi import HOME_ADDRESS, agents_of, protocol, requests_of
from specs.models.mesi_broken import faulty
from specs.models.mesi_ghost import remember, witness
from specs.system import View

_TIMERS = (VALIDITY, RETRY, DEADLINE, ACKS, GRANT, PUSH)
#: Between a timer's name and the ticks that are left.
_LEFT = "@"
#: Events that a timer which is due precedes.
_AFTER_TIMERS = frozenset({"invoke", "deliver", "duplicate"})


def mesi_clock(
    caches: int = 2,
    requests: int = 2,
    policy: str = "strict",
    ask: str = "Load Commit",
    validity: int = 2,
    lease: int = 0,
    drift: int = 0,
    network: str = "Ordered",
    crashes: int = 0,
    broken: str = "",
) -> Composite[View]:
    """`caches` caches, each asked `requests` times for any of `ask`; durations in ticks.

    `policy` is ``strict`` or ``lazy``, `network` a guarantee that repeats nothing, `lease` is 0 for
    no lease, and `broken` is a fault of `specs.models.mesi_broken`.  Raises `UsageError`.
    """
    if policy not in ("strict", "lazy") or validity < 1:
        raise UsageError(
            f"policy {policy!r}, validity {validity}",
            remedy="strict or lazy, and at least one tick",
        )
    chosen = Policy(visibility=Visibility(policy), validity=validity, grant_lease=lease or None)
    agents = agents_of(caches)
    tables: Mapping[str, Table[Any]] = faulty(broken) if broken else {}
    model = protocol(
        chosen,
        Guarantee(network),
        agents,
        {
            agent: Requests(partial(requests_of, agent, tuple(ask.split()), requests))
            for agent in agents
        },
        bounds=Bounds(crashes=crashes, crashable=frozenset(agents) if crashes else None),
        cache_type=ClockedCache,
        home_type=ClockedHome,
        cache_table=tables.get("cache_table", CACHE),
        home_table=tables.get("home_table", HOME),
        timer_guard=_is_due,
        watch=(partial(remember, chosen, False), _witness, begin(HomeState())),
    )
    slot_of = {address: model.slots.index(address) for address in (HOME_ADDRESS, *agents)}
    slots = [*slot_of.values()]
    rules = [partial(_timers_first, slot_of, rule) for rule in model.rules]
    names, start = (*model.slots, "drift left"), [(*state, drift) for state in model.initial]
    ticks: list[Rule] = [partial(_tick, slots)]
    if drift:
        ticks.append(partial(_gain, slots[0], len(model.slots)))
    return replace(
        model,
        name="mesi-clock",
        slots=names,
        initial=start,
        rules=[*rules, *ticks],
        kinds=(*model.kinds, "drift left"),
        alphabet=frozenset(),
        symmetry=None,
    )


class Clocked:
    """A process whose timers carry the ticks that are left in their names."""

    policy: Policy

    def step(self, state: Any, event: Event[Any, Any], now: Time) -> Step[Any]:
        """The step of the shipped table, at tick 0 of whatever is left."""
        step = super().step(state, _plain(event), now)  # type: ignore[misc]
        # A time that no timer has: which are armed, and which disarmed?
        timers: dict[str, Time] = dict.fromkeys(_TIMERS, -1)
        effects = interpret(step.commands, timers)
        commands: list[Command[Any, Any]] = [*effects.sends, *effects.deliveries]
        commands += map(Respond, effects.answers)
        for name in _TIMERS:
            if timers.get(name) != -1:
                commands += self._counted(name, timers.get(name))
        return Step(step.state, tuple(commands), step.action)

    def _counted(self, name: str, at: Time | None) -> Iterator[Command[Any, Any]]:
        """Disarm a timer, and arm it where `at` says so."""
        longest = max(self.policy.validity or 0, self.policy.grant_lease or 0)
        for left in range(int(longest) + 1):
            yield CancelTimer(f"{name}{_LEFT}{left}")
        if at is not None:
            yield SetTimer(f"{name}{_LEFT}{int(at)}", at)


class ClockedCache(Clocked, Cache):
    """The shipped cache with a clock."""


class ClockedHome(Clocked, Home):
    """The shipped home with a clock."""


def _plain(event: Event[Any, Any]) -> Event[Any, Any]:
    """The event with the timer's own name."""
    return Timeout(event.name.partition(_LEFT)[0]) if type(event) is Timeout else event


def _witness(
    address: Address, before: Any, event: Event[Any, Any], step: Step[Any]
) -> tuple[Any, ...] | None:
    return witness(address, before, _plain(event), step)


def _left(timer: str) -> int:
    return int(timer.partition(_LEFT)[2])


def _is_due(view: View, address: Address, timer: str) -> bool:
    return not _left(timer)


def _timers_first(
    slots: Mapping[Address, int], rule: Rule, values: Sequence[Any]
) -> Iterator[Change]:
    for change in rule(values):
        action = change.action
        late = action.kind in _AFTER_TIMERS and not all(
            map(_left, values[slots[action.process]].armed)
        )
        if not late:
            yield change


def _tick(slots: Sequence[int], values: Sequence[Any]) -> Iterator[Change]:
    """All clocks advance by one."""
    now = {slot: values[slot] for slot in slots}
    then = {slot: _advanced(local) for slot, local in now.items()}
    if then != now:
        yield Change(Action("Tick", HOME_ADDRESS, "tick"), tuple(then.items()))


def _gain(home: int, budget: int, values: Sequence[Any]) -> Iterator[Change]:
    """Home's clock alone advances by one."""
    now, left = values[home], values[budget]
    then = _advanced(now)
    if left and then != now:
        yield Change(Action("Gain", HOME_ADDRESS, "tick"), ((home, then), (budget, left - 1)))


def _advanced(local: Any) -> Any:
    armed = (timer.partition(_LEFT) for timer in local.armed)
    return local._replace(
        armed=frozenset(f"{name}{at}{max(int(left) - 1, 0)}" for name, at, left in armed)
    )
