"""Threads that expand states together.  The kernel releases Python's lock while it runs.

The table of states and the arrays are shared: a thread claims the place of a new state, takes the
next row for it, and publishes the row when it is written (after Laarman, van de Pol and Weber,
"Boosting Multi-Core Reachability Performance with Shared Hash Tables", FMCAD 2010, section 3).
So the rows have no gaps, whichever thread finds a state, and a level is a range of rows.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from specs.checker import kernel
from specs.checker.interrupts import interrupts_held
from specs.checker.maps import CHUNK

#: Fewer states than this are expanded faster by one thread: the others have to be woken.
SHARED_FROM = 8_192
#: The states that a thread takes at once.
BLOCK = 256


class Expanded(NamedTuple):
    """What became of some states."""

    #: Rows of states without successors.
    dead: Any
    #: Rows of states whose tables miss an entry, or for which an array is too small.
    postponed: Any
    #: Rows that no thread has taken, for the same reason.
    left: Any
    generated: int
    #: Whether a state has more successors than a thread has room for.
    is_short: bool


class Scratch:
    """The arrays that one thread writes alone."""

    def __init__(self, successors: int, words: int) -> None:
        self.out = np.zeros((successors, words), np.uint64)
        self.names = np.zeros(successors, np.int32)
        self.places = np.zeros(successors, np.int64)
        self.dead = np.zeros(CHUNK, np.int64)
        self.later = np.zeros(CHUNK, np.int64)


class Crew:
    """So many threads, the calling one included.  The others live until `dismiss`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._pool: ThreadPoolExecutor | None = None
        self._counters = np.zeros(kernel.COUNTERS, np.int64)
        self._scratch: list[Scratch] = []
        #: How many threads have worked at once so far.
        self.used = 1

    def equip(self, successors: int, words: int) -> None:
        """Give each thread room for so many successors of one state."""
        self._scratch = [Scratch(successors, words) for _ in range(self._size)]

    @property
    def margin(self) -> int:
        """How many states may be added at once: an array with less room is full."""
        return self._size * len(self._scratch[0].out)

    def expand(self, maps: Any, states: Any, edges: Any, kept: int, todo: Any) -> Expanded:
        """Add the successors of at most `CHUNK` states.  So many edges are `kept` already."""
        size = self._size if len(todo) >= SHARED_FROM else 1
        self.used = max(self.used, size)
        counters = self._counters
        counters[kernel.KNOWN], counters[kernel.EDGES] = states.known, kept
        counters[kernel.TAKEN] = counters[kernel.FULL] = 0
        arrays = (maps.view, maps.bundles, maps.entries, states.rows, states.parents, states.table)

        def work(scratch: Scratch) -> tuple[Any, Any, int, bool]:
            ends, put_off, generated, is_short = kernel.expand(
                *arrays,
                edges.view,
                todo,
                maps.dims,
                counters,
                self._size,
                BLOCK,
                scratch.out,
                scratch.names,
                scratch.places,
                scratch.dead,
                scratch.later,
            )
            return scratch.dead[:ends], scratch.later[:put_off], generated, is_short

        with interrupts_held():
            if self._pool is None:
                self._pool = ThreadPoolExecutor(max(1, self._size - 1))
            others = [self._pool.submit(work, each) for each in self._scratch[1:size]]
            done = [work(self._scratch[0])]
            # One that has not begun, on a busy machine, has nothing left to do.
            done += [other.result() for other in others if not other.cancel()]
            states.known = int(counters[kernel.KNOWN])
        dead, postponed, generated, is_short = zip(*done, strict=True)
        return Expanded(
            np.concatenate(dead),
            np.concatenate(postponed),
            todo[counters[kernel.TAKEN] :],
            sum(generated),
            any(is_short),
        )

    def dismiss(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
