"""The edits of `coherence.delta.edits`, found faster where lines are repeated.

The shipped difference matches the longest block that two texts share, the first such block, and
then what is left and right of it.  `difflib` compares every pair of equal lines for that, and blank
lines alone make many pairs.  Most blocks have a line that both texts have once.  So the longest of
these is found first, in one pass; only runs of repeated lines that are as long are compared in
pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from coherence.delta import MATCHED_LINES_MAX


class Replaced(NamedTuple):
    """The lines `start` to `stop` of the old text become the lines `first` to `end` of the new."""

    start: int
    stop: int
    first: int
    end: int


def replaced(old: str, new: str) -> Iterator[Replaced]:
    """Yield how to make `new` from `old`; each character is a line."""
    head, shortest = 0, min(len(old), len(new))
    while head < shortest and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < shortest - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    a, b = old[head : len(old) - tail], new[head : len(new) - tail]
    if max(len(a), len(b)) > MATCHED_LINES_MAX:
        yield Replaced(head, head + len(a), head, head + len(b))
        return
    i = j = 0
    for x, y, size in [*_Pair(a, b).blocks(), (len(a), len(b), 0)]:
        if i < x or j < y:
            yield Replaced(head + i, head + x, head + j, head + y)
        i, j = x + size, y + size


class _Pair:
    """Two texts without their common head and tail."""

    def __init__(self, a: str, b: str) -> None:
        self._a, self._b = a, b
        self._places: dict[str, list[int]] = {}
        for place, line in enumerate(b):
            self._places.setdefault(line, []).append(place)
        counts, none = Counter(a), -1
        # For each line of a: its place in b if both have it once, -2 if repeated, -1 if not in b.
        self._twin = [none] * len(a)
        for i, line in enumerate(a):
            found = self._places.get(line)
            if found is not None:
                self._twin[i] = found[0] if len(found) == 1 and counts[line] == 1 else -2

    def blocks(self) -> list[tuple[int, int, int]]:
        """The blocks that are equal, as (place in a, place in b, lines), in their order."""
        found = []
        left = [(0, len(self._a), 0, len(self._b))]
        while left:
            alo, ahi, blo, bhi = left.pop()
            if alo == ahi or blo == bhi:
                continue
            i, j, size = self._longest(alo, ahi, blo, bhi)
            if size:
                found.append((i, j, size))
                left.append((alo, i, blo, j))
                left.append((i + size, ahi, j + size, bhi))
        found.sort()
        return found

    def _longest(self, alo: int, ahi: int, blo: int, bhi: int) -> tuple[int, int, int]:
        """The first of the longest blocks that both parts share."""
        a, b, twin = self._a, self._b, self._twin
        best_i, best_j, best = alo, blo, 0
        i, run, runs = alo, alo, []
        while i < ahi:
            j = twin[i]
            if j == -2:
                i += 1
                continue
            if i - run >= best and i > run:
                runs.append((run, i))
            if blo <= j < bhi:
                first, x = i, j
                while first > alo and x > blo and a[first - 1] == b[x - 1]:
                    first, x = first - 1, x - 1
                end, y = i + 1, j + 1
                while end < ahi and y < bhi and a[end] == b[y]:
                    end, y = end + 1, y + 1
                if end - first > best:
                    best_i, best_j, best = first, x, end - first
                # A run inside the block is shorter; one may begin there and reach beyond its end.
                i = run = end
                while twin[run - 1] == -2:
                    run -= 1
            else:
                i = run = i + 1
        if ahi - run >= best and ahi > run:
            runs.append((run, ahi))
        for start, stop in runs:
            if stop - start >= best:
                i, j, size = self._in_run(start, stop, blo, bhi)
                if size > best or (size == best and size and (i, j) < (best_i, best_j)):
                    best_i, best_j, best = i, j, size
        return best_i, best_j, best

    def _in_run(self, start: int, stop: int, blo: int, bhi: int) -> tuple[int, int, int]:
        """The first of the longest blocks of repeated lines."""
        a, places = self._a, self._places
        best_i, best_j, best = start, blo, 0
        ending: dict[int, int] = {}
        for i in range(start, stop):
            now: dict[int, int] = {}
            for j in places[a[i]]:
                if blo <= j < bhi:
                    size = now[j] = ending.get(j - 1, 0) + 1
                    if size > best:
                        best_i, best_j, best = i - size + 1, j - size + 1, size
            ending = now
        return best_i, best_j, best
