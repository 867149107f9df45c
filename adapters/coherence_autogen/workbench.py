"""The tools that a model calls: read, write, edit, list.

What a model has and what its text derives from is what its context proves, not what it says.
"""

from __future__ import annotations

from typing import Any, NoReturn

from autogen_core import FunctionCall
from autogen_core.models import FunctionExecutionResult
from autogen_core.tools import FunctionTool, StaticWorkbench, ToolResult

from coherence import BadArgument
from coherence.context.frameworks import expect
from coherence.context.proven import ProvenCalls
from coherence_autogen.context import CoherentModelContext


class ArtifactWorkbench(StaticWorkbench):
    """Tools to read, write, edit and list artifacts, for the agent whose context is `context`.

    Whatever goes wrong is a result for the model, which says what to do next: `AssistantAgent`
    waits for ever for a workbench that raises.  Raises `BadArgument` when it is made.
    """

    def __init__(self, context: CoherentModelContext) -> None:
        expect(context, CoherentModelContext, "the CoherentModelContext of the agent")
        self._desk = context.desk
        calls = ProvenCalls(context.desk, context.held)
        super().__init__([FunctionTool(call, description=str(call.__doc__)) for call in calls])

    async def call_tool(self, name: str, *given: Any, **named: Any) -> ToolResult:
        self._desk.during(named.get("cancellation_token"))  # one for each run, of a team too
        return await super().call_tool(name, *given, **named)

    def _to_config(self) -> NoReturn:
        raise BadArgument("an open workspace cannot be dumped", remedy="make workbenches in code")


def citation(call: FunctionCall, result: FunctionExecutionResult) -> str:
    """For ``AssistantAgent(tool_call_summary_formatter=...)``: tells a team refs, not texts."""
    return result.content.partition(' seal="')[0].replace("<artifact ", f"{call.name} ")
