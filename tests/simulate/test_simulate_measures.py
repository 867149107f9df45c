"""Baselines, the theorem's bound, and the records made of runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherence.simulate import paper
from coherence.simulate.measures import broadcast_tokens, lower_bound, measured, record
from coherence.simulate.result import RunResult
from coherence.simulate.stream import draw, totals

NAMES = """
    scenario strategy rules runs sync_tokens_mean sync_tokens_sd fetch_tokens_mean push_tokens_mean
    invalidation_tokens_mean savings_mean savings_sd savings_vs_refetch_mean hit_rate_mean
    stale_reads_mean max_stale_steps lost_updates lower_bound
"""


def run_result(**changes: object) -> RunResult:
    values: dict[str, object] = {
        "fetch_tokens": 100,
        "push_tokens": 0,
        "invalidation_tokens": 0,
        "reads": 4,
        "hits": 3,
        "stale_reads": 0,
        "max_stale_steps": 0,
        "bound_violations": 0,
        "lost_updates": 0,
        "writes_per_artifact": (0, 0),
    }
    return RunResult(**(values | changes))  # type: ignore[arg-type]


@given(data=st.data(), seed=st.integers(0, 10**6))
def test_the_broadcast_of_the_paper_follows_by_arithmetic(scenarios, data, seed):
    scenario = data.draw(scenarios())
    by_arithmetic = broadcast_tokens(scenario, totals(scenario, draw(scenario, seed)))
    assert by_arithmetic == paper.run(scenario, "broadcast", seed).sync_tokens


@given(data=st.data(), seed=st.integers(0, 10**6))
def test_without_loss_nothing_in_time_and_fresh_undercuts_the_floor(scenarios, data, seed):
    scenario = data.draw(scenarios(lossy=False))
    run = paper.run(scenario, "lazy", seed)
    found = measured(scenario, run, totals(scenario, draw(scenario, seed)), 1)
    if not run.stale_reads and not run.lost_updates:
        assert run.fetch_tokens >= found.floor_tokens


def test_the_bound_is_that_of_the_theorem(make_scenario):
    # 3 agents, 12 steps: artifact a of 100 tokens written twice, b of 7 not at all.
    scenario = make_scenario()
    assert lower_bound(scenario, (2, 0)) == pytest.approx(1 - (5 * 100 + 3 * 7) / (12 * 107))
    assert lower_bound(scenario, (8, 0)) is not None
    assert lower_bound(scenario, (9, 0)) is None  # S > n + W fails for one artifact


@pytest.mark.parametrize(
    ("writes_per_step", "savings"), [(0.05, 0.85), (0.1, 0.8), (0.25, 0.65), (0.5, 0.4)]
)
def test_the_bound_on_the_canonical_scenarios(make_scenario, writes_per_step, savings):
    scenario = make_scenario(agents=4, steps=40)
    writes = int(40 * writes_per_step)
    assert lower_bound(scenario, (writes, writes)) == pytest.approx(savings)


def test_records_take_the_sd_of_the_population_and_sum_what_must_never_happen(make_scenario):
    scenario = make_scenario()
    found = totals(scenario, [(0, 0, 0, False), (1, 1, 0, True), (2, 2, 1, False)])
    runs = [
        measured(scenario, run_result(lost_updates=2, max_stale_steps=5), found, 1_000),
        measured(scenario, run_result(fetch_tokens=300, reads=0, hits=0), found, 1_000),
    ]
    made = record("test", "lazy", "paper", runs)
    assert list(made.__struct_fields__)[: len(NAMES.split())] == NAMES.split()
    assert (made.runs, made.sync_tokens_mean, made.sync_tokens_sd) == (2, 200, 100)
    assert (made.savings_mean, made.savings_sd) == (pytest.approx(0.8), pytest.approx(0.1))
    # Three accesses cost 207 tokens if each fetches the full text.
    assert made.savings_vs_refetch_mean == pytest.approx(1 - 200 / 207)
    assert (made.lost_updates, made.max_stale_steps) == (2, 5)
    assert made.hit_rate_mean == 0.75  # of the one run that read anything


def test_what_has_no_meaning_is_none(make_scenario):
    scenario = make_scenario()
    nothing = totals(scenario, [])
    idle = run_result(fetch_tokens=0, reads=0, hits=0, bound_violations=None)
    made = record("test", "lazy", "engine", [measured(scenario, idle, nothing, 1_000)])
    assert made.hit_rate_mean is None
    assert made.hit_rate_sd is None
    assert made.savings_vs_refetch_mean is None
    assert made.bound_violations is None
    assert made.savings_mean == 1.0
    baseline = record("test", "broadcast", "paper", [measured(scenario, idle, nothing, 1_000)])
    assert baseline.savings_mean is None
    assert baseline.savings_sd is None


def test_a_bound_that_fails_in_one_run_is_no_bound(make_scenario):
    scenario = make_scenario()
    calm = totals(scenario, [])
    busy = totals(scenario, [(step, 0, 0, True) for step in range(12)])
    runs = [measured(scenario, run_result(), found, 1_000) for found in (calm, busy)]
    assert record("test", "lazy", "paper", runs[:1]).lower_bound is not None
    assert record("test", "lazy", "paper", runs).lower_bound is None


def test_savings_are_floored_at_0_as_in_the_paper_but_not_those_against_refetch(make_scenario):
    scenario = make_scenario()
    found = totals(scenario, [(0, 0, 0, False)])
    run = measured(scenario, run_result(push_tokens=9_900), found, 5_000)
    made = record("test", "eager", "paper", [run])
    assert made.savings_mean == 0
    assert made.savings_vs_refetch_mean == -99
