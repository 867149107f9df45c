"""An immutable map from counts to values, for queues that a state shares with its successors.

A state may not be changed, and a tuple of ten thousand entries may not be copied at every step. A
window is a radix tree of 32-wide tuples over the smallest aligned block that holds all keys
(Bagwell, "Ideal Hash Trees", 2001, without the hashing: the keys are counts and lie close
together).  A change copies one path: one node for up to 32 neighbouring keys, three for thirty
thousand.

Equal contents are equal trees whatever their history, so that states compare and hash by value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from message_passing.process import Value

V = TypeVar("V")

BITS = 5
WIDTH = 1 << BITS
MASK = WIDTH - 1
_NONE: list[None] = [None] * WIDTH
_BARE: tuple[Any, ...] = (None,) * WIDTH


class Window(Value, Generic[V], frozen=True, gc=False, tag=True):
    """Values by count.  `root` covers the keys whose bits above `shift + BITS` are `prefix`."""

    prefix: int = 0
    shift: int = 0
    root: tuple[Any, ...] | None = None

    def get(self, key: int) -> V | None:
        """The value at `key`, or None."""
        shift, node = self.shift, self.root
        if node is None or key >> shift + BITS != self.prefix:
            return None
        while shift:
            node = node[key >> shift & MASK]
            if node is None:
                return None
            shift -= BITS
        value: V | None = node[key & MASK]
        return value

    def put(self, key: int, value: V) -> Window[V]:
        """With `value`, which is not None, at `key`."""
        prefix, shift, root = self.prefix, self.shift, self.root
        if root is None:
            prefix, shift, root = key >> BITS, 0, _BARE
        while key >> shift + BITS != prefix:
            root = _with(_BARE, prefix & MASK, root)
            prefix >>= BITS
            shift += BITS
        # The first level of `_put`, usually the only one: a put is half the cost of a step.
        copy = [*root]
        if shift:
            place = key >> shift & MASK
            copy[place] = _put(root[place] or _BARE, shift - BITS, key, value)
        else:
            copy[key & MASK] = value
        return Window(prefix, shift, tuple(copy))

    def drop(self, key: int) -> Window[V]:
        """Without `key`, which is present."""
        prefix, shift, root = self.prefix, self.shift, self.root
        assert root is not None
        node = _drop(root, shift, key)
        if node is None:
            return EMPTY
        # Only a block that has lost a child can be larger than its contents need.
        lost = shift and node[key >> shift & MASK] is None
        while lost and shift and node.count(None) == MASK:
            place, node = next((i, n) for i, n in enumerate(node) if n is not None)
            prefix = prefix << BITS | place
            shift -= BITS
        return Window(prefix, shift, node)

    def first(self, start: int, stop: int | None = None) -> tuple[int, V] | None:
        """The smallest key not below `start`, with its value; no key is `stop` or above."""
        if start == stop:
            return None
        prefix, shift, root = self.prefix, self.shift, self.root
        if root is None:
            return None
        if start >> shift + BITS == prefix:
            # Usually it is at `start` itself, or near it in the same leaf.
            node, above = root, shift
            while above and node is not None:
                node = node[start >> above & MASK]
                above -= BITS
            if node is not None:
                value = node[start & MASK]
                if value is not None:
                    return start, value
                for place in range((start & MASK) + 1, WIDTH):
                    value = node[place]
                    if value is not None:
                        return (start & ~MASK) + place, value
            start = (start | MASK) + 1
        if start >> shift + BITS > prefix:
            return None
        lowest = prefix << shift + BITS
        return _first(root, shift, max(start, lowest), lowest)

    def items(self) -> Iterator[tuple[int, V]]:
        """All entries, in the order of the keys."""
        found = self.first(0)
        while found is not None:
            yield found
            found = self.first(found[0] + 1)

    def __repr__(self) -> str:
        """The contents, not the tree."""
        return f"Window({dict(self.items())!r})"


EMPTY: Window[Any] = Window()


def _with(node: tuple[Any, ...], place: int, value: Any) -> tuple[Any, ...]:
    copy = [*node]
    copy[place] = value
    return tuple(copy)


def _put(node: tuple[Any, ...], shift: int, key: int, value: Any) -> tuple[Any, ...]:
    place = key >> shift & MASK
    copy = [*node]
    copy[place] = _put(node[place] or _BARE, shift - BITS, key, value) if shift else value
    return tuple(copy)


def _drop(node: tuple[Any, ...], shift: int, key: int) -> tuple[Any, ...] | None:
    place = key >> shift & MASK
    copy: list[Any] = [*node]
    copy[place] = _drop(node[place], shift - BITS, key) if shift else None
    # This stops at the first entry, where a count would compare all of them with None.
    return None if copy == _NONE else tuple(copy)


def _first(node: tuple[Any, ...], shift: int, start: int, lowest: int) -> tuple[int, Any] | None:
    # `lowest` is the first key that `node` covers; `start` is not below it.
    for place in range((start - lowest) >> shift, WIDTH):
        child = node[place]
        if child is None:
            continue
        low = lowest + (place << shift)
        if shift == 0:
            return low, child
        found = _first(child, shift - BITS, max(start, low), low)
        if found is not None:
            return found
    return None
