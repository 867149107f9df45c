"""Walk a path of a system's model with `message_passing.turn.Core`, without memoising.

The checker calls each step once and remembers the result, and interprets commands in a loop of its
own.  A replay calls the same steps again, through the interpreter that drivers use, and compares
states, timers and messages after every one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from message_passing.errors import Defect
from message_passing.process import Address, Event, Invoke, Receive, Restart, Timeout
from message_passing.turn import Core, Effects
from specs.checker.model import Action
from specs.checker.result import Path
from specs.system import Local, System


class ReplayDiverged(Defect):
    """The driver and the model differ: one of the two is wrong."""


def replay(system: System, path: Path) -> Iterator[tuple[Action, Effects | None]]:
    """Each action of `path` with the effects of its step (None: no process stepped).

    Raises `ReplayDiverged` at the first step whose outcome is not the path's.  If a step of the
    model raised, its state is the path's last, and the error is raised here as well.
    """
    cores = {address: Core(process) for address, process in system.processes.items()}
    for before, after in pairwise(path.moments):
        action = after.action
        assert action is not None
        _require_ways(system, before.state, action)
        effects = _step(cores, action)
        if effects is not None:
            sent = tuple((send.dst, send.message) for send in effects.sends)
            _compare(action, "sent", sent, action.sent)
        for address, core in cores.items():
            local: Local = after.state[system.slots.slot_of(address)]
            _compare(action, f"state of {address}", core.state, local.state)
            _compare(action, f"timers of {address}", frozenset(core.timers), local.armed)
        yield action, effects


def _step(cores: dict[Address, Core], action: Action) -> Effects | None:
    core = cores[action.process]
    event: Event[Any, Any]
    match action.kind:
        case "drop":
            return None
        case "crash":
            core.crash()
            return None
        case "invoke":
            event = Invoke(action.subject)
        case "timeout":
            event = Timeout(str(action.subject))
        case "restart":
            event = Restart()
        case _:
            event = Receive(action.peer, action.subject)
    _, effects = core.step(event, 0.0)
    return effects


def _require_ways(system: System, state: Any, action: Action) -> None:
    """A message that arrives or is lost must be in transit in the path's state."""
    if action.kind in ("deliver", "duplicate", "drop"):
        channel = state[system.slots.channel_slot(action.peer, action.process)]
        if action.subject not in system.slots.messages(channel):
            raise ReplayDiverged(f"{action}: no such message is in transit")


def _compare(action: Action, what: str, got: object, expected: object) -> None:
    if got != expected:
        raise ReplayDiverged(f"{action}: {what} is {got!r}, on the path {expected!r}")
