"""Mutual exclusion for two by shared memory (Peterson 1981).

Each line that touches shared memory is one action, so that processes interleave between any two
of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from specs.checker.model import Action, Model, Property, always, leads_to, reachable, weak
from specs.examples.tuples import put


class Flags(NamedTuple):
    """Program counters, the two flags, and the turn."""

    at: tuple[str, ...] = ("idle", "idle")
    wants: tuple[bool, ...] = (False, False)
    turn: int = 0


def peterson(*, rude: bool = False) -> Model[Flags, Flags]:
    """Mutual exclusion for two.  A rude process does not give the other its turn."""

    def actions(s: Flags) -> Iterator[tuple[Action, Flags]]:
        for me, other, name in ((0, 1, "p0"), (1, 0, "p1")):
            match s.at[me]:
                case "idle":
                    yield Action("Try", name), s._replace(at=put(s.at, me, "flag"))
                case "flag":
                    raised = put(s.wants, me, True)
                    yield (
                        Action("RaiseFlag", name),
                        s._replace(at=put(s.at, me, "turn"), wants=raised),
                    )
                case "turn":
                    turn = me if rude else other
                    yield Action("GiveTurn", name), s._replace(at=put(s.at, me, "wait"), turn=turn)
                case "wait" if not s.wants[other] or s.turn == me:
                    yield Action("Enter", name), s._replace(at=put(s.at, me, "critical"))
                case "critical":
                    yield Action("Work", name), s._replace(at=put(s.at, me, "leave"))
                case "leave":
                    lowered = put(s.wants, me, False)
                    yield Action("Leave", name), s._replace(at=put(s.at, me, "idle"), wants=lowered)

    def is_in(s: Flags, me: int) -> bool:
        return s.at[me] in ("critical", "leave")

    def is_at(me: int, place: str, s: Flags) -> bool:
        return s.at[me] == place

    # A process need not try; once it tries, it continues.
    fairness = [weak(lambda a: None if a.name == "Try" else a.process)]
    gets_in = [
        leads_to(f"p{me} gets in", partial(is_at, me, "wait"), partial(is_at, me, "critical"))
        for me in (0, 1)
    ]
    properties: list[Property[Flags]] = [
        always("mutual exclusion", lambda s: not (is_in(s, 0) and is_in(s, 1))),
        reachable("both wait", lambda s: s.at == ("wait", "wait")),
    ]
    return Model("peterson", [Flags()], actions, [*properties, *gets_in], fairness)
