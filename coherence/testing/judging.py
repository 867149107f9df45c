"""Whether a recorded run kept the promises of the protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from coherence.invariants import begin, observe
from coherence.messages import Message
from coherence.oracle import HOME, InvariantBroken
from coherence.runtime.recorder import REQUESTS, processes
from message_passing.canonical import digest
from message_passing.process import Invoke, Receive, Restart, Step, Timeout
from message_passing.trace import BadTrace, read

_EVENT: Any = Invoke[REQUESTS] | Receive[Message] | Timeout | Restart


def judge(path: str | Path) -> int:
    """How many steps the file of one artifact has; each keeps every invariant.

    Each is also what the tables make of its event, but whether messages arrived as they may is for
    ``coherence specs recorded``.  Raises `InvariantBroken`, `BadTrace`, `NoTrace`.
    """
    lines = list(read(path))
    if not lines:
        raise BadTrace(f"{path} is empty")
    parties = processes(lines)
    states: dict[str, Any] = {address: party.initial() for address, party in parties.items()}
    ghost: Any = None
    for number, line in enumerate(lines, start=1):
        event = msgspec.convert(line.event, _EVENT)
        if isinstance(event, Restart):
            states[line.process] = parties[line.process].durable(states[line.process])
        step: Step[Any] = parties[line.process].step(states[line.process], event, line.time)
        if (step.action, digest(step.state)) != (line.action, line.state):
            raise BadTrace(
                f"{path}, step {number}: {line.process} took {line.action}, "
                f"and the table takes {step.action}",
                remedy="other processes take part, or the outcome of a transaction is not known",
            )
        states[line.process] = step.state
        ghost = observe(
            begin(step.state) if ghost is None else ghost,
            line.process,
            event,
            step,
            parties[HOME].policy,
        )
        if ghost.broken:
            raise InvariantBroken(ghost.broken, line.process, event)
    return len(lines)
