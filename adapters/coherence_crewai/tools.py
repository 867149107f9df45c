"""The three tools that a model calls: read, write, edit.

Two guards of CrewAI stop a model that repeats itself, and would stop one that rightly looks again:

- its text loop answers a call equal to the one before by itself, without asking the tool, so
  `never_cached` makes the arguments of every call unlike those of any other;
- both loops end the whole run at the fifth call with equal arguments *and* result, so every answer
  ends with its number.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import count
from threading import Lock
from typing import Annotated, Any

from crewai.tools import BaseTool
from crewai.tools.tool_failure import ToolFailure
from pydantic import BaseModel, Field

from coherence import Agent, BadArgument, Conflict, Ref, UnknownArtifact, View, Workspace
from messaging.errors import ToolkitError

_spent = count(1)


def artifact_tools(workspace: Workspace, agent: str) -> list[BaseTool]:
    """Tools to read, write and edit the workspace's artifacts as `agent`, for ``Agent(tools=...)``.

    Give each CrewAI agent tools of its own: what one has read, another has not.  Raises
    `InvalidName` for an agent's name that is none, and `WorkspaceClosed`.
    """
    desk = Desk(workspace, agent)
    return [ArtifactTool(desk=desk, **kind.tool()) for kind in (Read, Write, Edit)]


def shown(view: View) -> str:
    """What a model is given of a version: all of it, or what has changed, under a seal."""
    if view.have == view.ref:
        return view.for_prompt()
    since, text = str(view.have or ""), view.changes or view.text
    said = f' since="{since}"' * bool(since) + f' seal="{seal(view.ref, since, text)}"'
    return f'<artifact ref="{view.ref}"{said}>\n{text}\n</artifact>'


def seal(ref: Ref, since: str, text: str) -> str:
    """A hash that tells whether a passage is there as it was given."""
    return blake2b(repr((ref.workspace, str(ref), since, text)).encode(), digest_size=4).hexdigest()


def never_cached(arguments: dict[str, Any], result: object) -> bool:
    """CrewAI's question whether to keep `result`: no, and `arguments` count as spent."""
    arguments["spent"] = next(_spent)
    return False


class Desk:
    """Where one agent works: it does one thing at a time, though CrewAI calls tools in threads."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        workspace.agent(name)
        self.workspace, self.name = workspace, name
        self._turn, self._calls = Lock(), count(1)

    def answer(self, call: Any) -> str | ToolFailure:
        """What `call` comes to, or why it was refused, in words that a model can act on."""
        number = f"\n[call {next(self._calls)}]"
        try:
            with self._turn:
                return str(call.on(self.workspace.agent(self.name))) + number
        except ToolkitError as error:
            again = error.fault == "environment"
            return ToolFailure(message=self._say(error) + number, code=error.code, retryable=again)

    def _say(self, error: ToolkitError) -> str:
        if isinstance(error, Conflict):
            what, _, last = error.summary.rpartition("\n")  # the last line speaks to programs
            return f'{what or last}\nNothing was written. Write both with base="{error.current}".'
        if isinstance(error, UnknownArtifact):
            return f"{error.args[0]}. There are: {self.workspace.names()[:50]}."
        return str(error)


class ArtifactTool(BaseTool):
    """One kind of call, made at one desk."""

    desk: Desk = Field(exclude=True)
    cache_function: Any = never_cached

    def _run(self, **given: Any) -> Any:
        return self.desk.answer(self.args_schema(**given))


# What a model calls a tool with.  Docstrings and descriptions are the prompt.

Have = Annotated[str | None, Field(description="Ref of the text that you have, such as plan.md@3")]
Base = Annotated[str | None, Field(description="Ref that yours derives from; none if it is new")]


class Call(BaseModel):
    """What the three kinds have in common."""

    name: Annotated[str, Field(description="The artifact's name, such as plan.md")]

    @classmethod
    def tool(cls) -> dict[str, Any]:
        """The tool that takes such calls."""
        name = f"{cls.__name__.lower()}_artifact"
        return {"name": name, "description": cls.__doc__, "args_schema": cls}


class Read(Call):
    """Read a shared artifact: its current text, or what has changed since the text you have."""

    have: Have = None

    def on(self, agent: Agent) -> str:
        """Carry it out as `agent`."""
        return shown(agent.read(self.name, self.have or None))


class Write(Call):
    """Write a shared artifact. It is refused where others have changed it since your base."""

    text: Annotated[str, Field(description="The whole new text")]
    base: Base = None

    def on(self, agent: Agent) -> str:
        """Carry it out as `agent`."""
        ref = agent.write(self.name, self.text, expect=self.base or 0)
        return f'<artifact ref="{ref}" seal="{seal(ref, "", self.text)}" written/>'


class Edit(Call):
    """Replace one passage of a shared artifact, whatever others change elsewhere in it."""

    old: Annotated[str, Field(description="A passage that occurs exactly once")]
    new: Annotated[str, Field(description="What replaces it")]
    have: Have = None

    def on(self, agent: Agent) -> str:
        """Carry it out as `agent`."""
        agent.read(self.name, self.have or None)  # refuses what could not be answered afterwards
        with agent.edit(self.name) as draft:
            if (found := draft.text.count(self.old)) != 1:
                what = f"the passage occurs {found} times in {draft.base}"
                raise BadArgument(what, remedy="read again, and give one that occurs exactly once")
            draft.text = draft.text.replace(self.old, self.new)
        return shown(agent.read(self.name, self.have or None))
