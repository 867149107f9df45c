"""The process contract: one pure step function, a closed list of events, a closed list of commands.

A protocol is a :class:`Process`.  A driver chooses the next event: a driver in production (what
arrives), the simulator (a seeded queue), the checker (all of them), conformance (a recorded trace).
A step does no I/O, reads no clock and draws no random number, so the code that was checked is the
code that runs.

Three rules keep states free of clock readings, so that a checker may treat an armed timer as merely
*enabled*:

* time enters as the argument ``now`` and leaves as the deadline of a :class:`SetTimer`, never as
  part of a state;
* an armed timer that is due comes first: a driver steps ``Timeout(name)``
  before any other event whose time is later;
* setting a timer that is armed replaces it; a timer that fired or was cancelled is gone.

A :class:`Respond` answers the request that the process was invoked with: the ``Invoke`` of the same
step, or else the outstanding one.  A process has at most one outstanding request.
"""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import msgspec

Address: TypeAlias = str
"""Names a process within its system.  Opaque: equality is all that a protocol may ask of it."""

Time: TypeAlias = float
"""A driver's clock: seconds in production, steps in simulations, abstract in the checker."""

S = TypeVar("S")
Q = TypeVar("Q")
M = TypeVar("M")
R = TypeVar("R")


class Value(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Base of every immutable, hashable value of a protocol: state, event, command or message.

    Fields must be immutable and hashable themselves: scalars, strings, bytes, tuples, frozensets,
    other values.  The class name is the value's tag on the wire and in traces.
    """


# Events: all that can happen to a process.


class Invoke(Value, Generic[Q], frozen=True, gc=False, tag=True):
    """The application asks the process for something."""

    request: Q


class Receive(Value, Generic[M], frozen=True, gc=False, tag=True):
    """A message from `src` has arrived."""

    src: Address
    message: M


class Timeout(Value, frozen=True, gc=False, tag=True):
    """A timer that the process armed is due."""

    name: str


class Restart(Value, frozen=True, gc=False, tag=True):
    """The process restarts after a crash, with its durable state and no timer armed."""


Event: TypeAlias = Invoke[Q] | Receive[M] | Timeout | Restart


# Commands: all that a process can ask of its driver.


class Send(Value, Generic[M], frozen=True, gc=False, tag=True):
    """Hand `message` to the network, addressed to `dst`."""

    dst: Address
    message: M


class SetTimer(Value, frozen=True, gc=False, tag=True):
    """Arm the timer `name` for the moment `at`; an armed timer of that name is replaced."""

    name: str
    at: Time


class CancelTimer(Value, frozen=True, gc=False, tag=True):
    """Disarm the timer `name`, if it is armed."""

    name: str


class Deliver(Value, Generic[M], frozen=True, gc=False, tag=True):
    """Hand a message from `src` to the application."""

    src: Address
    message: M


class Respond(Value, Generic[R], frozen=True, gc=False, tag=True):
    """Answer the request that the process was invoked with."""

    result: R


Command: TypeAlias = Send[M] | SetTimer | CancelTimer | Deliver[M] | Respond[R]


class Step(Value, Generic[S], frozen=True, gc=False, tag=True):
    """The result of one event: the next state, the commands in order, the TLA+ action."""

    state: S
    commands: tuple[Command[Any, Any], ...]
    action: str


class Process(Protocol[S, Q, M]):
    """A protocol role.  Instances hold configuration only; everything mutable is in the state."""

    def initial(self) -> S:
        """The state before the first event."""
        ...

    def step(self, state: S, event: Event[Q, M], now: Time) -> Step[S]:
        """One transition.  Pure: equal arguments give equal results, without side effects.

        Raises `Impossible` for an event that the protocol rules out in this state.
        """
        ...

    def durable(self, state: S) -> S:
        """The part of `state` that survives a crash; `Restart` is stepped from it."""
        ...


class Envelope(Value, Generic[M], frozen=True, gc=False, tag=True):
    """A message in transit.  `seq` counts from 1 on each ordered pair (src, dst)."""

    src: Address
    dst: Address
    seq: int
    message: M
