"""Measurements: what they depend on, their keys, and how they are put together."""

from dataclasses import replace

import msgspec
import pytest

from coherence.simulate import catalogue
from coherence.simulate.experiments import play, prices, strategies
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.floors import references
from coherence.simulate.experiments.workload import of_scenario
from coherence.simulate.sweeps import measuring, planning
from coherence.simulate.sweeps.measuring import (
    CostsOf,
    IdealOf,
    StalenessOf,
    drawn,
    key_of,
    perform,
    priced,
    tasks,
    travelled,
)

MODEL = prices.shipped()["claude-opus-5"]
PROMPTING = Prompting()


def scenario(*changes):
    return catalogue.find("churn", ["steps=8", *changes])


def costs(team, prices=MODEL, prompting=PROMPTING, cuts=0.0, strategy="lazy", seed=1):
    return CostsOf(drawn(team), seed, cuts, priced(prices), prompting, strategy)


def test_figures_are_those_of_the_comparison():
    """What a sweep measures is what `compare` plays, on the scenario as it is."""
    team = scenario()
    workload = of_scenario(team, 1)
    measured = costs(team).perform()
    assert measured == play.play(workload, strategies.STRATEGIES["lazy"], MODEL, PROMPTING)
    ideal = IdealOf(drawn(team), 1, 0.0, priced(MODEL), PROMPTING).perform()
    assert ideal.bare == play.bare(workload, MODEL, PROMPTING)
    assert ideal.references == references(workload, MODEL, PROMPTING)


@pytest.mark.parametrize(
    "changes",
    [
        ["name=other"],
        ["runs=3"],
        ["first_seed=8"],
        ["loss_probability=0.5"],
        ["latency_steps=3"],
        ["lease_steps=5"],
        ["context=pointer"],
        ["access_count_max=2"],
        ["transient_timeout_steps=2"],
    ],
    ids=str,
)
def test_costs_depend_on_nothing_that_is_not_in_their_key(changes):
    one, other = scenario(), scenario(*changes)
    assert key_of(costs(one)) == key_of(costs(other))
    lazy = strategies.STRATEGIES["lazy"]
    assert play.play(of_scenario(one, 1), lazy, MODEL, PROMPTING) == play.play(
        of_scenario(other, 1), lazy, MODEL, PROMPTING
    )


@pytest.mark.parametrize("change", ["name", "source", "date", "dollars_per_million"])
def test_a_price_is_not_its_name(change):
    value = None if change in ("date", "dollars_per_million") else "other"
    other = MODEL.model_copy(update={change: value})
    assert key_of(costs(scenario(), other)) == key_of(costs(scenario()))


def test_everything_else_is_in_a_key():
    base = costs(scenario())
    others = [
        costs(scenario(), seed=2),
        costs(scenario(), cuts=0.1),
        costs(scenario(), strategy="eager"),
        costs(scenario(), prompting=replace(PROMPTING, new_tokens=7)),
        costs(scenario(), prompting=replace(PROMPTING, step_s=7.0)),
        IdealOf(*(getattr(base, name) for name in IdealOf.__struct_fields__)),
        StalenessOf(base.team, 1, "lazy"),
        *(
            costs(scenario(change))
            for change in (
                *("agents=3", "steps=9", "action_probability=0.5", "write_probability=0.4"),
                *("artifact_choice=by_size", "artifacts=2", "size_tokens=7"),
            )
        ),
    ]
    varied = MODEL.model_dump(exclude={"name", "source", "date", "dollars_per_million", "match"})
    for name, value in varied.items():
        if isinstance(value, int | float) and name != "above_factor":
            others.append(costs(scenario(), MODEL.model_copy(update={name: value + 1})))
    keys = {key_of(each) for each in (base, *others)}
    assert len(keys) == 1 + len(others)


@pytest.mark.parametrize("change", ["loss_probability=0.5", "latency_steps=3", "lease_steps=5"])
def test_staleness_depends_on_the_network(change):
    one, other = travelled(scenario()), travelled(scenario(change))
    assert one is not None
    assert other is not None
    assert key_of(StalenessOf(one, 1, "lazy")) != key_of(StalenessOf(other, 1, "lazy"))


def test_a_run_that_is_too_long_for_the_engine_is_not_made(make_sweep, monkeypatch):
    monkeypatch.setattr(measuring, "STALE_STEPS_MAX", 40)
    plan = planning.needed(make_sweep())
    agents = {each.team.agents for each in plan.measurements.values() if each.kind == "staleness"}
    assert agents == {2}


def test_artifacts_are_kept_as_counts():
    team = drawn(scenario("artifacts=5", "size_tokens=70"))
    assert costs(team).parameters()["artifacts"] == [[5, 70, True]]


def test_a_changed_strategy_changes_its_own_keys_alone(monkeypatch):
    measuring._program.cache_clear()
    lazy, eager = key_of(costs(scenario())), key_of(costs(scenario(), strategy="eager"))
    changed = replace(
        strategies.STRATEGIES["lazy"], speaker=strategies.STRATEGIES["inject"].speaker
    )
    monkeypatch.setitem(strategies.STRATEGIES, "lazy", changed)
    measuring._program.cache_clear()
    assert key_of(costs(scenario())) != lazy
    assert key_of(costs(scenario(), strategy="eager")) == eager
    measuring._program.cache_clear()


def test_every_strategy_is_told_apart_by_its_program():
    """Otherwise a change to one could go unnoticed; the variants differ under these prices."""
    digests = {name: costs(scenario(), strategy=name).program() for name in strategies.STRATEGIES}
    assert len(set(digests.values())) == len(digests)


def test_tasks_hold_every_measurement_once_and_share_workloads(make_sweep, monkeypatch):
    plan = planning.needed(make_sweep())
    wanted = list(plan.measurements.values())
    found = tasks(wanted)
    assert sorted(map(key_of, (each for task in found for each in task))) == sorted(
        plan.measurements
    )
    assert len(found) == 2 * 3  # agents and seeds: neither loss nor strategy changes the actions
    monkeypatch.setattr(measuring, "TASK_ACTIONS_MAX", 1)
    assert {len(task) for task in tasks(wanted)} == {1}


def test_a_task_returns_keys_and_parameters(make_sweep):
    plan = planning.needed(make_sweep())
    (task, *_) = tasks(plan.measurements.values())
    for finding, measurement in zip(perform(task), task, strict=True):
        assert plan.measurements[finding.key] == measurement
        assert finding.parameters["seed"] == measurement.seed
        assert msgspec.json.decode(msgspec.json.encode(finding.parameters)) == finding.parameters
