"""Rough runs (`coherence.simulate.rough`) under many policies, also with other tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from coherence.policy import (
    AccessCount,
    Announce,
    Broadcast,
    Eager,
    Lazy,
    Lease,
    Policy,
    Visibility,
)
from coherence.simulate.rough import AGENTS, QUIET, WILD, Case, RoughRun, Unmet
from coherence.states import HomeState
from coherence.table import Table

__all__ = ["AGENTS", "CASES", "Case", "Mixed", "Run", "Unmet", "put_on"]


class Mixed(Policy, frozen=True, kw_only=True):
    """Announces each commit in another way, as a policy may that looks at sizes."""

    def announce(self, home: HomeState) -> Announce:
        return tuple(Announce)[home.version % 3]


_WILD = {"validity": 12, "grant_lease": 8, "retry_after": 5}
_STRICT = {"visibility": Visibility.STRICT}

CASES: Mapping[str, Case] = {
    "lazy": Case(Lazy(), QUIET, lossless=True, crashes=False),
    "lazy leased": Case(Lazy(grant_lease=6), QUIET, lossless=True, crashes=False),
    "eager": Case(Eager(), QUIET, lossless=True, crashes=False),
    "strict": Case(Lazy(**_STRICT, validity=15, grant_lease=6), QUIET),
    "broadcast": Case(Broadcast(everyone=AGENTS, period=5), QUIET, crashes=False),
    "lazy wild": Case(Lazy(**_WILD), WILD),
    "lease wild": Case(Lease(**_WILD, delta_window=2), WILD),
    "strict wild": Case(Lazy(**_STRICT, **_WILD), WILD),
    "eager wild": Case(Eager(**_WILD), WILD),
    "eager strict wild": Case(Eager(**_STRICT, **_WILD), WILD),
    "pointer wild": Case(Eager(pointer=True, **_WILD), WILD),
    "pointer strict wild": Case(Eager(pointer=True, **_STRICT, **_WILD), WILD),
    "access count wild": Case(AccessCount(max_accesses=2, **_WILD), WILD),
    "broadcast wild": Case(Broadcast(everyone=AGENTS, period=5, **_WILD), WILD),
    "mixed wild": Case(Mixed(**_WILD), WILD),
    "mixed strict wild": Case(Mixed(**_STRICT, **_WILD), WILD),
}


def put_on(process: Any, tables: Mapping[str, Table[Any]] | None) -> None:
    """Let `process` run its table among `tables`, which may be broken: one step must still end."""
    if not tables:
        return
    process.table = tables.get(process.table.name, process.table)
    follows, followed = process.follows, [0, None]

    def bounded(x: Any) -> Any:
        followed[:] = [followed[0] + 1 if followed[1] is x else 0, x]
        if followed[0] > 20:
            raise Unmet("livelock", "in one step")
        return follows(x)

    process.follows = bounded


class Run(RoughRun):
    """One run of `case`; `tables` replaces the engine's by name, to see what a mutant does."""

    def __init__(
        self,
        case: Case,
        seed: int,
        tables: Mapping[str, Table[Any]] | None = None,
        observers: tuple[Callable[..., None], ...] = (),
        trace: Callable[..., None] | None = None,
    ) -> None:
        prepare = partial(put_on, tables=tables)
        super().__init__(case, seed, prepare=prepare, observers=observers, trace=trace)
