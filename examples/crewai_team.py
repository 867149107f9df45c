"""A planner, a coder and a reviewer on one plan: what their prompts cost, plain and coherent.

::

    pip install crewai
    python examples/crewai_team.py                               # scripted: no key, no network
    python examples/crewai_team.py --model openai/gpt-4o         # for real
    python examples/crewai_team.py --store sqlite:///team.db     # for ``coherence stats``

The coder looks at the plan before each of its steps, as careful agents do, while the reviewer's
remark comes in between.  Plain tools give the whole text every time and keep the last write; the
adapter's give what has changed, and refuse a write that would lose the remark.
"""

import argparse
import os

# Otherwise CrewAI calls home at every kickoff.  It reads these when it is imported.
os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false"}

from collections.abc import Mapping, Sequence
from typing import Any

import needs

needs.packages("crewai")

from crewai import Agent, Crew, Task
from crewai.tools import tool
from crewai_scripted import Scripted, model
from heeding import heeding

from coherence import Workspace
from coherence.tokens import Counter, installed
from coherence_crewai import artifact_tools, coherence_hooks

STEPS = 6
PLAN = "# Plan\n" + "".join(
    f"## Step {n}\nBuild part {n} of the service.\n"
    "- It has tests of its own, for what goes well and for what goes wrong.\n"
    "- It has metrics: how often it is called, how long it takes, how often it fails.\n"
    "- It comes with a note on how it is rolled out, and how it is rolled back.\n"
    "- It does not depend on parts that come later.\n"
    for n in range(1, STEPS + 1)
)
REMARK = "Remark: measure before you build.\n"
READ = ("read_artifact", {"name": "plan.md"})


def plain_tools(files: dict[str, str]) -> list[Any]:
    """What a user would write first."""

    @tool
    def read_artifact(name: str) -> str:
        """Read a shared artifact."""
        return files.get(name, "there is no such artifact")

    @tool
    def write_artifact(name: str, text: str) -> str:
        """Write a shared artifact."""
        files[name] = text
        return "written"

    @tool
    def edit_artifact(name: str, old: str, new: str) -> str:
        """Replace one passage of a shared artifact."""
        files[name] = files[name].replace(old, new, 1)
        return "edited"

    return [read_artifact, write_artifact, edit_artifact]


def scripts(remark: Any) -> dict[str, list[Any]]:
    """The turns of each agent; `remark` is what the reviewer does meanwhile."""
    steps: list[Any] = []
    for n in range(1, STEPS + 1):
        done = {"name": "plan.md", "old": f"Build part {n} ", "new": f"Built: part {n} "}
        steps += [READ, ("edit_artifact", done)]
    steps[6] = lambda _: remark() or READ
    return {
        "planner": [("write_artifact", {"name": "plan.md", "text": PLAN}), "The plan is plan.md."],
        "coder": [*steps, READ, "All steps are built."],
        "reviewer": [READ, "Looks good."],
    }


def crew(name: str | None, tools: dict[str, list[Any]], turns: Mapping[str, Sequence[Any]]) -> Crew:
    """Three agents, one task each."""
    jobs = {
        "planner": "Write plan.md: six steps for a small web service.",
        "coder": "Work through plan.md step by step; read it before each step, mark what is built.",
        "reviewer": "Check that every step of plan.md is marked as built.",
    }
    agents = [
        Agent(role=role, goal=job, backstory="", llm=model(name, turns[role]), tools=tools[role])
        for role, job in jobs.items()
    ]
    tasks = [Task(description=a.goal, expected_output="a short report", agent=a) for a in agents]
    return Crew(agents=agents, tasks=tasks)


def plain(name: str | None) -> tuple[Crew, str]:
    """The team as it would be without us."""
    files: dict[str, str] = {}

    def remark() -> None:
        files["plan.md"] += REMARK

    team = crew(name, {role: plain_tools(files) for role in scripts(remark)}, scripts(remark))
    team.kickoff()
    return team, files.get("plan.md", "")


def coherent(
    name: str | None, url: str, *, heeds: bool = False, informing: Mapping[str, Any] | None = None
) -> tuple[Crew, str]:
    """The same team on the workspace `url`.

    Models that heed what they are told read only what they have not been shown; `informing` are
    arguments of the hooks.
    """
    with Workspace(url) as workspace:
        boss = workspace.agent("boss")
        if "plan.md" in boss.list():  # of an earlier run
            boss.delete("plan.md", overwrite=True)

        def remark() -> None:
            boss.update("plan.md", lambda text: text + REMARK)

        tools = {role: artifact_tools(workspace, role) for role in scripts(remark)}
        turns = scripts(remark)
        if heeds:
            turns = {role: heeding(each, "plan.md", texts) for role, each in turns.items()}
        team = crew(name, tools, turns)
        with coherence_hooks(team, workspace, **informing or {}):
            team.kickoff()
        return team, workspace.agent("judge").read("plan.md").text


def texts(messages: Sequence[Any]) -> list[str]:
    """What the messages of a prompt say."""
    return [str(message.get("content") or "") for message in messages]


def spent(team: Crew, counter: Counter) -> int:
    """Prompt tokens of the whole run, as counted by the scripted models or told by real ones."""
    models = [agent.llm for agent in team.agents]
    if all(isinstance(llm, Scripted) for llm in models):
        return sum(llm.prompt_tokens(counter) for llm in models)
    return int(team.usage_metrics.prompt_tokens)


def main(arguments: list[str] | None = None) -> tuple[int, int]:
    """Run both and print what they cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="such as openai/gpt-4o; without it the script is played")
    parser.add_argument("--store", default="memory://", help="such as sqlite:///team.db")
    given = parser.parse_args(arguments)
    name = given.model
    count = installed()
    (before, text), (after, kept) = plain(name), coherent(name, given.store)
    if name is None:
        assert REMARK in kept
        assert kept == text, "the same work was done"
    costs = spent(before, count), spent(after, count)
    saved = 100 * (1 - costs[1] / costs[0])
    print(
        f"prompt tokens ({count.label}): plain {costs[0]}, coherent {costs[1]}, saved {saved:.0f} %"
    )
    return costs


if __name__ == "__main__":
    main()
