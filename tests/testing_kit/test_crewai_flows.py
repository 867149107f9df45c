"""CrewAI's flows as they stand, in every order; a thread of its own may make that no proof."""

import asyncio
import sys
from pathlib import Path

import pytest
import quiet_frameworks  # noqa: F401

pytest.importorskip("crewai")
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from coherence.testing import LostUpdate, explore


@pytest.fixture
def flows(monkeypatch):
    import crewai_flow_state

    monkeypatch.setattr(crewai_flow_state, "LISTENERS", 2)
    return crewai_flow_state


@pytest.mark.slow
def test_listeners_that_share_a_plain_state_lose_work(flows):
    def program(team):
        state = team.shared({"found": 0}, "state")

        async def add(search):
            found = state["found"]
            await asyncio.sleep(0)
            state["found"] = found + 1

        team.main_async(lambda: flows.flow(add).kickoff_async())
        return state["found"]

    found = explore(program, raises=False, seconds=60).found
    assert isinstance(found.cause, LostUpdate)
    assert found.result.schedules <= 100


def counted(flows, kickoff):
    """A program whose listeners count in a coherent state."""
    from coherence_crewai import CoherentState

    def program(team):
        totals = CoherentState(team.workspace, "totals.json", flows.Totals, agent="search")

        async def add(search):
            await asyncio.sleep(0)

            @totals.update
            def _(state):
                state.found += 1

        kickoff(team, flows.flow(add))
        return totals.read().found

    return program


def in_a_task(team, flow):
    team.main_async(lambda: flow.kickoff_async())


def in_a_thread(team, flow):
    team.main(lambda: flow.kickoff())


@pytest.mark.slow
@pytest.mark.parametrize("kickoffs", [(in_a_task,), (in_a_thread,), (in_a_task, in_a_thread)])
def test_listeners_that_share_a_coherent_state_lose_nothing(flows, kickoffs):
    """Thrice in one process, whose event bus is an agent of no run."""
    for kickoff in kickoffs * 3:
        result = explore(counted(flows, kickoff), bound=None, seconds=60, raises=False)
        assert result.found is None
        assert set(result.outcomes) == {"2"}
        assert (result.schedules, result.exhaustive) == (2, True)
        assert all("thread that is not scheduled" in doubt for doubt in result.doubts)
