"""The tables of a store in memory, and the changes of one transaction on them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from typing import NamedTuple, TypeAlias

from msgspec.structs import replace

from coherence.contents import Content
from coherence.messages import Version
from coherence.stores.places import LOG_LINES
from coherence.stores.port import (
    Change,
    Cut,
    Entry,
    Held,
    Member,
    Place,
    Retention,
    Stored,
)
from coherence.stores.records import Key, RefusedWrite, Tally, added, first_day_kept, key_of
from message_passing.process import Address, Time

Published: TypeAlias = tuple[str, Entry, Content]
"""A new version of the artifact of that name."""


class Effect(NamedTuple):
    """The changes of one transaction, as new values, so that each can be applied repeatedly."""

    rows: dict[str, Stored]
    versions: list[Published]
    lines: list[Change]
    #: None for an agent that leaves.
    members: dict[Address, Member | None]
    #: The sums, not what is added.
    tallies: dict[Key, Tally]
    now: Time


class Tables:
    """Everything that a store in memory holds, for one thread at a time."""

    def __init__(self, retention: Retention) -> None:
        self.retention = retention
        self.rows: dict[str, Stored] = {}
        #: The names of `rows`, sorted.
        self.names: list[str] = []
        self.history: dict[str, dict[Version, tuple[Entry, Content]]] = {}
        self.log: deque[Change] = deque(maxlen=LOG_LINES)
        self.members: dict[Address, Member] = {}
        self.tallies: dict[Key, Tally] = {}
        self.refusals: tuple[RefusedWrite, ...] = ()

    def apply(self, effect: Effect) -> None:
        """Make the changes.  A call that an interrupt has cut off can be repeated."""
        for artifact in effect.rows:
            if artifact not in self.rows:
                place = bisect_left(self.names, artifact)
                if self.names[place : place + 1] != [artifact]:
                    self.names.insert(place, artifact)
        self.rows.update(effect.rows)
        for artifact, entry, content in effect.versions:
            kept = self.history.setdefault(artifact, {})
            kept[entry.version] = (entry, content)
            prune(kept, self.retention, effect.now)
        for line in effect.lines:
            if not self.log or self.log[-1].seq < line.seq:
                self.log.append(line)
        for agent, member in effect.members.items():
            if member is not None:
                self.members[agent] = member
            else:
                self.members.pop(agent, None)
        self.tallies.update(effect.tallies)

    @property
    def end(self) -> Place:
        """The end of the log.  The memory of a process has one history, so numbers are 0."""
        return Place(self.log[-1].seq if self.log else 0)

    def named(self, prefix: str, after: str = "") -> Iterator[str]:
        """The names of rows that begin with `prefix` and come after `after`, sorted."""
        first = max(bisect_left(self.names, prefix), bisect_right(self.names, after))
        return takewhile(lambda name: name.startswith(prefix), islice(self.names, first, None))

    def there(self, prefix: str, after: str = "") -> Iterator[tuple[str, tuple[Entry, Content]]]:
        """The current versions of those of them that exist."""
        for name in self.named(prefix, after):
            row = self.rows[name].row
            if row.exists:
                yield name, self.history[name][row.state.version]

    def cut(self, name: str, held: Held | None) -> Cut:
        """As in `Store.cut`."""
        stored = self.rows.get(name)
        version = stored.row.state.version if stored is not None else 0
        if not version:
            return Cut(stored)
        entry, content = self.history[name][version]
        seen = Cut(stored, entry, content)
        return seen if seen.exists and not seen.is_held(held) else seen._replace(content=None)

    def sums(self, rows: Iterable[Tally]) -> dict[Key, Tally]:
        """The tallies of the keys of `rows`, with these added."""
        found: dict[Key, Tally] = {}
        for row in rows:
            key = key_of(row)
            before = found.get(key) or self.tallies.get(key)
            found[key] = row if before is None else added(before, row)
        return found

    def refuse(self, line: RefusedWrite, keep: int) -> None:
        """As `Store.refuse`; by one assignment, which an interrupt cannot split."""
        self.refusals = (*self.refusals, line)[-keep:] if keep > 0 else ()

    def tidy(self, now: Time, wall: Time) -> int:
        """As `Archive.tidy`; `wall` is the time in seconds since the epoch."""
        first, folded = first_day_kept(wall), dict[Key, Tally]()
        for row in self.tallies.values():
            kept = row if row.day >= first else replace(row, artifact="")
            before = folded.get(key_of(kept))
            folded[key_of(kept)] = kept if before is None else added(before, kept)
        self.tallies = folded
        return sum(prune(each, self.retention, now) for each in self.history.values() if each)


def prune(kept: dict[Version, tuple[Entry, Content]], rule: Retention, now: Time) -> int:
    """Remove old versions by the rule, oldest first, up to the first version that it keeps."""
    current = next(reversed(kept))
    newest_over = 0 if rule.versions is None else current - rule.versions
    gone = []
    for version, (entry, _) in kept.items():
        old = rule.age_s is not None and entry.at < now - rule.age_s
        if version == current or not (old or version <= newest_over):
            break
        if not entry.pinned:
            gone.append(version)
    for version in gone:
        del kept[version]
    return len(gone)
