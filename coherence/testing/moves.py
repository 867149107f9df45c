"""What a schedule is made of: the moves of agents, and which of them commute.  Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final, NamedTuple, TypeAlias

Access: TypeAlias = tuple[tuple[Hashable, bool], ...]
"""The objects that a move touches, each with whether the move may change it."""

#: The object that stands for all of them.
EVERYTHING: Final = "*"
#: The agent of a move that no agent makes: the passing of time.
NOBODY: Final = -1


def are_same(one: Mapping[int, Access], other: Mapping[int, Access]) -> bool:
    """Whether the same agents have stopped before the same moves, by what is told of them.

    Frameworks draw the names of some members by chance.
    """
    return one == other or _told(one) == _told(other)


def _told(ready: Mapping[int, Access]) -> dict[int, Access]:
    return {
        agent: tuple(each for each in access if getattr(each[0], "is_told", True))
        for agent, access in ready.items()
    }


class Move(NamedTuple):
    """One move of a schedule, with all that happens until the next choice."""

    agent: int
    access: Access = ()
    #: The move that woke or started the agent since its last one; -1 for none.
    woken_by: int = -1


def commute(one: Access, other: Access) -> bool:
    """Whether two moves have the same effect in either order: neither writes what both touch."""
    for name, writes in one:
        for touched, written in other:
            if (writes or written) and (name in (touched, EVERYTHING) or touched == EVERYTHING):
                return False
    return True
