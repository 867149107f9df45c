"""AutoGen's teams as they stand, in every order."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("autogen_agentchat")
pytest.importorskip("autogen_ext")
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import DiGraphBuilder, GraphFlow

from coherence.testing import ExplorationVerdict, LostUpdate, explore


def tools_of(agent, how):
    async def read_plan() -> str:
        """Read the plan."""
        return (await agent.read("plan")).text or "(empty)"

    async def write_plan(text: str) -> str:
        """Write the plan."""
        await agent.write("plan", text, overwrite=True)
        return "written"

    async def add(word: str) -> str:
        """Add a word to the plan."""
        await agent.update("plan", lambda text: text + word)
        return "added"

    return [read_plan, write_plan] if how == "overwrite" else [add]


def turns_of(role, how):
    def write(messages):
        text = messages[-1].content[0].content.replace("(empty)", "")
        return ("write_plan", {"text": text + role[0]})

    if role == "planner":
        return ["go"]
    if how == "overwrite":
        return [("read_plan", {}), write, "done"]
    return [("add", {"word": role[0]}), "done"]


def team_of(how):
    from autogen_scripted import model

    def program(team):
        team.agent("init").write("plan", "")
        graph, agents = DiGraphBuilder(), []
        for role in ("planner", "coder", "reviewer"):
            tools = tools_of(team.async_agent(role), how)
            script = model(None, turns_of(role, how))
            agents.append(AssistantAgent(role, script, tools=tools, max_tool_iterations=5))
            graph.add_node(agents[-1])
        for agent in agents[1:]:
            graph.add_edge(agents[0], agent)
        flow = GraphFlow(participants=graph.get_participants(), graph=graph.build())
        team.main_async(lambda: flow.run(task="Begin."))
        return team.agent("init").read("plan").text

    return program


def test_two_agents_at_once_that_overwrite():
    found = explore(team_of("overwrite"), raises=False, seconds=60).found
    assert isinstance(found.cause, LostUpdate)
    assert found.result.schedules <= 100


def test_two_agents_at_once_that_update():
    results = [explore(team_of("update"), bound=None, seconds=60) for _ in range(3)]
    assert {result.verdict for result in results} == {ExplorationVerdict.PROOF}
    assert {result.schedules for result in results} == {2}
    assert set(results[0].outcomes) == {"'cr'", "'rc'"}
