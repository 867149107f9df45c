"""Long transactions: calls that refusals cost, time that grants cost."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from pages import ROOT, blocks, matches
from typer.testing import CliRunner

from coherence.simulate.cli import app
from coherence.simulate.contention.play import WAYS, Crew, Way, _Run, play
from coherence.simulate.errors import InvalidScenario

RUN = CliRunner()
BUSY = Crew(agents=6, artifacts=5, reads=3, writes=2, transactions=20)


@pytest.mark.parametrize("way", WAYS)
def test_all_transactions_are_made_and_none_is_lost(way: Way) -> None:
    run = _Run(BUSY, way)
    outcome = run.played()
    assert outcome.committed == BUSY.agents * BUSY.transactions
    versions = sum(home.version for home in run.homes)
    assert versions == outcome.committed * BUSY.writes
    assert all(not home.owner and not home.queue for home in run.homes)
    assert outcome.calls == outcome.committed * BUSY.calls + outcome.wasted_calls


def test_the_same_seed_gives_the_same_run() -> None:
    assert play(BUSY, "transact") == play(BUSY, "transact")
    assert play(BUSY, "transact") != play(Crew(agents=6, artifacts=5, seed=2), "transact")


def test_nothing_is_refused_under_grants() -> None:
    outcome = play(BUSY, "grants")
    assert (outcome.refused, outcome.wasted_calls) == (0, 0)
    assert outcome.calls_per_commit == BUSY.calls
    assert outcome.waited_s > 0


def test_under_contention_optimism_costs_calls_and_grants_cost_time() -> None:
    optimistic, transact, grants = (play(Crew(agents=16), way) for way in WAYS)
    assert optimistic.calls > transact.calls > grants.calls
    assert optimistic.mean_s < transact.mean_s < grants.mean_s


def test_an_agent_alone_is_never_refused() -> None:
    for way in WAYS:
        outcome = play(Crew(agents=1), way)
        assert (outcome.refused, outcome.waited_s) == (0, 0)


@pytest.mark.parametrize("calls", [1, 3])
def test_a_read_that_finds_an_earlier_one_outdated_wastes_no_call_more(calls: int) -> None:
    """With one call all is read before it, so a refusal wastes the whole of it."""
    outcome = play(Crew(agents=6, artifacts=5, reads=3, calls=calls), "optimistic")
    assert outcome.refused > 0
    assert outcome.wasted_calls <= outcome.refused * calls
    assert (outcome.wasted_calls == outcome.refused * calls) == (calls == 1)


@pytest.mark.parametrize(
    "settings",
    [
        {"agents": 0},
        {"reads": 21},
        {"writes": 4},
        {"think_s": 0},
        {"think_s": float("nan")},
        {"pause_s": float("inf")},
    ],
)
def test_a_team_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidScenario):
        Crew(**settings)


def test_the_command_prints_lines_and_a_table() -> None:
    args = ["transactions", "--over", "agents=1,6", "--set", "transactions=5", "--seeds", "2"]
    found = json.loads(RUN.invoke(app, [*args, "--json", "-q"]).stdout)
    assert [(row["team"]["agents"], row["way"]) for row in found] == [
        (agents, way) for agents in (1, 6) for way in WAYS
    ]
    assert found[0]["calls_per_commit"] == {"value": 2.0, "interval": 0.0}
    shown = RUN.invoke(app, args).stdout
    assert "optimistic" in shown
    assert "95 % interval" in shown


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--set", "agent=8"], "did you mean 'agents'?"),
        (["--set", "reads=x"], "whole numbers"),
        (["--over", "reads=30"], "is above artifacts"),
        (["--over", "seed=1"], "no key 'seed'"),
        (["--over", "agents=" + ",".join(["1"] * 1001)], "at most 1,000"),
    ],
)
def test_bad_input_is_told(args: list[str], words: str) -> None:
    done = RUN.invoke(app, ["transactions", *args, "--seeds", "1"])
    assert done.exit_code == 2
    assert words in done.stderr


@pytest.mark.slow
def test_the_page_shows_what_the_command_prints() -> None:
    page = blocks((ROOT / "docs" / "transactions.md").read_text(encoding="utf-8"))
    shown = [
        (block.text.split()[2:], after.text)
        for block, after in pairwise(page)
        if block.text.startswith("coherence simulate transactions")
    ]
    assert len(shown) == 4
    for args, printed in shown:
        assert matches(RUN.invoke(app, args).stdout, printed), args
