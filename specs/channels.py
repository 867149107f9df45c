"""The messages in transit between two processes, as one hashable value a channel.

A queue is a tuple; a bag is a set of (message, how often); a set is a set.  Iteration over either
set follows the text of messages, so that a run does not depend on hash seeds.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from message_passing.network import Guarantee


class Channels:
    """The operations on channels of one guarantee."""

    def __init__(self, guarantee: Guarantee) -> None:
        self._ordered = guarantee.ordered
        #: Whether delivering leaves the message where it is.
        self.keeps = guarantee.duplicating and not guarantee.ordered
        self.empty: Any = () if guarantee.ordered else frozenset()

    def queues(self, processes: int) -> frozenset[int]:
        """The slots of all channels where they are queues: they follow those of the processes."""
        return frozenset(range(processes, processes * (processes + 1)) if self._ordered else ())

    def with_message(self, channel: Any, message: Any) -> Any:
        """The channel after one more message was sent."""
        if self._ordered:
            return (*channel, message)
        if self.keeps:
            return channel | {message}
        counts = dict(channel)
        counts[message] = counts.get(message, 0) + 1
        return frozenset(counts.items())

    def without(self, channel: Any, message: Any) -> Any:
        """The channel after the removal of one copy of `message`, which may come next."""
        if self._ordered:
            return channel[1:]
        if self.keeps:
            return channel - {message}
        counts = dict(channel)
        counts[message] -= 1
        if not counts[message]:
            del counts[message]
        return frozenset(counts.items())

    def next_messages(self, channel: Any) -> list[Any]:
        """The different messages that may come next."""
        if self._ordered:
            return list(channel[:1])
        if self.keeps:
            return sorted(channel, key=repr)
        return sorted((message for message, _ in channel), key=repr)

    def messages(self, channel: Any) -> tuple[Any, ...]:
        """All messages, copies included."""
        if self._ordered:
            return tuple(channel)
        if self.keeps:
            return tuple(sorted(channel, key=repr))
        return tuple(message for message, count in sorted(channel, key=repr) for _ in range(count))

    def fit(
        self,
        limit: int | None,
        values: Sequence[Any],
        writes: Iterable[tuple[int, Hashable]],
        sent: Iterable[tuple[int, Hashable]],
    ) -> bool:
        """Whether the channels have room for the sends of a step; reads them only for a `limit`."""
        if limit is None:
            return True
        channels: dict[int, Any] = dict(writes)
        for slot, message in sent:
            channel = channels.get(slot, values[slot] if slot not in channels else None)
            channels[slot] = self.with_message(channel, message)
            if len(self.messages(channels[slot])) > limit:
                return False
        return True
