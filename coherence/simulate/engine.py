"""Our rules: the shipped tables, driven by the simulator over a recorded stream of actions.

Artifacts do not interact, so each is a system of its own: one home and a cache for every agent.
The network has the paper's two planes.  Requests and answers are immediate; announcements travel
`latency_steps` and may be lost.  They overtake each other, so the network is unordered.

The actions of an agent, in terms of the protocol:

* a *read* is a `Load`;
* a *write* is a `Load` if the agent holds no readable copy, then a `Commit` that names the version
  it read.  If that is refused as stale, the agent reads again, which costs a fetch, and commits
  again.

Differences from the paper's rules that change the figures: a stale writer pays for a refetch
instead of overwriting; a late invalidation no longer kills a copy that is newer than itself; a copy
that is asked for again is answered "unchanged" instead of being sent once more; no agent is dropped
from the directory by a timeout; every copy lapses after `lease_steps`, whatever the strategy.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from coherence.cache import Cache
from coherence.directory import Home
from coherence.messages import Commit, Committed, Inv, Load, Loaded, Message, PutM, Update
from coherence.oracle import HOME, Oracle
from coherence.policy import (
    AccessCount,
    Broadcast,
    Eager,
    InvalidPolicy,
    Lazy,
    Lease,
    Policy,
    kind_of,
    kinds,
)
from coherence.simulate.errors import UnknownChoice
from coherence.simulate.recording import recording
from coherence.simulate.result import RunResult
from coherence.simulate.scenario import Scenario
from coherence.simulate.stream import Action, draw
from coherence.states import READABLE, HomeState
from coherence.tokens import Charges
from message_passing.netmodel import NetworkModel
from message_passing.network import Guarantee
from message_passing.ports import Trace
from message_passing.process import Address, Event, Receive, Send, Step, Time
from message_passing.simulator import Simulator

_ANNOUNCEMENTS = (Inv, Update)
_ATTEMPTS_MAX = 3


def policy_of(scenario: Scenario, strategy: str) -> Policy:
    """The policy that plays one of the paper's strategies in `scenario`; time is in steps.

    Any kind of policy, also yours, is a strategy by its name.  Raises `UnknownChoice`, or
    `InvalidPolicy` if the policy refuses the scenario's lease.
    """
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
    try:
        kind = kind_of(strategy)
    except InvalidPolicy as error:
        raise UnknownChoice(f"unknown strategy {strategy!r}: {error}") from error
    try:
        return kind(validity=validity)
    except TypeError as error:
        raise UnknownChoice(
            f"strategy {strategy!r}: {error}", remedy="give each setting of the policy a default"
        ) from error


def own_strategies() -> list[str]:
    """The names of the kinds of policy that the application defines, once they are imported."""
    return sorted({kind.__name__ for kind in kinds() if kind.__module__ != Policy.__module__})


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
    record: Path | None = None,
) -> RunResult:
    """Play one run by the engine's rules.

    `actions` defaults to a draw from the seed.  `check` tests every invariant after every step and
    raises `InvariantBroken` at the first that fails.  `record` is a folder for recordings.
    """
    policy = policy_of(scenario, strategy)
    agents = agents_of(scenario)
    network = _network(scenario)
    always_read = scenario.context == "always_read"
    measured = []
    for number, share in enumerate(
        _shares(scenario, draw(scenario, seed) if actions is None else actions)
    ):
        home = _MeteredHome(policy, scenario.sizes_tokens[number])
        name = scenario.artifacts[number].name
        with nullcontext() if record is None else recording(record, name, home, agents) as trace:
            system = _System(home, agents, network, f"{seed}/{number}", check, trace)
            system.play(share, always_read, scenario.steps)
        measured.append(system.measured)
    return RunResult(
        fetch_tokens=sum(m.charges.fetch for m in measured),
        push_tokens=sum(m.charges.push for m in measured),
        invalidation_tokens=sum(m.charges.invalidation for m in measured),
        other_tokens=sum(m.charges.stub for m in measured),
        reads=sum(m.reads for m in measured),
        hits=sum(m.hits for m in measured),
        stale_reads=sum(m.stale_reads for m in measured),
        max_stale_steps=max(m.stale_max for m in measured),
        bound_violations=sum(m.violations for m in measured),
        lost_updates=sum(m.lost_updates for m in measured),
        writes_per_artifact=tuple(m.writes for m in measured),
    )


def _shares(scenario: Scenario, actions: Iterable[Action]) -> list[array[int]]:
    """The actions on each artifact, eight bytes an action: see `_System.play`.

    Played one artifact after the other, a run touches one system at a time, which fits a
    processor's cache: with 1,000 agents and 100 artifacts that saves a fifth of the time.
    """
    shares: list[array[int]] = [array("Q") for _ in scenario.artifacts]
    agents = scenario.agents
    for step, agent, artifact, is_write in actions:
        shares[artifact].append((step * agents + agent) << 1 | is_write)
    return shares


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


@dataclass
class _Measured:
    """The outcome of one artifact's run."""

    charges: Charges
    reads: int = 0
    hits: int = 0
    writes: int = 0
    stale_reads: int = 0
    stale_max: int = 0
    violations: int = 0
    lost_updates: int = 0


class _MeteredHome(Home):
    """The shipped home, with counters of messages and a record of when versions ended."""

    def __init__(self, policy: Policy, size_tokens: int) -> None:
        super().__init__(policy, version=1, content=0)
        self.measured = _Measured(Charges())
        #: ended[v] is when version v was superseded; version 0 never was the current one.
        self.ended: list[Time] = [0]
        self.size_tokens = size_tokens

    def step(self, state: HomeState, event: Event[Any, Message], now: Time) -> Step[HomeState]:
        step = super().step(state, event, now)
        if step.state.version != state.version:
            assert isinstance(event, Receive)
            assert isinstance(event.message, PutM)
            self.ended.append(now)
            self.measured.lost_updates += event.message.base != state.version
        for command in step.commands:
            if type(command) is Send:
                self.measured.charges.charge(command.message, self._sizes)
        return step

    def _sizes(self, version: int, base: int) -> int:
        return self.size_tokens


class _System:
    """One artifact: its home, its caches, their network, and their measurements."""

    def __init__(
        self,
        home: _MeteredHome,
        agents: list[Address],
        network: NetworkModel,
        seed: str,
        check: bool,
        trace: Trace | None,
    ) -> None:
        self._home, policy = home, home.policy
        self._cache = Cache(policy, HOME)
        self._agents = agents
        self._bound = policy.validity
        self._size_tokens = home.size_tokens
        self._result: Any = None
        self.measured = self._home.measured
        self._sim = Simulator(
            {HOME: self._home, **dict.fromkeys(agents, self._cache)},
            network=network,
            seed=Random(seed).getrandbits(63),
            on_respond=self._respond,
            observers=[Oracle(policy)] if check else [],
            trace=trace,
        )
        if policy.push_every is not None:
            self._sim.crash(HOME)
            self._sim.restart(HOME)

    def play(self, share: array[int], always_read: bool, until: int) -> None:
        """Play the actions of `share`, each item ``(step * agents + agent) << 1 | is_write``."""
        sim, agents = self._sim, self._agents
        for item in share:
            step, agent = divmod(item >> 1, len(agents))
            if sim.now < step:
                sim.run(until=step)
            if item & 1:
                self._write(agents[agent])
            else:
                self._read(agents[agent], always_read)
        sim.run(until=until)

    def _respond(self, address: Address, result: Any) -> None:
        self._result = result

    def _ask(self, agent: Address, request: Any) -> bool:
        """Ask an agent's cache; returns whether it answered without asking home."""
        sim = self._sim
        sim.invoke(agent, request)
        if agent not in sim.outstanding:
            return True
        sim.run(until=sim.now)
        return False

    def _read(self, agent: Address, always_read: bool) -> None:
        """One read; with `always_read` the model gets the text whatever the cache answers."""
        measured = self.measured
        measured.reads += 1
        result = self._cache.hit(self._sim.states[agent])
        hit = result is not None
        if result is None:
            spent = measured.charges.fetch, measured.charges.stub
            hit = self._ask(agent, Load())
            result = self._result
            if always_read:
                measured.charges.fetch, measured.charges.stub = spent
        if always_read:
            measured.charges.fetch += self._size_tokens
        elif hit:
            assert isinstance(result, Loaded)
            measured.hits += 1
            if result.version < len(self._home.ended):
                self._stale(self._home.ended[result.version])

    def _stale(self, since: Time) -> None:
        """A read was served an ended version: count the steps begun since, this one included."""
        measured = self.measured
        steps = int(self._sim.now - since) + 1
        measured.stale_reads += 1
        measured.stale_max = max(measured.stale_max, steps)
        measured.violations += self._bound is not None and steps > self._bound

    def _write(self, agent: Address) -> None:
        """One write, derived from the agent's copy, and repeated after a refusal."""
        self.measured.writes += 1
        for _ in range(_ATTEMPTS_MAX):
            state = self._sim.states[agent]
            base = state.version
            if state.at not in READABLE:
                self._ask(agent, Load())
                base = self._result.version
            self._ask(agent, Commit(self.measured.writes, base))
            if isinstance(self._result, Committed):
                return
        raise AssertionError("a write was refused although no other agent could have written")
