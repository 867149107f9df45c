"""Orders of replicas by their keys: ties, and all ways to break them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, permutations, product

#: Orders of tied replicas to try.
ORDERS_MAX = 720


def neighbours(keys: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs of places with equal keys, enough of them to link all equal ones."""
    last: dict[int, int] = {}
    for place, key in enumerate(keys):
        if key in last:
            yield last[key], place
        last[key] = place


def orders_of(keys: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All ways to sort `keys`, as the new place of each; at most about `ORDERS_MAX`."""
    groups: dict[int, list[int]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(key, []).append(place)
    ranked = [groups[key] for key in sorted(groups)]
    arrangements = product(*(permutations(group) for group in ranked))
    for arrangement in islice(arrangements, ORDERS_MAX):
        places = [0] * len(keys)
        new = 0
        for group in arrangement:
            for old in group:
                places[old] = new
                new += 1
        yield tuple(places)
