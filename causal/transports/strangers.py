"""Connections whose peers have not proved themselves: a few at a time, however many come.

A process without the key can open connections as fast as it likes, and new ones for those that are
closed.  If new connections were refused while all places are taken, it could keep them for ever.
So a new one always gets a place, and one that has a place loses it: the oldest of the source that
has the most.  A flood from one machine displaces itself.  A member on another machine keeps its
place; one on the same machine has time until as many connections as there are places have come
after its own, and a greeting takes less.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Connection = TypeVar("Connection")


class Strangers(Generic[Connection]):
    """At most `most` connections, each of a source such as the address of a host."""

    def __init__(self, most: int) -> None:
        self.most = most
        #: In the order in which they came.
        self._by_source: dict[str, dict[Connection, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def enter(self, source: str, connection: Connection) -> Connection | None:
        """Give a new connection a place.  The one that loses it, if all were taken."""
        self._by_source.setdefault(source, {})[connection] = None
        self._count += 1
        if self._count <= self.most:
            return None
        crowd = max(self._by_source, key=lambda each: len(self._by_source[each]))
        loser = next(iter(self._by_source[crowd]))
        self.leave(crowd, loser)
        return loser

    def leave(self, source: str, connection: Connection) -> None:
        """Free the place of a connection that has proved itself or ended; it may have none."""
        places = self._by_source.get(source)
        if places is not None and connection in places:
            del places[connection]
            self._count -= 1
            if not places:
                del self._by_source[source]
