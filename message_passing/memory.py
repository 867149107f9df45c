"""Ports in memory: for tests, for examples, and for processes that may forget.

Each has the guarantee `Guarantee.ORDERED`: every message arrives once, in the order sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from message_passing.ports import Saved
from message_passing.process import Address, Envelope, Time

if TYPE_CHECKING:
    from message_passing.runtime import Runtime


class MemoryJournal:
    """A journal that outlives its runtime, but not the interpreter."""

    def __init__(self) -> None:
        self._state: Any = None
        self._saves = 0
        self._unsent: deque[Envelope[Any]] = deque()
        self._sequence: dict[Address, int] = {}

    def load(self) -> Saved | None:
        """The last saved state and its envelopes."""
        if not self._saves:
            return None
        return Saved(self._state, tuple(self._unsent), dict(self._sequence))

    def save(self, state: Any, outgoing: Sequence[Envelope[Any]]) -> None:
        """Save the state and the envelopes."""
        self._state = state
        self._saves += 1
        self._unsent.extend(outgoing)
        for envelope in outgoing:
            self._sequence[envelope.dst] = envelope.seq

    def sent(self, envelope: Envelope[Any]) -> None:
        """Forget the envelope."""
        self._unsent.remove(envelope)


class MemoryNetwork:
    """Runtimes of one thread, their mail, and their clock, which moves only when all are waiting.

    While a call waits for an answer, it delivers the mail and steps the timers of all runtimes.
    """

    def __init__(self) -> None:
        self.now: Time = 0.0
        self.runtimes: dict[Address, Runtime] = {}
        self._mail: deque[Envelope[Any]] = deque()

    def clock(self) -> Time:
        """Reads the clock."""
        return self.now

    def port(self, address: Address) -> MemoryPort:
        """The transport for the runtime of `address`."""
        return MemoryPort(self, address)

    def post(self, envelope: Envelope[Any]) -> None:
        """Append an envelope to the queue."""
        self._mail.append(envelope)

    def carry(self, waiting: Address | None = None, until: Time | None = None) -> Any:
        """Deliver mail, oldest first, and step timers, up to time `until`; None: without end.

        Stops at the first envelope for `waiting`, and returns it.
        """
        while True:
            while self._mail:
                envelope = self._mail.popleft()
                if envelope.dst == waiting:
                    return envelope
                self.runtimes[envelope.dst].receive(envelope)
            deadlines = {
                address: deadline
                for address, runtime in self.runtimes.items()
                if address != waiting and (deadline := runtime.core.deadline) is not None
            }
            first = min(deadlines, key=deadlines.__getitem__, default=None)
            if first is None or (until is not None and deadlines[first] > until):
                self.now = max(self.now, self.now if until is None else until)
                return None
            self.now = max(self.now, deadlines[first])
            self.runtimes[first].due()


class MemoryPort:
    """One process's transport on a `MemoryNetwork`."""

    def __init__(self, network: MemoryNetwork, address: Address) -> None:
        self._network, self._address = network, address

    def send(self, envelope: Envelope[Any]) -> None:
        """Append the envelope to the queue."""
        self._network.post(envelope)

    def wait(self, until: Time | None) -> Envelope[Any] | None:
        """The next envelope; None once the clock has moved to `until`, or nothing is left."""
        envelope: Envelope[Any] | None = self._network.carry(self._address, until)
        return envelope
