"""Lines: means, intervals, paired differences, verdicts; the same figures as a comparison's."""

import csv
import io

import pytest

from coherence.simulate.experiments import compare
from coherence.simulate.experiments.figures import Ratio
from coherence.simulate.sweeps import lines, planning, running, tables
from coherence.simulate.sweeps.lines import Spread, spread

pytest.importorskip("scipy", reason="intervals need scipy")


def run(sweep):
    outcome = running.run(sweep)
    assert not outcome.is_partial
    return outcome.lines


def test_a_spread_is_that_of_students_t():
    """By hand: sd of 1, 2, 6 is the root of 7; t of 2 degrees is 4.3027."""
    found = spread([1, 2, 6])
    assert found.mean == 3
    assert found.sd == pytest.approx(7**0.5)
    assert found.interval == pytest.approx(4.3027 * (7 / 3) ** 0.5, rel=1e-4)
    assert spread([5]) == Spread(5.0, None, None)
    assert spread([5, 5]) == Spread(5.0, 0.0, 0.0)


@pytest.mark.slow
def test_a_spread_agrees_with_scipy():
    from scipy import stats

    values = [3.0, 1.5, 8.0, 2.25, 4.0]
    low, high = stats.t.interval(0.95, 4, stats.tmean(values), stats.sem(values))
    found = spread(values)
    assert found.mean - found.interval == pytest.approx(low)
    assert found.mean + found.interval == pytest.approx(high)


def test_lines_have_the_figures_of_a_comparison(make_sweep):
    sweep = make_sweep(over={"strategy": ["lazy", "shipped", "refetch"]}, fixed={"agents": 3})
    (point, _) = sweep.points
    plan = compare.Plan(
        (point.scenario.model_copy(update={"runs": 3}),), (point.prices,), sweep.strategies
    )
    compared = compare.run(plan).comparisons
    for line, row in zip(run(sweep)[:3], compared, strict=True):
        assert line.strategy == row.strategy
        assert line.runs == row.runs == 3
        assert line.bill.mean == pytest.approx(row.bill_mean)
        assert line.above.mean == pytest.approx(row.above_mean)
        assert line.transferred_tokens.mean == pytest.approx(row.transferred_tokens_mean)
        assert line.stale_reads.mean == row.stale_reads_mean
        assert line.above_of_floor == row.above_of_floor
        assert line.above_of_append_only == row.above_of_append_only
        assert line.above_of_offline == row.above_of_offline
        assert line.transferred_of_floor == row.transferred_of_floor
        assert line.saved_bill == row.saved_bill
        assert line.saved_transferred == row.saved_transferred
        assert line.is_linear == row.is_linear


def test_lines_stand_in_the_order_of_the_grid(make_sweep):
    found = run(make_sweep())
    assert [
        (line.point["agents"], line.point["loss_probability"], line.strategy) for line in found
    ] == [(n, p, s) for n in (2, 3) for p in (0, 0.3) for s in ("lazy", "adaptive")]
    assert {line.against for line in found} == {"conditional_get"}


def test_the_same_seeds_make_differences_narrow(make_sweep):
    """Runs differ by far more than strategies do on one run."""
    sweep = make_sweep(over={"agents": [4]}, fixed={"seeds": 10, "steps": 20})
    line = run(sweep)[0]
    assert line.bill_difference.interval < 0.5 * line.bill.interval
    assert line.verdict == "cheaper"
    assert line.bill_difference.mean + line.bill_difference.interval < 0


def test_only_staleness_depends_on_the_network(make_sweep):
    found = run(make_sweep(fixed={"against": "loss_probability=0", "steps": 20}))
    calm, rough = found[4], found[6]
    assert calm.strategy == rough.strategy == "lazy"
    assert calm.verdict == "baseline"
    assert rough.verdict == "equal"
    assert rough.bill == calm.bill
    assert rough.stale_reads.mean > calm.stale_reads.mean
    assert rough.stale_difference.mean == pytest.approx(
        rough.stale_reads.mean - calm.stale_reads.mean
    )
    assert rough.against == "loss_probability=0"


def test_a_strategy_that_asks_is_never_stale_and_the_engine_plays_its_own_alone(make_sweep):
    found = {
        line.strategy: line
        for line in run(make_sweep(over={"strategy": ["refetch", "lazy", "shipped"]}))
    }
    assert found["refetch"].stale_reads == Spread(0.0, 0.0, 0.0)
    assert found["refetch"].stale_share == Ratio(0.0, 0.0)
    assert found["lazy"].engine_tokens is not None
    assert found["shipped"].engine_tokens is None
    assert found["refetch"].engine_tokens is None


def test_one_seed_decides_nothing(make_sweep):
    for line in run(make_sweep(fixed={"seeds": 1})):
        assert line.verdict == "undecided"
        assert line.bill.interval is None
        assert line.saved_bill.interval is None


def test_what_has_not_been_measured_is_marked_or_left_out(make_sweep):
    sweep = make_sweep()
    plan = planning.needed(sweep)
    found = {
        key: measurement.perform()
        for key, measurement in plan.measurements.items()
        if measurement.team.agents == 2 and measurement.seed != 20260309
    }
    made = lines.lines(sweep, plan, found)
    assert [line.point["agents"] for line in made] == [2] * 4
    assert {(line.runs, line.partial) for line in made} == {(2, True)}


def test_csv_has_the_same_columns_whatever_is_known(make_sweep):
    one, other = make_sweep(), make_sweep(over={"strategy": ["refetch"]}, fixed={"seeds": 1})
    headers = [tables.as_csv(sweep, run(sweep)).splitlines()[0] for sweep in (one, other)]
    assert headers[0] == headers[1]
    assert tables.as_csv(one, []).splitlines() == headers[:1]
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(one, run(one)))))
    assert rows[0]["point.agents"] == "2"
    assert float(rows[0]["bill.mean"]) > 0
    assert rows[1]["engine_tokens.mean"] == ""
    assert None not in rows[0]
