"""The jugs of the film "Die Hard 3": measure out a goal with two jugs, a tap and a sink.

Lamport's first example, as a plain model: a state is the water in the small and in the big jug.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from specs.checker.model import Model, reachable

Jugs: TypeAlias = tuple[int, int]


def die_hard(small: int = 3, big: int = 5, goal: int = 4) -> Model[Jugs, Jugs]:
    """Can the big jug hold exactly `goal`?  The witness shows the steps."""

    def actions(jugs: Jugs) -> Iterator[tuple[str, Jugs]]:
        in_small, in_big = jugs
        yield "FillSmall", (small, in_big)
        yield "FillBig", (in_small, big)
        yield "EmptySmall", (0, in_big)
        yield "EmptyBig", (in_small, 0)
        poured = min(in_small, big - in_big)
        yield "SmallToBig", (in_small - poured, in_big + poured)
        poured = min(in_big, small - in_small)
        yield "BigToSmall", (in_small + poured, in_big - poured)

    return Model("die-hard", [(0, 0)], actions, [reachable("measured", lambda j: j[1] == goal)])
