"""Outstanding entries in the order in which they began, with cursors to the two oldest.

The hybrid asks two questions.  Is this message eager, because an earlier message *to another
process* is undelivered?  Must this message wait, because a secret *of another process* was acquired
before it?  Both ask: is an older entry of another party open?  Call the party of the oldest open
entry p.  For every other party the oldest open entry gives the answer; for p the oldest open entry
of a party other than p does.  Two cursors point to these two entries.  They only move forward, and
each passes every entry once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from causal.window import Window
from message_passing.process import Value


class Entry(Protocol):
    """An entry that belongs to a party, given by its place in the team."""

    @property
    def party(self) -> int:
        """The place of the party in the team."""
        ...


E = TypeVar("E", bound=Entry)


class OpenEntries(Value, Generic[E], frozen=True, gc=False, tag=True):
    """Entries by count from 1; `next` is the next count; a cursor there points to no entry.

    Invariant: `first` is the oldest open entry and `party` its party; `second` is the oldest open
    entry of any other party.
    """

    window: Window[E] = Window()
    next: int = 1
    first: int = 1
    party: int = -1
    second: int = 1

    def older(self, party: int) -> int:
        """The oldest open entry that does not belong to `party`, else `next`."""
        return self.second if party == self.party else self.first

    def append(self, entry: E) -> OpenEntries[E]:
        """With `entry` as the newest."""
        key, first, party, second = self.next, self.first, self.party, self.second
        if first == key:
            party, second = entry.party, key + 1
        elif second == key and entry.party == party:
            second = key + 1
        return OpenEntries(self.window.put(key, entry), key + 1, first, party, second)

    def skip(self) -> OpenEntries[E]:
        """With one count skipped."""
        key = self.next
        first = self.first + (self.first == key)
        return OpenEntries(
            self.window, key + 1, first, self.party, self.second + (self.second == key)
        )

    def advance(
        self, closed: Callable[[int, E], bool]
    ) -> tuple[OpenEntries[E], list[tuple[int, E]]]:
        """With the cursors moved on to open entries, and the entries that nothing blocks any more.

        Those are the entries that `first` passed, which leave the window, and the entries of the
        new `first`'s party that `second` passed, which stay in it.
        """
        window, stop, passed = self.window, self.next, []
        found = window.first(self.first, stop)
        while found is not None:
            first, entry = found
            if not closed(first, entry):
                break
            passed.append(found)
            window = window.drop(first)
            found = window.first(first + 1, stop)
        else:
            return OpenEntries(window, stop, stop, -1, stop), passed
        party = entry.party
        # All that is open before the old `second` belongs to the old `first`'s party.  So a new
        # party begins at or behind `second`, and no entry is passed twice by one cursor.
        if self.second > first:
            found = window.first(self.second, stop)
        while found is not None:
            if found[1].party == party:
                passed.append(found)
            elif not closed(*found):
                break
            found = window.first(found[0] + 1, stop)
        second = stop if found is None else found[0]
        return OpenEntries(window, stop, first, party, second), passed
