"""Questions about packed states, asked once for each way of looking at them.

A pure question looks at one slot after another, and which it looks at next depends on what it has
seen.  So its answers make a decision tree: equal values along a way down mean an equal answer, and
slots that were not looked at on that way may hold anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from specs.checker.layout import Layout, Observed

A = TypeVar("A")

#: A tree is given up where its question does not repeat itself.
ANSWERS_MAX = 1 << 20


class Look:
    """A slot that is looked at, and what follows by the bits that it holds: a look or an answer."""

    __slots__ = ("below", "slot")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.below: dict[int, Any] = {}


class Decisions(Generic[A]):
    """The answers of one question so far.  `ask` must be pure; an answer may be all but None."""

    def __init__(self, layout: Layout, ask: Callable[[Observed, int], A]) -> None:
        self._layout = layout
        self._ask = ask
        self._top: dict[int, Any] = {}
        self._answers = 0
        #: All slots that it looked at on any way.
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
        above, key = self._top, 0
        for slot in observed.looks:
            node = above.get(key)
            if node.__class__ is not Look or node.slot != slot:
                node = above[key] = Look(slot)
            above, key = node.below, packed & self._layout.masks[slot]
        above[key] = answer
        return answer
