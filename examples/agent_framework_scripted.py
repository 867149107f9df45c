"""A chat client that plays a script, so that agents of Agent Framework run here without a key.

Each turn is an answer, or a list of tool calls ``(tool, arguments)`` made at once, or a function,
also a coroutine function, that gives one.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import isawaitable
from itertools import count
from typing import Any

from agent_framework import (
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    Content,
    FunctionInvocationLayer,
    Message,
)

Turn = str | list[tuple[str, dict[str, Any]]] | Callable[[], Any]


class Script(FunctionInvocationLayer, ChatMiddlewareLayer, BaseChatClient):
    """Plays `turns`; the last one again and again."""

    def __init__(self, *turns: Turn, **settings: Any) -> None:
        super().__init__(**settings)
        self._turns, self._calls = list(turns), count(1)
        #: The answer of each tool call, in order.
        self.answers: dict[str, str] = {}

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **_: Any
    ) -> Awaitable[ChatResponse]:
        return self._play(messages)

    async def _play(self, messages: Sequence[Message]) -> ChatResponse:
        for message in messages:
            for content in message.contents:
                if content.type == "function_result":
                    self.answers[str(content.call_id)] = str(content.result)
        turn: Any = self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]
        turn = turn() if callable(turn) else turn
        turn = await turn if isawaitable(turn) else turn
        said = [turn] if isinstance(turn, str) else [self._call(*each) for each in turn]
        return ChatResponse(messages=[Message(role="assistant", contents=said)])

    def _call(self, name: str, arguments: dict[str, Any]) -> Content:
        return Content.from_function_call(f"call-{next(self._calls)}", name, arguments=arguments)
