"""The tools that a model calls: read, write, edit, list.

What a model has and what its text derives from is what its context proves, not what it says.
"""

from __future__ import annotations

from typing import Annotated, NoReturn

from autogen_core import FunctionCall
from autogen_core.models import FunctionExecutionResult
from autogen_core.tools import FunctionTool, StaticWorkbench

from coherence import AsyncAgent, BadArgument, Conflict, Ref, UnknownArtifact, View
from coherence_autogen.context import CoherentModelContext
from coherence_autogen.prompt import shown, written
from messaging.errors import CallerError

Name = Annotated[str, "The artifact's name, such as plan.md"]


class ArtifactWorkbench(StaticWorkbench):
    """Tools to read, write, edit and list artifacts, for the agent whose context is `context`.

    Whatever goes wrong is a result for the model, which says what to do next: `AssistantAgent`
    waits for ever for a workbench that raises.
    """

    def __init__(self, context: CoherentModelContext) -> None:
        tools = (self.read_artifact, self.write_artifact, self.edit_artifact, self.list_artifacts)
        super().__init__([FunctionTool(tool, description=str(tool.__doc__)) for tool in tools])
        self._context, self._desk = context, context.desk

    async def read_artifact(
        self, name: Name, whole: Annotated[bool, "All of it, even if you have it"] = False
    ) -> str:
        """Read a shared artifact: its text, or what has changed since the text you have."""
        async with self._desk.agent() as agent:
            return shown(await _read(agent, name, None if whole else await self._held(name)))

    async def write_artifact(
        self,
        name: Name,
        text: Annotated[str, "The whole new text"],
        new: Annotated[bool, "There is no such artifact, or not any more"] = False,
    ) -> str:
        """Write a shared artifact. Refused if others have changed it since the text you have."""
        async with self._desk.agent() as agent:
            held = await self._held(name)
            try:
                return written(await agent.write(name, text, expect=(not new and held) or 0), text)
            except Conflict as conflict:
                why = f"{conflict.author} was faster" if held else "you had not read what is there"
                news = shown(await _read(agent, name, held))
                what = f"Nothing was written: {why}. Write both as one."
                raise CallerError(f"{what}\n{news}") from conflict

    async def edit_artifact(
        self,
        name: Name,
        old: Annotated[str, "A passage that occurs exactly once"],
        new: Annotated[str, "What replaces it"],
    ) -> str:
        """Replace one passage of a shared artifact, whatever others change elsewhere in it."""

        def replaced(text: str) -> str:
            if (found := text.count(old)) != 1:
                raise BadArgument(f"the passage occurs {found} times", remedy="read it again")
            return text.replace(old, new)

        async with self._desk.agent() as agent:
            held = await self._held(name)
            shown(await _read(agent, name, held))  # refuses what could not be answered afterwards
            made = await agent.update(name, replaced)
            return shown(await _read(agent, name, held)) if held else f"{made.ref} is written"

    async def list_artifacts(self, prefix: Annotated[str, "How names begin"] = "") -> str:
        """List the names of the shared artifacts."""
        async with self._desk.agent() as agent:
            return "\n".join(await agent.list(prefix)) or "There are none."

    async def _held(self, name: str) -> Ref | None:
        return (await self._context.held()).get(name)

    def _to_config(self) -> NoReturn:
        raise BadArgument("an open workspace cannot be dumped", remedy="make workbenches in code")


async def _read(agent: AsyncAgent, name: str, held: Ref | None) -> View:
    try:
        return await agent.read(name, held)
    except UnknownArtifact as error:
        error.remedy = "list_artifacts has all names; to make it (anew), write it with new=true"
        raise


def citation(call: FunctionCall, result: FunctionExecutionResult) -> str:
    """For ``AssistantAgent(tool_call_summary_formatter=...)``: tells a team refs, not texts."""
    return result.content.partition(' seal="')[0].replace("<artifact ", f"{call.name} ")
