"""What a driver takes from outside, and the errors that all drivers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from message_passing.errors import CallerError, Defect
from message_passing.process import Address, Event, Step, Time

Clock: TypeAlias = Callable[[], Time]
"""Reads the driver's clock.  It must never go back."""

Trace: TypeAlias = Callable[[Time, Address, Event[Any, Any], Step[Any]], None]
"""Called after each step with the time, the process, the event and the step."""


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
