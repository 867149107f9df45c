"""Counts the tokens of texts and of the lines of differences, each distinct line once.

An exact count of a text is the sum of counts of its *chunks*: a line with the blank lines after it.
The vocabularies of recent models split before each line that is not blank and does not begin with a
slash, so that the sum is the count of the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, Literal, Protocol, TypeAlias, get_args

from coherence.simulate.replay.history import BYTES, EXACT, Measure
from coherence.tokens import ENCODING, Estimate, exact, installed

Tokens: TypeAlias = Literal["exact", "estimate"]
TOKENS: Final[tuple[Tokens, ...]] = get_args(Tokens)

REMEMBERED_MAX: Final = 2_000_000
"""Chunks whose count is remembered."""

_CHUNK: Final = re.compile(r"[^\n]*\n(?:[^\S\n]*\n|/[^\n]*\n)*|[^\n]+\Z")


class LineCounter(Protocol):
    """Counts in the units of its measure."""

    measure: Measure

    def text(self, text: str) -> int:
        """The tokens of a whole text."""
        ...

    def added(self, line: str) -> int:
        """The units of a line that a difference adds."""
        ...

    def removed(self, line: str) -> int:
        """The units of a line that a difference removes."""
        ...


def counter(tokens: Tokens | None) -> LineCounter:
    """The counter that was asked for; None is exact where a tokenizer is installed.

    Raises `coherence.tokens.TokenizerMissing`.
    """
    if tokens == "estimate" or (tokens is None and isinstance(installed(), Estimate)):
        return _ByBytes()
    return _ByTokenizer(exact(ENCODING).count)


def _marked(mark: str, line: str) -> str:
    return f"{mark}{line}" if line.endswith("\n") else f"{mark}{line}\n\\ no newline at the end\n"


class _ByBytes:
    measure = BYTES

    def text(self, text: str) -> int:
        return Estimate().count(text)

    def added(self, line: str) -> int:
        return len(_marked("+", line).encode())

    removed = added


class _ByTokenizer:
    measure = EXACT

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._chunks = _Remembered(count)

    def text(self, text: str) -> int:
        if len(self._chunks) > REMEMBERED_MAX:
            self._chunks.clear()
        return self._chunks.total(_CHUNK.findall(text))

    def added(self, line: str) -> int:
        return self._count(_marked("+", line))

    def removed(self, line: str) -> int:
        return self._count(_marked("-", line))


class _Remembered(dict[str, int]):
    """Counts by text."""

    def __init__(self, count: Callable[[str], int]) -> None:
        super().__init__()
        self._count = count

    def __missing__(self, text: str) -> int:
        found = self[text] = self._count(text)
        return found

    def total(self, texts: Iterable[str]) -> int:
        """The sum of the counts of all texts."""
        return sum(map(self.__getitem__, texts))
