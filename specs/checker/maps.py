"""The tables of `specs.checker.tables` as arrays that Python fills and the kernel reads."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np

from specs.checker import kernel
from specs.checker.predicates import Panel
from specs.checker.tables import Bundle, Entry, Tables, UpdateTable

WORD = 64
WORD_MASK = (1 << WORD) - 1
FIRST_BITS, PREDICATE_BITS = 4, 14

#: Rows that the kernel takes at once, about a tenth of a second, and keys that it may list.
CHUNK = 1 << 17
MISSING_MAX = 1 << 15
#: No answers wanted.
NONE = np.zeros(0, np.int32)

Source: TypeAlias = Bundle | UpdateTable | Panel


class TooNarrow(Exception):
    """The layout has outgrown the words of a state: widen them and continue."""


class Growing:
    """An array with room at its end.  `data` may be replaced whenever something is added."""

    def __init__(self, kind: Any, width: int = 0) -> None:
        self.size = 0
        self._shape = (width,) if width else ()
        self.data: Any = np.zeros((64, *self._shape), kind)
        self._waiting: list[Any] = []

    def extend(self, count: int, fill: Any) -> int:
        """Append `count` rows of `fill`; the place of the first."""
        start, self.size = self.size, self.size + count
        if self.size > len(self.data):
            larger = np.zeros((2 * self.size, *self._shape), self.data.dtype)
            larger[:start] = self.data[:start]
            self.data = larger
        self.data[start : self.size] = fill
        return start

    @property
    def next(self) -> int:
        """The place of the next row to be appended."""
        return self.size + len(self._waiting)

    def append(self, row: Any) -> int:
        """Append a row, at the next `flush`; its place."""
        self._waiting.append(row)
        return self.next - 1

    def flush(self) -> None:
        """Append the waiting rows: many at once cost little more than one."""
        if self._waiting:
            rows, self._waiting = np.array(self._waiting, self.data.dtype), []
            self.extend(len(rows), rows)


class Maps:
    """One map for each of some bundles, in order, then for each added source."""

    def __init__(self, tables: Tables, words: int, bundles: Sequence[Bundle] = ()) -> None:
        self._tables = tables
        self.words = words
        self.dims = (0,) * words
        self._shifts = range(0, WORD * words, WORD)
        self.sources: list[Source] = []
        self._number_of: dict[int, int] = {}
        self._masks = Growing(np.uint64, words)
        self._at = Growing(np.int64)
        self._bits = Growing(np.int64)
        self._used = Growing(np.int64)
        self._keys = Growing(np.uint64, words)
        self._values = Growing(np.int32)
        # Entries: where the moves of each begin, how many only add, how many have updates.
        self._first = Growing(np.int64)
        self._plain = Growing(np.int64)
        self._sends = Growing(np.int64)
        # Moves: addend, label, where their updates begin.  One more than there are.
        self._deltas = Growing(np.uint64, words)
        self._labels = Growing(np.int32)
        self._first_update = Growing(np.int64)
        self._first_update.append(0)
        self._updates = Growing(np.int64)
        self._addends = Growing(np.uint64, words)
        self._entries = (
            self._first,
            self._plain,
            self._sends,
            self._deltas,
            self._labels,
            self._first_update,
            self._updates,
            self._addends,
        )
        self.bundles = len(bundles)
        for bundle in bundles:
            self.number(bundle)
        self._missing = np.zeros((MISSING_MAX, 2), np.int64)

    @property
    def view(self) -> Any:
        """The maps, in the kernel's form."""
        parts = (self._masks, self._at, self._bits, self._keys, self._values)
        return tuple(part.data for part in parts)

    @property
    def entries(self) -> Any:
        """The meaning of the values of bundles and updates, in the kernel's form."""
        return tuple(rows.data for rows in self._entries)

    @property
    def used(self) -> Any:
        """How many keys each map holds."""
        return self._used.data

    def number(self, source: Source) -> int:
        """The number of a source's map, a new one if the source has no map."""
        number = self._number_of.get(id(source))
        if number is None:
            number = self._number_of[id(source)] = len(self.sources)
            self.sources.append(source)
            self._masks.extend(1, self.as_words(self._mask_of(source)))
            self._used.extend(1, 0)
            # A panel may have many keys, and there are few panels.
            bits = PREDICATE_BITS if isinstance(source, Panel) else FIRST_BITS
            self._bits.extend(1, bits)
            self._at.extend(1, self._region(bits))
        return number

    def as_words(self, packed: int) -> Any:
        """A packed state as words, lowest first."""
        return np.array([packed >> shift & WORD_MASK for shift in self._shifts], np.uint64)

    def as_packed(self, words: Any) -> int:
        """Words as a packed state."""
        return sum(int(word) << shift for word, shift in zip(words, self._shifts, strict=True))

    def all_packed(self, rows: Any) -> list[int]:
        """Rows of words as packed states."""
        packed: list[int] = rows[:, 0].tolist()
        for word in range(1, self.words):
            high = rows[:, word].tolist()
            packed = [low | more << WORD * word for low, more in zip(packed, high, strict=True)]
        return packed

    def refresh_masks(self) -> None:
        """Extend keys by the bits that slots gained during the last level."""
        for number, source in enumerate(self.sources):
            self._masks.data[number] = self.as_words(self._mask_of(source))

    def fill(self, missing: Any, states: Any) -> None:
        """Compute the values of maps for states: rows of (map, row of a state).

        Raises `TooNarrow`; the values computed until then stay in the tables.
        """
        widened: set[int] = set()
        values = [
            self._value(number, packed, widened)
            for number, packed in zip(
                missing[:, 0].tolist(), self.all_packed(states[missing[:, 1]]), strict=True
            )
        ]
        if self._tables.layout.width > WORD * self.words:
            raise TooNarrow
        for rows in self._entries:
            rows.flush()
        for number in widened:
            self._clear(number, len(values))
        kernel.put_all(self.view, self.used, missing, np.array(values, np.int32), states, self.dims)
        for number in np.unique(missing[:, 0]).tolist():
            self._make_room(number)

    def firsts(
        self, panel: Panel, rows: Any, low: int, high: int, answers: Any = NONE
    ) -> dict[int, int]:
        """The first row of each number except 0 that a panel gives on some rows, in order.

        If `answers` has room, the number of each row goes there.
        """
        first = np.full(1, -1, np.int64)
        for start in range(low, high, CHUNK):
            todo = np.arange(start, min(high, start + CHUNK))
            while len(todo):
                first = np.pad(first, (0, len(panel.said) - len(first)), constant_values=-1)
                todo = self._ask(panel, rows, todo, first, answers)
        found = {number: row for number, row in enumerate(first.tolist()) if number and row >= 0}
        return dict(sorted(found.items(), key=itemgetter(1)))

    def _ask(self, panel: Panel, rows: Any, todo: Any, first: Any, answers: Any) -> Any:
        """Record the numbers; return the rows for which Python had to compute them."""
        later, number = np.empty(len(todo), np.int64), self.number(panel)
        parts = (rows, todo, self.dims, self._missing, later, first, answers)
        misses, put_off = kernel.ask(self.view, self.used, number, *parts)
        if misses:
            self.fill(self._missing[:misses], rows)
        return later[:put_off]

    def _value(self, number: int, packed: int, widened: set[int]) -> int:
        """The value of a map for a state."""
        source = self.sources[number]
        if isinstance(source, UpdateTable):
            return self._addends.append(self._addend(packed, source.fill(packed)))
        slots = len(source.slots)
        if isinstance(source, Panel):
            value = source.ask(packed)
        else:
            value = self._entry(source.fill(packed), packed)
        if len(source.slots) != slots:
            widened.add(number)
        return value

    def _clear(self, number: int, room: int) -> None:
        """Clear a map's keys, adopt its source's mask, and make room for new keys."""
        self._masks.data[number] = self.as_words(self._mask_of(self.sources[number]))
        start, bits = int(self._at.data[number]), int(self._bits.data[number])
        if 1 << bits < 4 * room:
            self._bits.data[number] = bits = (4 * room).bit_length()
            self._at.data[number] = start = self._region(bits)
        self._values.data[start : start + (1 << bits)] = kernel.EMPTY
        self.used[number] = 0

    def _mask_of(self, source: Source) -> int:
        if isinstance(source, UpdateTable):
            return self._tables.layout.masks[source.slot]
        return source.mask

    def _region(self, bits: int) -> int:
        self._keys.extend(1 << bits, 0)
        return self._values.extend(1 << bits, kernel.EMPTY)

    def _make_room(self, number: int) -> None:
        bits = int(self._bits.data[number])
        if 2 * self.used[number] < 1 << bits:
            return
        start = int(self._at.data[number])
        keys = self._keys.data[start : start + (1 << bits)].copy()
        values = self._values.data[start : start + (1 << bits)].copy()
        self._bits.data[number] = bits + 2
        self._at.data[number] = self._region(bits + 2)
        self.used[number] = 0
        rows = np.flatnonzero(values >= 0)
        moved = np.stack([np.full(len(rows), number), rows], axis=1)
        kernel.put_all(self.view, self.used, moved, values[rows], keys, self.dims)

    def _entry(self, entry: Entry, packed: int) -> int:
        """Append an entry's moves; the entry's number."""
        first = self._deltas.next
        for delta in entry.deltas:
            self._deltas.append(self._addend(packed, delta))
            self._first_update.append(self._updates.next)
        for delta, updates in entry.sends:
            self._deltas.append(self._addend(packed, delta))
            for update in updates:
                self._updates.append(self.number(update))
            self._first_update.append(self._updates.next)
        for label in entry.labels:
            self._labels.append(label)
        self._plain.append(len(entry.deltas))
        self._sends.append(len(entry.sends))
        return self._first.append(first)

    def _addend(self, packed: int, delta: int) -> Any:
        """The number to add to each word of a state, without carries between words.

        Adding replaces the bits of whole slots, and does so in each word by itself.  In the whole
        integer a lower word may borrow from a higher one; so the difference is taken word by word.
        """
        if self.words == 1:
            return (delta & WORD_MASK,)
        after = packed + delta
        return [
            (after >> at & WORD_MASK) - (packed >> at & WORD_MASK) & WORD_MASK
            for at in self._shifts
        ]
