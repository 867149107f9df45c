"""Detection of termination, as a problem: what `ewd998` refines.

Active nodes send messages, and a message activates its receiver.  Termination may be detected at
any moment from which no node is active and no message is in transit.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from specs.checker.model import Action, Model
from specs.examples.tuples import put


class Computation(NamedTuple):
    """By node, whether it is active and the messages in transit to it; whether it is detected."""

    active: tuple[bool, ...]
    pending: tuple[int, ...]
    detected: bool

    @property
    def has_terminated(self) -> bool:
        """Whether nothing can happen any more."""
        return not any(self.active) and not any(self.pending)


def termination(nodes: int = 2) -> Model[Computation, Computation]:
    """`nodes` that compute, without a bound on messages."""

    def actions(s: Computation) -> Iterator[tuple[Action, Computation]]:
        for me, name in enumerate(map(str, range(nodes))):
            if s.pending[me]:
                active, pending = put(s.active, me, True), put(s.pending, me, s.pending[me] - 1)
                yield Action("RcvMsg", name), s._replace(active=active, pending=pending)
            if s.active[me]:
                after = s._replace(active=put(s.active, me, False))
                for detected in {s.detected, after.has_terminated}:
                    yield Action("Terminate", name), after._replace(detected=detected)
                for other in range(nodes):
                    pending = put(s.pending, other, s.pending[other] + 1)
                    yield Action("SendMsg", name), s._replace(pending=pending)
        if s.has_terminated:
            yield Action("DetectTermination"), s._replace(detected=True)

    begun = [
        Computation(active, (0,) * nodes, detected)
        for active in product((False, True), repeat=nodes)
        for detected in {False, not any(active)}
    ]
    return Model("termination", begun, actions)
