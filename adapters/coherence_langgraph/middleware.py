"""Middleware for ``create_agent``: a model is told what changed, and never that nothing has when
it no longer has the text before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest
except ModuleNotFoundError as error:
    from coherence_langgraph.errors import FrameworkMissing

    raise FrameworkMissing(
        "the middleware is for agents of langchain",
        remedy="pip install 'artifact-coherence[langgraph]' langchain",
    ) from error
from langchain_core.messages import HumanMessage, ToolMessage

from coherence import Ref
from coherence_langgraph.store import CoherentStore


class CoherenceMiddleware(AgentMiddleware[Any, Any, Any]):
    """Closes each prompt with a line for every artifact that has changed; the line is not kept.

    It belongs last in the list, where it sees the prompt as the model will: a text that was trimmed
    or summarised away counts as forgotten, and the next read gives it in full.  `agent` as for
    `artifact_tools`.
    """

    def __init__(self, store: CoherentStore, agent: str | None = None) -> None:
        super().__init__()
        self._store, self._agent = store, agent
        self._given: dict[str, set[str]] = {}

    def wrap_model_call(self, request: ModelRequest[Any], handler: Any) -> Any:
        return handler(self._closed(request))

    async def awrap_model_call(self, request: ModelRequest[Any], handler: Any) -> Any:
        return await handler(self._closed(request))

    def _closed(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        member, _ = self._store.member(self._agent)
        known = in_context(request.messages)
        given = self._given.setdefault(member.name, set())
        given.update(in_context(request.state["messages"]), known)
        for name in given - known.keys():
            member.forget(name)
        lines = []
        for name, ref in known.items():
            row = self._store.workspace.row(name)
            if row is not None and row.row.state.version != ref.version:
                now = f"is now {name}@{row.row.state.version}" if row.row.exists else "is deleted"
                lines.append(f"[{name} {now}; you have {ref}]")
        if not lines:
            return request
        return request.override(messages=[*request.messages, HumanMessage("\n".join(lines))])


def in_context(messages: Iterable[Any]) -> dict[str, Ref]:
    """Artifact -> the version whose text can be put together from `messages`."""
    known: dict[str, Ref] = {}
    for message in messages:
        told = message.artifact if isinstance(message, ToolMessage) else None
        if not isinstance(told, dict) or "ref" not in told:
            continue
        ref = Ref.parse(told["ref"])
        if not told["have"] or (ref.name in known and str(known[ref.name]) == told["have"]):
            known[ref.name] = ref
        elif told["have"] != told["ref"]:
            known.pop(ref.name, None)
    return known
