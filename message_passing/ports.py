"""The ports of a driver to the outside, and the errors that all drivers share.

A port is a protocol class of one to three methods.  The in-memory ones are in
`message_passing.memory`; stores and brokers bring their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from message_passing.errors import CallerError, Defect
from message_passing.process import Address, Envelope, Event, Step, Time

Clock: TypeAlias = Callable[[], Time]
"""Reads the driver's clock.  It must never go back."""

Trace: TypeAlias = Callable[[Time, Address, Event[Any, Any], Step[Any]], None]
"""Called after each step with the time, the process, the event and the step."""


class Saved(NamedTuple):
    """The contents of a journal after a crash."""

    state: Any
    #: Envelopes saved and not yet reported as sent, oldest first.
    unsent: tuple[Envelope[Any], ...]
    #: The highest `seq` ever saved for each destination.
    sequence: dict[Address, int]


class Journal(Protocol):
    """The durable memory of one process."""

    def load(self) -> Saved | None:
        """The last saved state; None before the first save."""
        ...

    def save(self, state: Any, outgoing: Sequence[Envelope[Any]]) -> None:
        """Make both durable together, or raise `EnvironmentFault` with neither kept."""
        ...

    def sent(self, envelope: Envelope[Any]) -> None:
        """Allow `envelope` to be forgotten.  A crash may undo this: it is then sent again."""
        ...


class AsyncJournal(Protocol):
    """A `Journal` whose calls are awaited."""

    async def load(self) -> Saved | None:
        """The last saved state; None before the first save."""
        ...

    async def save(self, state: Any, outgoing: Sequence[Envelope[Any]]) -> None:
        """Make both durable together, or raise `EnvironmentFault` with neither kept."""
        ...

    async def sent(self, envelope: Envelope[Any]) -> None:
        """Allow `envelope` to be forgotten.  A crash may undo this: it is then sent again."""
        ...


class Transport(Protocol):
    """Sends the messages of one process; a blocking call also receives through it."""

    def send(self, envelope: Envelope[Any]) -> None:
        """Accept `envelope` for delivery, as far as the network's guarantee goes."""
        ...

    def wait(self, until: Time | None) -> Envelope[Any] | None:
        """Block until an envelope arrives or the clock reads `until`; None if none came.

        None with `until` None says that no envelope can come any more.
        """
        ...


class AsyncTransport(Protocol):
    """Sends the messages of one process; `AsyncRuntime.receive` gets the arriving ones."""

    async def send(self, envelope: Envelope[Any]) -> None:
        """Accept `envelope` for delivery, as far as the network's guarantee goes."""
        ...


class BrokenContract(Defect):
    """A process broke a rule of `message_passing.process`."""


class NoSuchProcess(CallerError):
    """The system has no process of that address."""


class Busy(CallerError):
    """The process has a request outstanding already; only one is allowed."""

    remedy = (
        "wait for the answer; every Invoke ends in a Respond, of the same step or of a later one"
    )


class Unavailable(CallerError):
    """The call does not fit a process that is down, or paused, or neither."""


class Reentrant(CallerError):
    """A driver was called from within one of its own steps."""

    remedy = "return first; to react to a step, schedule an Invoke with at=sim.now"
