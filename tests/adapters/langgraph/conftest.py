"""Graphs of plain nodes, and agents that play scripts, over one store."""

from typing import Annotated, Any, TypedDict

import pytest
from scenarios import claiming


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


@pytest.fixture(params=["wraps", "memory", pytest.param("sqlite", marks=pytest.mark.slow)])
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
    import langgraph_scripted as scripted
    from langchain.agents import create_agent

    from coherence_langgraph import artifact_tools
    from coherence_langgraph.middleware import CoherenceMiddleware

    def make(store, name, turns, *, before=(), informing=None, **settings):
        model = scripted.model(None, turns)
        made = create_agent(
            model,
            tools=artifact_tools(store),
            middleware=[*before, CoherenceMiddleware(store, **informing or {})],
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


class Player:
    """An agent that plays turns of `scenarios`, with our tools and middleware."""

    def __init__(self, driver, name, turns, trims):
        import langgraph_scripted as scripted
        from langchain.agents import create_agent
        from langchain.agents.middleware import AgentMiddleware

        from coherence_langgraph import artifact_tools
        from coherence_langgraph.middleware import CoherenceMiddleware

        self.name, self.answers, self.workspace = name, [], driver.workspace
        answers = self.answers

        class Notes(AgentMiddleware):
            """Keeps what tools answer; shows a model that trims the last two messages only."""

            def wrap_tool_call(self, request, handler):
                told = handler(request)
                answers.append(told.text)
                return told

            def wrap_model_call(self, request, handler):
                shown = request.messages[-2:] if trims else request.messages
                lost = driver.lost([message.text for message in shown])
                shown = [message for place, message in enumerate(shown) if place not in lost]
                return handler(request.override(messages=shown))

        self.model = scripted.model(None, [self.played(turn) for turn in turns])
        store = driver.store
        middleware = [Notes(), CoherenceMiddleware(store, **driver.informing)]
        tools = artifact_tools(store)
        self.agent = create_agent(self.model, tools=tools, middleware=middleware, name=name)

    def node(self, state):
        self.agent.invoke({"messages": [("user", "go")]})
        return {}

    @property
    def prompts(self):
        return ["\n".join(message.text for message in prompt) for prompt in self.model.prompts]

    @property
    def parts(self):
        return [
            [f"{m.text}{getattr(m, 'tool_calls', None) or ''}" for m in prompt]
            for prompt in self.model.prompts
        ]

    @property
    def now(self):
        return self.parts[-1]

    def in_prompt(self):
        from coherence_langgraph.middleware import in_context

        return in_context(self.model.prompts[-1], self.workspace.identity)

    def played(self, turn):
        """`turn` in the words of this framework, when it is its turn."""

        def play(messages):
            said = turn(self) if callable(turn) else turn
            return claiming(said, [*self.answers, *self.prompts[-1:]])

        return play


class Driver:
    """Players as nodes of a graph, over a coherent store."""

    partner = "autogen"

    def __init__(self, workspace):
        from coherence_langgraph import CoherentStore

        self.workspace, self.store = workspace, CoherentStore(workspace)
        self.informing, self.lost = {}, lambda texts: ()

    def on(self, workspace):
        return Driver(workspace)

    def agent(self, name, *turns, trims=False):
        return Player(self, name, turns, trims)

    def run(self, *players):
        self._compiled(zip(["__start__", *(p.name for p in players)], players, strict=False))

    def run_at_once(self, *players):
        self._compiled(("__start__", player) for player in players)

    def _compiled(self, edges):
        from langgraph.graph import StateGraph

        builder = StateGraph(State)
        for before, player in edges:
            builder.add_node(player.name, player.node)
            builder.add_edge(before, player.name)
        builder.compile(store=self.store).invoke({"said": []})


@pytest.fixture
def driver(workspace):
    return Driver(workspace)
