"""Rough runs: a team at random work on a network that loses, copies and reorders, with crashes.

Requests, crashes of agents and of home, and delays are drawn from a seed.  `coherence.oracle`
judges every step.  A run demands, besides:

``deadline``   a wait for a grant ends when its deadline is due
``stuck``      once grants are given back or have run out, every request is answered
``fresh``      with nothing under way, a read after a lapse returns the newest version
``uncontended``  an agent that is alone gets the grant, and its commit goes through
``livelock``   messages come to an end
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from random import Random
from typing import Any, NamedTuple, Self

import msgspec

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
    Request,
    digest_of,
)
from coherence.oracle import HOME, Oracle, system
from coherence.policy import Policy, Visibility
from coherence.simulate.engine import policy_of
from coherence.simulate.scenario import Scenario
from message_passing.errors import Defect
from message_passing.netmodel import NetworkModel, Uniform
from message_passing.network import Guarantee
from message_passing.process import Address, Event, Step, Time
from message_passing.simulator import Simulator

AGENTS: tuple[Address, ...] = ("ann", "bob", "cyd")
#: Long enough for every lease, validity and retry of these policies to have run out.
SETTLE: Time = 60.0
EVENTS_MAX = 6_000
#: Runs in all, shared by the policies: a few seconds.
RUNS = 400
RUN_STEPS = 120

QUIET = NetworkModel(guarantee=Guarantee.ORDERED, latency=Uniform(0, 2))
LATE = NetworkModel(guarantee=Guarantee.UNORDERED, latency=Uniform(0, 4))
WILD = NetworkModel(
    guarantee=Guarantee.UNORDERED_LOSSY_DUPLICATING,
    latency=Uniform(0, 4),
    loss_probability=0.15,
    duplicate_probability=0.15,
)


class Unmet(Defect):
    """A demand of a rough run was not met; `name` says which."""

    def __init__(self, name: str, detail: object) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name


class Case(NamedTuple):
    """A policy on a network.  `lossless`: the directory must agree with the caches."""

    policy: Policy
    network: NetworkModel
    lossless: bool = False
    crashes: bool = True


class RoughRun:
    """One run of `case`.  `prepare` is called with each process before the run."""

    def __init__(
        self,
        case: Case,
        seed: int,
        *,
        agents: Sequence[Address] = AGENTS,
        prepare: Callable[[Any], None] = lambda process: None,
        observers: Iterable[Callable[..., None]] = (),
        trace: Callable[..., None] | None = None,
    ) -> None:
        self.case = case
        self.agents = agents
        self.rng = Random(seed)
        self.written = 0
        #: How often each process has crashed.
        self.crashed: Counter[Address] = Counter()
        #: (version, epoch) of the draft that each agent holds.
        self.drafts: dict[Address, tuple[int, int]] = {}
        self.read: dict[Address, int] = {}
        self.due: dict[Address, float] = {}
        self.last: dict[Address, Any] = {}
        processes = system(case.policy, self.agents, version=seed % 2, content=("start", seed % 2))
        for process in processes.values():
            prepare(process)
        oracle = Oracle(case.policy, lossless=case.lossless)
        self.sim = Simulator(
            processes,
            network=case.network,
            seed=seed,
            on_respond=self.answered,
            observers=[*observers, oracle],
            trace=trace,
        )

    def answered(self, agent: Address, result: Any) -> None:
        """Remember an answer: an agent drafts and derives from what it was last given."""
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

    def late(self, agent: Address) -> None:
        """Raises `Unmet` if an agent waits for a grant beyond its deadline."""
        if self.sim.now > self.due.get(agent, self.sim.now):
            raise Unmet("deadline", f"{agent} waited until {self.sim.now}")

    def __call__(self, steps: int = 200) -> Self:
        """Work, then let everything come to rest, then make sure that all is well.

        Raises `Unmet`, or `InvariantBroken` from the oracle.
        """
        if self.case.policy.push_every is not None:
            self.sim.crash(HOME)
            self.sim.restart(HOME)
        for _ in range(steps):
            self.act(self.rng.choice(self.agents))
            self.let(self.rng.choice((0, 0.3, 1, 2)))
        self.settle()
        for agent in self.agents:
            self.let(SETTLE)
            self.alone(agent)
        return self

    def act(self, agent: Address) -> None:
        """An agent restarts, crashes or asks; now and then home crashes and restarts."""
        sim, chance = self.sim, self.rng.random()
        if agent in sim.down:
            sim.restart(agent)
        elif self.case.crashes and chance < 0.02:
            sim.crash(agent)
            self.crashed[agent] += 1
            for forgotten in (self.drafts, self.read, self.due):
                forgotten.pop(agent, None)
        elif self.case.crashes and chance < 0.03:
            self.crashed[HOME] += 1
            sim.crash(HOME)
            sim.restart(HOME)
        elif agent not in sim.outstanding:
            self.ask(agent, self.request(agent))

    def request(self, agent: Address) -> Request:
        """The next request of an agent."""
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

    def ask(self, agent: Address, request: Request) -> None:
        """Ask, and note the deadline of a wait."""
        if isinstance(request, Acquire) and request.wait is not None:
            self.due[agent] = self.sim.now + request.wait
        self.sim.invoke(agent, request)

    def let(self, time: Time) -> None:
        """Let time pass.  Raises `Unmet` if messages do not come to an end."""
        if self.sim.run(until=self.sim.now + time, max_events=EVENTS_MAX) == EVENTS_MAX:
            raise Unmet("livelock", self.sim.now)

    def settle(self) -> None:
        """Restart, give back and wait.  Raises `Unmet` if a request stays unanswered."""
        for agent in sorted(self.sim.down):
            self.sim.restart(agent)
        for _ in range(2 * len(self.agents)):
            for agent in sorted(self.drafts.keys() - self.sim.outstanding):
                self.sim.invoke(agent, Abandon(self.drafts.pop(agent)[1]))
            self.let(SETTLE)
        for agent in self.agents:
            self.late(agent)
        if self.sim.outstanding:
            raise Unmet("stuck", self.sim.states)

    def alone(self, agent: Address) -> None:
        """One agent alone reads, drafts and commits.  Raises `Unmet`."""
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

    def result(self, agent: Address, request: Request) -> Any:
        """The answer to a request, at the moment of the answer.  Raises `Unmet`."""
        self.last.pop(agent, None)
        self.sim.invoke(agent, request)
        # Stop at the answer: a grant must not run out before it is used.
        for _ in range(EVENTS_MAX):
            if agent in self.last:
                return self.last[agent]
            if not self.sim.run(max_events=1):
                break
        raise Unmet("stuck", self.sim.states)


class Roughness(msgspec.Struct, frozen=True):
    """What `play` has played."""

    runs: int = 0
    policies: int = 0
    steps: int = 0
    crashes: int = 0
    home_crashes: int = 0

    def __str__(self) -> str:
        return (
            f"Checked as well: {self.runs} rough runs under {self.policies} policies, "
            f"{self.steps:,} steps on networks that delay, reorder, lose and copy messages, with "
            f"{self.crashes} crashes of an agent and {self.home_crashes} of home."
        )


def cases_of(policy: Policy) -> Iterator[Case]:
    """The cases of one policy: all faults, none, and both again with strict visibility.

    A policy that pushes has no strict visibility.
    """
    leased = msgspec.structs.replace(
        policy, validity=policy.validity or 12.0, grant_lease=8.0, retry_after=5.0
    )
    yield Case(leased, WILD)
    yield Case(leased, LATE, crashes=False)
    if policy.push_every is None:
        strict = msgspec.structs.replace(leased, visibility=Visibility.STRICT)
        yield Case(strict, WILD)
        yield Case(strict, LATE, crashes=False)


def policies_of(scenarios: Iterable[Scenario], strategies: Iterable[str]) -> Iterator[Policy]:
    """The policies of the strategies in the scenarios, for teams of the size of a rough run.

    Raises `UnknownChoice`, as `coherence.simulate.engine.policy_of` does.
    """
    for scenario, strategy in product(scenarios, strategies):
        small = scenario.model_copy(update={"agents": len(AGENTS)})
        yield policy_of(small, strategy)


def play(policies: Iterable[Policy], runs: int = RUNS) -> Roughness:
    """Play `runs` rough runs in all, shared equally by the policies that differ.

    Raises `InvariantBroken` or `Unmet`, as `RoughRun` does.
    """
    different = [*dict.fromkeys(policies)]
    every = [case for policy in different for case in cases_of(policy)]
    steps = crashes = home_crashes = 0

    def count(view: object, address: Address, event: Event[Any, Any], step: Step[Any]) -> None:
        nonlocal steps
        steps += 1

    for number in range(runs):
        case, seed = every[number % len(every)], number // len(every)
        agents = case.policy.members or AGENTS
        run = RoughRun(case, seed, agents=agents, observers=[count])(RUN_STEPS)
        home_crashes += run.crashed[HOME]
        crashes += sum(run.crashed.values()) - run.crashed[HOME]
    return Roughness(runs, len(different), steps, crashes, home_crashes)
