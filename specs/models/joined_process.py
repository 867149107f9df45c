"""The two engines as one process: a home or a cache that sends through a delivery machine.

This module joins coherence and causal delivery, which never import each other.  Both sides are the
shipped ones, and neither depends on the other: the role sees plain coherence messages, in an order
that respects causality; the machine sees payloads.  Agents send *words* to each other over the same
machine, so a word never overtakes an invalidation that happened before it.

`past` in states and letters is an auxiliary variable (Owicki and Gries 1976): it records the newest
version in a causal past, for properties to read.  No protocol reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias, get_args

from causal.machine import RESEND, Machine
from causal.messages import Data, Unicast
from causal.messages import Message as Delivered
from coherence.messages import Message, Version
from message_passing.process import (
    Address,
    Command,
    Deliver,
    Event,
    Invoke,
    Process,
    Receive,
    Respond,
    Restart,
    Send,
    Step,
    Time,
    Timeout,
    Value,
)

_OF_COHERENCE: Final = frozenset(get_args(Message))


class Letter(Value, frozen=True, gc=False, tag=True):
    """A message between processes: a coherence message, or any other payload, a word."""

    body: Any
    past: Version


class Tell(Value, frozen=True, gc=False, tag=True):
    """A request: send the word `body` to the agent at `dst`.  Answered at once, with its id."""

    dst: Address
    body: Any


class JoinedState(Value, frozen=True, gc=False, tag=True):
    """The role's state, the machine's, and the newest version in this process's causal past."""

    role: Any
    machine: Any
    past: Version = 0


Reaction: TypeAlias = Callable[[Any], Iterable[Tell]]
"""The words that an application sends at once on a result of its cache or on a `Letter`."""


def silent(heard: Any) -> Iterable[Tell]:
    """The application that sends no words."""
    return ()


class Joined:
    """`role`, a cache or a home of one artifact, over `machine`.  Words come as `Deliver(Letter)`.

    `then` is the part of the application that reacts within the step.
    """

    def __init__(
        self,
        role: Process[Any, Any, Any],
        machine: Machine[Any],
        *,
        then: Reaction = silent,
        start: JoinedState | None = None,
    ) -> None:
        self.role = role
        self.machine = machine
        self.then = then
        self.start = start

    def initial(self) -> JoinedState:
        """`start`, or both parts before their first event."""
        return self.start or JoinedState(self.role.initial(), self.machine.initial())

    def durable(self, state: JoinedState) -> JoinedState:
        """The durable state of each part."""
        role, machine = self.role.durable(state.role), self.machine.durable(state.machine)
        return JoinedState(role, machine, state.past)

    def step(self, state: JoinedState, event: Event[Any, Any], now: Time) -> Step[JoinedState]:
        """One event, and all steps that follow from it within this process."""
        turn = _Turn(self, state, now)
        if type(event) is Invoke and type(event.request) is Tell:
            turn.out.append(Respond(turn.say(event.request.dst, event.request.body)))
        elif type(event) is Receive or (type(event) is Timeout and event.name == RESEND):
            turn.machine(event)
        else:
            if type(event) is Restart:
                turn.machine(event)
            turn.role(event)
        after = JoinedState(turn.role_state, turn.machine_state, turn.past)
        return Step(after, tuple(turn.out), turn.action)


class _Turn:
    """A running step: the two states as they change, and the commands to the driver."""

    def __init__(self, process: Joined, state: JoinedState, now: Time) -> None:
        self.process = process
        self.role_state = state.role
        self.machine_state = state.machine
        self.past = state.past
        self.now = now
        self.out: list[Command[Any, Any]] = []
        self.action = ""

    def role(self, event: Event[Any, Any]) -> None:
        step = self.process.role.step(self.role_state, event, self.now)
        self.role_state = step.state
        self.action = step.action
        self.past = max(self.past, step.state.version)  # home may just have made it
        results = []
        for command in step.commands:
            if type(command) is Send:
                self.say(command.dst, command.message)
                continue
            self.out.append(command)
            if type(command) is Respond:
                results.append(command.result)
        for result in results:
            self.react(result)

    def machine(self, event: Event[Any, Any]) -> int:
        """Returns the id of the message if the event is a request to send one."""
        step = self.process.machine.step(self.machine_state, event, self.now)
        self.machine_state = step.state
        self.action = self.action or step.action
        id, delivered = 0, []
        for command in step.commands:
            if type(command) is Deliver:
                delivered.append(command)
            elif type(command) is Respond:
                id = command.result
            else:
                self.out.append(command)
        # Reactions come after the machine's step, as from any driver.
        for command in delivered:
            self.hear(command.src, command.message.payload)
        return id

    def say(self, dst: Address, body: Any) -> int:
        return self.machine(Invoke(Unicast(dst, Letter(body, self.past))))

    def hear(self, src: Address, letter: Letter) -> None:
        self.past = max(self.past, letter.past)
        if type(letter.body) in _OF_COHERENCE:
            self.role(Receive(src, letter.body))
        else:
            self.out.append(Deliver(src, letter))
            self.react(letter)

    def react(self, heard: Any) -> None:
        for word in self.process.then(heard):
            self.say(word.dst, word.body)


class Bare(Machine[int]):
    """Bare links: every message goes at once and is delivered on arrival.

    There are no acknowledgements.  The state is the next message's id.
    """

    name = "bare"
    survives_loss = False

    def initial(self) -> int:
        return 1

    def invoke(self, state: int, request: Any, now: Time) -> Step[int]:
        data = Data(state, 0, False, request.payload)
        return Step(state + 1, (Respond(state), Send(self.known(request.dst), data)), "SendNow")

    def receive(self, state: int, src: Address, packet: Any, now: Time) -> Step[int]:
        return Step(state, (Deliver(src, Delivered(packet.id, packet.payload)),), "ReceiveData")

    def idle(self, state: int) -> bool:
        return True
