"""Agents that read their inbox only between turns: any machine, deaf while its agent works.

With a sidecar, packets are taken and acknowledged at any time: a plain machine models that.  If the
agent's own loop takes the mail, all packets wait for the end of the turn, acknowledgements
included: this wrapper models that.
"""

from __future__ import annotations

from typing import Any

from causal.machine import Machine
from message_passing.process import Command, Event, Invoke, Receive, Respond, Step, Time, Value


class BeginTurn(Value, frozen=True, gc=False, tag=True):
    """The agent starts to work and reads no mail."""


class EndTurn(Value, frozen=True, gc=False, tag=True):
    """The agent's turn is over: it takes all of its mail."""


class TurnState(Value, frozen=True, gc=False, tag=True):
    """The machine's state, and the packets in the inbox."""

    inner: Any
    busy: bool = False
    inbox: tuple[Receive[Any], ...] = ()


class BetweenTurns:
    """A process that passes all events on to `machine`, packets only between turns."""

    def __init__(self, machine: Machine[Any]) -> None:
        self.machine = machine

    def initial(self) -> TurnState:
        """Idle, with an empty inbox."""
        return TurnState(self.machine.initial())

    def durable(self, state: TurnState) -> TurnState:
        """All of it, as the machine does."""
        return state

    def step(self, state: TurnState, event: Event[Any, Any], now: Time) -> Step[TurnState]:
        """Put mail aside during a turn, take it at the end, pass on the rest."""
        if type(event) is Invoke and type(event.request) is BeginTurn:
            return Step(TurnState(state.inner, True, state.inbox), (Respond(None),), "BeginTurn")
        if type(event) is Invoke and type(event.request) is EndTurn:
            inner, commands = state.inner, list[Command[Any, Any]]([Respond(None)])
            for mail in state.inbox:
                step = self.machine.step(inner, mail, now)
                inner = step.state
                commands += step.commands
            return Step(TurnState(inner), tuple(commands), "EndTurn")
        if type(event) is Receive and state.busy:
            inbox = (*state.inbox, event)
            return Step(TurnState(state.inner, True, inbox), (), "Inbox")
        step = self.machine.step(state.inner, event, now)
        return Step(TurnState(step.state, state.busy, state.inbox), step.commands, step.action)
