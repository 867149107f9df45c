"""Teams of real agents that play recorded actions: nothing false is said, and the bill falls."""

import importlib
import sys
from pathlib import Path

import pytest

from coherence.simulate import catalogue
from coherence.simulate.experiments.prices import shipped

sys.path.append(str(Path(__file__).parents[2] / "bench"))

FRAMEWORKS = {
    "langgraph": ("langgraph", "langchain"),
    "crewai": ("crewai",),
    "autogen": ("autogen_agentchat", "autogen_ext"),
}
PRICES = shipped()["claude-opus-5"]


@pytest.fixture(params=FRAMEWORKS)
def team(request, monkeypatch):
    """Plays a team; its run and its bill."""
    for package in FRAMEWORKS[request.param]:
        pytest.importorskip(package)
    from coherence.runtime import token_counts

    # Every text is counted exactly, so that a slow machine decides as a fast one does.
    monkeypatch.setattr(token_counts, "BURST_S", 1e9)
    teams, bills = map(importlib.import_module, ("framework_teams", "team_bills"))
    changes = ("agents=3", "steps=14", "write_probability=0.4")
    scenario = catalogue.find("development", changes)

    def play(way, *, marks):
        run = teams.played(request.param, scenario, scenario.first_seed, on_change=way)
        assert run.stale == run.false_unchanged == 0
        model = bills.predicted(run, way, PRICES, marks=marks, all_seen=False)
        return run, bills.billed(run, way, PRICES, marks=marks), model

    return play


def trips(run):
    return sum(call.is_trip for calls in run.calls.values() for call in calls)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:crewai")
def test_the_bill_falls(team):
    """With a mark before what does not stay, which is the best case of a notice."""
    shipped, notice, _ = team("notice", marks=True)
    adaptive, bill, model = team("adaptive", marks=True)
    assert trips(adaptive) < trips(shipped)
    assert bill.bill < 0.95 * notice.bill
    assert abs(model.bill / bill.bill - 1) < 0.15, "the model foresees it"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:crewai")
def test_what_stays_costs_no_hits(team):
    """Without a mark, a prompt with a notice at its end is never found again."""
    _, notice, _ = team("notice", marks=False)
    _, signal, _ = team("signal", marks=False)
    assert signal.cached_tokens > 0.85 * signal.prompt_tokens
    assert notice.bill > 1.1 * signal.bill
