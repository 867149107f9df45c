"""Our rules: the shipped tables, driven by the simulator over a recorded stream of actions.

Artifacts do not interact, so each is a system of its own: one home and a cache for every agent.
The network has the paper's two planes.  Requests and answers are immediate; announcements travel
`latency_steps` and may be lost.  They overtake each other, so the network is an unordered one.

What an agent does, in terms of the protocol:

* a *read* is a `Load`;
* a *write* is a `Load` where the agent holds no readable copy, then a `Commit` that names the
  version it read.  Refused as stale, it reads again, which costs a fetch, and commits again.

Differences from the paper's rules that move the figures: a stale writer pays for a refetch instead
of overwriting; a late invalidation no longer kills a copy that is newer than itself; a copy that
is asked for again is answered "unchanged" instead of being sent once more; nobody is dropped from
the directory by a timeout; every copy lapses after `lease_steps`, whatever the strategy.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from coherence.cache import Cache
from coherence.directory import Home
from coherence.messages import Commit, Committed, Inv, Load, Loaded, Message, Refused, Update
from coherence.oracle import HOME, Oracle
from coherence.policy import AccessCount, Broadcast, Eager, Lazy, Lease, Policy
from coherence.simulate.result import RunResult
from coherence.simulate.scenario import Scenario
from coherence.simulate.stream import Action, draw
from coherence.states import READABLE, HomeState
from coherence.tokens import Tally
from messaging.netmodel import NetworkModel
from messaging.network import Guarantee
from messaging.process import Address, Event, Send, Step, Time
from messaging.simulator import Simulator

_ANNOUNCEMENTS = (Inv, Update)
_ATTEMPTS_MAX = 3


def policy_of(scenario: Scenario, strategy: str) -> Policy:
    """The policy that plays one of the paper's strategies in `scenario`; time is in steps."""
    validity = scenario.lease_steps
    match strategy:
        case "lazy":
            return Lazy(validity=validity)
        case "lease":
            return Lease(validity=validity)
        case "eager":
            return Eager(validity=validity, pointer=scenario.context == "pointer")
        case "access_count":
            return AccessCount(validity=validity, max_accesses=scenario.access_count_max)
        case "broadcast":
            return Broadcast(validity=validity, everyone=tuple(sorted(agents_of(scenario))))
    raise ValueError(f"unknown strategy {strategy!r}")


def agents_of(scenario: Scenario) -> list[Address]:
    """The agents' addresses, in the order of their numbers."""
    return [f"agent-{number}" for number in range(1, scenario.agents + 1)]


def run(
    scenario: Scenario,
    strategy: str,
    seed: int,
    actions: Iterable[Action] | None = None,
    *,
    check: bool = False,
) -> RunResult:
    """Play one run by the engine's rules.

    `actions` is what is done; drawn from the seed where it is left out.  `check` holds every
    invariant after every step and raises `InvariantBroken` at the first that fails.
    """
    policy = policy_of(scenario, strategy)
    agents = agents_of(scenario)
    network = _network(scenario)
    always_read = scenario.context == "always_read"
    systems = [
        _System(policy, agents, network, size, f"{seed}/{number}", check)
        for number, size in enumerate(scenario.sizes_tokens)
    ]
    if actions is None:
        actions = draw(scenario, seed)
    for step, agent, artifact, is_write in actions:
        system = systems[artifact]
        if system.sim.now < step:
            system.sim.run(until=step)
        if is_write:
            system.write(agents[agent])
        else:
            system.read(agents[agent], always_read)
    for system in systems:
        system.sim.run(until=scenario.steps)
    return RunResult(
        fetch_tokens=sum(s.tally.fetch for s in systems),
        push_tokens=sum(s.tally.push for s in systems),
        invalidation_tokens=sum(s.tally.invalidation for s in systems),
        other_tokens=sum(s.tally.stub for s in systems),
        reads=sum(s.reads for s in systems),
        hits=sum(s.hits for s in systems),
        stale_reads=sum(s.stale_reads for s in systems),
        max_stale_steps=max(s.stale_max for s in systems),
        bound_violations=sum(s.violations for s in systems),
        lost_updates=sum(s.home.lost_updates for s in systems),
        writes_per_artifact=tuple(s.writes for s in systems),
    )


def _network(scenario: Scenario) -> NetworkModel:
    """Two planes: answers at once, announcements late or never."""
    late, loss = float(scenario.latency_steps), scenario.loss_probability

    def latency(rng: Random, src: Address, dst: Address, message: Message) -> float:
        return late if type(message) in _ANNOUNCEMENTS else 0.0

    def lost(rng: Random, src: Address, dst: Address, message: Message) -> float:
        return loss if type(message) in _ANNOUNCEMENTS else 0.0

    if not loss:
        return NetworkModel(guarantee=Guarantee.UNORDERED, latency=latency)
    return NetworkModel(guarantee=Guarantee.UNORDERED_LOSSY, latency=latency, loss_probability=lost)


class _MeteredHome(Home):
    """The shipped home, with a meter at its door and a record of when versions ended."""

    def __init__(self, policy: Policy, size_tokens: int) -> None:
        super().__init__(policy, version=1, content=0)
        self.tally = Tally()
        self.lost_updates = 0
        #: ended[v] is when version v was superseded; version 0 never was the current one.
        self.ended: list[Time] = [0]
        self._size_tokens = size_tokens

    def step(self, state: HomeState, event: Event[Any, Message], now: Time) -> Step[HomeState]:
        step = super().step(state, event, now)
        if step.state.version != state.version:
            self.ended.append(now)
            self.lost_updates += event.message.base != state.version  # type: ignore[union-attr]
        for command in step.commands:
            if type(command) is Send:
                self.tally.charge(command.message, self._sizes)
        return step

    def _sizes(self, version: int, base: int) -> int:
        return self._size_tokens


class _System:
    """One artifact: its home, its caches, their network, and what is measured of them."""

    def __init__(
        self,
        policy: Policy,
        agents: list[Address],
        network: NetworkModel,
        size_tokens: int,
        seed: str,
        check: bool,
    ) -> None:
        self.home = _MeteredHome(policy, size_tokens)
        self.tally = self.home.tally
        self.cache = Cache(policy, HOME)
        self.bound = policy.validity
        self.size_tokens = size_tokens
        self.reads = self.hits = self.writes = 0
        self.stale_reads = self.stale_max = self.violations = 0
        self._result: Any = None
        self.sim = Simulator(
            {HOME: self.home, **dict.fromkeys(agents, self.cache)},
            network=network,
            seed=Random(seed).getrandbits(63),
            on_respond=self._respond,
            observers=[Oracle(policy)] if check else [],
        )
        if policy.push_every is not None:
            self.sim.crash(HOME)
            self.sim.restart(HOME)

    def _respond(self, address: Address, result: Any) -> None:
        self._result = result

    def _ask(self, agent: Address, request: Any) -> bool:
        """Ask an agent's cache; returns whether it answered without asking home."""
        sim = self.sim
        sim.invoke(agent, request)
        if agent not in sim.outstanding:
            return True
        sim.run(until=sim.now)
        return False

    def read(self, agent: Address, always_read: bool) -> None:
        """One read; with `always_read` the text is put before the model whatever the cache says."""
        sim = self.sim
        self.reads += 1
        result = self.cache.hit(sim.states[agent])
        if result is not None:
            hit = True
        else:
            spent = self.tally.fetch, self.tally.stub
            hit = self._ask(agent, Load())
            result = self._result
            if always_read:
                self.tally.fetch, self.tally.stub = spent
        assert isinstance(result, Loaded)
        if always_read:
            self.tally.fetch += self.size_tokens
            return
        if not hit:
            return
        self.hits += 1
        ended = self.home.ended
        if result.version < len(ended):
            stale_steps = int(sim.now - ended[result.version]) + 1
            self.stale_reads += 1
            self.stale_max = max(self.stale_max, stale_steps)
            self.violations += self.bound is not None and stale_steps > self.bound

    def write(self, agent: Address) -> None:
        """One write, derived from what the agent holds, done again where that was refused."""
        self.writes += 1
        for _ in range(_ATTEMPTS_MAX):
            state = self.sim.states[agent]
            base = state.version
            if state.at not in READABLE:
                self._ask(agent, Load())
                base = self._result.version
            self._ask(agent, Commit(self.writes, base))
            if isinstance(self._result, Committed):
                return
            assert isinstance(self._result, Refused)
        raise AssertionError("a write was refused although nobody else could have written")
