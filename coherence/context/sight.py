"""The versions that a caller has seen of each artifact, for each concurrent part of a task.

A `Sight` holds what one caller has seen: whole texts, windows of them, and its own writes.
`Sights` are those of one task.  A task's code may run in parts: the tool calls of one turn, the
coroutines of an ``asyncio.gather``, threads.  Concurrent parts are kept apart, since one may write
an artifact that another has read.  A part begins with what its creator had seen when the part was
created (contexts of `contextvars` are copied then).  A part that has ended is its creator's past:
its reads count as reads of its creator, and its writes from the creator's own version count as
writes of the creator.  The creation time of an ended part is not recorded, so in doubt parts count
as concurrent.

Nothing here asks a store or blocks.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from threading import get_ident
from typing import Any, NamedTuple, ParamSpec, TypeAlias, TypeVar

from coherence.messages import Version

T = TypeVar("T")
P = ParamSpec("P")

Owner: TypeAlias = "asyncio.Task[Any] | int"
"""The owner of a part: a task of an event loop, or a thread."""

_Entry: TypeAlias = "tuple[int, Version, _Entry | None]"
"""When a version was seen, the version, and the entry before."""

#: How many earlier entries are kept, for parts that were created at that time.
_KEPT = 2
#: Stands for older entries: a version from which no write can derive.
_OLDER: _Entry = (-1, 0, None)

#: The part that runs or created the running code, its progress at that time, and whether the
#: running code is that part.
_HERE: ContextVar[tuple[Sight, int, bool] | None] = ContextVar("coherence-sight", default=None)


class Lines(NamedTuple):
    """A window of a text: its first and its last line, counted from 1, and the text's lines."""

    first: int
    last: int
    total: int

    @property
    def are_whole(self) -> bool:
        """Whether they are all lines."""
        return self.first <= 1 and self.last >= self.total


class Windows(NamedTuple):
    """What a caller was shown of a version, if not the whole: spans of lines, in order."""

    version: Version
    spans: tuple[tuple[int, int], ...]
    total: int

    def with_lines(self, lines: Lines) -> Windows:
        """These, and one more of the same version."""
        spans: list[tuple[int, int]] = []
        window = max(lines.first, 1), min(lines.last, self.total)
        for first, last in sorted((*self.spans, window)):
            if spans and first <= spans[-1][1] + 1:
                spans[-1] = spans[-1][0], max(spans[-1][1], last)
            elif first <= last:
                spans.append((first, last))
        return self._replace(spans=tuple(spans))

    @property
    def are_whole(self) -> bool:
        """Whether they leave no line out."""
        return not self.total or self.spans == ((1, self.total),)

    def __str__(self) -> str:
        spans = ", ".join(f"{first} to {last}" for first, last in self.spans) or "none"
        return f"lines {spans} of {self.total}"


class Sight:
    """One caller's knowledge: artifact -> the version from which it can derive a whole text."""

    __slots__ = (
        "_entries",
        "_own",
        "_read",
        "_windows",
        "_written",
        "is_over",
        "owner",
        "parent",
        "refused",
        "task",
    )

    def __init__(self, task: Sights, owner: Owner, parent: Sight | None = None) -> None:
        self.task, self.owner, self.parent = task, owner, parent
        self.is_over = False
        self._entries: dict[str, _Entry] = {}
        self._windows: dict[str, Windows] = {}
        #: The artifacts that this caller has read, and those of them that it has not written since.
        self._own: set[str] = set()
        self._read: set[str] = set()
        #: Artifact written without a read -> the creator's version that was its base.
        self._written: dict[str, Version] = {}
        #: Artifacts with a refused write of this caller and no read since.
        self.refused: set[str] = set()

    def shown(self, name: str, version: Version, lines: Lines | None = None) -> None:
        """The caller was shown this version, 0 for a missing artifact; or these lines of it.

        Windows of one version that leave no line out are the whole of it.
        """
        if lines is not None:
            before = self._windows.get(name)
            if before is None or before.version != version:
                before = Windows(version, (), lines.total)
            self._windows[name] = now = before.with_lines(lines)
            if not now.are_whole:
                return
        self._windows.pop(name, None)
        there = self._entries.get(name)
        if there is not None and there[1] == version and name in self._read:
            here = _HERE.get()
            if here is not None and here[0] is self and here[1] >= there[0]:
                return
        self._read.add(name)
        self._own.add(name)
        self._written.pop(name, None)
        self._set(name, version)
        above: Sight | None = self
        while above is not None:  # the parts of a creator that lost may read again for it
            if name in above.refused:
                above.refused.discard(name)
                if above is not self:
                    above._set(name, version)
            above = above.parent

    def wrote(self, name: str, version: Version) -> None:
        """The caller has made this version, 0 if it deleted the artifact."""
        there = self._entries.get(name)
        if there is not None and name not in self._own:
            self._written.setdefault(name, there[1])
        self._read.discard(name)
        self.refused.discard(name)
        self._windows.pop(name, None)
        self._set(name, version)

    def edited(self, name: str, before: Version, after: Version) -> None:
        """The caller replaced a passage of `before`, which made `after`.

        The caller knows the whole of `after` only if it had seen the whole of `before`.  Windows of
        `before` are void, since the numbers of their lines may have moved.
        """
        if self.base(name) == before:
            self.wrote(name, after)

    def forget(self, name: str | None = None) -> None:
        """The caller's context has lost what it had seen, of one artifact or of all."""
        for kept in (self._entries, self._windows, self._written):
            kept.clear() if name is None else kept.pop(name, None)
        for names in (self._own, self._read):
            names.clear() if name is None else names.discard(name)

    def base(self, name: str) -> Version | None:
        """The version that the caller's work derives from, None if it has seen none.

        If it has not seen the artifact itself, it is the oldest version that its parts have seen,
        or the version that its creator has read since.
        """
        self.task.collect()
        if (there := self._entries.get(name)) is not None:
            return there[1]
        found = self.task.seen_below(self, name)
        above = self.parent
        while found is None and above is not None:
            if name in above._read:
                found = above._entries[name][1]
            above = above.parent
        return found

    def windows(self, name: str) -> Windows | None:
        """What the caller was shown of an artifact beside whole versions, if anything."""
        return self._windows.get(name)

    def _set(self, name: str, version: Version) -> None:
        there = self._entries.get(name)
        if there is None or there[1] != version:
            now = self.task.tick()
            self._entries[name] = now, version, _recent(there, _KEPT)
            self.task.latest[name] = version
        here = _HERE.get()
        if here is not None and here[0] is self and here[1] < self._entries[name][0]:
            _HERE.set((self, self._entries[name][0], here[2]))

    def begin_from(self, parent: Sight, at: int) -> None:
        """Begin with the versions that `parent` had seen at the time `at`."""
        for name, entry in list(parent._entries.items()):
            then: _Entry | None = entry
            while then is not None and then[0] > at:
                then = then[2]
            if then is not None:
                self._entries[name] = then[0], then[1], None

    def begin_with(self, versions: dict[str, Version]) -> None:
        """Begin with versions that others have read."""
        self._entries = {name: (0, version, None) for name, version in versions.items()}

    def take_over(
        self, read: dict[str, Version], written: dict[str, tuple[Version, Version]]
    ) -> None:
        """Take over the reads of ended parts, and their writes with the base versions."""
        for name, (base, version) in written.items():
            there = self._entries.get(name)
            if there is not None and there[1] == base:
                self.wrote(name, version)
        for name, version in read.items():
            self.shown(name, version)

    def left(self) -> tuple[dict[str, Version], dict[str, tuple[Version, Version]]]:
        """The reads and writes that the creator of this ended part takes over."""
        entries = self._entries
        read = {name: entries[name][1] for name in self._read}
        return read, {n: (base, entries[n][1]) for n, base in self._written.items()}


def _recent(entry: _Entry | None, count: int) -> _Entry | None:
    if entry is None or not count:
        return _OLDER if entry is not None else None
    return entry[0], entry[1], _recent(entry[2], count - 1)


class Sights:
    """The sights of the parts of one task.  `alone` is for a single call that is a whole task."""

    def __init__(self, *, alone: bool = False) -> None:
        #: Artifact -> the last version that any part has read or written.
        self.latest: dict[str, Version] = {}
        self._parts: dict[Owner, Sight] = {}
        #: The reads of ended parts without a creator.
        self._handed: dict[str, Version] = {}
        self._clock = 0
        self._lock = threading.RLock()
        self._only = Sight(self, 0) if alone else None

    def part(self) -> Sight:
        """The sight of the running code."""
        if self._only is not None:
            return self._only
        here, owner = _HERE.get(), _owner()
        if here is not None and here[0].task is self:
            if here[2] or here[0].owner == owner:
                return here[0]
        else:
            here = None
        return self._begin(owner, here)

    def enter(self) -> None:
        """Parts that the running code creates from now on begin with its present sight."""
        part = self.part()
        if self._only is None:
            here = _HERE.get()
            _HERE.set((part, self._clock, here is not None and here[2]))

    def tick(self) -> int:
        self._clock += 1
        return self._clock

    def _begin(self, owner: Owner, here: tuple[Sight, int, bool] | None) -> Sight:
        with self._lock:
            self.collect()
            part = self._parts.get(owner)
            # A thread may run several parts in turn; without a creator they count as one.
            if part is None or (here is not None and isinstance(owner, int)):
                if part is not None:
                    self._hand_up([part])
                part = Sight(self, owner, None if here is None else _going_on(here[0]))
                if here is not None:
                    part.begin_from(here[0], here[1])
                else:
                    part.begin_with(self._handed)
                self._parts.pop(owner, None)  # the newest part comes last
                self._parts[owner] = part
            _HERE.set((part, self._clock, False))
            return part

    def collect(self) -> None:
        """Merge parts that have ended into their creators."""
        if len(self._parts) < 2:
            return
        with self._lock:
            there, threads = _owner(), {thread.ident for thread in threading.enumerate()}
            ended = [
                part
                for owner, part in self._parts.items()
                if owner != there
                and (owner not in threads if isinstance(owner, int) else owner.done())
            ]
            if ended:
                for part in ended:
                    del self._parts[part.owner]
                self._hand_up(ended)

    def _hand_up(self, ended: list[Sight]) -> None:
        """Merge ended parts; of concurrent ones, the oldest version read counts."""
        due: dict[Sight | None, tuple[dict[str, Version], dict[str, tuple[Version, Version]]]] = {}
        for part in reversed(ended):  # a part is younger than the part that created it
            part.is_over = True
            if part in due:
                part.take_over(*due.pop(part))
            read, written = part.left()
            reads, writes = due.setdefault(part.parent, ({}, {}))
            for name, version in read.items():
                reads[name] = min(version, reads.get(name, version))
            writes.update(written)
        for parent, (reads, writes) in due.items():
            if parent is not None:
                parent.take_over(reads, writes)
            else:
                self._handed.update(reads)
        for part in self._parts.values():
            part.parent = _going_on(part.parent)

    def seen_below(self, above: Sight, name: str) -> Version | None:
        """The oldest version that a part created by `above` has seen."""
        found = None
        for part in list(self._parts.values()):
            if part.parent is not None and name in part._entries:
                creator: Sight | None = part.parent
                while creator is not None and creator is not above:
                    creator = creator.parent
                if creator is above:
                    version = part._entries[name][1]
                    found = version if found is None else min(found, version)
        return found


def _going_on(part: Sight | None) -> Sight | None:
    """`part`, or the living part that replaces it if it has ended."""
    while part is not None and part.is_over:
        part = part.parent
    return part


def on_behalf(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Call `work`, in a foreign thread, as the part whose context was copied to it."""
    if (here := _HERE.get()) is not None:
        _HERE.set((here[0], here[1], True))
    return work(*given, **named)


def _owner() -> Owner:
    loop = asyncio._get_running_loop()
    return (asyncio.current_task(loop) if loop is not None else None) or get_ident()
