"""Teams of LangGraph, CrewAI and AutoGen that play the recorded actions of a scenario.

The models are the examples' scripted ones, one conversation for each agent, and a `Mind` decides
from its prompt alone what each puts out: where the prompt shows no text of an artifact that the
turn needs, or says that the text is outdated, it asks; else it edits, and calls `work`, whose
answer begins its next turn.  `work` waits until the turn comes, so that the prompt which follows is
made when the turn begins, and turns happen in the order of the scenario.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

os.environ |= {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    "OTEL_SDK_DISABLED": "true",
}
sys.path.extend(str(Path(__file__).parents[1] / part) for part in ("", "adapters", "examples"))

import msgspec
from heeding import believed, newest

from coherence import Workspace
from coherence.simulate.experiments.edits import drawn
from coherence.simulate.experiments.workload import Access, grouped
from coherence.simulate.scenario import Scenario
from coherence.simulate.stream import draw

#: About 1,500 and 200 tokens, as in `coherence simulate compare`.
SYSTEM = "You work in a team on shared artifacts.  Read what you need, and edit it.\n" * 85
ANSWER = "The work of turn {0} is done, and its result is what was asked for in turn {0}.\n" * 10
LINE_TOKENS = 10


class Call(NamedTuple):
    """One call of a model: every message of its prompt, and what it put out."""

    messages: tuple[str, ...]
    output: str
    #: What it used of the artifacts, if it was not a call that only asked.
    accesses: tuple[Access, ...]
    is_trip: bool
    #: The number of the turn; calls of one turn follow each other.
    turn: int


class Run(NamedTuple):
    """What a team did."""

    calls: dict[int, list[Call]]
    #: Every text of every artifact, from version 1 on.
    versions: list[list[str]]
    #: Tokens about artifacts that reached the models, as the workspace counts them.
    transferred: int
    #: Turns that used an outdated text.
    stale: int
    #: Answers that said "unchanged" although the asking prompt did not have the text.
    false_unchanged: int


class Stage:
    """The order of the turns, and the texts."""

    def __init__(self, workspace: Workspace, scenario: Scenario, seed: int) -> None:
        self.workspace, self.scenario = workspace, scenario
        self.names = [f"proj/{n}.md" for n in range(len(scenario.sizes_tokens))]
        turns = grouped(draw(scenario, seed), iter(lambda: False, True))
        self.turns = [(turn.agent, turn.accesses) for turn in turns]
        self.agents = sorted({agent for agent, _ in self.turns})
        writes = [0] * len(self.names)
        for _, accesses in self.turns:
            for artifact, is_write in accesses:
                writes[artifact] += is_write
        self._spans, self.versions = [], []
        for artifact, size in enumerate(scenario.sizes_tokens):
            rng = Random(f"{seed}/edits/{artifact}")
            self._spans.append(iter(drawn(size, writes[artifact], rng)))
            text = "".join(_line(n, 0) for n in range(size // LINE_TOKENS))
            self.versions.append([text])
            workspace.agent("boss").write(self.names[artifact], text)
        self._next, self._moved = 0, threading.Condition()
        self.stale = self.false_unchanged = 0

    def await_turn(self, agent: int) -> int | None:
        """Wait for the agent's next turn; its number, or None after the last one."""
        mine = next(
            (n for n in range(self._next, len(self.turns)) if self.turns[n][0] == agent), None
        )
        if mine is None:
            return None
        with self._moved:
            if not self._moved.wait_for(lambda: self._next == mine, 60):
                raise TimeoutError(f"turn {mine} of {agent} never came")
        return mine

    def end_turn(self) -> None:
        """Let the next turn begin, once what this one writes is there."""
        for artifact, name in enumerate(self.names):
            while self.workspace.row(name).row.state.version < len(self.versions[artifact]):  # type: ignore[union-attr]
                threading.Event().wait(0.0005)
        with self._moved:
            self._next += 1
            self._moved.notify_all()

    def edit(self, artifact: int) -> tuple[str, str]:
        """The passage that the next edit replaces, and the new one."""
        first, last = next(self._spans[artifact]).interval
        lines = self.versions[artifact][-1].splitlines(keepends=True)
        begin = min(first // LINE_TOKENS, len(lines) - 1)
        end = max(begin + 1, min(last // LINE_TOKENS, len(lines)))
        version = len(self.versions[artifact])
        new = [_line(n, version) for n in range(begin, end)]
        self.versions[artifact].append("".join([*lines[:begin], *new, *lines[end:]]))
        return "".join(lines[begin:end]), "".join(new)


def _line(number: int, version: int) -> str:
    return f"- part {number:04} is as agreed in {version:04}\n"


class Mind:
    """The answers of one agent's model, made from its prompt."""

    def __init__(self, stage: Stage, agent: int, names_versions: bool) -> None:
        self.stage, self.agent, self._names_versions = stage, agent, names_versions
        self.calls: list[Call] = []
        self._turn: int | None = None
        self._asked: dict[int, int] = {}

    def work(self) -> str:
        """End the turn, wait for the next, and answer what begins it."""
        if self._turn is not None:
            self.stage.end_turn()
        self._turn = self.stage.await_turn(self.agent)
        return "There is no more work." if self._turn is None else ANSWER.format(self._turn)

    def decide(self, messages: Sequence[str]) -> str | list[tuple[str, dict[str, Any]]]:
        """The next calls of tools, or the final answer."""
        stage, turn = self.stage, self._turn
        is_first = not self.calls
        if turn is None and not is_first:
            return self._said(messages, "done", (), False)
        accesses = stage.turns[turn][1] if turn is not None else ()
        shown = {a: believed(messages, stage.names[a]) for a, _ in accesses}
        self._check(messages, shown)
        missing = [a for a, version in shown.items() if not version]
        if missing:
            reads = [("read_artifact", self._read(messages, a)) for a in missing]
            self._asked = {a: newest(messages, stage.names[a]) for a in missing}
            return self._said(messages, reads, (), True)
        made: list[tuple[str, dict[str, Any]]] = []
        for artifact, is_write in accesses:
            stage.stale += shown[artifact] != len(stage.versions[artifact])
            if is_write:
                old, new = stage.edit(artifact)
                edit = {"name": stage.names[artifact], "old": old, "new": new}
                made.append(("edit_artifact", edit))
        made.append(("work", {"turn": len(self.calls)}))
        return self._said(messages, made, accesses, False)

    def _read(self, messages: Sequence[str], artifact: int) -> dict[str, Any]:
        name = self.stage.names[artifact]
        version = newest(messages, name)
        if not self._names_versions:
            return {"name": name}
        return {"name": name, "have": f"{name}@{version}" if version else None}

    def _check(self, messages: Sequence[str], shown: dict[int, int]) -> None:
        """An answer "unchanged" must be about a version that is current and was there."""
        for artifact, before in self._asked.items():
            name = self.stage.names[artifact]
            said = re.escape(f"[{name} is unchanged since {name}@") + r"(\d+)"
            found = [int(n) for text in messages[-4:] for n in re.findall(said, text)]
            current = len(self.stage.versions[artifact])
            self.stage.false_unchanged += any(n not in (before, current) for n in found)
        self._asked = {}

    def _said(self, messages: Sequence[str], output: Any, accesses: Any, is_trip: bool) -> Any:
        text = output if isinstance(output, str) else msgspec.json.encode(output).decode()
        turn = self._turn if self._turn is not None else -1
        self.calls.append(Call(tuple(messages), text, tuple(accesses), is_trip, turn))
        return output


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


def langgraph(stage: Stage, minds: dict[int, Mind], informing: dict[str, Any]) -> None:
    """One agent of ``create_agent`` for each, in threads."""
    import langgraph_scripted as scripted
    from langchain.agents import create_agent
    from langchain_core.tools import tool

    from coherence_langgraph import CoherentStore, artifact_tools
    from coherence_langgraph.middleware import CoherenceMiddleware

    store = CoherentStore(stage.workspace)

    def run(mind: Mind) -> None:
        @tool
        def work(turn: int) -> str:
            """Work, until there is news."""
            return mind.work()

        def said(messages: Sequence[Any]) -> list[str]:
            return [m.text + _calls(getattr(m, "tool_calls", None)) for m in messages]

        model = scripted.model(None, _forever(lambda messages: mind.decide(said(messages))))
        agent = create_agent(
            model,
            tools=[*artifact_tools(store), work],
            system_prompt=SYSTEM,
            middleware=[CoherenceMiddleware(store, **informing)],
            name=f"agent{mind.agent}",
        )
        agent.invoke({"messages": [("user", "Begin.")]}, {"recursion_limit": 1_000_000})

    _together([lambda mind=mind: run(mind) for mind in minds.values()])


def crewai(stage: Stage, minds: dict[int, Mind], informing: dict[str, Any]) -> None:
    """One crew, whose tasks run at once."""
    import crewai_scripted as scripted
    from crewai import Agent, Crew, Task
    from crewai.tools import BaseTool
    from pydantic import Field

    from coherence_crewai import artifact_tools, coherence_hooks
    from coherence_crewai.tools import never_cached

    class Work(BaseTool):  # type: ignore[misc]
        name: str = "work"
        description: str = "Work, until there is news."
        mind: Any = Field(exclude=True)
        cache_function: Any = never_cached

        def _run(self, turn: int) -> str:
            return str(self.mind.work())

    def said(messages: Sequence[Any]) -> list[str]:
        return [str(m.get("content") or "") + _calls(m.get("tool_calls")) for m in messages]

    agents = []
    for mind in minds.values():
        turns = _forever(lambda messages, mind=mind: mind.decide(said(messages)))
        model = scripted.Scripted(model="scripted", turns=[])
        object.__setattr__(model, "turns", turns)
        name = f"agent{mind.agent}"
        tools = [*artifact_tools(stage.workspace, name), Work(mind=mind)]
        agents.append(
            Agent(role=name, goal="g", backstory=SYSTEM, llm=model, tools=tools, max_iter=1_000_000)
        )
    closer = Agent(
        role="closer", goal="g", backstory="b", llm=scripted.model(None, ["closed"]), tools=[]
    )
    tasks = [
        Task(description="d", expected_output="e", agent=a, async_execution=a is not closer)
        for a in (*agents, closer)
    ]
    crew = Crew(agents=[*agents, closer], tasks=tasks)
    with coherence_hooks(crew, stage.workspace, **informing):
        crew.kickoff()


def autogen(stage: Stage, minds: dict[int, Mind], informing: dict[str, Any]) -> None:
    """One `AssistantAgent` for each, in one loop."""
    import autogen_scripted as scripted
    from autogen_agentchat.agents import AssistantAgent
    from autogen_core.tools import FunctionTool, StaticWorkbench

    from coherence_autogen import ArtifactWorkbench, CoherentModelContext

    def agent(mind: Mind) -> Any:
        async def work(turn: int) -> str:
            return await asyncio.to_thread(mind.work)

        def said(messages: Sequence[Any]) -> list[str]:
            return ["\n".join(scripted.texts(m)) for m in messages]

        client = scripted.model(None, [])
        client.chat_completions = _forever(lambda messages: mind.decide(said(messages)))
        name = f"agent{mind.agent}"
        context = CoherentModelContext(stage.workspace, name, **informing)
        tools = StaticWorkbench([FunctionTool(work, description="Work, until there is news.")])
        return AssistantAgent(
            name,
            client,
            model_context=context,
            workbench=[ArtifactWorkbench(context), tools],
            system_message=SYSTEM,
            max_tool_iterations=1_000_000,
        )

    async def main() -> None:
        await asyncio.gather(*(agent(mind).run(task="Begin.") for mind in minds.values()))

    asyncio.run(main())


FRAMEWORKS: dict[str, Callable[[Stage, dict[int, Mind], dict[str, Any]], None]] = {
    "langgraph": langgraph,
    "crewai": crewai,
    "autogen": autogen,
}


class _Forever(list[Any]):
    """A script whose every turn is the same function."""

    def __init__(self, turn: Callable[..., Any]) -> None:
        super().__init__([turn])
        self._turn = turn
        self._made: Any = None

    def __iter__(self) -> Any:
        return iter(lambda: self._turn, None)

    def __getitem__(self, at: Any) -> Any:
        made, self._made = self._made, None
        return self._turn if made is None else made

    def __setitem__(self, at: Any, made: Any) -> None:
        self._made = made

    def __len__(self) -> int:
        return 10**9

    def pop(self, at: Any = 0) -> Any:
        return self._turn


def _forever(turn: Callable[..., Any]) -> Any:
    return _Forever(turn)


def _calls(calls: Any) -> str:
    return "".join(_json(call) for call in calls or ())


def _together(work: Sequence[Callable[[], None]]) -> None:
    faults: list[BaseException] = []

    def guarded(each: Callable[[], None]) -> None:
        try:
            each()
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=guarded, args=(each,), daemon=True) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def played(framework: str, scenario: Scenario, seed: int, **informing: Any) -> Run:
    """A run of the team."""
    with Workspace("memory://") as workspace:
        stage = Stage(workspace, scenario, seed)
        minds = {a: Mind(stage, a, framework == "langgraph") for a in stage.agents}
        FRAMEWORKS[framework](stage, minds, informing)
        total = workspace.stats().total
        calls = {agent: mind.calls for agent, mind in minds.items()}
        return Run(calls, stage.versions, total.served_tokens, stage.stale, stage.false_unchanged)
