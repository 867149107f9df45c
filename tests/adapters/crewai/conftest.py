"""Crews of scripted agents on one workspace."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
EXAMPLES = Path(__file__).parents[3] / "examples"


def pytest_collection_modifyitems(items):
    # CrewAI reads fields of its own that it has deprecated.
    mark = pytest.mark.filterwarnings("ignore::DeprecationWarning:crewai")
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(mark)


def load(name: str) -> ModuleType:
    """An example as a module, by its file's name."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


class Team:
    """Agents that play scripts, each with artifact tools under its own name."""

    def __init__(self, workspace) -> None:
        self.workspace = workspace
        self.crew = None
        #: What the artifact tools of each agent have answered, whatever became of it since.
        self.answers = {}

    def agent(self, name, turns, *, native=True, tools=None, **settings):
        from crewai import Agent

        from coherence_crewai import artifact_tools

        scripted = load("crewai_scripted")
        window_tokens = settings.pop("window_tokens", 1_000_000)
        llm = scripted.model(None, turns, native=native)
        llm.window_tokens = window_tokens
        if tools is None:
            tools = artifact_tools(self.workspace, name)
            for tool in tools:
                tool.call = self._noting(name, tool.call)
        return Agent(role=name, goal="g", backstory="b", llm=llm, tools=tools, **settings)

    def _noting(self, name, call):
        def noted(**given):
            told = call(**given)
            self.answers.setdefault(name, []).append(told.sealed)
            return told

        return noted

    def run(self, *agents, hooks=True, tasks=None, **settings):
        """One task for each agent in turn; the crew's output."""
        from crewai import Crew, Task

        from coherence_crewai import coherence_hooks

        tasks = tasks or [
            Task(description="d", expected_output="e", agent=agent) for agent in agents
        ]
        self.crew = Crew(agents=list(agents), tasks=tasks, **settings)
        if not hooks:
            return self.crew.kickoff()
        with coherence_hooks(self.crew, self.workspace):
            return self.crew.kickoff()


@pytest.fixture
def workspace():
    from coherence import Workspace

    with Workspace("memory://") as opened:
        yield opened


@pytest.fixture
def team(workspace):
    return Team(workspace)


@pytest.fixture(params=[True, False], ids=["functions", "text"])
def native(request):
    """Whether the model calls functions, or writes its calls as text."""
    return request.param


@pytest.fixture
def results():
    """What an agent's tools have answered so far, oldest first, as its last prompt has it."""

    def of(agent):
        texts = []
        for message in agent.llm.prompts[-1]:
            content = str(message.get("content") or "")
            if message["role"] == "tool":
                texts.append(content)
            elif message["role"] == "assistant" and "\nObservation:" in content:
                texts.append(content.partition("\nObservation:")[2].strip())
        return texts

    return of


@pytest.fixture
def load_example():
    return load
