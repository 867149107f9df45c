"""When timers of the MESI tables are armed, and a driver that lapses copies on its own."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from coherence.cache import DEADLINE, RETRY, VALIDITY, Cache
from coherence.directory import ACKS, GRANT
from coherence.policy import Policy
from coherence.states import READABLE, CacheAt, CacheState, HomeAt, HomeState
from message_passing.process import Address, Event, SetTimer, Step, Time
from specs.system import View

#: A request is outstanding, as in the table's groups of that name.
ASKING = frozenset({CacheAt.IM_D, CacheAt.IM_D_I, CacheAt.SM_D})
TRANSIENT = frozenset(CacheAt) - READABLE - {CacheAt.I}
#: There is no copy to bound: the timer has run out or was disarmed.
OVER = frozenset({CacheAt.I, CacheAt.IS_D_I, CacheAt.IM_D_I, CacheAt.IS_A_I})


def cache_timers_fit(policy: Policy, state: CacheState, armed: frozenset[str]) -> bool:
    """Whether a cache has armed its state's timers: each copy is bounded, each request repeated.

    The deadline belongs to a wait for a grant, but not every wait has one.
    """
    return (
        (VALIDITY in armed) == (policy.validity is not None and state.at not in OVER)
        and (RETRY in armed) == (policy.retry_after is not None and state.at in TRANSIENT)
        and (DEADLINE not in armed or state.at in ASKING)
    )


def home_timers_fit(policy: Policy, state: HomeState, armed: frozenset[str]) -> bool:
    """Whether a home has armed its timers: for the end of a grant, and for silent caches."""
    return (GRANT in armed) == (policy.grant_lease is not None and state.at is HomeAt.M) and (
        ACKS in armed
    ) == (policy.validity is not None and bool(state.unacked))


def home_gives_up_last(view: View, address: Address, timer: str) -> bool:
    """Whether `timer` may be due, by the clock assumption of `specs.models.mesi`.

    A cache whose last ask home had answered before the commit armed its validity before that, too.
    """
    if timer != ACKS:
        return True
    home: HomeState = view[address]
    for sharer in home.unacked:
        local = view.local(sharer.cache)
        if VALIDITY in local.armed and local.state.serial <= sharer.serial:
            return False
    return True


class Lapsing(Cache):
    """A cache whose driver may find at any moment that it missed words of home: its copy lapses."""

    def step(self, state: CacheState, event: Event[Any, Any], now: Time) -> Step[CacheState]:
        step = super().step(state, event, now)
        return replace(step, commands=(*step.commands, SetTimer(VALIDITY, now)))
