"""Messages of AutoGen as a conversation that proves something, and notes put in their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from autogen_core import FunctionCall
from autogen_core.models import LLMMessage

from coherence.context.evidence import Passage, Said, given, given_anew

Place: TypeAlias = tuple[int, int]
"""The index of a message, and that of a part in it."""


def said(messages: Sequence[LLMMessage]) -> Iterator[Said[Place]]:
    """What `messages` hold, for `survey`."""
    for i, message in enumerate(messages):
        parts: Any = [message] if isinstance(message.content, str) else message.content
        for j, part in enumerate(parts):
            if isinstance(part, FunctionCall):
                yield Said((i, j), given(part.arguments), given=True)
            else:
                yield Said((i, j), str(getattr(part, "content", "")))


def rewritten(
    messages: Sequence[LLMMessage], notes: Mapping[Passage[Place], str]
) -> list[LLMMessage]:
    """A copy of `messages` that has `notes` where they belong; the originals stay as they are."""
    made: list[Any] = list(messages)
    for ((i, j), old), new in notes.items():
        made[i] = message = made[i].model_copy(deep=True)
        part = message if isinstance(message.content, str) else message.content[j]
        if isinstance(part, FunctionCall):
            part.arguments = given_anew(part.arguments, new)
        else:
            part.content = part.content.replace(old, new)
    return made
