"""What an oracle is given: a simulation that can be looked at and not touched.

An oracle watches and never takes part.  It compares what it sees with what must hold, and raises
where it does not.  A run with oracles is, event for event, the run without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

from message_passing.process import Address, Event, Step, Time


class Watched(Protocol):
    """The part of a simulator that a view passes on."""

    now: Time
    states: dict[Address, Any]
    timers: dict[Address, dict[str, Time]]

    @property
    def down(self) -> frozenset[Address]:
        """The processes that have crashed and are not back."""
        ...

    def in_flight(self) -> Iterator[tuple[Address, Address, Any]]:
        """Every message sent and neither received nor lost, as (src, dst, message)."""
        ...


class View:
    """All of a simulation, and nothing that could change it."""

    __slots__ = ("_watched", "states")

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        #: The state of each process, live.
        self.states: Mapping[Address, Any] = MappingProxyType(watched.states)

    @property
    def now(self) -> Time:
        """Virtual time."""
        return self._watched.now

    @property
    def timers(self) -> dict[Address, dict[str, Time]]:
        """A copy of the armed timers: deadline by name, for each process."""
        return {address: dict(armed) for address, armed in self._watched.timers.items()}

    @property
    def down(self) -> frozenset[Address]:
        """The processes that have crashed and are not back."""
        return self._watched.down

    def in_flight(self) -> Iterator[tuple[Address, Address, Any]]:
        """Every message sent and neither received nor lost, as (src, dst, message)."""
        return self._watched.in_flight()


Observer: TypeAlias = Callable[[View, Address, Event[Any, Any], Step[Any]], None]
"""Called after each step with the address of its process, the event, and what it did."""
