"""The memory used by the copies of one workspace, and the order of eviction.

Content that several agents hold counts once.  Copies are evicted in the order in which they were
filled; a copy that was used since is skipped once, and goes to the end of the queue.  The caller
holds the workspace's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

#: The overhead of a content, and of one agent's state of an artifact, in bytes.  A text is counted
#: by its characters: a text that is not Latin takes up to four times as much.
CONTENT_BYTES: Final = 400
STATE_BYTES: Final = 400
#: How much of the limit is in use after an eviction.
ROOM: Final = 0.9


class Holdings:
    """The size of everything that the caches of one process hold."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        #: Artifacts whose copies were made since they were last considered.
        self.used: set[str] = set()
        #: Id of a content -> how many states hold it.  Each content is alive, so ids are unique.
        self._holders: dict[int, int] = {}
        self._order: dict[str, None] = {}

    def change(self, artifact: str, old: Any, new: Any) -> None:
        """A state of `artifact` holds `new` in place of `old`; either may be None."""
        holders = self._holders
        if new is not None:
            key = id(new)
            number = holders.get(key, 0)
            holders[key] = number + 1
            if not number:
                self.bytes += len(new.content) + CONTENT_BYTES
                self.used.add(artifact)
        if old is not None:
            key = id(old)
            number = holders.pop(key, 0)
            if number > 1:
                holders[key] = number - 1
            elif number:
                self.bytes -= len(old.content) + CONTENT_BYTES

    def add(self, artifact: str, content: object) -> None:
        """One more agent has a state of `artifact`, which holds `content`."""
        self.bytes += STATE_BYTES
        self._order[artifact] = None
        if content is not None:
            self.change(artifact, None, content)

    def remove(self, artifact: str, content: object) -> None:
        """An agent drops its state of `artifact`."""
        self.bytes -= STATE_BYTES
        if content is not None:
            self.change(artifact, content, None)

    def surplus(self, was_read: Callable[[str], bool]) -> Iterator[str]:
        """Artifacts to evict, one after the other, while the limit is exceeded.

        `was_read` says whether an agent has read its copy since the last time it was asked.
        """
        enough = self.limit_bytes * ROOM
        for artifact in (*self._order, *self._order):
            if self.bytes <= enough:
                return
            if artifact not in self._order:
                continue
            del self._order[artifact]
            if was_read(artifact) | (artifact in self.used):
                self.used.discard(artifact)
                self._order[artifact] = None
            else:
                yield artifact

    def keep(self, artifact: str) -> None:
        """`artifact` could not be evicted: a request is under way there."""
        self._order[artifact] = None

    def recount(self, held: Iterable[tuple[str, object]]) -> None:
        """Count everything again: an interrupt may have cut a change off."""
        self.bytes = 0
        self._holders.clear()
        for artifact, content in held:
            self.add(artifact, content)
