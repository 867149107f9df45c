"""Random teams under every policy, as runs from seeds and as a Hypothesis state machine."""

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzzing import AGENTS, CASES, Case, Mixed, Run
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from soaking import times

from coherence.messages import Abandon, Acquire, Commit, Leave, Load, Replacement
from coherence.oracle import HOME, InvariantBroken
from coherence.policy import AccessCount, Broadcast, Eager, Lazy, Lease, Visibility
from message_passing.netmodel import NetworkModel, Uniform
from message_passing.network import Guarantee
from message_passing.trace import TraceWriter


@pytest.mark.slow(fast=2)
@pytest.mark.parametrize("case", CASES)
def test_random_runs_keep_every_promise(case):
    for seed in range(20):
        Run(CASES[case], seed)()


#: Networks that lose nothing need no retry, however they order and repeat.
DELIVERING = {
    guarantee: NetworkModel(
        guarantee=guarantee,
        latency=Uniform(0, 4),
        duplicate_probability=0.3 if guarantee.duplicating else 0,
    )
    for guarantee in Guarantee
    if not guarantee.lossy
}


@pytest.mark.slow(fast=2)
@pytest.mark.parametrize("guarantee", DELIVERING)
@pytest.mark.parametrize(
    "policy",
    [
        Lazy(grant_lease=8),
        Eager(grant_lease=8),
        Lazy(visibility=Visibility.STRICT, validity=12, grant_lease=8),
    ],
    ids=["lazy", "eager", "strict"],
)
def test_without_loss_every_promise_is_kept_without_retries(policy, guarantee):
    for seed in range(15):
        Run(Case(policy, DELIVERING[guarantee]), seed)()


def test_the_memory_of_verdicts_must_cover_the_writers():
    """A known limit: a commit asked again after its verdict was forgotten is refused, though made.

    `Policy.memory` must be at least the number of agents that may be waiting for an answer.
    """
    network = CASES["lazy wild"].network
    enough = Lazy(memory=len(AGENTS), validity=12, grant_lease=8, retry_after=5)
    for seed in range(15):
        Run(Case(enough, network), seed)()
    short = Lazy(memory=1, validity=12, grant_lease=8, retry_after=5)
    with pytest.raises(InvariantBroken, match="no_lost_update"):
        Run(Case(short, network), seed=0)()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES)
def test_many_random_runs_keep_every_promise(case):
    for seed in range(20, times(700)):
        Run(CASES[case], seed)()


DURATIONS = st.fixed_dictionaries(
    {
        "validity": st.sampled_from([6, 12, 25]),
        "grant_lease": st.sampled_from([4, 8, 15]),
        "retry_after": st.sampled_from([3, 5]),
        "delta_window": st.integers(0, 2),
        "visibility": st.sampled_from(Visibility),
    }
)
POLICIES = st.one_of(
    st.builds(lambda d: Lazy(**d), DURATIONS),
    st.builds(lambda d: Lease(**d), DURATIONS),
    st.builds(lambda d, p: Eager(pointer=p, **d), DURATIONS, st.booleans()),
    st.builds(lambda d, n: AccessCount(max_accesses=n, **d), DURATIONS, st.integers(1, 3)),
    st.builds(lambda d: Mixed(**d), DURATIONS),
    st.builds(
        lambda d: Broadcast(period=5, everyone=AGENTS, **(d | {"visibility": Visibility.LAZY})),
        DURATIONS,
    ),
)
CHANCES = st.sampled_from([0, 0.1, 0.3])
NETWORKS = st.builds(
    lambda high, loss, twice, late: NetworkModel(
        guarantee=Guarantee.UNORDERED_LOSSY_DUPLICATING,
        latency=Uniform(0, high),
        loss_probability=loss,
        duplicate_probability=twice,
        reorder_probability=late,
        reorder_delay=6,
    ),
    st.sampled_from([0.5, 2, 4]),
    CHANCES,
    CHANCES,
    CHANCES,
)


class TeamMachine(RuleBasedStateMachine):
    """Events in any order.  The oracle judges each step, the end demands every answer."""

    @initialize(policy=POLICIES, network=NETWORKS, seed=st.integers(0, 2**16))
    def begin(self, policy, network, seed):
        self.team = Run(Case(policy, network), seed)
        if policy.push_every is not None:
            self.restart_home()

    def ready(self, agent):
        return agent not in self.team.sim.down and agent not in self.team.sim.outstanding

    def ask(self, agent, request):
        if self.ready(agent):
            self.team.ask(agent, request)

    @rule(agent=st.sampled_from(AGENTS), request=st.sampled_from([Load(), Replacement()]))
    def use(self, agent, request):
        self.ask(agent, request)

    @rule(agent=st.sampled_from(AGENTS), wait=st.sampled_from([None, 3.0]))
    def store(self, agent, wait):
        self.ask(agent, Acquire(wait))

    @rule(agent=st.sampled_from(AGENTS), drafted=st.booleans(), behind=st.integers(0, 1))
    def commit(self, agent, drafted, behind):
        read = self.team.read.get(agent, 0), 0
        base, epoch = self.team.drafts.get(agent, read) if drafted else read
        self.team.written += 1
        content = (agent, self.team.written)
        self.ask(agent, Commit(content, max(base - behind, 0), epoch))

    @rule(agent=st.sampled_from(AGENTS))
    def abandon(self, agent):
        if self.ready(agent) and agent in self.team.drafts:
            self.team.ask(agent, Abandon(self.team.drafts.pop(agent)[1]))

    @rule(agent=st.sampled_from(AGENTS))
    def leave(self, agent):
        if self.ready(agent):
            self.team.drafts.pop(agent, None)
            self.team.ask(agent, Leave())

    @rule(time=st.sampled_from([0, 0.5, 2, 10]))
    def wait(self, time):
        self.team.let(time)

    @rule(agent=st.sampled_from(AGENTS))
    def crash_or_restart(self, agent):
        if agent in self.team.sim.down:
            self.team.sim.restart(agent)
            return
        self.team.sim.crash(agent)
        for forgotten in (self.team.drafts, self.team.read, self.team.due):
            forgotten.pop(agent, None)

    @rule()
    def restart_home(self):
        self.team.sim.crash(HOME)
        self.team.sim.restart(HOME)

    @rule(alone=st.sampled_from([*AGENTS, HOME]))
    def cut(self, alone):
        self.team.sim.partition([[alone]])

    @precondition(lambda self: self.team.sim._groups)
    @rule()
    def heal(self):
        self.team.sim.heal()

    def teardown(self):
        if hasattr(self, "team"):
            self.team.sim.heal()
            self.team.settle()


TestTeamMachine = TeamMachine.TestCase
TestTeamMachine.settings = settings(max_examples=60, stateful_step_count=40)


# One seed, one run.


def trace_of(case: str, seed: int) -> str:
    file = io.BytesIO()
    Run(CASES[case], seed, trace=TraceWriter(file))(60)
    return hashlib.sha256(file.getvalue()).hexdigest()


def test_one_seed_gives_one_trace_in_ten_runs():
    assert len({trace_of("eager strict wild", 7) for _ in range(10)}) == 1
    assert trace_of("eager strict wild", 8) != trace_of("eager strict wild", 7)


@pytest.mark.slow
def test_one_seed_gives_one_trace_whatever_the_hash_seed():
    program = "from test_random_teams import trace_of; print(trace_of('mixed strict wild', 7))"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    traces = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "31337")
    }
    assert traces == {trace_of("mixed strict wild", 7) + "\n"}
