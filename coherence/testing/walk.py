"""Random schedules, for what is left when the budget of a search is spent."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from coherence.testing.moves import Access, Move


class Walk:
    """Random schedules from a seed, without end."""

    is_complete = False

    def __init__(self, seed: int) -> None:
        self._seed, self._runs = seed, 0

    def begin(self) -> None:
        """See `Search.begin`."""
        self._random = random.Random(f"{self._seed}/{self._runs}")
        self._runs += 1

    def choose(self, ready: Mapping[int, Access], moves: Sequence[Move]) -> int:
        """See `Search.choose`."""
        return self._random.choice(list(ready))

    def end(self, moves: Sequence[Move]) -> bool:
        """See `Search.end`."""
        return True
