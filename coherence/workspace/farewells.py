"""Farewells on behalf of agents that cannot say theirs any more: their processes have ended.

A home goes by an agent's name.  Where the session that has ended is the last that home has heard
of, a `Leave` ends all that it had.  Where the name has a newer session, a grant and a place in the
queue of the older one are given back each by its own number, and the newer one keeps what it has.
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
    """What is known of a session."""

    #: It lives, or nobody can tell.
    LIVE = auto()
    #: Its agent has joined again since: it asks for nothing more and is refused what it commits.
    SUPERSEDED = auto()
    #: Its process has ended.
    ENDED = auto()


Fates: TypeAlias = Callable[[Address, int], Fate]
"""The fate of a session of an agent."""


def session_of(serial: Serial) -> int:
    """The session in which a request of that serial was made."""
    return serial >> SERIAL_BITS


def waited_for(state: HomeState) -> dict[Address, Serial]:
    """The agents that may be waited for, each with the last serial that home has heard of it.

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
    """What is to be said to the home that is in `state`, in whose name."""
    said: list[tuple[Address, ToHome]] = []
    # The owner comes last, so that the grant goes to no other that has ended.
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
    """`state` as it is without those that are not, with their session, among `members`."""

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
