"""Ten listeners of one Flow event each add one: what ``self.state`` keeps, and a `CoherentState`.

::

    pip install crewai
    python examples/crewai_flow_state.py

CrewAI runs the listeners of an event at the same time and has given up locks on Flow state
(crewAIInc/crewAI#6327).  What was read before a pause may be old after it.
"""

import asyncio
import os

os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false"}

from typing import Any

import needs

needs.packages("crewai")

from crewai.flow.flow import Flow, listen, start
from pydantic import BaseModel

from coherence import Workspace
from coherence_crewai import CoherentState

LISTENERS = 10


class Totals(BaseModel):
    """What the listeners share."""

    found: int = 0


def flow(add: Any) -> Flow[Totals]:
    """A Flow of ten listeners that all do `add`, a coroutine function of the Flow."""

    def listener(name: str) -> Any:
        async def method(self: Flow[Totals]) -> None:
            await add(self)

        method.__name__ = name
        return listen("begin")(method)

    @start()
    def begin(self: Flow[Totals]) -> str:
        return "go"

    listeners = {name: listener(name) for name in (f"search_{n}" for n in range(LISTENERS))}
    # Without its own report of each step, which fills four hundred lines.
    search = type("Search", (Flow[Totals],), {"begin": begin, **listeners})
    return search(suppress_flow_events=True)


def plain() -> int:
    """Read, wait for an answer, write."""

    async def add(search: Flow[Totals]) -> None:
        found = search.state.found
        await asyncio.sleep(0)  # a model or a web page answers
        search.state.found = found + 1

    search = flow(add)
    search.kickoff()
    return search.state.found


def coherent() -> int:
    """The same, and the change is made to what is there when it is made."""
    with Workspace("memory://") as workspace:
        totals = CoherentState(workspace, "totals.json", Totals, agent="search")

        async def add(search: Flow[Totals]) -> None:
            await asyncio.sleep(0)

            @totals.update
            def _(state: Totals) -> None:
                state.found += 1

        flow(add).kickoff()
        return totals.read().found


def main() -> tuple[int, int]:
    """Run both and print what was kept."""
    kept = plain(), coherent()
    print(f"{LISTENERS} listeners add one each: plain keeps {kept[0]}, coherent keeps {kept[1]}")
    return kept


if __name__ == "__main__":
    main()
