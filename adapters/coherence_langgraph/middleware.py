"""Middleware for ``create_agent``: a model is told what changed, and never that nothing has when
it no longer has the text before it.

It looks at nothing but the prompt and the workspace, and remembers nothing.
"""

from collections.abc import Sequence
from typing import Any

from coherence import Ref
from coherence_langgraph.framework import FrameworkMissing
from coherence_langgraph.store import CoherentStore
from coherence_langgraph.tools import seal

try:
    from langchain.agents.middleware import AgentMiddleware
except ModuleNotFoundError as error:
    install = "pip install 'artifact-coherence[langgraph]' langchain"
    raise FrameworkMissing("the middleware is for agents of langchain", remedy=install) from error
from langchain_core.messages import HumanMessage


class CoherenceMiddleware(AgentMiddleware[Any, Any, Any]):
    """Closes each prompt with a line for every artifact that has changed; the line is not kept.

    It belongs last in the list, where it sees the prompt as the model will.  Where a model says
    that it has a version whose text is not in its prompt, trimmed or summarised away or made up,
    that is struck from its call, and the read is answered in full.
    """

    def __init__(self, store: CoherentStore) -> None:
        super().__init__()
        self._store = store

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        held = in_context(request.messages)
        return _honest(handler(self._closed(request, held)), held)

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        held = in_context(request.messages)
        return _honest(await handler(self._closed(request, held)), held)

    def _closed(self, request: Any, held: dict[str, Ref]) -> Any:
        lines = []
        for name, ref in held.items():
            row = self._store.workspace.row(name)
            if row is not None and row.row.state.version != ref.version:
                now = f"is now {name}@{row.row.state.version}" if row.row.exists else "is deleted"
                lines.append(f"[{name} {now}; you have {ref}]")
        notice = [HumanMessage("\n".join(lines))] if lines else []
        return request.override(messages=[*request.messages, *notice])


def _honest(response: Any, held: dict[str, Ref]) -> Any:
    """`response` without claims to have what was not in the prompt."""
    for message in response.result:
        for call in getattr(message, "tool_calls", ()):
            if call["args"].get("have") not in [str(ref) for ref in held.values()]:
                call["args"].pop("have", None)
    return response


def in_context(messages: Sequence[Any]) -> dict[str, Ref]:
    """Artifact -> the version whose text can be put together from `messages`."""
    held: dict[str, Ref] = {}
    given = {call["id"]: call["args"] for m in messages for call in getattr(m, "tool_calls", ())}
    for message in messages:
        told = getattr(message, "artifact", None)
        if not isinstance(told, dict) or not told.keys() >= {"ref", "have", "seal"}:
            continue
        ref, have = Ref.parse(told["ref"]), told["have"]
        texts = (message.text, *given.get(message.tool_call_id, {}).values())
        if (not have or str(held.get(ref.name)) == have) and told["seal"] in map(seal, texts):
            held[ref.name] = ref
        elif have != told["ref"]:
            held.pop(ref.name, None)
    return held
