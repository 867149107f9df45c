"""Two agents rewrite one file: with the framework's own file store a change is lost in silence.

::

    pip install agent-framework-core
    python examples/agent_framework_files.py
    python examples/agent_framework_files.py --store sqlite:///team.db

Both have read the plan when both write it.  With ``FileAccessProvider`` the second write replaces
the first one, and both agents are told that they have written.  `CoherentFileAccess` has the same
tools; it tells the second agent what the first one has changed.
"""

import argparse
import asyncio
import warnings
from collections.abc import Sequence
from typing import Any

import needs

needs.packages("agent-framework-core")

warnings.filterwarnings("ignore", message=r"\[HARNESS\]")  # the framework's file tools are new

from agent_framework import Agent, FileAccessProvider, InMemoryAgentFileStore
from agent_framework_scripted import Script

from coherence import Workspace
from coherence_agent_framework import CoherentFileAccess

PLAN = "build: open\nreview: open\n"
READ = [("file_access_read", {"file_name": "plan.md"})]
UNATTENDED = {"disable_readonly_tool_approval": True, "disable_write_tool_approval": True}


def write(text: str) -> Any:
    """The call of a model that writes the whole plan."""
    return [("file_access_write", {"file_name": "plan.md", "content": text, "overwrite": True})]


async def play(files: FileAccessProvider) -> tuple[str, str]:
    """The plan in the end, and what the reviewer was told of its first write."""
    await files.store.write("plan.md", PLAN)
    coder = Script(READ, write(PLAN.replace("build: open", "build: done")), "It is built.")

    async def late() -> Any:
        """The reviewer thinks, and the coder reads and writes meanwhile."""
        await Agent(coder, name="coder", context_providers=[files]).run("Build it.")
        return write(PLAN.replace("review: open", "review: done"))

    def mended() -> Any:
        return READ if "was not written" in last() else "It is reviewed."

    def last() -> str:
        return list(reviewer.answers.values())[-1]

    def both() -> Any:
        return write(last().replace("review: open", "review: done"))

    reviewer = Script(READ, late, mended, both, "It is reviewed.")
    await Agent(reviewer, name="reviewer", context_providers=[files]).run("Review it.")
    return str(await files.store.read("plan.md")), list(reviewer.answers.values())[1]


def main(arguments: Sequence[str] | None = None) -> dict[str, str]:
    """Prints and returns the plan of each team."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", default="memory://", help="where the artifacts are kept")
    given = parser.parse_args(arguments)
    plans = {}
    with Workspace(given.store) as workspace:
        teams = {
            "FileAccessProvider": FileAccessProvider(InMemoryAgentFileStore(), **UNATTENDED),
            "CoherentFileAccess": CoherentFileAccess(workspace, **UNATTENDED),
        }
        for name, files in teams.items():
            plans[name], told = asyncio.run(play(files))
            print(
                f"{name}: {plans[name].count('done')} of 2 done. The reviewer was told:\n{told}\n"
            )
    return plans


if __name__ == "__main__":
    main()
