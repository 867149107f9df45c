"""Peterson's algorithm for two processes (1981), with shared memory: a model without messages.

A state is a tuple: the two program counters, the two flags, the turn.  Each line that touches
shared memory is one action, so that processes interleave between any two of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

from specs.checker.model import Action, Model, always, leads_to, reachable, weak

At: TypeAlias = Literal["idle", "flag", "turn", "wait", "critical"]
NAMES = ("p0", "p1")


class Memory(NamedTuple):
    """Program counters and shared variables."""

    at: tuple[At, At] = ("idle", "idle")
    wants: tuple[bool, bool] = (False, False)
    turn: int = 0


def _set(pair: tuple[At, At], me: int, value: At) -> tuple[At, At]:
    return (value, pair[1]) if me == 0 else (pair[0], value)


def _flag(pair: tuple[bool, bool], me: int, value: bool) -> tuple[bool, bool]:
    return (value, pair[1]) if me == 0 else (pair[0], value)


def _is_at(me: int, place: At, state: Memory) -> bool:
    return state.at[me] == place


def peterson(*, rude: bool = False) -> Model[Memory, Memory]:
    """Mutual exclusion for two.  A rude process does not give the other its turn."""

    def actions(state: Memory) -> Iterator[tuple[Action, Memory]]:
        for me, name in enumerate(NAMES):
            other = 1 - me

            def to(place: At, me: int = me) -> Memory:
                return state._replace(at=_set(state.at, me, place))

            match state.at[me]:
                case "idle":
                    yield Action("Try", name), to("flag")
                case "flag":
                    wants = _flag(state.wants, me, True)
                    yield Action("RaiseFlag", name), to("turn")._replace(wants=wants)
                case "turn":
                    turn = me if rude else other
                    yield Action("GiveTurn", name), to("wait")._replace(turn=turn)
                case "wait":
                    if not state.wants[other] or state.turn == me:
                        yield Action("Enter", name), to("critical")
                case "critical":
                    wants = _flag(state.wants, me, False)
                    yield Action("Leave", name), to("idle")._replace(wants=wants)

    properties = [
        always("mutual exclusion", lambda s: s.at != ("critical", "critical")),
        reachable("both wait", lambda s: s.at == ("wait", "wait")),
        *(
            leads_to(
                f"{name} gets in",
                partial(_is_at, me, "wait"),
                partial(_is_at, me, "critical"),
            )
            for me, name in enumerate(NAMES)
        ),
    ]
    # A process need not try; once it tries, it continues.
    fairness = [weak(name, each="process") for name in ("RaiseFlag", "GiveTurn", "Enter", "Leave")]
    return Model(
        "peterson-rude" if rude else "peterson",
        [Memory()],
        actions,
        properties,
        fairness,
        alphabet=frozenset({"Try", "RaiseFlag", "GiveTurn", "Enter", "Leave"}),
    )
