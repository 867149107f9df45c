"""Election of a leader on a ring that sends one way (Chang and Roberts 1979).

Any set of nodes may begin an election by sending their numbers.  A node passes on only numbers
below its own; the number that comes back to its node has the smallest owner.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from specs.checker.model import Action, Model, always, eventually, weak
from specs.examples.tuples import put


class Ring(NamedTuple):
    """By node: numbers in transit to it, whether it started, and as an initiator; its state."""

    inbox: tuple[frozenset[int], ...]
    started: tuple[bool, ...]
    initiator: tuple[bool, ...]
    state: tuple[str, ...]


def chang_roberts(nodes: int = 3, *, modest: bool = True) -> Model[Ring, Ring]:
    """The election among `nodes`.  An immodest candidate never counts itself lost."""

    def actions(s: Ring) -> Iterator[tuple[Action, Ring]]:
        for me in range(nodes):
            following = (me + 1) % nodes

            def sent(number: int, inbox: tuple[frozenset[int], ...], to: int = following) -> Ring:
                return s._replace(inbox=put(inbox, to, inbox[to] | {number}))

            if not s.started[me]:
                begun = sent(me, s.inbox) if s.initiator[me] else s
                yield Action("Start", str(me)), begun._replace(started=put(s.started, me, True))
                continue
            for number in s.inbox[me]:
                rest = put(s.inbox, me, s.inbox[me] - {number})
                after = s._replace(inbox=rest)
                if s.state[me] == "lost" or number < me:
                    after = sent(number, rest)
                    if modest:
                        after = after._replace(state=put(s.state, me, "lost"))
                elif number == me:
                    after = after._replace(state=put(s.state, me, "won"))
                yield Action("Receive", str(me)), after

    def correct(s: Ring) -> bool:
        winners = [node for node in range(nodes) if s.state[node] == "won"]
        return not winners or (
            s.initiator.index(True) == winners[0]
            and all(s.state[other] == "lost" for other in range(nodes) if other != winners[0])
        )

    def is_elected(s: Ring) -> bool:
        return not any(s.initiator) or "won" in s.state

    empty = ((frozenset[int](),) * nodes, (False,) * nodes)
    initial = [
        Ring(*empty, begin, tuple("candidate" if each else "lost" for each in begin))
        for begin in product((False, True), repeat=nodes)
    ]
    return Model(
        "chang-roberts",
        initial,
        actions,
        [always("correct", correct), eventually("elected", is_elected)],
        [weak(lambda action: action.process)],
        terminal=lambda s: True,
    )
