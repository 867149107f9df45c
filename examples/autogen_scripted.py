"""A model that plays a script, so that AutoGen teams run here without a key.

It is AutoGen's own `ReplayChatCompletionClient`.  Each turn is an answer, one tool call ``(tool,
arguments)``, a list of them to be made at once, or a function of the messages that gives one.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from autogen_core import EVENT_LOGGER_NAME, FunctionCall
from autogen_core.models import (
    CreateResult,
    FunctionExecutionResultMessage,
    ModelInfo,
    RequestUsage,
)
from autogen_ext.models.replay import ReplayChatCompletionClient

from coherence.tokens import installed

Turn = str | tuple[str, dict[str, Any]] | list[tuple[str, dict[str, Any]]] | Callable[..., Any]

# AutoGen's replay warns at each prompt that it counts no tokens of tool calls; `spent` does.
logging.getLogger(EVENT_LOGGER_NAME).setLevel(logging.ERROR)

INFO = ModelInfo(
    vision=False,
    function_calling=True,
    json_output=False,
    family="unknown",
    structured_output=False,
)


class Scripted(ReplayChatCompletionClient):
    """Plays `turns`, and keeps every prompt in `create_calls`."""

    async def create(self, messages: Any, **options: Any) -> CreateResult:
        turn: Any = self.chat_completions[self._current_index]
        if callable(turn):
            turn = turn(messages)
            if hasattr(turn, "__await__"):
                turn = await turn
        self.chat_completions[self._current_index] = self._completion(turn)
        options.pop("cancellation_token", None)  # of a run that is over nothing should be kept
        return await super().create(messages, **options)

    def _completion(self, turn: Any) -> str | CreateResult:
        if isinstance(turn, str):
            return turn
        calls = [
            FunctionCall(
                f"call {self._current_index}.{place}", msgspec.json.encode(arguments).decode(), tool
            )
            for place, (tool, arguments) in enumerate(turn if isinstance(turn, list) else [turn])
        ]
        usage = RequestUsage(prompt_tokens=0, completion_tokens=0)
        return CreateResult(
            finish_reason="function_calls", content=calls, usage=usage, cached=False
        )

    @property
    def prompts(self) -> list[list[Any]]:
        """The messages of every call so far."""
        return [list(call["messages"]) for call in self.create_calls]


def texts(message: Any) -> list[str]:
    """What a message puts into a prompt."""
    if isinstance(message.content, str):
        return [message.content]
    return [
        part.arguments if isinstance(part, FunctionCall) else part.content
        for part in message.content
    ]


def answers(messages: Sequence[Any]) -> list[str]:
    """What tools have answered so far, oldest first; the last message may be another, of news."""
    return [
        result.content
        for message in messages
        if isinstance(message, FunctionExecutionResultMessage)
        for result in message.content
    ]


def spent(client: Any) -> int:
    """Tokens of all prompts so far, calls and results included; real models say it themselves."""
    if not isinstance(client, Scripted):
        return int(client.total_usage().prompt_tokens)
    count = installed().count
    return sum(count(text) for prompt in client.prompts for m in prompt for text in texts(m))


def model(name: str | None, turns: Sequence[Turn]) -> Any:
    """The OpenAI model called `name`; without a name one that plays `turns`."""
    if name is None:
        return Scripted(list(turns), INFO)  # type: ignore[arg-type]
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    return OpenAIChatCompletionClient(model=name)
