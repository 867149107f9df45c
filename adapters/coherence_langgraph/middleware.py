"""Middleware for ``create_agent``: a model is told what changed, and never that nothing has when
it no longer has the text before it.

It uses only the prompt and the workspace, and keeps no state.
"""

from collections.abc import Sequence
from typing import Any

from coherence import Ref
from coherence.context.answers import notice
from coherence.context.evidence import Evidence
from coherence.context.frameworks import expect, require
from coherence_langgraph.store import CoherentStore

# The first release for the oldest langgraph; the first unreleased one.
require("langchain", (1, 2, 11), (2,))

from langchain.agents.middleware import AgentMiddleware  # noqa: E402 - it may not be installed
from langchain_core.messages import HumanMessage  # noqa: E402


class CoherenceMiddleware(AgentMiddleware[Any, Any, Any]):
    """Ends each prompt with a line for every artifact that has changed; the line is not kept.

    Put it last in the list, where it sees the prompt as the model will.  If a model claims a
    version whose text is not in its prompt (trimmed, summarised or invented), the claim is removed
    from its call, and the read is answered in full.  Raises `BadArgument`.
    """

    def __init__(self, store: CoherentStore) -> None:
        super().__init__()
        expect(store, CoherentStore, "the CoherentStore of the agent's tools")
        self._store, self._workspace, self._aside = store, store.workspace, store.items.aside

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        closed, held = self._closed(request)
        return _honest(handler(closed), held)

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        closed, held = await self._aside.run(self._closed, request)
        return _honest(await handler(closed), held)

    def _closed(self, request: Any) -> tuple[Any, set[str]]:
        held = in_context(request.messages, self._workspace.identity).values()
        added = [HumanMessage(news)] if (news := notice(self._store.desk(up=1), held)) else []
        return request.override(messages=[*request.messages, *added]), set(map(str, held))


def _honest(response: Any, held: set[str]) -> Any:
    """`response` without claims of versions that were not in the prompt."""
    for call in (call for m in response.result for call in getattr(m, "tool_calls", ())):
        if call["args"].get("have") not in held:
            call["args"].pop("have", None)
    return response


def in_context(messages: Sequence[Any], workspace: str = "") -> dict[str, Ref]:
    """Artifact -> the version whose text can be reconstructed from `messages`."""
    evidence = Evidence[int](workspace)
    given = {call["id"]: call["args"] for m in messages for call in getattr(m, "tool_calls", ())}
    for place, message in enumerate(messages):
        texts = (message.text, *given.get(getattr(message, "tool_call_id", None), {}).values())
        evidence.weigh_claim(getattr(message, "artifact", None), place, texts)
    return evidence.held
