"""The slots of a system's global state: where each process, channel and extra value stands.

The processes come first, then a channel for each ordered pair of processes, then the extras: the
budgets of faults, the ghost, the error that a step raised.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from message_passing.process import Address
from specs.channels import Channels


class Slots:
    """The layout of one system's global state."""

    def __init__(
        self, addresses: Sequence[Address], extras: Iterable[str], channels: Channels
    ) -> None:
        self.addresses = tuple(addresses)
        self.pairs = tuple((src, dst) for src in addresses for dst in addresses)
        self.extras = tuple(extras)
        self._channels = channels
        self._index = {address: i for i, address in enumerate(self.addresses)}
        first = len(self.addresses) + len(self.pairs)
        self._extra_index = {name: first + i for i, name in enumerate(self.extras)}

    @property
    def names(self) -> list[str]:
        """The name of each slot."""
        return [*self.addresses, *(f"{src}->{dst}" for src, dst in self.pairs), *self.extras]

    def slot_of(self, address: Address) -> int:
        """The slot of a process; raises `KeyError` if there is no such process."""
        return self._index[address]

    def channel_slot(self, src: Address, dst: Address) -> int:
        """The slot of the channel from `src` to `dst`."""
        count = len(self.addresses)
        return count + self._index[src] * count + self._index[dst]

    def extra_slot(self, name: str) -> int:
        """The slot of a budget or of the ghost; raises `KeyError` if there is no such slot."""
        return self._extra_index[name]

    def messages(self, channel: Any) -> tuple[Any, ...]:
        """The messages that a channel's value holds."""
        return self._channels.messages(channel)
