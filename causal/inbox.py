"""What is delivered to an endpoint, and not finished by its application yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from causal.frames import Delivery
from message_passing.process import Address, Deliver


class Inbox:
    """Delivered messages that the application has not taken, and the one that it works on."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.arrived: deque[Delivery] = deque()
        self._taken: Delivery | None = None

    def put(self, deliveries: Sequence[Deliver[Any]]) -> None:
        """Add messages as the newest."""
        for delivery in deliveries:
            message = delivery.message
            self.arrived.append(Delivery(delivery.src, message.id, message.payload))

    def take(self) -> Delivery:
        """The oldest message; the application works on it now."""
        self._taken = self.arrived.popleft()
        return self._taken

    def finish(self) -> bool:
        """The application has finished the message that it took.  False if it has none."""
        taken, self._taken = self._taken, None
        return taken is not None

    def unfinished(self) -> tuple[Delivery, ...]:
        """All messages that a restart must deliver again, oldest first."""
        taken = () if self._taken is None else (self._taken,)
        return (*taken, *self.arrived)

    def restore(self, messages: Iterable[tuple[Address, int, bytes]]) -> None:
        """Hold these messages, oldest first, and no others."""
        self.arrived = deque(Delivery(*message) for message in messages)
