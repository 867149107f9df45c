"""Middleware for ``create_agent``: a model is told what changed, and never that nothing has when
it no longer has the text before it.

It uses only the prompt and the workspace, and keeps no state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from coherence import Ref
from coherence.context.before_call import closed, informer
from coherence.context.frameworks import expect, require
from coherence.context.informing import DEFAULT, LIST_RATES, OnChange, Prompt
from coherence.context.prompts import claimed, of_claims
from coherence.context.recording import also
from coherence.context.telling import Rates
from coherence_langgraph.store import CoherentStore, run

# The first release for the oldest langgraph; the first unreleased one.
require("langchain", (1, 2, 11), (2,))

from langchain.agents.middleware import AgentMiddleware  # noqa: E402 - it may not be installed
from langchain_core.messages import HumanMessage  # noqa: E402


class CoherenceMiddleware(AgentMiddleware[Any, Any, Any]):
    """Ends a prompt with a message about the artifacts that have changed.

    `on_change` chooses what it says and whether it stays, and `rates` are those of ``adaptive``:
    see `coherence.context.informing`.  One that stays enters the state with the model's answer,
    before it: so a call that fails, and is repeated, says the same.

    Put it last in the list, where it sees the prompt as the model will.  If a model claims a
    version whose text is not in its prompt (trimmed, summarised or invented), the claim is replaced
    by the version that is; without one the read is answered in full.  Raises `BadArgument`.
    """

    def __init__(
        self,
        store: CoherentStore,
        *,
        on_change: OnChange = DEFAULT,
        rates: Rates = LIST_RATES,
    ) -> None:
        super().__init__()
        expect(store, CoherentStore, "the CoherentStore of the agent's tools")
        self._store, self._workspace, self._aside = store, store.workspace, store.items.aside
        self._informer = informer(on_change, rates)

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        closed, stays, held = self._closed(request)
        return _honest(handler(closed), stays, held)

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        closed, stays, held = await self._aside.run(self._closed, request)
        return _honest(await handler(closed), stays, held)

    def _closed(self, request: Any) -> tuple[Any, list[HumanMessage], Mapping[str, Ref]]:
        """The request with its last message; that message if it stays; what a model may claim."""
        desk, tell = self._store.desk(up=1), also(run()) or (lambda event: None)
        make = partial(self._prompt, desk.name, request)
        found = closed(desk, self._informer, make, request.messages, HumanMessage, tell)
        return request.override(messages=found.messages), found.stays, found.held

    def _prompt(self, desk: str, request: Any, messages: Sequence[Any]) -> Prompt:
        first = "" if request.system_message is None else request.system_message.text
        # A conversation's messages have ids of their own.
        key = desk, messages[0].id if messages else None
        return of_claims(key, claimed(messages), self._workspace.identity, first=first)


def _honest(response: Any, stays: list[HumanMessage], held: Mapping[str, Ref]) -> Any:
    """`response` without claims of versions that were not in the prompt, after what stays."""
    for call in (call for m in response.result for call in getattr(m, "tool_calls", ())):
        if call["args"].pop("have", None) and (ref := held.get(str(call["args"].get("name")))):
            call["args"]["have"] = str(ref)
    return replace(response, result=[*stays, *response.result]) if stays else response


def in_context(messages: Sequence[Any], workspace: str = "") -> dict[str, Ref]:
    """Artifact -> the version whose text can be reconstructed from `messages`."""
    return dict(of_claims(None, claimed(messages), workspace).held)
