"""Dijkstra's self-stabilising token ring (EWD 426, 1974), as a `Composite`.

Node 0 holds the token if its counter equals that of the last node, another node if its counter
differs from that of the node before it.  From any counters at all, the ring comes to one token.
Each rule reads two slots, and every combination of counters is an initial state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

from specs.checker.claims import every_step
from specs.checker.composite import Change, Composite, Rule
from specs.checker.model import Action, eventually, weak


def token_ring(nodes: int = 4, values: int = 4) -> Composite[Any]:
    """A ring of `nodes` with counters modulo `values`.  Fewer than nodes - 1 values do not do."""

    def create(c: Sequence[int]) -> Iterator[Change]:
        if c[0] == c[nodes - 1]:
            yield Change(Action("CreateToken", "0"), ((0, (c[nodes - 1] + 1) % values),))

    def pass_on(me: int, c: Sequence[int]) -> Iterator[Change]:
        if c[me] != c[me - 1]:
            yield Change(Action("PassToken", str(me)), ((me, c[me - 1]),))

    def one_token(c: Sequence[int]) -> bool:
        # Up to some node all counters are that of node 0, and after that one less.
        rest = [c[node] for node in range(nodes) if c[node] != c[0]]
        first = nodes - len(rest)
        return all(c[node] == (c[0] - 1) % values for node in range(first, nodes))

    rules: list[Rule] = [create, *(partial(pass_on, me) for me in range(1, nodes))]
    return Composite(
        f"token-ring-{nodes}",
        [f"counter {node}" for node in range(nodes)],
        list(product(range(values), repeat=nodes)),
        rules,
        apply=lambda slot, value, operation: value,
        view=lambda c: c,
        properties=[
            eventually("one token", one_token),
            every_step("still one token", lambda c, after: not one_token(c) or one_token(after)),
        ],
        fairness=[weak(lambda action: "Next")],
        kinds=["counter"] * nodes,
    )
