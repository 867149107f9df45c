"""A model that plays a script, so that CrewAI teams run here without a key.

Each turn is an answer, one tool call ``(tool, arguments)``, a list of them to be made at once, or a
function of the messages that gives one of these.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from crewai import BaseLLM
from pydantic import Field

from coherence.tokens import Counter, Estimate

Turn = str | tuple[str, dict[str, Any]] | list[tuple[str, dict[str, Any]]] | Callable[..., Any]


class Scripted(BaseLLM):
    """Plays `turns`, by function calls or in CrewAI's text loop, and keeps every prompt."""

    turns: list[Any]
    native: bool = True
    window_tokens: int = 1_000_000
    prompts: list[list[dict[str, Any]]] = Field(default_factory=list)

    def call(self, messages: Any, tools: Any = None, *_: Any, **__: Any) -> Any:
        self.prompts.append([dict(message) for message in messages])
        turn = self.turns.pop(0)
        if callable(turn):
            turn = turn(messages)
        if isinstance(turn, str):
            return turn if self.native else f"Thought: done\nFinal Answer: {turn}"
        calls = turn if isinstance(turn, list) else [turn]
        if not self.native:
            ((tool, arguments),) = calls
            return f"Thought: go\nAction: {tool}\nAction Input: {_json(arguments)}"
        return [
            {
                "id": f"call_{len(self.prompts)}_{place}",
                "type": "function",
                "function": {"name": tool, "arguments": _json(arguments)},
            }
            for place, (tool, arguments) in enumerate(calls)
        ]

    async def acall(self, messages: Any, *arguments: Any, **named: Any) -> Any:
        if "<summary>" in str(messages):  # CrewAI asks for one where a conversation grows too long
            return "<summary>So far I have read plan.md@1.</summary>"
        return self.call(messages, *arguments, **named)

    def supports_function_calling(self) -> bool:
        return self.native

    def get_context_window_size(self) -> int:
        return self.window_tokens

    def get_input_tokens_count(self, messages: Any, *_: Any) -> int:
        return Estimate().count(str(messages))

    def prompt_tokens(self, counter: Counter | None = None) -> int:
        """Tokens of all prompts so far, tool calls included."""
        count = (counter or Estimate()).count
        return sum(
            count(str(message.get("content") or "") + _json(message.get("tool_calls")))
            for prompt in self.prompts
            for message in prompt
        )


def answers(messages: Sequence[Any]) -> list[str]:
    """What tools have answered so far, oldest first, where the model calls functions."""
    return [str(message["content"]) for message in messages if message["role"] == "tool"]


def model(name: str | None, turns: Sequence[Turn], *, native: bool = True) -> Any:
    """The model called `name`, such as ``openai/gpt-4o``; without a name one that plays `turns`."""
    return name or Scripted(model="scripted", turns=list(turns), native=native)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
