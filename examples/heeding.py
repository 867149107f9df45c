"""A scripted model that heeds what its prompt says: it reads only what it has not been shown."""

import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from coherence.context.notices import NOTICE

_OUTDATED = re.compile(
    r"^(\S+) was (?:changed|deleted) by .*; you were last shown \S+@(\d+)\.$", re.MULTILINE
)


def newest(texts: Sequence[str], name: str) -> int:
    """The newest version of which a prompt has a text; 0 for none."""
    refs = re.compile(rf'(?:<artifact ref="|\[){re.escape(name)}@(\d+)(?="|\]|:| is written)')
    return max((int(n) for text in texts for n in refs.findall(text)), default=0)


def believed(texts: Sequence[str], name: str) -> int:
    """The version that a prompt shows as current; 0 if it shows none, or says it is outdated."""
    version = newest(texts, name)
    said = [
        int(n)
        for text in texts
        if text.startswith(NOTICE)
        for found, n in _OUTDATED.findall(text)
        if found == name
    ]
    return 0 if max(said, default=0) >= version else version


def heeding(
    turns: Sequence[Any], name: str, texts: Callable[[Any], Sequence[str]]
) -> Sequence[Any]:
    """The turns without reads of `name` while the prompt shows it; `texts` are a prompt's."""
    left = deque(turns)

    def play(messages: Any) -> Any:
        while True:
            turn = left.popleft()
            turn = turn(messages) if callable(turn) else turn
            is_read = isinstance(turn, tuple) and turn[0] == "read_artifact"
            if not (is_read and believed(texts(messages), name)):
                return turn

    return [play] * len(turns)
