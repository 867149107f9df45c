"""The agents of a crew leave when the block of hooks ends, or with their tools."""

import pytest

pytest.importorskip("crewai")

from leaving import at_once, there
from pydantic import BaseModel

from coherence_crewai import CoherentState, artifact_tools, coherence_hooks

__all__ = ["at_once"]

READ = ("read_artifact", {"name": "plan.md"})
WRITE = ("write_artifact", {"name": "plan.md", "text": "# Plan"})


class Totals(BaseModel):
    found: int = 0


@pytest.mark.slow
def test_a_crew_that_has_worked_leaves_nobody_behind(team, workspace, at_once):
    planner = team.agent("planner", [WRITE, "done", READ, "done"])
    coder = team.agent("coder", [READ, "done", READ, "done"])
    for _ in range(2):
        team.run(planner, coder)
        assert there(workspace) == []
    assert workspace.history("plan.md")[0].author == "planner"


@pytest.mark.slow
def test_an_agent_stays_for_another_block(team, workspace, at_once):
    coder = team.agent("coder", [WRITE, "done", READ, "done"])
    team.run(coder)
    with coherence_hooks(team.crew, workspace):
        team.run(coder)
        assert there(workspace) == ["coder"]
    assert there(workspace) == []


@pytest.mark.slow
def test_tools_without_hooks_and_states_keep_their_agents_as_long_as_themselves(workspace):
    tools = artifact_tools(workspace, "coder")
    tools[1].run(name="plan.md", text="# Plan")
    totals = CoherentState(workspace, "totals.json", Totals, agent="search")
    totals.update(lambda state: setattr(state, "found", 1))
    assert there(workspace) == ["coder", "search"]
    del tools
    assert there(workspace) == ["search"]
    del totals
    assert there(workspace) == []
