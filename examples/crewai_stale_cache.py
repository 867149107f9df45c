"""A crew with ``cache=True``: its tool results are kept, and a file that has changed is not seen.

::

    pip install crewai
    python examples/crewai_stale_cache.py
    python examples/crewai_stale_cache.py --model openai/gpt-4o

CrewAI's cache answers for a tool whenever name and arguments are the same (crewAIInc/crewAI#6509).
The artifact tools are never cached by CrewAI, since the workspace knows when a copy is out of date.
"""

import argparse
import os

os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false"}

from typing import Any

import needs

needs.packages("crewai")

from crewai import Agent, Crew, Task
from crewai.tools import tool
from crewai_scripted import answers, model

from coherence import Workspace
from coherence_crewai import artifact_tools, coherence_hooks

READ = ("read_artifact", {"name": "price.txt"})


def run(name: str | None, coherent: bool) -> str:
    """What the buyer last saw of a price that was raised while it was thinking."""
    with Workspace("memory://") as workspace:
        seller = workspace.agent("seller")
        seller.write("price.txt", "The price is 10.")

        @tool
        def read_artifact(name: str) -> str:
            """Read a shared artifact."""
            return workspace.agent("plain buyer").read(name).text

        def raised(_: Any) -> Any:
            seller.write("price.txt", "The price is 12.")
            return READ

        seen: list[str] = []

        def look(messages: Any) -> str:
            seen.append(answers(messages)[-1])
            return "bought"

        tools = artifact_tools(workspace, "buyer") if coherent else [read_artifact]
        llm = model(name, [READ, raised, look])
        buyer = Agent(
            role="buyer", goal="Buy at the current price", backstory="", llm=llm, tools=tools
        )
        task = Task(
            description="Read price.txt, think it over, read it again, and say the price.",
            expected_output="a price",
            agent=buyer,
        )
        crew = Crew(agents=[buyer], tasks=[task], cache=True)
        if not coherent:
            answer = crew.kickoff().raw
        else:
            with coherence_hooks(crew, workspace):
                answer = crew.kickoff().raw
        return seen[-1] if seen else answer


def main(arguments: list[str] | None = None) -> tuple[str, str]:
    """Run both and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="such as openai/gpt-4o; without it the script is played")
    name = parser.parse_args(arguments).model
    plain, coherent = run(name, coherent=False), run(name, coherent=True)
    print(f"plain:    {plain!r}\ncoherent: {coherent!r}")
    return plain, coherent


if __name__ == "__main__":
    main()
