"""Detection of termination on a ring (Safra; Dijkstra, EWD 998, 1987), as a `Composite`.

Nodes send messages while they are active, and a message activates its receiver.  A token goes
round and adds up what each passive node has sent less what it has received; it turns black at a
node that received since the token's last visit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

from specs.checker.composite import Change, Composite, Rule
from specs.checker.model import Action, always, leads_to, weak
from specs.checker.refinement import refines
from specs.examples.termination import Computation, termination


def ewd998(nodes: int = 2, limit: int = 3, *, blackens: bool = True) -> Composite[Any]:
    """A ring with at most `limit` messages to a node.  Without `blackens` a receiver stays white.

    Slots: (active, black, counter) of each node, the messages in transit to each, and the token's
    (node, sum, black).
    """
    ring, token = range(nodes), 2 * nodes

    def act(me: int, s: Sequence[Any]) -> Iterator[Change]:
        active, black, counter = s[me]
        if active:
            yield Change(Action("Deactivate", str(me)), ((me, (False, black, counter)),))
            sent = (me, (True, black, counter + 1))
            for other in (*range(me), *range(me + 1, nodes)):
                yield Change(Action("SendMsg", str(me)), (sent,), ((nodes + other, 1),))

    def receive(me: int, s: Sequence[Any]) -> Iterator[Change]:
        if s[nodes + me] > 0:
            got = (me, (True, blackens or s[me][1], s[me][2] - 1))
            yield Change(Action("RecvMsg", str(me)), (got,), ((nodes + me, -1),))

    def pass_on(me: int, s: Sequence[Any]) -> Iterator[Change]:
        at, q, stained = s[token]
        if at != me:
            return
        active, black, counter = s[me]
        whitened = (me, (active, False, counter))
        if me and not active:
            passed = (token, (me - 1, q + counter, stained or black))
            yield Change(Action("PassToken", str(me)), (passed, whitened))
        # Once for each reason to begin another round, as TLC counts.
        for _ in filter(None, () if me else (stained, black, counter + q > 0)):
            begun = (token, (nodes - 1, 0, False))
            yield Change(Action("InitiateProbe", str(me)), (begun, whitened))

    def detected(s: Sequence[Any]) -> bool:
        at, q, stained = s[token]
        return at == 0 and not stained and s[0] == (False, False, -q)

    def terminated(s: Sequence[Any]) -> bool:
        return not any(s[me][0] or s[nodes + me] for me in ring)

    def computation(s: Sequence[Any]) -> Computation:
        active, pending = tuple(s[me][0] for me in ring), tuple(s[nodes + me] for me in ring)
        return Computation(active, pending, detected(s))

    def within(s: Sequence[Any]) -> bool:
        return s[token][1] <= 3 * limit and all(max(s[i][2], s[nodes + i]) <= limit for i in ring)

    rules: list[Rule] = [partial(rule, i) for i in ring for rule in (act, receive, pass_on)]
    begin = product(product((False, True), (False, True), (0,)), repeat=nodes)
    return Composite(
        f"ewd998-{nodes}",
        [*(f"node {i}" for i in ring), *(f"to {i}" for i in ring), "token"],
        [(*each, *[0] * nodes, (at, 0, True)) for each in begin for at in ring],
        rules,
        apply=lambda slot, value, more: value + more,
        view=lambda s: s,
        properties=[
            always("detected is terminated", lambda s: not detected(s) or terminated(s)),
            refines("termination", termination(nodes), computation),
            leads_to("termination is detected", terminated, detected),
        ],
        fairness=[weak(lambda a: a.name in ("InitiateProbe", "PassToken") or None)],
        terminal=lambda s: True,
        within=within,
    )
