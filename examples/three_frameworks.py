"""One workspace, three frameworks at once: a LangGraph node, a CrewAI agent, an AutoGen agent.

::

    pip install langgraph crewai autogen-agentchat autogen-ext
    python examples/three_frameworks.py                    # scripted: no key, no network
    python examples/three_frameworks.py --model gpt-4o     # the two agents for real

A plan is there, and all three change it at the same time, each by what its framework offers: a node
by get and put, a crew's agent and an AutoGen agent by tools.  All have read the same version before
any of them writes.  A late agent is told or waits for its turn; no work is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# Otherwise CrewAI calls home at every kickoff.  It reads these when it is imported.
os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false"}

import needs

needs.packages("langgraph", "crewai", "autogen-agentchat", "autogen-ext")

import autogen_scripted
import crewai_scripted
from autogen_agentchat.agents import AssistantAgent
from crewai import Agent, Crew, Task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import RetryPolicy

from coherence import Conflict, Workspace
from coherence_autogen import ArtifactWorkbench, CoherentModelContext
from coherence_crewai import artifact_tools, coherence_hooks
from coherence_langgraph import CoherentStore

NAME = "proj/plan.md"
PLACE = ("proj",), "plan.md"
PLAN = "# Plan\n\n1. estimate: open\n\n2. build: open\n\n3. review: open\n"
JOB = f"Read {NAME}.  Then change {{0!r}} to {{1!r}} in it, and nothing else."
READ = ("read_artifact", {"name": NAME})


def langgraph_node(workspace: Workspace, met: threading.Barrier) -> None:
    """Does the estimate.  LangGraph runs the node again if another agent was faster."""
    attempts: list[str] = []

    def estimate(state: MessagesState, runtime: Runtime) -> dict[str, Any]:
        item: Any = runtime.store and runtime.store.get(*PLACE)
        attempts.append(item.ref)
        if len(attempts) == 1:
            met.wait()
        text = item.value["text"].replace("estimate: open", "estimate: 3 days")
        runtime.store.put(*PLACE, {"text": text})  # type: ignore[union-attr]
        return {}

    graph = StateGraph(MessagesState)
    again = RetryPolicy(max_attempts=10, initial_interval=0.01, retry_on=Conflict)
    graph.add_node("estimate", estimate, retry_policy=again)
    graph.add_edge(START, "estimate")
    graph.compile(store=CoherentStore(workspace)).invoke({"messages": []})


def crewai_agent(workspace: Workspace, met: threading.Barrier, name: str | None) -> None:
    """Does the build, by `edit_artifact`: one passage of what is there when it is its turn."""
    old, new = "build: open", "build: done"

    def edit(_messages: Any) -> Any:
        met.wait()
        return ("edit_artifact", {"name": NAME, "old": old, "new": new})

    llm = crewai_scripted.model(name and f"openai/{name}", [READ, edit, "built"])
    tools = artifact_tools(workspace, "builder")
    job = JOB.format(old, new)
    agent = Agent(role="builder", goal=job, backstory="", llm=llm, tools=tools)
    crew = Crew(agents=[agent], tasks=[Task(description=job, expected_output="ok", agent=agent)])
    with coherence_hooks(crew, workspace):
        crew.kickoff()


async def autogen_agent(workspace: Workspace, met: threading.Barrier, name: str | None) -> None:
    """Does the review, by `write_artifact`: refused where it is late, and told what it missed."""
    old, new = "review: open", "review: done"

    async def write(_messages: Any) -> Any:
        await asyncio.to_thread(met.wait)
        return ("write_artifact", {"name": NAME, "text": PLAN.replace(old, new)})

    def again(messages: Any) -> Any:
        if "Nothing was written" not in autogen_scripted.answers(messages)[-1]:
            return "reviewed"
        return ("edit_artifact", {"name": NAME, "old": old, "new": new})

    context = CoherentModelContext(workspace, "reviewer")
    agent = AssistantAgent(
        "reviewer",
        autogen_scripted.model(name, [READ, write, again, "reviewed"]),
        model_context=context,
        workbench=ArtifactWorkbench(context),
        max_tool_iterations=10,
    )
    await agent.run(task=JOB.format(old, new))


def main(arguments: list[str] | None = None) -> list[str]:
    """Run all three at once; who wrote which version."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="such as gpt-4o; without it the scripts are played")
    name = parser.parse_args(arguments).model
    # Real models are not made to wait for each other.
    met = threading.Barrier(3 if name is None else 1, timeout=60)
    with Workspace("memory://") as workspace, ThreadPoolExecutor(3) as together:
        workspace.agent("planner").write(NAME, PLAN)
        runs = [
            together.submit(langgraph_node, workspace, met),
            together.submit(crewai_agent, workspace, met, name),
            together.submit(lambda: asyncio.run(autogen_agent(workspace, met, name))),
        ]
        if failures := [error for run in runs if (error := run.exception())]:
            raise BaseExceptionGroup("not all of the three came through", failures)
        plan = workspace.agent("judge").read(NAME).text
        writers = [entry.author for entry in workspace.history(NAME)]
    print(f"{plan}\nwritten by {', '.join(writers)}")
    if name is None:
        assert "open" not in plan, "some work was lost"
    return writers


if __name__ == "__main__":
    main()
