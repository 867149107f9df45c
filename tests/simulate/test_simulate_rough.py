"""Rough runs: what they play, and the mistakes in the tables that they notice."""

import pytest

from coherence.oracle import InvariantBroken
from coherence.policy import Broadcast, Lazy, Visibility
from coherence.simulate import catalogue, rough
from coherence.simulate.rough import RoughRun, Unmet
from specs.code_swap import mistaken


def test_they_play_each_policy_once_with_faults_and_without():
    scenarios = [catalogue.find(name) for name in ("planning", "analysis")]
    policies = [*rough.policies_of(scenarios, ("lazy", "broadcast"))]
    assert {len(policy.members) for policy in policies} == {0, len(rough.AGENTS)}
    found = rough.play(policies, runs=12)
    assert (found.runs, found.policies) == (12, len({*policies}))
    assert found.steps > 1_000
    assert found.crashes
    assert found.home_crashes
    assert f"{found.steps:,} steps" in str(found)


def test_a_policy_that_pushes_is_played_without_strict_visibility():
    pushed = [*rough.cases_of(Broadcast(everyone=rough.AGENTS))]
    assert {case.policy.visibility for case in pushed} == {Visibility.LAZY}
    strict = [
        case for case in rough.cases_of(Lazy()) if case.policy.visibility is not Visibility.LAZY
    ]
    assert {case.crashes for case in strict} == {True, False}


def test_one_seed_is_one_run():
    (case, *_) = rough.cases_of(Lazy())
    first, second = (RoughRun(case, 3)(40) for _ in range(2))
    assert first.sim.states == second.sim.states


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(
    ("module", "function", "before", "after", "named"),
    [
        ("directory", "_put_m", "msg.base == x.version and (", "(", "no_lost_update"),
        ("directory", "_put_m", "not (owns and msg.epoch == x.epoch)", "not owns", "fencing"),
        ("entries", "next_of", "queue[0], queue[1:]", "queue[-1], queue[:-1]", "fairness"),
    ],
)
def test_a_mistake_in_the_directory_is_noticed(module, function, before, after, named):
    wrong = mistaken(f"coherence.{module}", function, before, after)
    with wrong, pytest.raises(InvariantBroken) as broken:
        rough.play([Lazy(validity=10)])
    assert broken.value.name == named


def test_what_never_ends_is_an_unmet_demand():
    class Asks(RoughRun):
        def let(self, time):
            raise Unmet("livelock", time)

    (case, *_) = rough.cases_of(Lazy())
    with pytest.raises(Unmet, match="livelock"):
        Asks(case, 0)(1)
