"""Words of a closed list, as options of a command take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from coherence.simulate.errors import UnknownChoice, nearest

W = TypeVar("W", bound=str)


def chosen(option: str, word: str, known: Sequence[W]) -> W:
    """The word of `known` that was given.  Raises `UnknownChoice`."""
    for allowed in known:
        if word == allowed:
            return allowed
    hint = nearest(word, known)
    raise UnknownChoice(f"{option} {word!r}: unknown{hint}; allowed are {', '.join(known)}")
