"""The agents of a team leave when its run is over, or with their contexts."""

import asyncio

import pytest

pytest.importorskip("autogen_agentchat")
pytest.importorskip("autogen_ext")

from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.model_context import UnboundedChatCompletionContext
from leaving import at_once, there

from coherence_autogen import ArtifactMemory

__all__ = ["at_once"]

READ = ("read_artifact", {"name": "plan.md"})
WRITE = ("write_artifact", {"name": "plan.md", "text": "# Plan", "new": True})


def test_a_team_that_has_run_leaves_nobody_behind(player, play, workspace, at_once):
    seen = []

    def looks(messages):
        seen.append(there(workspace))
        return READ

    planner = player(workspace, "planner", [WRITE, "done", looks, "done"])
    coder = player(workspace, "coder", [looks, looks, "done", READ, looks, "done"])
    for _ in range(2):
        stop = MaxMessageTermination(3)
        team = RoundRobinGroupChat([planner.agent, coder.agent], termination_condition=stop)
        play(team.run(task="go"))
        del team
        assert there(workspace) == []
    # As long as the team's run, not as an agent's turn.
    assert seen == [["planner"], ["coder", "planner"], [], ["coder", "planner"]]


def test_an_agent_that_runs_alone(player, play, workspace, at_once):
    coder = player(workspace, "coder", [WRITE, READ, "done", READ, "done"])
    for _ in range(2):
        play(coder.run())
        assert there(workspace) == []
    assert "[plan.md is unchanged since plan.md@1]" in coder.results[-1], "though it has left"


def test_a_memory_keeps_its_agent_until_it_is_closed(workspace, at_once):
    workspace.agent("planner").write("plan.md", "# Plan")

    async def main():
        memory = ArtifactMemory(workspace, "coder")
        await memory.update_context(UnboundedChatCompletionContext())
        assert there(workspace) == ["coder", "planner"]
        await memory.close()
        assert there(workspace) == ["planner"]
        await memory.update_context(UnboundedChatCompletionContext())
        assert there(workspace) == ["coder", "planner"]

    asyncio.run(main())
    assert there(workspace) == ["planner"]
