"""Questions about packed states, asked once for each path through a decision tree.

A pure question reads one slot after another, and the next slot depends on the values read.  So its
answers form a decision tree.  Equal values along a path mean an equal answer, whatever the slots
that the path does not read hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from specs.checker.layout import Observed, Packing

A = TypeVar("A")

#: A tree is given up if its answers rarely repeat.
ANSWERS_MAX = 1 << 20


class Look:
    """A slot that is read, and the next node or the answer for each value of its bits."""

    __slots__ = ("below", "slot")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.below: dict[int, Any] = {}


class Decisions(Generic[A]):
    """The answers of one question so far.  `ask` must be pure; an answer is never None."""

    def __init__(self, layout: Packing, ask: Callable[[Observed, int], A]) -> None:
        self._layout = layout
        self._ask = ask
        self._top: dict[int, Any] = {}
        self._answers = 0
        #: All slots that it read on any path.
        self.slots: set[int] = set()

    def __call__(self, packed: int) -> A:
        """The answer in a state.  May add to `slots`."""
        masks = self._layout.masks
        node = self._top.get(0)
        while node.__class__ is Look:
            node = node.below.get(packed & masks[node.slot])
        answer: A = self._fill(packed) if node is None else node
        return answer

    def _fill(self, packed: int) -> A:
        observed = Observed(self._layout, packed)
        answer = self._ask(observed, packed)
        self.slots.update(observed.looks)
        if self._answers >= ANSWERS_MAX:
            self._top, self._answers = {}, 0
        self._answers += 1
        above, key, masks = self._top, 0, self._layout.masks
        for slot in observed.looks:
            node = above.get(key)
            if node.__class__ is not Look or node.slot != slot:
                node = above[key] = Look(slot)
            above, key = node.below, packed & masks[slot]
        above[key] = answer
        return answer
