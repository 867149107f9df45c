"""A planner, then a coder and a reviewer at once, on one plan: what their prompts cost.

::

    pip install autogen-agentchat autogen-ext
    python examples/autogen_team.py                            # scripted: no key, no network
    python examples/autogen_team.py --model gpt-4o             # for real, needs autogen-ext[openai]
    python examples/autogen_team.py --store sqlite:///team.db  # for ``coherence stats``

Coder and reviewer look at the plan before each of their steps, as careful agents do.  Tools as a
user would write them first give the whole text every time, and every copy stays in the prompt; the
adapter's give what has changed, or one line where nothing has.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import needs

needs.packages("autogen-agentchat", "autogen-ext")

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import DiGraphBuilder, GraphFlow
from autogen_scripted import model, spent, texts
from heeding import heeding

from coherence import Workspace
from coherence.tokens import installed
from coherence_autogen import ArtifactWorkbench, CoherentModelContext

STEPS = 6
PLAN = "# Plan\n" + "".join(
    f"## Step {n}\nBuild part {n} of the service.\nReview: open\n"
    "- It has tests of its own, for what goes well and for what goes wrong.\n"
    "- It has metrics: how often it is called, how long it takes, how often it fails.\n"
    "- It comes with a note on how it is rolled out, and how it is rolled back.\n"
    for n in range(1, STEPS + 1)
)
JOBS = {
    "planner": "Write plan.md: six steps for a small web service, each open to review.",
    "coder": "Mark each step of plan.md as built, one by one; read the plan before each.",
    "reviewer": "Mark each step of plan.md as reviewed, one by one; read the plan before each.",
}
READ = ("read_artifact", {"name": "plan.md"})


class Outcome(NamedTuple):
    """The plan in the end, and the tokens of all prompts."""

    plan: str
    prompt_tokens: int


def scripts() -> dict[str, list[Any]]:
    """The turns of each agent."""

    def edit(old: str, new: str) -> tuple[str, dict[str, str]]:
        return "edit_artifact", {"name": "plan.md", "old": old, "new": new}

    coder: list[Any] = []
    reviewer: list[Any] = []
    for n in range(1, STEPS + 1):
        coder += [READ, edit(f"Build part {n} ", f"Built: part {n} ")]
        review = f"part {n} of the service.\nReview: "
        reviewer += [READ, edit(f"{review}open", f"{review}done")]
    return {
        "planner": [("write_artifact", {"name": "plan.md", "text": PLAN}), "The plan is there."],
        "coder": [*coder, READ, "All is built."],
        "reviewer": [*reviewer, READ, "All is reviewed."],
    }


def plain_tools(files: dict[str, str]) -> list[Any]:
    """What a user would write first."""

    async def read_artifact(name: str) -> str:
        """Read a shared artifact."""
        return files.get(name, "there is no such artifact")

    async def write_artifact(name: str, text: str) -> str:
        """Write a shared artifact."""
        files[name] = text
        return "written"

    async def edit_artifact(name: str, old: str, new: str) -> str:
        """Replace one passage of a shared artifact."""
        files[name] = files[name].replace(old, new, 1)
        return "edited"

    return [read_artifact, write_artifact, edit_artifact]


async def run(
    name: str | None,
    workspace: Workspace | None,
    *,
    heeds: bool = False,
    informing: Mapping[str, Any] | None = None,
) -> Outcome:
    """The team's run: on a workspace, or as it would be without one.

    Models that heed what they are told read only what they have not been shown; `informing` are
    arguments of the contexts.
    """
    files: dict[str, str] = {}
    graph, agents, clients = DiGraphBuilder(), {}, []
    for role, turns in scripts().items():
        script = heeding(turns, "plan.md", said) if heeds else turns
        clients.append(model(name, script))
        settings: dict[str, Any] = {"tools": plain_tools(files)}
        if workspace is not None:
            context = CoherentModelContext(workspace, role, **informing or {})
            settings = {"model_context": context, "workbench": ArtifactWorkbench(context)}
        agents[role] = AssistantAgent(
            role, clients[-1], system_message=JOBS[role], max_tool_iterations=50, **settings
        )
        graph.add_node(agents[role])
    for role in ("coder", "reviewer"):
        graph.add_edge(agents["planner"], agents[role])
    await GraphFlow(participants=graph.get_participants(), graph=graph.build()).run(task="Begin.")
    plan = workspace.agent("judge").read("plan.md").text if workspace else files["plan.md"]
    return Outcome(plan, sum(spent(client) for client in clients))


def said(messages: Sequence[Any]) -> list[str]:
    """What the messages of a prompt say."""
    return ["\n".join(texts(message)) for message in messages]


def main(arguments: list[str] | None = None) -> tuple[Outcome, Outcome]:
    """Run both and print what they cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="such as gpt-4o; without it the script is played")
    parser.add_argument("--store", default="memory://", help="such as sqlite:///team.db")
    given = parser.parse_args(arguments)
    name = given.model
    before = asyncio.run(run(name, None))
    with Workspace(given.store) as workspace:
        judge = workspace.agent("judge")
        if "plan.md" in judge.list():  # of an earlier run
            judge.delete("plan.md", overwrite=True)
        after = asyncio.run(run(name, workspace))
    if name is None:
        assert after.plan == before.plan, "the same work was done"
    saved = 100 * (1 - after.prompt_tokens / before.prompt_tokens)
    print(
        f"prompt tokens ({installed().label}): plain {before.prompt_tokens}, "
        f"coherent {after.prompt_tokens}, saved {saved:.0f} %"
    )
    return before, after


if __name__ == "__main__":
    main()
