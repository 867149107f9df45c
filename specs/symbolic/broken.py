"""Mistakes that the proofs must refute: one or more for each property.

Some are the faults of `specs.models.mesi_broken`; the others are mistakes in guards, several of
which no small model notices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from coherence import directory as h
from coherence.cache import CACHE, Cache
from coherence.directory import HOME, Home
from coherence.states import CacheAt, HomeAt
from coherence.table import Op, Table
from specs.models.mesi_broken import FAULTS
from specs.symbolic import standins
from specs.symbolic.cache import CacheProof
from specs.symbolic.engine import Effort
from specs.symbolic.home import HomeProof
from specs.symbolic.prover import claims_of
from specs.symbolic.proving import Ledger, Refutation
from specs.symbolic.standins import Copies, where_absent

Turned = Callable[[Any, str], str]


@dataclass(frozen=True)
class Mistake:
    """A wrong guard or a wrong cell of one side, and the claim that it breaks."""

    name: str
    claim: str
    policy: str
    side: str
    at: str
    #: Forms of messages and names of events, as the proofs have them.
    events: str
    #: From the event that the shipped guard names to the one that the wrong guard names.
    turned: Turned | None = None
    table: Table[Any] | None = None

    def refutation(self, effort: Effort | None = None) -> Refutation | None:
        """The first execution found that breaks the claim, or None."""
        effort = effort or Effort()
        claims, ledger = claims_of(self.policy), Ledger()
        proof: Any
        if self.side == "home":
            proof = HomeProof(claims, self._home())
            states: Any = HomeAt
        else:
            proof = CacheProof(claims, self._cache())
            states = CacheAt
        for at in self.at.split():
            for event in self.events.split():
                for _ in proof.explore(states(at), event, ledger, effort):
                    found = ledger.tally(self.claim).refutations
                    if found:
                        return found[0]
        return None

    def _home(self) -> Home:
        turned = self.turned

        class WrongHome(Home):
            def classify(self, x: Any, event: Any) -> str:
                on = super().classify(x, event)
                return turned(x, on) if turned is not None else on

        home = WrongHome(claims_of(self.policy).policy)
        home.table = self.table or HOME
        return home

    def _cache(self) -> Cache:
        cache = Cache(claims_of(self.policy).policy)
        cache.table = self.table or CACHE
        return cache


def _by_owner_only(x: Any, on: str) -> str:
    return "PutM/owner" if on == "PutM/fenced" and x.at is HomeAt.M and x.owner == x.src else on


def _unguarded(x: Any, on: str) -> str:
    return "PutM" if on == "PutM/stale" and x.at is not HomeAt.M else on


def _any_ack(x: Any, on: str) -> str:
    late = on == "InvAck/late" and standins.known(x.unacked, x.src) >= 0
    return "InvAck" if late else on


def _late_commit(x: Any, on: str) -> str:
    if on != "PutM/late" or x.at in (HomeAt.M, HomeAt.S_A):
        return on
    verdict = standins.judged(x.verdicts, x.src)
    fresh = verdict is None or verdict.serial < x.msg.serial
    derived = x.msg.base == x.version and not x.msg.epoch and x.msg.content != x.content
    return "PutM" if fresh and derived else on


def _drop_by_name(x: Any) -> None:
    kept = where_absent(x.unacked.serials, x.sharers.serials)
    x.sharers, x.unacked = Copies(x.sharers.path, kept), ()


drop_by_name = Op("drop every awaited sharer", _drop_by_name)


def _cells(table: Table[Any], at: str, on: str, **changes: Any) -> Table[Any]:
    for state in at.split():
        table = table.changed(state, on, replace(table.cells[state, on], **changes))
    return table


def _guards() -> Iterator[Mistake]:
    yield Mistake(
        "a fence that asks only who the owner is",
        *("fencing", "lazy", "home", "M", "PutM"),
        turned=_by_owner_only,
    )
    yield Mistake(
        "a commit whose base is not compared",
        *("no_lost_update", "lazy", "home", "S", "PutM"),
        turned=_unguarded,
    )
    yield Mistake(
        "an acknowledgement whose version is not compared",
        *("strict_visibility", "strict", "home", "S_A", "InvAck"),
        turned=_any_ack,
    )
    yield Mistake(
        "a commit from before its writer's crash",
        *("strict_visibility", "strict", "home", "S E", "PutM"),
        turned=_late_commit,
    )
    yield Mistake(
        "an epoch that is given twice",
        *("swmr", "lazy", "home", "S", "GetM"),
        table=_cells(HOME, "I S", "GetM", do=(h.renew,)),
    )
    yield Mistake(
        "silent caches dropped by name, not by serial",
        *("strict_visibility", "strict", "home", "S_A", "acks"),
        table=_cells(HOME, "S_A", "acks", do=(drop_by_name,)),
    )


#: Of `mesi_broken`: the fault, the claim, the policy, the state and the event of the proof.
_FAULTS = (
    ("swmr", "swmr", "lazy", "M", "PutM"),
    ("fencing", "fencing", "lazy", "S", "PutM"),
    ("version_order", "version_order", "lazy", "IS_A", "PutAck/E"),
    ("version_order: same", "version_order", "lazy", "S", "PutM"),
    ("no_lost_update", "no_lost_update", "lazy", "S", "PutM"),
    ("no_lost_update: same", "lemma: PutAck is sent rightly", "lazy", "S", "PutM"),
    ("data_value", "data_value", "lazy", "IS_D", "Data/S"),
    ("monotone_reads", "monotone_reads", "eager", "S", "Update"),
    ("bounded_staleness", "lemma: Data is sent rightly", "lazy", "S", "GetS"),
    ("draft_is_current a", "draft_is_current", "lazy", "IM_D", "Data/M"),
    ("strict_visibility", "strict_visibility", "strict", "S", "PutM"),
    ("strict_visibility: same", "lemma: PutAck is sent rightly", "strict", "S_A", "PutM"),
    ("strict_visibility: unseen", "lemma: PutAck is sent rightly", "strict", "S_A", "PutM"),
    ("directory_agrees a", "lemma: Data is sent rightly", "lazy", "S", "GetS"),
    ("well_formed", "well_formed", "lazy", "E", "GetS"),
    ("well_formed a", "well_formed", "lazy", "SM_D", "Inv/ack"),
    ("timers_fit", "timers_fit", "strict", "M", "Restart"),
    ("timers_fit a", "timers_fit", "strict", "S", "Replacement"),
    ("no step raises", "no step raises", "lazy", "S", "Inv/ack"),
)


def mistakes() -> tuple[Mistake, ...]:
    """Every mistake that the proofs are shown to refute."""
    found = list(_guards())
    for name, claim, policy, at, events in _FAULTS:
        fault = FAULTS[name]
        table = fault.tables()[f"{fault.side}_table"]
        found.append(Mistake(f"fault {name!r}", claim, policy, fault.side, at, events, None, table))
    return tuple(found)
