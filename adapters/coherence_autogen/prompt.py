"""AutoGen's messages as a conversation for `survey`, and its notes put into the messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from autogen_core import FunctionCall
from autogen_core.models import LLMMessage

from coherence.context.evidence import Passage, Said, given, given_anew

Place: TypeAlias = tuple[int, int, int]
"""The index of a message, of a part in it, and of a text in a call."""


def said(messages: Sequence[LLMMessage]) -> Iterator[Said[Place]]:
    """The texts of `messages`, for `survey`."""
    for i, message in enumerate(messages):
        parts: Any = [message] if isinstance(message.content, str) else message.content
        for j, part in enumerate(parts):
            if isinstance(part, FunctionCall):
                for k, text in enumerate(given(part.arguments)):
                    yield Said((i, j, k), text, given=True)
            else:
                text, tool = getattr(part, "content", ""), getattr(part, "name", "")
                yield Said((i, j, 0), str(text), tool=tool)


def rewritten(
    messages: Sequence[LLMMessage], notes: Mapping[Passage[Place], str]
) -> list[LLMMessage]:
    """A copy of `messages` with `notes` in place of passages; the originals stay unchanged."""
    made: list[Any] = list(messages)
    for ((i, j, k), old), new in notes.items():
        made[i] = message = made[i].model_copy(deep=True)
        part = message if isinstance(message.content, str) else message.content[j]
        if isinstance(part, FunctionCall):
            part.arguments = given_anew(part.arguments, new, k)
        else:
            part.content = part.content.replace(old, new)
    return made
