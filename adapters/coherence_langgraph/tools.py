"""Tools for a model to read and write artifacts, for ``ToolNode`` and ``create_agent``.

A message's ``artifact`` tells the middleware its version, with a seal on the text that proves it:
the answer of a read, or the text that the model gave to a write.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from coherence.context.answers import refusal
from coherence.context.calls import Calls, Told
from coherence.context.frameworks import expect
from coherence.context.recording import also
from coherence_langgraph.store import CoherentStore, run
from message_passing.errors import ToolkitError


def artifact_tools(store: CoherentStore, agent: str | None = None) -> list[BaseTool]:
    """Tools to read, write, edit, publish and list artifacts of text.

    They act for `agent`; if None, for the agent that ``create_agent`` names, else for the node that
    contains the tools' graph.  Errors are reported to the model, with the next action.  Raises
    `BadArgument`, `InvalidName`, `WorkspaceClosed`.
    """
    expect(store, CoherentStore, "CoherentStore(store), or CoherentStore(workspace)")
    own = None if agent is None else store.items.desk(agent)
    calls = Calls(
        lambda: own.during(run()) if own else store.desk(1),
        store.published,
        False,
        lambda: also(run()),
    )

    def tool(call: Callable[..., Told]) -> BaseTool:
        @wraps(call)
        def answer(*given: Any, **named: Any) -> tuple[str, Any]:
            try:
                told = call(*given, **named)
            except ToolkitError as error:
                why = refusal(error, calls.desk(), named.get("name"))
                raise ToolException(f"Refused ({error.code}): {why}") from error
            return told.plain, told.claim

        @wraps(answer)
        async def awaited(*given: Any, **named: Any) -> tuple[str, Any]:
            return await store.items.aside.run(answer, *given, **named)

        return StructuredTool.from_function(
            answer,
            awaited,
            response_format="content_and_artifact",
            handle_tool_error=True,
            handle_validation_error=True,
        )

    return [tool(call) for call in calls]
