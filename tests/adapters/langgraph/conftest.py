"""Graphs of plain nodes, and agents that play scripts, over one store."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypedDict

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"


def load(name: str) -> ModuleType:
    """An example as a module, by its file's name."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


def both(left: list[Any], right: list[Any]) -> list[Any]:
    return left + right


class State(TypedDict, total=False):
    said: Annotated[list[Any], both]


@pytest.fixture
def graph():
    """Makes a graph of steps; a step is a dict of nodes that run in parallel."""
    from langgraph.graph import START, StateGraph

    def make(store, *steps, retry=None, **settings):
        builder = StateGraph(State)
        before = [START]
        for step in steps:
            for name, node in step.items():
                builder.add_node(name, node, retry_policy=retry)
                builder.add_edge(before if before != [START] else START, name)
            before = list(step)
        return builder.compile(store=store, **settings)

    return make


@pytest.fixture(params=["wraps", "memory", "sqlite"])
def store(request, tmp_path):
    """A coherent store over another, over a workspace in memory, over one in a file."""
    from langgraph.store.memory import InMemoryStore

    from coherence_langgraph import CoherentStore

    url = f"sqlite:///{tmp_path}/team.db"
    over = {"wraps": InMemoryStore(), "memory": "memory://", "sqlite": url}[request.param]
    opened = CoherentStore(over)
    yield opened
    opened.workspace.close()


@pytest.fixture
def agent():
    """Makes an agent of langchain that plays a script; `before` are middlewares ahead of ours."""
    from langchain.agents import create_agent

    from coherence_langgraph import artifact_tools
    from coherence_langgraph.middleware import CoherenceMiddleware

    def make(store, name, turns, *, before=(), **settings):
        model = load("langgraph_scripted").model(None, turns)
        made = create_agent(
            model,
            tools=artifact_tools(store),
            middleware=[*before, CoherenceMiddleware(store)],
            name=name,
            store=store,
            **settings,
        )
        return made, model

    return make


@pytest.fixture
def play(agent):
    """Plays a script; what the tools answered, oldest first, and the prompts."""

    def run(store, name, turns, **settings):
        made, model = agent(store, name, turns, **settings)
        state = made.invoke({"messages": [("user", "go")]})
        answers = [message.text for message in state["messages"] if message.type == "tool"]
        return answers, model.prompts

    return run
