"""Watching: the published versions, as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from coherence.errors import StoreFault
from coherence.refs import Ref
from coherence.runtime.follower import Follower
from coherence.runtime.homes import Homes
from coherence.stores.port import Place
from message_passing.interrupts import Knock
from message_passing.process import Address, Time


class Published(NamedTuple):
    """A version was published."""

    ref: Ref
    author: Address
    #: On the store's clock.
    at: Time
    #: Its place in the store's log, from which `watch(since=...)` continues.
    seq: int
    #: The log no longer holds every earlier change: read the artifacts themselves.
    missed: bool = False
    #: Equal for all that one transaction has published, which comes one after the other; different
    #: for any other.
    group: int = 0


class Feed:
    """Reads the store's log from a place on, for one watcher."""

    def __init__(self, homes: Homes, pattern: str, since: Place | int | None) -> None:
        self._homes = homes
        self._pattern = pattern
        if since is None:
            since = homes.look(homes.store.head)
        self._place = since if isinstance(since, Place) else Place(since)
        #: Whether the log no longer holds every change before the next one.
        self.missed = False

    def more(self) -> list[Published]:
        """The changes since the last call."""
        found: list[Published] = []
        while True:
            changes = self._homes.look(self._homes.store.since, self._place)
            self.missed = self.missed or changes.gap or changes.foreign
            self._place = changes.place
            for change in changes.entries:
                if change.version and fnmatchcase(change.artifact, self._pattern):
                    ref = Ref(change.artifact, change.version, self._homes.store.identity)
                    published = Published(
                        ref, change.author, change.at, change.seq, self.missed, change.number
                    )
                    found.append(published)
                    self.missed = False
            if not (changes.entries and changes.more):
                return found


def more_of(feed: Feed, require: Callable[[], None]) -> list[Published]:
    """The changes since the last call.

    Raises as `require` does, also if the workspace is closed while the log is read.
    """
    require()
    try:
        return feed.more()
    except StoreFault:
        require()
        raise


class Watch(Iterator[Published]):
    """Changes as they come, for a thread; ``close`` or ``with`` ends it, from any thread.

    If an exception cuts a call off, the next call returns the changes that were fetched already.
    """

    def __init__(
        self,
        homes: Homes,
        follower: Follower,
        require: Callable[[], None],
        pattern: str,
        since: Place | int | None,
        timeout_s: float | None,
    ) -> None:
        self._feed = Feed(homes, pattern, since)
        self._require, self._timeout_s = require, timeout_s
        self._ready: deque[Published] = deque()
        self._grown = Knock()
        self._closed = False
        self._follower = follower
        follower.watch(self, self._grown)

    def __next__(self) -> Published:
        while not self._ready:
            if self._closed:
                raise StopIteration
            self._grown.forget()
            self._ready.extend(more_of(self._feed, self._require))
            if not self._ready and not self._grown.wait(self._timeout_s):
                self.close()
        return self._ready.popleft()

    def close(self) -> None:
        """End the watch: a thread that waits for the next change gets none."""
        self._closed = True
        self._follower.unwatch(self)
        self._grown()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
