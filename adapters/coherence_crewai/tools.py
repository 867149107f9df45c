"""The tools that a model calls: read, write, edit, publish.

Two guards of CrewAI stop a model that repeats itself, and would stop a justified second read:

- its text loop answers a call that equals the one before without calling the tool, so
  `never_cached` makes the arguments of every call unlike those of any other;
- both loops end the whole run at the fifth call with equal arguments *and* result, so every answer
  ends with its number.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from crewai.tools import BaseTool
from crewai.tools.tool_failure import ToolFailure
from pydantic import Field

from coherence import Workspace
from coherence.context.answers import refusal
from coherence.context.calls import Calls, Told
from coherence.context.desk import Desk
from coherence.context.forms import arguments_of
from coherence_crewai.events import tell
from message_passing.errors import ToolkitError

_spent = count(1)


def artifact_tools(workspace: Workspace, agent: str) -> list[BaseTool]:
    """Tools to read, write, edit and publish artifacts as `agent`, for ``Agent(tools=...)``.

    Give each CrewAI agent separate tools, since each has read different versions.  Raises
    `InvalidName`, and `WorkspaceClosed`.
    """
    desk, numbers = Desk(workspace, agent), count(1)
    calls = Calls(lambda: desk, tell=lambda: tell)
    return [
        ArtifactTool(
            name=call.__name__,
            description=str(call.__doc__),
            args_schema=arguments_of(call),
            desk=desk,
            call=call,
            numbers=numbers,
        )
        for call in calls
        if call != calls.list_artifacts
    ]


def never_cached(arguments: dict[str, Any], result: object) -> bool:
    """Tells CrewAI not to cache `result`, and marks `arguments` as used."""
    arguments["spent"] = next(_spent)
    return False


class ArtifactTool(BaseTool):
    """One kind of call, made at one desk; each answer ends with the number of the call."""

    desk: Desk = Field(exclude=True)
    call: Callable[..., Told] = Field(exclude=True)
    numbers: Any = Field(exclude=True)
    cache_function: Any = never_cached

    def _run(self, **given: Any) -> Any:
        number = f"\n[call {next(self.numbers)}]"
        try:
            return self.call(**dict(self.args_schema(**given))).sealed + number
        except ToolkitError as error:
            why = refusal(error, self.desk, given.get("name"))
            again = error.fault == "environment"
            return ToolFailure(message=why + number, code=error.code, retryable=again)
