"""Comparisons: the figures and their intervals, the jobs, the tables, the command."""

import json
import sys
from math import inf

import msgspec
import pytest
from typer.testing import CliRunner

from coherence.simulate import catalogue, cli, report
from coherence.simulate.experiments import compare, figures, prices, tables
from coherence.simulate.experiments.compare import Plan, run
from coherence.simulate.experiments.figures import NoScipy, ratio
from coherence.simulate.experiments.strategies import STRATEGIES

pytest.importorskip("scipy", reason="intervals need scipy")

MODELS = prices.shipped()
SMALL = ["runs=3", "steps=15"]


def plan(*names: str, **changes: object) -> Plan:
    scenarios = tuple(catalogue.find(name, SMALL) for name in names)
    return Plan(scenarios, (MODELS["claude-opus-5"],), **changes)


def call(*arguments: str, code: int = 0):
    result = CliRunner().invoke(cli.app, ["compare", *arguments])
    assert result.exit_code == code, result.output
    return result


# Figures


def test_a_ratio_is_of_sums_and_has_the_interval_of_the_jackknife():
    """By hand: without each run the ratios are 3, 2 and 8/5; t of 2 degrees is 4.303."""
    found = ratio([1, 3, 5], [1, 1, 2])
    assert found.value == 9 / 4
    mean = (8 / 3 + 2 + 2) / 3
    spread = (8 / 3 - mean) ** 2 + 2 * (2 - mean) ** 2
    assert found.interval == pytest.approx(4.3027 * (2 / 3 * spread) ** 0.5, rel=1e-4)


def test_equal_ratios_have_no_spread_and_one_run_has_no_interval():
    assert ratio([2, 4, 8], [1, 2, 4]) == figures.Ratio(2.0, 0.0)
    assert ratio([2], [1]) == figures.Ratio(2.0, None)
    assert ratio([0, 0], [0, 0]).value == 1.0
    assert ratio([1], [0]).value == inf


def test_student_t_is_that_of_the_tables():
    assert figures.quantile(1) == pytest.approx(12.706, abs=1e-3)
    assert figures.quantile(9) == pytest.approx(2.262, abs=1e-3)


def test_without_scipy_nothing_is_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    figures.quantile.cache_clear()
    with pytest.raises(NoScipy, match="pip install"):
        run(plan("planning"), lambda done, asked: pytest.fail("began"))
    figures.quantile.cache_clear()


# Jobs


def test_a_comparison_has_every_strategy_of_every_scenario():
    outcome = run(plan("planning", "churn"))
    assert not outcome.is_partial
    rows = [(row.scenario, row.strategy) for row in outcome.comparisons]
    assert rows == [(s, n) for s in ("planning", "churn") for n in compare.DEFAULT_STRATEGIES]
    assert {row.runs for row in outcome.comparisons} == {3}
    adaptive = outcome.comparisons[-1]
    assert adaptive.above_of_floor.value >= adaptive.above_of_append_only.value >= 1
    assert adaptive.saved_bill.value > 0


@pytest.mark.slow
def test_jobs_of_one_strategy_each_and_workers_change_no_figure(monkeypatch):
    expected = run(plan("planning", "churn"))
    monkeypatch.setattr(compare, "ALONE_ACTIONS_MIN", 0)
    assert run(plan("planning", "churn")) == expected
    monkeypatch.setattr(compare, "LONG_ACTIONS_MIN", 0)
    assert run(plan("planning", "churn")) == expected


def test_a_baseline_is_played_although_it_is_not_shown():
    outcome = run(plan("churn", strategies=("adaptive",), against="slot_tail"))
    (row,) = outcome.comparisons
    assert row.against == "slot_tail"
    assert row.saved_bill.value != 0


def test_an_interrupt_leaves_the_complete_scenarios(monkeypatch):
    def advance(done: int, asked: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    outcome = run(plan("planning", "churn"), advance)
    assert outcome.is_partial
    assert {row.scenario for row in outcome.comparisons} == {"planning"}


def test_stale_reads_are_the_engines_and_none_where_it_would_take_too_long(monkeypatch):
    by_name = {row.strategy: row for row in run(plan("churn")).comparisons}
    assert by_name["conditional_get"].stale_reads_mean == 0
    assert by_name["lazy"].stale_reads_mean == by_name["shipped"].stale_reads_mean > 0
    monkeypatch.setattr(compare, "STALE_STEPS_MAX", 0)
    by_name = {row.strategy: row for row in run(plan("churn")).comparisons}
    assert by_name["lazy"].stale_reads_mean is None
    assert by_name["refetch"].stale_reads_mean == 0


# The command


@pytest.mark.slow
def test_the_tables_fit_on_eighty_columns_with_every_strategy():
    text = call("write-heavy", "large-artifact", "--seeds", "2", "-q", *every()).stdout
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(text.count(f" {name} ") == 4 for name in STRATEGIES)
    assert "±" in text


def every() -> list[str]:
    return [part for name in STRATEGIES for part in ("-s", name)]


def test_json_has_what_the_tables_round():
    rows = json.loads(call("churn", "--seeds", "2", "--json", "-s", "shipped").stdout)
    (row,) = rows
    assert set(row) == set(figures.Comparison.__struct_fields__)
    assert row["prices"] == "claude-opus-5"
    assert row["above_of_floor"]["interval"] > 0
    assert msgspec.convert(row, figures.Comparison).strategy == "shipped"


def test_one_seed_has_no_interval():
    assert "±" not in call("churn", "--seeds", "1", "-q").stdout


def test_a_file_of_prices_is_used_and_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        '[mine]\ncached = 0.5\nwrite = 1\noutput = 2\nmatch = "steps"\nsource = "a contract"\n'
        '[hers]\ncached = 1\nwrite = 1\noutput = 2\nmatch = "steps"\nsource = "another"\n'
    )
    text = call("planning", "--seeds", "2", "--prices", str(path), "-s", "adaptive").stdout
    assert "mine: cached 0.5" in text
    assert "Source: a contract." in text
    assert "hers" in text


def test_two_price_models_of_one_name_are_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[none]\ncached = 1\nwrite = 1\noutput = 2\nmatch = "steps"\nsource = "x"\n')
    said = call("planning", "--prices", "none", "--prices", str(path), code=2).stderr
    assert "another price model 'none'" in said
    twice = call(
        "planning", "--seeds", "1", "--prices", "none", "--prices", "none", "--json"
    ).stdout
    assert len(json.loads(twice)) == len(compare.DEFAULT_STRATEGIES)


def test_prices_are_listed():
    lines = call("--prices", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines[3:] if line] == list(MODELS)
    assert max(map(len, lines)) <= 80
    assert "2026-10-24" in lines[3 + list(MODELS).index("claude-opus-5")]


@pytest.mark.slow
def test_cuts_and_pauses_cost_more():
    def bill(*options: str) -> float:
        arguments = ("planning", "--seeds", "2", "--json", "-s", "adaptive", *options)
        return json.loads(call(*arguments).stdout)[0]["above_mean"]

    assert bill("--step-s", "1") == bill()
    assert bill("--step-s", "301") > bill()
    assert bill("--cuts", "0.3") != bill()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["planing"], "did you mean 'planning'"),
        (["--prices", "claude-opus5"], "did you mean 'claude-opus-5'"),
        (["--prices", "."], "'.': cannot be read: Is a directory (`--prices list`"),
        (["-s", "adaptiv"], "did you mean 'adaptive'"),
        (["--against", "cget"], "strategy 'cget': unknown"),
        (["--cuts", "nan"], "--cuts"),
        (["--step-s", "inf"], "finite number"),
        (["--set", "agent=3"], "did you mean 'agents'"),
    ],
)
def test_a_wrong_word_is_named(arguments, said):
    assert said in call(*arguments, code=2).stderr


def test_approximate_references_are_said_to_be():
    text = call("planning", "--seeds", "2", "--prices", "gemini-3-8-flash").stdout
    assert "a price depends on the length of a prompt" in text
    text = call("planning", "--seeds", "2", "--prices", "gpt-5-5").stdout
    assert "a prefix is found in steps" in text
    assert "approximate" not in call("planning", "--seeds", "2").stdout


def test_a_strategy_below_the_floor_is_marked():
    outcome = run(plan("planning", strategies=("shipped",)))
    (row,) = outcome.comparisons
    low = msgspec.structs.replace(row, above_of_floor=figures.Ratio(0.34, 0.02))
    text = report.rendered(tables.priced([low]), terminal=False, width=80)
    assert "<0.34±0.02" in text
    assert any("below the floor" in line for line in tables.remarks(MODELS["none"], [low]))
    assert not any("below" in line for line in tables.remarks(MODELS["none"], [row]))
