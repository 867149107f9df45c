"""REFERENCE MODEL, defects included: the simulation rules of the Token Coherence paper.

Only for reproducing the paper (arXiv 2603.15183, figures of its reference implementation 0.5.0); no
other module may depend on it, and it does not use our engine.  It has these defects, because the
published figures contain them:

* a writer whose copy is outdated, but not yet invalidated, overwrites a version it never saw;
* an invalidation that arrives late kills a copy that was fetched after the write;
* lost signals are never sent again, so the holder reads the old text for ever, at no cost;
* a directory entry still marked as awaiting a signal's arrival after `transient_timeout_steps` is
  dropped although its agent lives and holds the text: no later signal reaches that agent.

The directory is a set of holders for each artifact.  The paper's labels E, S and M have no effect
here: only whether an agent is in state I has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from random import Random

from coherence.simulate.result import RunResult
from coherence.simulate.scenario import Scenario
from coherence.simulate.stream import Action, Recording, draw

INVALIDATION_TOKENS = 12
POINTER_TOKENS = 8

_NEVER = 2**63


def run(scenario: Scenario, strategy: str, seed: int, *, record: bool = False) -> RunResult:
    """Play one run by the paper's rules; `record` keeps the actions in the result."""
    model = _Model(scenario, strategy, seed)
    kept = Recording()
    step = 0
    for action in draw(scenario, model.rng):
        if record:
            kept.append(action)
        now, agent, artifact, is_write = action
        while step < now:
            model.end_step(step)
            step += 1
        if is_write:
            model.write(step, agent, artifact)
        else:
            model.read(step, agent, artifact)
    while step < scenario.steps:
        model.end_step(step)
        step += 1
    return model.result(kept)


def actions(scenario: Scenario, strategy: str, seed: int) -> Iterable[Action]:
    """Return the actions of a run under the paper's rules, so that other rules can replay them.

    Without loss they are the same for every strategy, and drawn again on every iteration.
    """
    if scenario.loss_probability and strategy != "broadcast":
        return run(scenario, strategy, seed, record=True).actions
    return _Stream(scenario, seed)


class _Stream:
    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario, self._seed = scenario, seed

    def __iter__(self) -> Iterator[Action]:
        return draw(self._scenario, self._seed)


class _Copy:
    """A valid local copy.  An invalid copy counts as none: no rule tells the two apart."""

    __slots__ = ("accesses", "expires", "version")

    def __init__(self, version: int, expires: int) -> None:
        self.version = version
        self.expires = expires
        self.accesses = 0


class _Model:
    def __init__(self, scenario: Scenario, strategy: str, seed: int) -> None:
        self.rng = Random(seed)
        self._sizes = scenario.sizes_tokens
        self._agents = scenario.agents
        self._latency, self._loss = scenario.latency_steps, scenario.loss_probability
        self._timeout = scenario.transient_timeout_steps
        self._always_read = scenario.context == "always_read"
        self._pointer = scenario.context == "pointer"
        self._broadcast, self._eager = strategy == "broadcast", strategy == "eager"
        self._lease = scenario.lease_steps if strategy == "lease" else _NEVER
        self._accesses = scenario.access_count_max if strategy == "access_count" else _NEVER
        #: Longest row of stale reads that the strategy promises; lazy promises nothing.
        self._bound = {
            "broadcast": 0,
            "eager": 0,
            "lease": scenario.lease_steps,
            "access_count": scenario.access_count_max,
        }.get(strategy, _NEVER)

        m = len(self._sizes)
        self._version = [1] * m
        self._holders: list[set[int]] = [set() for _ in range(m)]
        #: When an agent first fetched the artifact: signals are sent, and lost, in this order.
        self._rank: list[dict[int, int]] = [{} for _ in range(m)]
        self._copies: list[dict[int, _Copy]] = [{} for _ in range(m)]
        #: The copy from a broadcast, at every agent that has not written since.
        self._everybody: list[_Copy | None] = [None] * m
        self._stale: list[dict[int, int]] = [{} for _ in range(m)]
        #: Step in which a holder was last set to I; forgotten when it fetches or writes again.
        self._awaiting: list[dict[int, int]] = [{} for _ in range(m)]
        self._timeouts: deque[tuple[int, int, list[int]]] = deque()
        self._network: deque[tuple[int, int, int, int, list[int]]] = deque()

        self._fetch_tokens = self._push_tokens = self._signals = 0
        self._reads = self._hits = self._stale_reads = self._stale_max = 0
        self._violations = self._lost_updates = 0
        self._writes = [0] * m

    def read(self, step: int, agent: int, artifact: int) -> None:
        self._reads += 1
        copy = self._copies[artifact].get(agent, self._everybody[artifact])
        if copy is None or self._used_up(copy, step):
            self._fetch(step, agent, artifact)
            return
        copy.accesses += 1
        if self._always_read:
            self._fetch_tokens += self._sizes[artifact]
            return
        self._hits += 1
        if copy.version == self._version[artifact]:
            self._stale[artifact].pop(agent, None)
            return
        self._stale_reads += 1
        row = self._stale[artifact].get(agent, 0) + 1
        self._stale[artifact][agent] = row
        self._stale_max = max(self._stale_max, row)
        self._violations += row > self._bound

    def write(self, step: int, agent: int, artifact: int) -> None:
        copies = self._copies[artifact]
        copy = copies.get(agent, self._everybody[artifact])
        if copy is None or self._used_up(copy, step):
            copy = self._fetch(step, agent, artifact)
        elif copy.version != self._version[artifact]:
            self._lost_updates += 1
        self._writes[artifact] += 1
        self._version[artifact] += 1
        copies[agent] = _Copy(self._version[artifact], step + self._lease)
        self._stale[artifact].pop(agent, None)
        if not self._broadcast:
            self._tell_peers(step, agent, artifact)

    def end_step(self, step: int) -> None:
        """Close `step` and deliver what arrives before the next one's actions."""
        if self._broadcast:
            self._give_everybody(step)
        while self._timeouts and step - self._timeouts[0][0] >= self._timeout:
            entered, artifact, agents = self._timeouts.popleft()
            for agent in agents:
                if self._awaiting[artifact].get(agent) == entered:
                    self._holders[artifact].discard(agent)
        while self._network and self._network[0][0] <= step + 1:
            _, artifact, version, writer, agents = self._network.popleft()
            if self._eager:
                self._deliver_update(artifact, version, writer, agents)
            else:
                self._deliver_invalidation(artifact, agents)

    def result(self, kept: Recording) -> RunResult:
        return RunResult(
            fetch_tokens=self._fetch_tokens,
            push_tokens=self._push_tokens,
            invalidation_tokens=self._signals * INVALIDATION_TOKENS,
            reads=self._reads,
            hits=self._hits,
            stale_reads=self._stale_reads,
            max_stale_steps=self._stale_max,
            bound_violations=self._violations,
            lost_updates=self._lost_updates,
            writes_per_artifact=tuple(self._writes),
            actions=kept,
        )

    def _used_up(self, copy: _Copy, step: int) -> bool:
        return step >= copy.expires or copy.accesses >= self._accesses

    def _fetch(self, step: int, agent: int, artifact: int) -> _Copy:
        self._fetch_tokens += self._sizes[artifact]
        self._holders[artifact].add(agent)
        self._rank[artifact].setdefault(agent, len(self._rank[artifact]))
        copy = _Copy(self._version[artifact], step + self._lease)
        self._copies[artifact][agent] = copy
        self._awaiting[artifact].pop(agent, None)
        return copy

    def _tell_peers(self, step: int, writer: int, artifact: int) -> None:
        peers = list(self._holders[artifact] - {writer})
        self._holders[artifact] = {writer}
        awaiting = self._awaiting[artifact]
        awaiting.pop(writer, None)
        if not peers:
            return
        for peer in peers:
            awaiting[peer] = step
        self._timeouts.append((step, artifact, peers))
        if self._eager:
            size = POINTER_TOKENS if self._pointer else self._sizes[artifact]
            self._push_tokens += size * len(peers)
        else:
            self._signals += len(peers)
        if self._loss:
            peers.sort(key=self._rank[artifact].__getitem__)
            peers = [peer for peer in peers if self.rng.random() >= self._loss]
        arrival = step + self._latency
        self._network.append((arrival, artifact, self._version[artifact], writer, peers))

    def _deliver_invalidation(self, artifact: int, agents: list[int]) -> None:
        for agent in agents:
            self._copies[artifact].pop(agent, None)
            self._holders[artifact].discard(agent)
            self._stale[artifact].pop(agent, None)

    def _deliver_update(self, artifact: int, version: int, writer: int, agents: list[int]) -> None:
        for agent in agents:
            self._copies[artifact][agent] = _Copy(version, _NEVER)
            self._holders[artifact].update((agent, writer))
            self._stale[artifact].pop(agent, None)

    def _give_everybody(self, step: int) -> None:
        self._push_tokens += self._agents * sum(self._sizes)
        for artifact, copies in enumerate(self._copies):
            if copies or step == 0:
                copies.clear()
                self._everybody[artifact] = _Copy(self._version[artifact], _NEVER)
