"""The read-only view of a simulation that an oracle gets.

An oracle observes and never takes part.  It checks what must hold, and raises if it does not.  A
run with oracles has the same events as the run without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

from message_passing.process import Address, Event, Step, Time


class Watched(Protocol):
    """The part of a simulator that a view shows."""

    now: Time
    states: dict[Address, Any]
    timers: dict[Address, dict[str, Time]]

    @property
    def down(self) -> frozenset[Address]:
        """The crashed processes that have not restarted."""
        ...

    def in_flight(self) -> Iterator[tuple[Address, Address, Any]]:
        """Every message sent and neither received nor lost, as (src, dst, message)."""
        ...


class View:
    """A complete view of a simulation, without calls that change it."""

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
        """The crashed processes that have not restarted."""
        return self._watched.down

    def in_flight(self) -> Iterator[tuple[Address, Address, Any]]:
        """Every message sent and neither received nor lost, as (src, dst, message)."""
        return self._watched.in_flight()


Observer: TypeAlias = Callable[[View, Address, Event[Any, Any], Step[Any]], None]
"""Called after each step with the address of its process, the event, and the step."""
