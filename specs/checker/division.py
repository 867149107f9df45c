"""Which process owns a state: a function of the values of few slots.

The slots are chosen on a sample so that most steps leave them as they are.  The target of such a
step has the owner of its source, and no process has to be told of it (after Lerda and Sisto,
"Distributed-Memory Model Checking with SPIN", SPIN 1999).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from specs.checker.part import owner_of
from specs.checker.tables import Tables

#: States that show how well some slots divide, and slots that are tried in pairs.
SAMPLE, PAIRED = 256, 6


class Division:
    """The slots that decide which process owns a state."""

    def __init__(self, tables: Tables, sample: Sequence[int], parts: int) -> None:
        self._tables = tables
        self._parts = parts
        steps = [(packed, target) for packed in sample for _, target in tables.successors(packed)]
        single: list[set[int]] = [{slot} for slot in range(tables.layout.slots)]
        single.sort(key=lambda slots: self._cost(slots, sample, steps))
        few = single[:PAIRED]
        pairs = [one | other for one, other in combinations(few, 2)]
        several = [*few[:1], *pairs, set(range(tables.layout.slots))]
        self.slots = min(several, key=lambda slots: self._cost(slots, sample, steps))

    @property
    def mask(self) -> int:
        """The bits of these slots."""
        return self._tables.layout.mask_of(self.slots)

    def owner(self, packed: int) -> int:
        """The process that owns a state."""
        return owner_of(packed & self.mask, self._parts)

    def _cost(
        self, slots: set[int], sample: Sequence[int], steps: Sequence[tuple[int, int]]
    ) -> float:
        """The time of the busiest process: a step to another process counts twice.

        The fewer the keys, the less does their balance on a sample say of the states to come.
        """
        mask, parts = self._tables.layout.mask_of(slots), self._parts
        owned = [0] * parts
        for packed in sample:
            owned[owner_of(packed & mask, parts)] += 1
        crossing = sum(
            (before ^ after) & mask != 0
            and owner_of(before & mask, parts) != owner_of(after & mask, parts)
            for before, after in steps
        )
        keys = len({packed & mask for packed in sample})
        return max(owned) / len(sample) * (1 + crossing / max(1, len(steps))) * (1 + 1 / keys)
