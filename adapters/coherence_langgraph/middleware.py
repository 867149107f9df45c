"""Middleware for ``create_agent``: a model is told what changed, and never that nothing has when
it no longer has the text before it.

It uses only the prompt and the workspace, and keeps no state.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from coherence import Ref
from coherence.context.before_call import called, inform, informer
from coherence.context.evidence import Evidence
from coherence.context.frameworks import expect, require
from coherence.context.informing import DEFAULT, LIST_RATES, OnChange, Prompt
from coherence.context.notices import WRITES, Heard, heard, is_notice
from coherence.context.recording import also
from coherence.context.telling import Rates, Saying
from coherence_langgraph.store import CoherentStore, run

# The first release for the oldest langgraph; the first unreleased one.
require("langchain", (1, 2, 11), (2,))

from langchain.agents.middleware import AgentMiddleware  # noqa: E402 - it may not be installed
from langchain_core.messages import HumanMessage  # noqa: E402


class _Closed(NamedTuple):
    """A request with its last message."""

    request: Any
    #: The message, if it stays in the conversation.
    kept: list[HumanMessage]
    #: The versions that a model may claim to have.
    held: set[str]


class CoherenceMiddleware(AgentMiddleware[Any, Any, Any]):
    """Ends a prompt with a message about the artifacts that have changed.

    `on_change` chooses what it says and whether it stays, and `rates` are those of ``adaptive``:
    see `coherence.context.informing`.  One that stays enters the state with the model's answer,
    before it: so a call that fails, and is repeated, says the same.

    Put it last in the list, where it sees the prompt as the model will.  If a model claims a
    version whose text is not in its prompt (trimmed, summarised or invented), the claim is removed
    from its call, and the read is answered in full.  Raises `BadArgument`.
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
        closed = self._closed(request)
        return _honest(handler(closed.request), closed)

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        closed = await self._aside.run(self._closed, request)
        return _honest(await handler(closed.request), closed)

    def _closed(self, request: Any) -> _Closed:
        desk, tell = self._store.desk(up=1), also(run()) or (lambda event: None)
        prompt = self._prompt(desk.name, request, request.messages)
        news = inform(desk, self._informer, prompt, tell)
        last = [HumanMessage(news.text)] if news.text else []
        messages = [*request.messages, *last]
        if news.stays:
            prompt = self._prompt(desk.name, request, messages)
        called(desk, prompt, self._informer, tell)
        held = set(map(str, prompt.held.values()))
        kept = last if news.stays else []
        return _Closed(request.override(messages=messages), kept, held)

    def _prompt(self, desk: str, request: Any, messages: Sequence[Any]) -> Prompt:
        held = in_context(messages, self._workspace.identity)
        texts = [_said(message) for message in messages]
        first = [request.system_message.text] if request.system_message is not None else []
        # A conversation's messages have ids of their own.
        key = (desk, messages[0].id if messages else None)
        return Prompt(key, held, held, list(_heard(messages)), [*first, *texts])


def _honest(response: Any, closed: _Closed) -> Any:
    """`response` without claims of versions that were not in the prompt, after what stays."""
    for call in (call for m in response.result for call in getattr(m, "tool_calls", ())):
        if call["args"].get("have") not in closed.held:
            call["args"].pop("have", None)
    if closed.kept:
        return replace(response, result=[*closed.kept, *response.result])
    return response


def in_context(messages: Sequence[Any], workspace: str = "") -> dict[str, Ref]:
    """Artifact -> the version whose text can be reconstructed from `messages`."""
    evidence = Evidence[int](workspace)
    given = {call["id"]: call["args"] for m in messages for call in getattr(m, "tool_calls", ())}
    for place, message in enumerate(messages):
        texts = (message.text, *given.get(getattr(message, "tool_call_id", None), {}).values())
        evidence.weigh_claim(getattr(message, "artifact", None), place, texts)
        if _is_ours(message):
            evidence.weigh_passages(place, message.text)
    return evidence.held


def _is_ours(message: Any) -> bool:
    return message.type == "human" and is_notice(message.text)


def _heard(messages: Sequence[Any]) -> Iterator[Heard]:
    """What the messages say about artifacts; a tool's answer has its version beside the text."""
    for message in messages:
        claim = getattr(message, "artifact", None)
        if _is_ours(message):
            yield from heard(message.text)
        elif isinstance(claim, dict) and claim.keys() >= {"ref", "have", "seal"}:
            is_new = claim["have"] != claim["ref"] and message.name not in WRITES
            text = message.text if is_new else ""
            yield Heard(Ref.parse(claim["ref"]), Saying.NOTHING, text)


def _said(message: Any) -> str:
    return f"{message.text}{getattr(message, 'tool_calls', None) or ''}"
