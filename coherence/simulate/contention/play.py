"""A team whose agents read, think and commit, on the homes and the joint rule that ship.

A transaction is some model calls in a row.  Before each the agent reads some more of its read set,
as of one moment; after the last it commits.  A refusal costs the calls that were made, and those
calls are made again.  Reads, commits and requests take no time: a model call takes seconds to
minutes, the store milliseconds.

Three ways to go about it:

* ``optimistic``: nothing is held; a refused attempt is made again, without end;
* ``transact``: the same, from the second attempt on under the grants of all names, asked for in
  the order of the names, as `Agent.transact` does;
* ``grants``: under the grants from the first attempt on, as nested `Agent.edit` would.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import pairwise
from math import log
from typing import Final, Literal, TypeAlias

import msgspec

from coherence.directory import Home
from coherence.entries import waiting
from coherence.joint import Part, joint
from coherence.messages import Check, Epoch, GetM, PutE, PutM, Version
from coherence.policy import Lazy
from coherence.simulate.errors import InvalidScenario
from coherence.states import HomeState
from message_passing.process import Receive

Way: TypeAlias = Literal["optimistic", "transact", "grants"]
WAYS: tuple[Way, ...] = ("optimistic", "transact", "grants")

ATTEMPTS_MAX: Final = 1_000
"""An optimistic agent gives up here; at this contention it would hardly ever commit."""

_SPREAD = 0.5
"""Standard deviation of the logarithm of a model call's duration: half of them take between 0.7
and 1.4 times the median."""


class Crew(msgspec.Struct, frozen=True, kw_only=True):
    """Agents that make transactions on the same artifacts.  Raises `InvalidScenario`."""

    agents: int = 4
    artifacts: int = 20
    #: Names that a transaction reads, and how many of those it writes.
    reads: int = 3
    writes: int = 1
    #: Model calls of an attempt, their median duration, and the mean pause between transactions.
    calls: int = 2
    think_s: float = 30.0
    pause_s: float = 60.0
    transactions: int = 50
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("agents", "artifacts", "reads", "writes", "calls", "transactions"):
            if getattr(self, name) < 1:
                raise InvalidScenario(f"{name} = {getattr(self, name)}: at least 1")
        for small, large in pairwise(("writes", "reads", "artifacts")):
            if getattr(self, small) > getattr(self, large):
                raise InvalidScenario(
                    f"{small} = {getattr(self, small)} is above {large} = {getattr(self, large)}",
                    remedy="a transaction writes some of the names that it reads",
                )
        for name in ("think_s", "pause_s"):
            if not 0 < getattr(self, name) < 1e9:
                raise InvalidScenario(f"{name} = {getattr(self, name)}: above 0, and finite")


class CrewOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of a team came to."""

    committed: int
    given_up: int
    calls: int
    #: Model calls of attempts that were refused.
    wasted_calls: int
    refused: int
    #: Of committed transactions, from their beginning: the mean, and the longest.
    mean_s: float
    longest_s: float
    #: The part of it that was spent on waiting for grants, on average.
    waited_s: float
    duration_s: float

    @property
    def calls_per_commit(self) -> float:
        """Model calls for each committed transaction, wasted ones included."""
        return self.calls / self.committed if self.committed else float("inf")


class _Agent(msgspec.Struct):
    """An agent at its work."""

    name: str
    chance: random.Random
    left: int
    serial: int = 0
    attempts: int = 0
    names: tuple[int, ...] = ()
    writes: frozenset[int] = frozenset()
    reads: dict[int, Version] = {}
    grants: dict[int, Epoch] = {}
    #: Names whose grants it still asks for.
    asks: list[int] = []
    calls: int = 0
    begun_s: float = 0.0
    asked_s: float = 0.0
    waited_s: float = 0.0


class _Run:
    """One run: a queue of moments at which an agent goes on."""

    def __init__(self, team: Crew, way: Way) -> None:
        self.team, self.way = team, way
        self.home = Home(Lazy())
        self.homes = [HomeState()] * team.artifacts
        self.agents = {
            name: _Agent(name, random.Random(f"{team.seed} {name}"), team.transactions)
            for name in (f"agent{number}" for number in range(team.agents))
        }
        self.moments: list[tuple[float, int, str]] = []
        self.order = 0
        self.now = 0.0
        self.committed = self.given_up = self.calls = self.wasted = self.refused = 0
        self.took_s: list[float] = []
        self.waited_s = 0.0

    def played(self) -> CrewOutcome:
        """Play until all transactions are over."""
        for agent in self.agents.values():
            self._later(agent, agent.chance.expovariate(1 / self.team.pause_s))
        while self.moments:
            self.now, _, name = heappop(self.moments)
            self._goes_on(self.agents[name])
        took = self.took_s
        return CrewOutcome(
            committed=self.committed,
            given_up=self.given_up,
            calls=self.calls,
            wasted_calls=self.wasted,
            refused=self.refused,
            mean_s=sum(took) / len(took) if took else 0.0,
            longest_s=max(took, default=0.0),
            waited_s=self.waited_s / len(took) if took else 0.0,
            duration_s=self.now,
        )

    def _later(self, agent: _Agent, seconds: float) -> None:
        self.order += 1
        heappush(self.moments, (self.now + seconds, self.order, agent.name))

    def _goes_on(self, agent: _Agent) -> None:
        if not agent.names:
            self._begin(agent)
        elif agent.calls == self.team.calls:
            self._commit(agent)
        else:
            self._call(agent)

    def _begin(self, agent: _Agent) -> None:
        chance, team = agent.chance, self.team
        names = chance.sample(range(team.artifacts), team.reads)
        agent.names, agent.writes = tuple(names), frozenset(names[: team.writes])
        agent.attempts, agent.begun_s, agent.waited_s = 0, self.now, 0.0
        self._attempt(agent)

    def _attempt(self, agent: _Agent) -> None:
        agent.attempts += 1
        agent.calls = 0
        agent.reads, agent.grants = {}, {}
        agent.serial += 1
        in_turn = self.way == "grants" or (self.way == "transact" and agent.attempts > 1)
        agent.asks = sorted(agent.names, reverse=True) if in_turn else []
        self._ask(agent)

    # Grants.

    def _ask(self, agent: _Agent) -> None:
        """Ask for the next grant, until one must be waited for; then go on."""
        while agent.asks:
            name = agent.asks[-1]
            agent.serial += 1
            self._step(name, agent.name, GetM(agent.serial, 0))
            if waiting(self.homes[name].queue, agent.name) >= 0:
                agent.asked_s = self.now
                return
            self._granted(agent, name)
        agent.serial += 1
        self._call(agent)

    def _granted(self, agent: _Agent, name: int) -> None:
        agent.asks.pop()
        agent.grants[name] = self.homes[name].epoch

    def _step(self, name: int, src: str, message: GetM | PutE) -> None:
        self.homes[name] = self.home.step(self.homes[name], Receive(src, message), 0).state

    def _passed_on(self, names: Iterator[int]) -> None:
        """The first waiting agent of each name has its grant now."""
        for name in names:
            agent = self.agents.get(self.homes[name].owner)
            if agent is not None and agent.asks and agent.asks[-1] == name:
                agent.waited_s += self.now - agent.asked_s
                self._granted(agent, name)
                self._ask(agent)

    def _give_back(self, agent: _Agent) -> None:
        held, agent.grants = agent.grants, {}
        for name, epoch in held.items():
            self._step(name, agent.name, PutE(agent.serial, epoch))
        self._passed_on(iter(held))

    # Attempts.

    def _call(self, agent: _Agent) -> None:
        """Read what the next model call needs; an earlier read that is outdated refuses."""
        if self._outdated(agent):
            self._refuse(agent)
            return
        upto = -(-len(agent.names) * (agent.calls + 1) // self.team.calls)
        for name in agent.names[len(agent.reads) : upto]:
            agent.reads[name] = self.homes[name].version
        agent.calls += 1
        self.calls += 1
        self._later(agent, agent.chance.lognormvariate(log(self.team.think_s), _SPREAD))

    def _outdated(self, agent: _Agent) -> bool:
        return any(self.homes[name].version != version for name, version in agent.reads.items())

    def _commit(self, agent: _Agent) -> None:
        homes: dict[int, HomeState] = {}

        def part(name: int, message: PutM | Check) -> Part:
            before = self.homes[name]
            step = self.home.step(before, Receive(agent.name, message), 0)
            homes[name] = step.state
            return Part(str(name), message, before, step)

        content = (agent.name, agent.serial)
        written = (
            part(n, PutM(agent.serial, agent.reads[n], agent.grants.get(n, 0), content))
            for n in agent.names
            if n in agent.writes
        )
        read = (part(n, Check(0, agent.reads[n])) for n in agent.names if n not in agent.writes)
        if not joint(agent.name, written, read).stands:
            self._refuse(agent)
            return
        for name, home in homes.items():
            self.homes[name] = home
        self.committed += 1
        self.took_s.append(self.now - agent.begun_s)
        self.waited_s += agent.waited_s
        self._end(agent)

    def _refuse(self, agent: _Agent) -> None:
        self.refused += 1
        self.wasted += agent.calls
        if agent.attempts == ATTEMPTS_MAX:
            self.given_up += 1
            self._end(agent)
            return
        self._give_back(agent)
        self._attempt(agent)

    def _end(self, agent: _Agent) -> None:
        written = list(agent.grants)
        agent.names = ()
        agent.left -= 1
        if agent.left:
            self._later(agent, agent.chance.expovariate(1 / self.team.pause_s))
        self._give_back(agent)
        self._passed_on(name for name in written)


def play(team: Crew, way: Way) -> CrewOutcome:
    """One run of a team; the same seed gives the same agents the same work in every way."""
    return _Run(team, way).played()


def runs(team: Crew, way: Way, seeds: Sequence[int]) -> list[CrewOutcome]:
    """The runs with these seeds."""
    return [play(msgspec.structs.replace(team, seed=seed), way) for seed in seeds]
