"""A team at random work: requests, crashes and restarts drawn from a seed, every step judged.

What a run demands, besides all that `coherence.oracle` holds at each step:

``deadline``   a wait for a grant ends when its deadline is due
``stuck``      once grants are given back or have run out, every request is answered
``fresh``      with nothing under way, a read after a lapse returns the newest version
``uncontended``  an agent that is alone gets the grant, and its commit goes through
``livelock``   messages come to an end
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, NamedTuple

from coherence.messages import (
    Abandon,
    Acquire,
    Commit,
    Committed,
    Granted,
    Leave,
    Load,
    Loaded,
    Refusal,
    Refused,
    Replacement,
    digest_of,
)
from coherence.oracle import HOME, Oracle, system
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
from coherence.states import HomeState
from coherence.table import Table
from message_passing.netmodel import NetworkModel, Uniform
from message_passing.network import Guarantee
from message_passing.simulator import Simulator

AGENTS = ("ann", "bob", "cyd")
#: Long enough for every lease, validity and retry of the policies below to have run out.
SETTLE = 60.0
EVENTS_MAX = 6_000


class Unmet(AssertionError):
    """A demand of the run itself was not met; `name` says which."""

    def __init__(self, name: str, detail: object) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name


class Mixed(Policy, frozen=True, kw_only=True):
    """Announces each commit in another way, as a policy may that looks at sizes."""

    def announce(self, home: HomeState) -> Announce:
        return tuple(Announce)[home.version % 3]


class Case(NamedTuple):
    policy: Policy
    network: NetworkModel
    lossless: bool = False
    crashes: bool = True


QUIET = NetworkModel(guarantee=Guarantee.ORDERED, latency=Uniform(0, 2))
WILD = NetworkModel(
    guarantee=Guarantee.UNORDERED_LOSSY_DUPLICATING,
    latency=Uniform(0, 4),
    loss_probability=0.15,
    duplicate_probability=0.15,
)
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


class Run:
    """One run of `case`; `tables` replaces the engine's by name, to see what a mutant does."""

    def __init__(
        self,
        case: Case,
        seed: int,
        tables: Mapping[str, Table[Any]] | None = None,
        observers: tuple[Callable[..., None], ...] = (),
        trace: Callable[..., None] | None = None,
    ) -> None:
        self.case = case
        self.rng = Random(seed)
        self.written = 0
        #: (version, epoch) of the draft that each agent holds.
        self.drafts: dict[str, tuple[int, int]] = {}
        self.read: dict[str, int] = {}
        self.due: dict[str, float] = {}
        self.last: dict[str, Any] = {}
        processes = system(case.policy, AGENTS, version=seed % 2, content=("start", seed % 2))
        for process in processes.values():
            put_on(process, tables)
        oracle = Oracle(case.policy, lossless=case.lossless)
        self.sim = Simulator(
            processes,
            network=case.network,
            seed=seed,
            on_respond=self.answered,
            observers=[*observers, oracle],
            trace=trace,
        )

    def answered(self, agent: str, result: Any) -> None:
        self.last[agent] = result
        self.late(agent)
        self.due.pop(agent, None)
        if isinstance(result, Granted):
            self.drafts[agent] = (result.version, result.epoch)
        fenced = isinstance(result, Refused) and result.reason is Refusal.FENCED
        if isinstance(result, Committed) or fenced:
            self.drafts.pop(agent, None)
        if isinstance(result, Loaded | Granted | Committed):
            self.read[agent] = result.version

    def late(self, agent: str) -> None:
        if self.sim.now > self.due.get(agent, self.sim.now):
            raise Unmet("deadline", f"{agent} waited until {self.sim.now}")

    def __call__(self, steps: int = 200) -> Run:
        """Work, then let everything come to rest, then make sure that all is well."""
        if self.case.policy.push_every is not None:
            self.sim.crash(HOME)
            self.sim.restart(HOME)
        for _ in range(steps):
            self.act(self.rng.choice(AGENTS))
            self.let(self.rng.choice((0, 0.3, 1, 2)))
        self.settle()
        for agent in AGENTS:
            self.let(SETTLE)
            self.alone(agent)
        return self

    def act(self, agent: str) -> None:
        sim, chance = self.sim, self.rng.random()
        if agent in sim.down:
            sim.restart(agent)
        elif self.case.crashes and chance < 0.02:
            sim.crash(agent)
            for forgotten in (self.drafts, self.read, self.due):
                forgotten.pop(agent, None)
        elif self.case.crashes and chance < 0.03:
            sim.crash(HOME)
            sim.restart(HOME)
        elif agent not in sim.outstanding:
            self.ask(agent, self.request(agent))

    def request(self, agent: str) -> Any:
        kind = self.rng.choices(
            ("load", "store", "commit", "abandon", "replace", "leave"), (35, 15, 30, 8, 7, 5)
        )[0]
        if kind == "store":
            return Acquire(self.rng.choice((None, 3.0)))
        if kind == "commit":
            self.written += 1
            if agent in self.drafts and self.rng.random() < 0.8:
                base, epoch = self.drafts[agent]
            else:
                base, epoch = self.read.get(agent, self.sim.states[agent].version), 0
            cache = self.sim.states[agent]
            known = digest_of(cache.content) if base == cache.version else None
            # Now and then a text that others write, too: a commit may change nothing.
            content = ("all", 0) if self.written % 4 == 0 else (agent, self.written)
            return Commit(content, base, epoch, known)
        if kind == "abandon" and agent in self.drafts:
            return Abandon(self.drafts.pop(agent)[1])
        if kind == "replace":
            return Replacement()
        if kind == "leave":
            self.drafts.pop(agent, None)
            return Leave()
        return Load()

    def ask(self, agent: str, request: Any) -> None:
        if isinstance(request, Acquire) and request.wait is not None:
            self.due[agent] = self.sim.now + request.wait
        self.sim.invoke(agent, request)

    def let(self, time: float) -> None:
        if self.sim.run(until=self.sim.now + time, max_events=EVENTS_MAX) == EVENTS_MAX:
            raise Unmet("livelock", self.sim.now)

    def settle(self) -> None:
        for agent in sorted(self.sim.down):
            self.sim.restart(agent)
        for _ in range(2 * len(AGENTS)):
            for agent in sorted(self.drafts.keys() - self.sim.outstanding):
                self.sim.invoke(agent, Abandon(self.drafts.pop(agent)[1]))
            self.let(SETTLE)
        for agent in AGENTS:
            self.late(agent)
        if self.sim.outstanding:
            raise Unmet("stuck", self.sim.states)

    def alone(self, agent: str) -> None:
        current = self.sim.states[HOME].version
        read = self.result(agent, Load())
        if not (isinstance(read, Loaded) and read.version == current):
            raise Unmet("fresh", read)
        # Where messages are lost, a grant may run out before its holder hears of it.
        for _ in range(50 if self.case.network.guarantee.lossy else 1):
            draft = self.result(agent, Acquire())
            if not isinstance(draft, Granted) or draft.version != current:
                break
            made = self.result(agent, Commit((agent, "alone"), current, draft.epoch))
            if made == Committed(current + 1):
                return
        raise Unmet("uncontended", self.last)

    def result(self, agent: str, request: Any) -> Any:
        self.last.pop(agent, None)
        self.sim.invoke(agent, request)
        # Stop at the answer: a grant must not run out before it is used.
        for _ in range(EVENTS_MAX):
            if agent in self.last:
                return self.last[agent]
            if not self.sim.run(max_events=1):
                break
        raise Unmet("stuck", self.sim.states)
