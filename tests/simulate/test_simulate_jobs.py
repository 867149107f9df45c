"""Runs come in order whatever runs them, and what is complete survives an interrupt."""

import pytest

from coherence.simulate import jobs
from coherence.simulate.result import STRATEGIES


def scenario_of(make_scenario, runs=3):
    return make_scenario(runs=runs, first_seed=5)


def test_records_stand_in_the_order_of_the_request(make_scenario):
    scenarios = [scenario_of(make_scenario), make_scenario(name="other", runs=2)]
    made = jobs.simulate(scenarios, ["lazy", "broadcast"], ["paper"]).records
    assert [(r.scenario, r.strategy, r.runs) for r in made] == [
        ("test", "lazy", 3),
        ("test", "broadcast", 3),
        ("other", "lazy", 2),
        ("other", "broadcast", 2),
    ]


def test_run_k_has_the_seed_first_seed_plus_k(make_scenario):
    together = jobs.simulate([scenario_of(make_scenario)], ["lazy"], ["paper"]).records[0]
    alone = [
        jobs.simulate([make_scenario(runs=1, first_seed=seed)], ["lazy"], ["paper"]).records[0]
        for seed in (5, 6, 7)
    ]
    mean = sum(made.sync_tokens_mean for made in alone) / 3
    assert together.sync_tokens_mean == pytest.approx(mean)


@pytest.mark.slow
def test_worker_processes_change_nothing(make_scenario, monkeypatch):
    scenarios = [scenario_of(make_scenario), make_scenario(name="lossy", loss_probability=0.3)]
    alone = jobs.simulate(scenarios, STRATEGIES, ["paper"])
    monkeypatch.setattr(jobs, "PARALLEL_ACTIONS_MIN", 0)
    assert jobs.simulate(scenarios, STRATEGIES, ["paper"]) == alone


@pytest.mark.parametrize("parallel", [False, True])
def test_an_interrupt_leaves_what_is_complete(make_scenario, monkeypatch, parallel):
    if parallel:
        monkeypatch.setattr(jobs, "PARALLEL_ACTIONS_MIN", 0)
    scenarios = [scenario_of(make_scenario), make_scenario(name="never reached")]

    def interrupt(done: int, asked: int) -> None:
        assert asked == 3 * 2 + 10 * 2
        if done == 3:
            raise KeyboardInterrupt

    outcome = jobs.simulate(scenarios, ["lazy", "eager"], ["paper"], advance=interrupt)
    assert (outcome.partial, outcome.runs_done, outcome.runs_asked) == (True, 3, 26)
    assert [(r.strategy, r.runs, r.partial) for r in outcome.records] == [
        ("lazy", 2, True),
        ("eager", 1, True),
    ]


def test_an_interrupt_before_the_first_run_gives_an_empty_outcome(make_scenario):
    def interrupt(done: int, asked: int) -> None:
        raise KeyboardInterrupt

    outcome = jobs.simulate([make_scenario()], ["lazy"], ["paper"], advance=interrupt)
    assert (outcome.partial, outcome.records) == (True, [])
