"""Middleware for agents with a `CoherentBackend`: what a prompt proves is what its agent has seen.

A file that a model reads again is answered by what has changed since, if the request of the model
proves that it has the text.  What the request has lost is forgotten: to a summary, say, from which
no model should write a file.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import HumanMessage, ToolMessage

from coherence.context.before_call import Closed, closed, informer
from coherence.context.frameworks import expect
from coherence.context.informing import DEFAULT, LIST_RATES, OnChange, Prompt
from coherence.context.prompts import claimed, of_claims
from coherence.context.recording import also
from coherence.context.rereads import Noted, Rereads, noting
from coherence.context.telling import Rates
from coherence_deepagents.backend import CoherentBackend
from message_passing.errors import ToolkitError

#: The tools that show a file to a model, or make one.
TOOLS = frozenset({"read_file", "write_file", "edit_file"})


class CoherenceMiddleware(AgentMiddleware[Any, Any, Any]):
    """Puts differences in the place of texts that are read again; tells what others have changed.

    `on_change` and `rates` choose what a prompt gains at its end: see
    `coherence.context.informing`.  Each subagent needs the middleware in its own list too.  Raises
    `BadArgument`.
    """

    def __init__(
        self, backend: CoherentBackend, *, on_change: OnChange = DEFAULT, rates: Rates = LIST_RATES
    ) -> None:
        super().__init__()
        self._backend = expect(backend, CoherentBackend, "the CoherentBackend of the agent")
        self._informer = informer(on_change, rates)

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        run, found = self._closed(request)
        return _kept(run, found, handler(request.override(messages=found.messages)))

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        run, found = await self._backend.aside(self._closed, request)
        return _kept(run, found, await handler(request.override(messages=found.messages)))

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        with noting(request.tool_call["name"] in TOOLS) as notes:
            answer = handler(request)
        return self._shown(request.tool_call, answer, notes)

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        with noting(request.tool_call["name"] in TOOLS) as notes:
            answer = await handler(request)
        return await self._backend.aside(self._shown, request.tool_call, answer, notes)

    def _closed(self, request: Any) -> tuple[Rereads | None, Closed]:
        try:
            run = self._backend.run
            desk, tell = run.files.desk, also(None) or (lambda event: None)
            make = partial(self._prompt, desk.name, request)
            found = closed(desk, self._informer, make, request.messages, HumanMessage, tell)
            run.files.holds(found.seen.values())
        except ToolkitError:  # the model is told so where it uses a file
            return None, Closed(request.messages, [], {}, {})
        return run, found

    def _prompt(self, desk: str, request: Any, messages: Sequence[Any]) -> Prompt:
        first = "" if request.system_message is None else request.system_message.text
        key = desk, messages[0].id if messages else None
        return of_claims(key, claimed(messages), self._backend.workspace.identity, first=first)

    def _shown(self, call: Any, answer: Any, notes: Sequence[Noted]) -> Any:
        """`answer` with a claim of what it shows; or with the difference in its place."""
        if not notes or not isinstance(answer, ToolMessage) or answer.status == "error":
            return answer
        path = call["args"].get("file_path", "")
        try:
            said, claim = self._backend.run.answer(call["id"], notes[-1], path, answer.text)
        except ToolkitError:  # nothing is proved
            return answer
        content = answer.content if said == answer.text else said
        return answer.model_copy(update={"content": content, "artifact": claim})


def _kept(run: Rereads | None, found: Closed, response: Any) -> Any:
    """`response` after the news that stay; its calls come from this prompt."""
    calls = (call for message in response.result for call in getattr(message, "tool_calls", ()))
    if run is not None:
        run.came((call["id"] for call in calls), found.held)
    return replace(response, result=[*found.stays, *response.result]) if found.stays else response
