"""Crews of scripted agents on one workspace."""

from pathlib import Path

import pytest
from scenarios import claiming

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    # CrewAI reads fields of its own that it has deprecated.
    mark = pytest.mark.filterwarnings("ignore::DeprecationWarning:crewai")
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(mark)


class Team:
    """Agents that play scripts, each with artifact tools under its own name."""

    def __init__(self, workspace) -> None:
        self.workspace = workspace
        self.crew = None

    def agent(self, name, turns, *, native=True, tools=None, **settings):
        import crewai_scripted as scripted
        from crewai import Agent

        from coherence_crewai import artifact_tools

        window_tokens = settings.pop("window_tokens", 1_000_000)
        llm = scripted.model(None, turns, native=native)
        llm.window_tokens = window_tokens
        tools = artifact_tools(self.workspace, name) if tools is None else tools
        return Agent(role=name, goal="g", backstory="b", llm=llm, tools=tools, **settings)

    def run(self, *agents, hooks=True, tasks=None, informing=None, **settings):
        """One task for each agent in turn; the crew's output."""
        from crewai import Crew, Task

        from coherence_crewai import coherence_hooks

        tasks = tasks or [
            Task(description="d", expected_output="e", agent=agent) for agent in agents
        ]
        self.crew = Crew(agents=list(agents), tasks=tasks, **settings)
        if not hooks:
            return self.crew.kickoff()
        with coherence_hooks(self.crew, self.workspace, **informing or {}):
            return self.crew.kickoff()


@pytest.fixture
def team(workspace):
    return Team(workspace)


@pytest.fixture(
    params=[True, pytest.param(False, marks=pytest.mark.slow)], ids=["functions", "text"]
)
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


def _said(message):
    return f"{message.get('content')}{message.get('tool_calls') or ''}"


class Player:
    """A crew's agent that plays turns of `scenarios`."""

    def __init__(self, driver, name, turns, trims):
        self.answers, self.workspace = [], driver.workspace
        driver.answers[name] = self.answers
        played = [self.played(turn) for turn in turns]
        window_tokens = 1_200 if trims else 1_000_000
        self.agent = driver.team.agent(
            name, played, native=driver.native, window_tokens=window_tokens
        )

    @property
    def prompts(self):
        return ["\n".join(str(m.get("content")) for m in p) for p in self.agent.llm.prompts]

    @property
    def parts(self):
        return [[_said(message) for message in prompt] for prompt in self.agent.llm.prompts]

    @property
    def now(self):
        return self.parts[-1]

    def in_prompt(self):
        from coherence.context.evidence import survey
        from coherence_crewai.hooks import conversation

        return survey(conversation(self.agent.llm.prompts[-1]), self.workspace.identity)[0]

    def played(self, turn):
        """`turn` in the words of this framework, when it is its turn."""

        def play(messages):
            said = turn(self) if callable(turn) else turn
            return claiming(said, [*self.answers, *self.prompts[-1:]])

        return play


def nothing(texts):
    return ()


class Driver:
    """Players as a crew, within our hooks; `answers` is filled by their tools."""

    partner = "autogen"

    def __init__(self, workspace, native, answers):
        self.workspace, self.native, self.answers = workspace, native, answers
        self.informing, self.lost = {}, nothing
        self.team = Team(workspace)

    def on(self, workspace):
        return Driver(workspace, self.native, self.answers)

    def agent(self, name, *turns, trims=False):
        return Player(self, name, turns, trims)

    def run(self, *players):
        from crewai.hooks import InterceptionPoint
        from crewai.hooks.dispatch import scoped_hooks

        def drop(context):
            lost = self.lost(list(map(_said, context.messages)))
            for place in sorted(lost, reverse=True):  # for good: CrewAI has one list of them
                del context.messages[place]
                self.lost = nothing

        with scoped_hooks({InterceptionPoint.PRE_MODEL_CALL: [drop]}):
            self.team.run(*(player.agent for player in players), informing=self.informing)

    def run_at_once(self, *players):
        from crewai import Task

        closer = self.team.agent("closer", ["closed"], native=self.native)  # a crew's last waits
        agents = [*(player.agent for player in players), closer]
        tasks = [
            Task(description="d", expected_output="e", agent=a, async_execution=a is not closer)
            for a in agents
        ]
        self.team.run(*agents, tasks=tasks)


@pytest.fixture
def driver(workspace, native, monkeypatch):
    from coherence_crewai.tools import ArtifactTool

    answers, run = {}, ArtifactTool._run

    def noted(self, **given):
        told = run(self, **given)
        answers[self.desk.name].append(getattr(told, "message", told))
        return told

    monkeypatch.setattr(ArtifactTool, "_run", noted)
    return Driver(workspace, native, answers)
