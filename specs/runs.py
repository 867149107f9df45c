"""Runs that `coherence.runtime.recorder` wrote, checked against the protocol.

The tables accept a run if each step is one of theirs, on any network, and breaks none of
`coherence.invariants`.  TLC accepts a run if it is a behaviour of Mesi.tla.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coherence.cache import DEADLINE, RETRY, VALIDITY
from coherence.invariants import begin, observe
from coherence.messages import Message
from coherence.runtime.outcome import HOME
from coherence.runtime.recorder import REQUESTS, processes
from message_passing import trace
from message_passing.network import Guarantee
from message_passing.process import Address, Event, Step
from specs import traces
from specs.recorded import Acceptance, Acceptor

#: A driver may ask again, stop waiting, or let a copy lapse whenever it likes.
EARLY = frozenset({DEADLINE, RETRY, VALIDITY})
NETWORK = Guarantee.UNORDERED_LOSSY_DUPLICATING


def accept(path: Path) -> Acceptance:
    """How far the file is a run of one artifact.  Raises `NoTrace`, `BadTrace`."""
    lines = list(trace.read(path))
    if not lines:
        return Acceptance(0, "an empty trace")
    parties = processes(lines)
    ghost: Any = None

    def judge(address: Address, event: Event[Any, Any], step: Step[Any]) -> str:
        nonlocal ghost
        if ghost is None:
            ghost = begin(step.state)
        ghost = observe(ghost, address, event, step, parties[HOME].policy)
        return str(ghost.broken)

    acceptor = Acceptor(
        parties,
        NETWORK,
        REQUESTS,
        Message,
        early=EARLY,
        one_clock=False,
        judge=judge,
    )
    return acceptor.follow(lines)


def accept_by_tlc(path: Path) -> Acceptance:
    """How far the file is a behaviour of Mesi.tla.  Raises what `traces.follow` does, too."""
    lines = list(trace.read(path))
    if not lines:
        return Acceptance(0, "an empty trace")
    return traces.follow(lines, processes(lines)[HOME].policy, NETWORK, early=EARLY)
