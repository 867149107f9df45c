"""The tools of a model: read, write, edit, publish, list.

The model's context, not its claims, proves the versions that it has and the base of its text.
"""

from __future__ import annotations

from typing import Any, NoReturn

from autogen_core import FunctionCall
from autogen_core.models import FunctionExecutionResult
from autogen_core.tools import FunctionTool, StaticWorkbench, ToolResult

from coherence import BadArgument
from coherence.context.frameworks import expect
from coherence.context.proven import ProvenCalls
from coherence_autogen.context import CoherentModelContext, tell


class ArtifactWorkbench(StaticWorkbench):
    """Tools for artifacts, for the agent whose context is `context`.

    Every failure is a result for the model, with the next action, since `AssistantAgent` waits for
    ever for a workbench that raises.  The constructor raises `BadArgument`.
    """

    def __init__(self, context: CoherentModelContext) -> None:
        expect(context, CoherentModelContext, "the CoherentModelContext of the agent")
        self._desk = context.desk
        calls = ProvenCalls(context.desk, context.held, context.bases, tell)
        super().__init__([FunctionTool(call, description=str(call.__doc__)) for call in calls])

    async def call_tool(self, name: str, *given: Any, **named: Any) -> ToolResult:
        self._desk.during(named.get("cancellation_token"))  # one token for each run
        return await super().call_tool(name, *given, **named)

    def _to_config(self) -> NoReturn:
        raise BadArgument("an open workspace cannot be dumped", remedy="make workbenches in code")


def citation(call: FunctionCall, result: FunctionExecutionResult) -> str:
    """For ``AssistantAgent(tool_call_summary_formatter=...)``: gives a team refs, not texts."""
    return result.content.partition(' seal="')[0].replace("<artifact ", f"{call.name} ")
