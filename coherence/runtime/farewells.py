"""Leave messages on behalf of agents whose processes have ended.

A home knows an agent by name.  If the ended session is the last one known to home, a `Leave` ends
everything that it had.  If the name has a newer session, the grant and the place in the queue of
the older session are returned by their numbers, and the newer session keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from enum import Enum, auto
from typing import TypeAlias

from msgspec.structs import replace

from coherence.messages import SERIAL_BITS, Leave, PutE, Serial, ToHome
from coherence.states import HomeState
from message_passing.process import Address


class Fate(Enum):
    """The known state of a session."""

    #: It lives, or its end cannot be known.
    LIVE = auto()
    #: Its agent has joined again since: it makes no more requests, and its commits are refused.
    SUPERSEDED = auto()
    #: Its process has ended.
    ENDED = auto()


Fates: TypeAlias = Callable[[Address, int], Fate]
"""The fate of a session of an agent."""


def session_of(serial: Serial) -> int:
    """The session in which a request of that serial was made."""
    return serial >> SERIAL_BITS


def waited_for(state: HomeState) -> dict[Address, Serial]:
    """The agents that others may wait for, each with the last serial that home knows.

    They hold the grant, stand in the queue, or have not acknowledged an announcement.
    """
    heard: dict[Address, Serial] = {}
    if state.owner:
        heard[state.owner] = state.owner_serial
    for waiter in state.queue:
        heard[waiter.cache] = max(waiter.serial, heard.get(waiter.cache, 0))
    for sharer in state.unacked:
        heard[sharer.cache] = max(sharer.serial, heard.get(sharer.cache, 0))
    if heard:
        for sharer in state.sharers:
            if sharer.cache in heard:
                heard[sharer.cache] = max(sharer.serial, heard[sharer.cache])
    return heard


def farewells(state: HomeState, fates: Fates) -> list[tuple[Address, ToHome]]:
    """The messages for a home in `state`, each with the agent on whose behalf it is sent."""
    said: list[tuple[Address, ToHome]] = []
    # The owner comes last, so that the grant does not go to another dead agent.
    heard = waited_for(state)
    left = {
        agent for agent, serial in heard.items() if fates(agent, session_of(serial)) is Fate.ENDED
    }
    for agent in sorted(left - {state.owner}):
        said.append((agent, Leave(heard[agent])))
    for waiter in state.queue:
        if waiter.cache not in left and _is_over(fates, waiter.cache, waiter.serial):
            said.append((waiter.cache, PutE(waiter.serial, 0)))
    if state.owner in left:
        said.append((state.owner, Leave(heard[state.owner])))
    elif state.owner and _is_over(fates, state.owner, state.owner_serial):
        said.append((state.owner, PutE(state.owner_serial, state.epoch)))
    return said


def present(state: HomeState, members: Container[tuple[Address, int]]) -> HomeState:
    """`state` without the agents whose sessions are not among `members`."""

    def is_there(agent: Address, serial: Serial) -> bool:
        return (agent, session_of(serial)) in members

    owned = is_there(state.owner, state.owner_serial)
    return replace(
        state,
        owner=state.owner if owned else "",
        sharers=tuple(each for each in state.sharers if is_there(each.cache, each.serial)),
        queue=tuple(each for each in state.queue if is_there(each.cache, each.serial)),
    )


def _is_over(fates: Fates, agent: Address, serial: Serial) -> bool:
    return fates(agent, session_of(serial)) is not Fate.LIVE
