"""LangGraph as it stands, in every order: its thread pool, its tasks."""

import pytest

pytest.importorskip("langgraph")
pytest.importorskip("langchain")

from langgraph.graph import START, MessagesState, StateGraph

from coherence.testing import ExplorationVerdict, LostUpdate, explore

ROLES = ("coder", "tester", "writer")


def in_threads(how):
    def program(team):
        team.agent("init").write("plan", "")
        graph = StateGraph(MessagesState)
        for role in ROLES:

            def node(state, role=role):
                agent = team.agent(role)
                if how == "overwrite":
                    agent.write("plan", agent.read("plan").text + role[0], overwrite=True)
                else:
                    agent.update("plan", lambda text: text + role[0])
                return {}

            graph.add_node(role, node)
            graph.add_edge(START, role)
        compiled = graph.compile()
        team.main(lambda: compiled.invoke({"messages": []}))
        return team.agent("init").read("plan").text

    return program


def in_tasks(how):
    def program(team):
        team.agent("init").write("plan", "")
        graph = StateGraph(MessagesState)
        for role in ROLES:

            async def node(state, role=role):
                agent = team.async_agent(role)
                if how == "overwrite":
                    text = (await agent.read("plan")).text
                    await agent.write("plan", text + role[0], overwrite=True)
                else:
                    await agent.update("plan", lambda text: text + role[0])
                return {}

            graph.add_node(role, node)
            graph.add_edge(START, role)
        compiled = graph.compile()
        team.main_async(lambda: compiled.ainvoke({"messages": []}))
        return team.agent("init").read("plan").text

    return program


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("make", [in_threads, in_tasks])
def test_parallel_nodes(make):
    found = explore(make("overwrite"), raises=False).found
    assert isinstance(found.cause, LostUpdate)
    assert found.result.schedules <= 100
    counts = {explore(make("update"), bound=None, seconds=60).schedules for _ in range(3)}
    assert counts == {6}


@pytest.mark.slow
@pytest.mark.parametrize("make", [in_threads, in_tasks])
def test_parallel_nodes_at_the_finer_grain(make):
    result = explore(make("update"), bound=None, grain="transaction", seconds=100)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert (result.schedules, len(result.outcomes)) == (132, 6)
