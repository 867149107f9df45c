"""What the experiments must show: how figures are held to targets, and that they reach them."""

import json

import pytest
from typer.testing import CliRunner

from coherence.simulate import cli
from coherence.simulate.experiments import targets, targets_command
from coherence.simulate.experiments.points import measure
from coherence.simulate.experiments.targets import FIVE, Effort, Finding, Findings

pytest.importorskip("scipy", reason="intervals need scipy")

SMALL = Effort(seeds=1, points=3, runs_of_point=1, prices=("claude-opus-5", "none"), many=False)


@pytest.fixture(scope="module")
def small() -> Findings:
    return targets.find(SMALL)


def finding(found: float, relation: str = "at most", target: float | None = 1.5) -> Finding:
    return Finding(figure="x", what="x", found=found, target=target, relation=relation)


def test_a_figure_holds_on_its_side_of_the_target():
    assert finding(1.5).holds
    assert not finding(1.51).holds
    assert finding(6, "at least", 6).holds
    assert not finding(5, "at least", 6).holds
    assert finding(9, target=None).holds


@pytest.mark.slow
def test_every_figure_has_a_price_model_and_only_five_have_targets(small):
    for prices in SMALL.prices:
        rows = [row for row in small.scenarios if row.prices == prices]
        assert len({row.figure for row in rows}) == len(rows) == 6
        assert {row.target is not None for row in rows} == {prices in FIVE}
        assert len([row for row in small.notices if row.prices == prices]) == 3
    assert [row.target for row in small.points] == [0.95, 1.25, 1.7]


def test_what_is_worst_is_named(small):
    rows = {(row.prices, row.figure): row for row in small.scenarios}
    assert rows["claude-opus-5", "append_only"].where == "write-heavy"
    near = rows["claude-opus-5", "near_floor"]
    assert near.where.count(",") == 11 - near.found - 1
    assert "write-heavy 3." in near.where


def test_an_unkept_notice_loses_hits_at_breakpoints_and_a_kept_signal_does_not(small):
    rows = {(row.prices, row.figure): row.found for row in small.notices}
    assert rows["claude-opus-5", "hits_lost"] > 0.5
    assert rows["claude-opus-5", "unmarked_bill"] > 5
    assert rows["claude-opus-5", "kept_bill"] < 1.02
    assert (rows["none", "hits_lost"], rows["none", "unmarked_bill"]) == (0, 1)


def test_a_point_is_the_same_whenever_it_is_measured():
    point = measure(1_007, runs=1)
    assert point == measure(1_007, runs=1)
    assert point.of_better == pytest.approx(point.of_offline / point.better_of_offline)


def call(monkeypatch, found: Findings, *arguments: str, code: int = 0) -> str:
    monkeypatch.setattr(targets, "find", lambda effort, advance: found)
    result = CliRunner().invoke(cli.app, ["targets", *arguments])
    assert result.exit_code == code, result.output
    return result.stdout


def reached() -> Findings:
    return Findings([], [finding(1.2)], [], [])


def test_the_tables_name_each_price_model_and_what_is_missed(small, monkeypatch):
    missed = Findings(small.scenarios, [finding(1.8)], small.notices, [finding(9.1, target=None)])
    text = call(monkeypatch, missed, code=1)
    assert text.count("claude-opus-5 ") == 2
    assert "!1.80  at most 1.50" in text
    assert "! x: 1.80, target at most 1.50" in text
    assert "Near" in text
    assert "Near" not in call(monkeypatch, missed, "-q", code=1)
    tables = text.split("targets reached")[0].splitlines()
    assert max(map(len, tables)) <= 80


def test_json_has_every_figure_with_its_verdict(small, monkeypatch):
    rows = json.loads(call(monkeypatch, reached(), "--json"))
    assert rows[0]["holds"] is True
    rows = json.loads(call(monkeypatch, Findings([], [finding(2)], [], []), "--json", code=1))
    assert (rows[0]["holds"], rows[0]["found"]) == (False, 2)


def test_quick_plays_less_and_an_interrupt_ends_it(monkeypatch):
    asked: list[Effort] = []

    def interrupted(effort, advance):
        asked.append(effort)
        raise KeyboardInterrupt

    monkeypatch.setattr(targets, "find", interrupted)
    for arguments in (["targets"], ["targets", "--quick"]):
        result = CliRunner().invoke(cli.app, arguments)
        assert result.exit_code == 130
        assert "nothing is complete" in result.stderr
    assert asked == [Effort(), targets_command.QUICK]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_target_is_reached():
    found = targets.find(Effort(prices=FIVE))
    assert [row for row in found.all() if not row.holds] == []
    for row in found.many:
        assert row.found <= 1.05
