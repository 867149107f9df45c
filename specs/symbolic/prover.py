"""The proof of a policy: the first state, the passing of time, every step of home and of a cache.

The argument is an induction over the steps of any system of one home and any number of caches.  A
state of the system is home's, each cache's, and the messages ever sent; a message that was sent may
arrive at any time, any number of times, or never.  Every claim holds in the first state; if all
hold before a step, all hold after it.  So a property counts as proved only where every claim of its
policy is.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import z3

from coherence.cache import CACHE
from coherence.directory import HOME
from coherence.policy import AccessCount, Eager, Lazy, Policy, Visibility
from coherence.states import CacheAt, HomeAt
from specs.checker.errors import UsageError
from specs.checker.result import Verdict
from specs.symbolic import views as v
from specs.symbolic.cache import CacheProof
from specs.symbolic.claims import Claims
from specs.symbolic.engine import Effort, Execution, Exhausted
from specs.symbolic.home import HomeProof
from specs.symbolic.proving import Ledger, Refutation, Renaming, preserved
from specs.symbolic.standins import NONE
from specs.symbolic.templates import ANY, NOW, THEN, Templates, changed
from specs.symbolic.views import CACHE_CODES, HOME_CODES, CacheView, HomeView, cache_at, home_before

#: The properties, by the names of `coherence.invariants` and of the models.
PROPERTIES = (
    "swmr",
    "fencing",
    "fairness",
    "version_order",
    "no_lost_update",
    "data_value",
    "monotone_reads",
    "bounded_staleness",
    "draft_is_current",
    "strict_visibility",
    "directory_agrees",
    "well_formed",
    "timers_fit",
    "no step raises",
)
LEMMA = "lemma: "

_TIMED: dict[str, Any] = {"validity": 1.0, "grant_lease": 1.0, "retry_after": 1.0}
_STRICT = {**_TIMED, "visibility": Visibility.STRICT}

#: By name: the policy, with or without timers, and what is claimed of it.
POLICIES: dict[str, Claims] = {
    "lazy": Claims(Lazy()),
    "lease": Claims(Lazy(**_TIMED, delta_window=2)),
    "strict": Claims(Policy(**_STRICT)),
    "eager": Claims(Eager()),
    "eager-strict": Claims(Eager(**_STRICT)),
    "pointer": Claims(Eager(pointer=True)),
    "pointer-strict": Claims(Eager(pointer=True, **_STRICT)),
    "access-count": Claims(AccessCount()),
    "alarms": Claims(Policy(**_STRICT), alarms=True),
}
#: What is proved where no policy is named.
USUAL = ("lazy", "strict", "eager")


@dataclass(frozen=True)
class Row:
    """What was found of one property under one policy."""

    policy: str
    claim: str
    verdict: Verdict
    paths: int
    seconds: float
    refutations: tuple[Refutation, ...] = ()


@dataclass
class Attempt:
    """A proof of one policy, complete or not."""

    policy: str
    properties: tuple[str, ...] = PROPERTIES
    ledger: Ledger = field(default_factory=Ledger)
    #: Why it ended early; empty if it did not.
    stopped: str = ""
    #: Of the processor, in all.
    seconds: float = 0.0

    def rows(self) -> Iterator[Row]:
        """One row for each property, and one for all lemmas."""
        tallies = self.ledger.tallies
        sound = not self.stopped and all(
            not tally.refutations and not tally.unknown for tally in tallies.values()
        )
        lemmas = [tally for name, tally in tallies.items() if name.startswith(LEMMA)]
        groups = {name: [tallies[name]] for name in self.properties if name in tallies}
        groups["lemmas"] = lemmas
        for name, group in groups.items():
            found = tuple(refutation for tally in group for refutation in tally.refutations)
            verdict = Verdict.HOLDS if sound else Verdict.UNDETERMINED
            verdict = Verdict.VIOLATED if found else verdict
            paths = max((tally.proved for tally in group), default=0)
            yield Row(self.policy, name, verdict, paths, sum(t.seconds for t in group), found)


def every_action() -> frozenset[str]:
    """The actions of the rows of both tables that an event takes, not another row."""
    inner = {"LastAck", "LastAck/sole", "Lazy", "Queued", "Empty"}
    rows = [row for table in (CACHE, HOME) for row in table.rows]
    return frozenset(
        row.action for row in rows if not row.stall and not inner & set(row.on.split())
    )


def claims_of(policy: str) -> Claims:
    """The claims under the policy of that name.  Raises `UsageError`."""
    if policy not in POLICIES:
        raise UsageError(f"no policy {policy!r}", remedy="one of " + ", ".join(POLICIES))
    return POLICIES[policy]


def prove(policy: str, effort: Effort, sides: Iterable[str] = ("home", "cache")) -> Attempt:
    """Prove every claim under one policy."""
    claims, attempt = claims_of(policy), Attempt(policy)
    ledger, started = attempt.ledger, time.process_time()
    ledger.tally("no step raises")
    try:
        _begin(claims, ledger)
        for side in sides:
            proof = HomeProof(claims) if side == "home" else CacheProof(claims)
            for state, event in proof.cells():
                for _ in proof.explore(state, event, ledger, effort):  # type: ignore[arg-type]
                    pass
    except Exhausted as error:
        attempt.stopped = f"after {error}"
    raised = ledger.tally("no step raises")
    raised.proved = ledger.paths - len(raised.refutations)
    attempt.seconds = time.process_time() - started
    return attempt


def _begin(claims: Claims, ledger: Ledger) -> None:
    """The claims hold in the first state, and time alone breaks none."""
    h, c = home_before(), cache_at(ANY)
    known = Templates(claims, h)
    path = Execution(z3.SimpleSolver())
    path.assume(ANY != 0)
    first_home = _first_home(h)
    path.assume(v.log(first_home.version) == first_home.content, first_home.version >= 0)
    beginning = Renaming(*changed(h, first_home), *changed(c, _first_cache(c)))
    first = [(name, beginning(claim)) for name, claim in known.claims]
    ledger.judge(path, "the first state", first, lambda model: iter([str(model)]))
    path = Execution(z3.SimpleSolver())
    path.assume(ANY != 0, THEN <= NOW, *known.of(ANY))
    later = Renaming((THEN, NOW))
    stay = [
        *preserved(known.claims, later, assumed=True),
        *preserved(known.in_flight(), later, assumed=False),
    ]
    ledger.judge(path, "time passes", stay, lambda model: iter([str(model)]))


def _first_home(h: HomeView) -> HomeView:
    """Home without copies or grants, with any version."""
    none, no = z3.IntVal(0), z3.BoolVal(False)
    lists = ("sharers", "unacked", "waiting", "judged", "told")
    numbers = ("owner", "owner_serial", "epoch", "writer", "writer_serial")
    return replace(
        h,
        at=z3.IntVal(HOME_CODES[HomeAt.I]),
        first=h.version,
        returned=h.version,
        grant_armed=no,
        acks_armed=no,
        **dict.fromkeys(lists, NONE),
        **dict.fromkeys(numbers, none),
    )


def _first_cache(c: CacheView) -> CacheView:
    """An empty cache of which home has not heard, without timers."""
    none, no = z3.IntVal(0), z3.BoolVal(False)
    return CacheView(
        at=z3.IntVal(CACHE_CODES[CacheAt.I]),
        version=none,
        content=none,
        dead=z3.IntVal(-1),
        serial=none,
        epoch=none,
        again=no,
        validity_armed=no,
        retry_armed=no,
        deadline_armed=no,
        due=c.due,
        served=none,
        begun=none,
    )
