"""LangGraph as it stands, in every order: its thread pool, its tasks, an example unchanged."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("langgraph")
pytest.importorskip("langchain")
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import GetOp, PutOp
from langgraph.store.memory import InMemoryStore

from coherence.testing import ExplorationVerdict, Found, LostUpdate, explore

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


@pytest.mark.parametrize("make", [in_threads, in_tasks])
def test_parallel_nodes(make):
    found = explore(make("overwrite"), raises=False).found
    assert isinstance(found.cause, LostUpdate)
    assert found.result.schedules <= 100
    counts = {explore(make("update"), bound=None, seconds=60).schedules for _ in range(3)}
    assert counts == {6}


@pytest.mark.parametrize("make", [in_threads, in_tasks])
def test_parallel_nodes_at_the_finer_grain(make):
    result = explore(make("update"), bound=None, grain="transaction", seconds=100)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert (result.schedules, len(result.outcomes)) == (132, 6)


def example(team, monkeypatch, url):
    """`examples/langgraph_team.py`: agents with tools, a barrier, and stores of its own."""
    import langgraph_team

    monkeypatch.setattr(langgraph_team, "LOOKS", 0)
    plain = InMemoryStore.batch

    def batch(self, ops):
        ops = list(ops)
        for op in ops:
            if isinstance(op, GetOp):
                team.looks_at("/".join((*op.namespace, op.key)))
            elif isinstance(op, PutOp):
                team.changes("/".join((*op.namespace, op.key)))
        return plain(self, ops)

    with monkeypatch.context() as patched:
        if url is None:
            patched.setattr(InMemoryStore, "batch", batch)
        outcome = team.main(lambda: langgraph_team.run(None, url))
    return [role for role, (_, new) in langgraph_team.CHANGES.items() if new in outcome.plan]


def test_an_example_as_it_stands_loses_work_with_a_plain_store(monkeypatch):
    with pytest.raises(Found) as found:
        explore(lambda team: example(team, monkeypatch, None))
    assert isinstance(found.value.cause, LostUpdate)
    assert found.value.result.schedules <= 100


def test_an_example_as_it_stands_loses_nothing_with_ours(monkeypatch):
    result = explore(lambda team: example(team, monkeypatch, "memory://"), bound=None, seconds=60)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert set(result.outcomes) == {"['coder', 'reviewer']"}
