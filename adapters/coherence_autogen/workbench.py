"""The tools that a model calls: read, write, edit, list.

What a model has and what its text derives from is what its context proves, not what it says.
"""

from __future__ import annotations

from typing import NoReturn

from autogen_core import FunctionCall
from autogen_core.models import FunctionExecutionResult
from autogen_core.tools import FunctionTool, StaticWorkbench

from coherence import BadArgument
from coherence.context.proven import ProvenCalls
from coherence_autogen.context import CoherentModelContext


class ArtifactWorkbench(StaticWorkbench):
    """Tools to read, write, edit and list artifacts, for the agent whose context is `context`.

    Whatever goes wrong is a result for the model, which says what to do next: `AssistantAgent`
    waits for ever for a workbench that raises.
    """

    def __init__(self, context: CoherentModelContext) -> None:
        calls = ProvenCalls(context.desk, context.held)
        super().__init__([FunctionTool(call, description=str(call.__doc__)) for call in calls])

    def _to_config(self) -> NoReturn:
        raise BadArgument("an open workspace cannot be dumped", remedy="make workbenches in code")


def citation(call: FunctionCall, result: FunctionExecutionResult) -> str:
    """For ``AssistantAgent(tool_call_summary_formatter=...)``: tells a team refs, not texts."""
    return result.content.partition(' seal="')[0].replace("<artifact ", f"{call.name} ")
