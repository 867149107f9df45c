"""The tables of a store in memory, and the changes of one transaction on them."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from msgspec.structs import replace

from coherence.contents import Content
from coherence.messages import Version
from coherence.stores.places import LOG_LINES
from coherence.stores.port import Change, Entry, Member, Retention, Stored
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
