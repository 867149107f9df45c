"""A chat model that plays a script, so that LangGraph agents run here without a key.

It is LangChain's own fake, with its prompts kept and its tools bound to nothing.  Each turn is an
answer, one tool call ``(tool, arguments)``, a list of calls to be made at once, or a function of
the messages that gives one of these.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage

from coherence.tokens import Counter, Estimate


class Scripted(GenericFakeChatModel):
    """Plays a script, and keeps every prompt."""

    prompts: list[list[BaseMessage]]

    def bind_tools(self, tools: Any, **settings: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *rest: Any, **settings: Any) -> Any:
        self.prompts.append(list(messages))
        return super()._generate(messages, *rest, **settings)

    def prompt_tokens(self, counter: Counter | None = None) -> int:
        """Tokens of all prompts so far, tool calls included."""
        tokens = (counter or Estimate()).count
        return sum(
            tokens(message.text + str(getattr(message, "tool_calls", None) or ""))
            for prompt in self.prompts
            for message in prompt
        )


def model(name: str | None, turns: Sequence[Any]) -> Any:
    """The model called `name`, such as ``openai:gpt-4o``; without a name one that plays `turns`."""
    if name is not None:
        from langchain.chat_models import init_chat_model

        return init_chat_model(name)
    scripted = Scripted(messages=iter(()), prompts=[])
    scripted.messages = _played(turns, scripted)
    return scripted


def _played(turns: Sequence[Any], scripted: Scripted) -> Iterator[AIMessage]:
    number = count(1)
    for given in turns:
        turn = given(scripted.prompts[-1]) if callable(given) else given
        if isinstance(turn, str):
            yield AIMessage(turn)
            continue
        calls = turn if isinstance(turn, list) else [turn]
        yield AIMessage(
            "",
            tool_calls=[
                {"name": tool, "args": arguments, "id": f"call_{next(number)}"}
                for tool, arguments in calls
            ],
        )
