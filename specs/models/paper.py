"""The paper's own protocol at the paper's own abstraction (arXiv 2603.15183).

A directory with a version, agents with a MESI state and a version each, and an event bus that
delivers invalidations some time after they were published.  No messages beyond that, no grants that
end, no failures: `specs.models.mesi` has the additions of the shipped tables.

The paper claims three properties, single writer, monotonic versions and bounded staleness, and its
repository a liveness property: an invalidated cache reaches a valid state.  Each holds here, under
a condition: the staleness bound holds if an agent must fetch when it reaches the bound
(``enforced``), and an invalidated cache becomes valid only if its agent keeps reading (``reads``).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

from specs.checker.errors import UsageError
from specs.checker.model import Action, Model, Property, always, leads_to, reachable, weak

At: TypeAlias = Literal["I", "S", "E", "M"]


COUNTED_MAX = 8


class Agent(NamedTuple):
    """One agent's cache entry."""

    at: At = "I"
    version: int = 0
    #: Stale reads in a row.
    stale: int = 0
    #: Whether an invalidation has been published and not yet delivered.
    pending: bool = False


class State(NamedTuple):
    """The directory's version, and the agents."""

    version: int
    agents: tuple[Agent, ...]


def paper(
    agents: int = 3,
    writes: int = 2,
    bound: int = 2,
    lazy: bool = True,
    enforced: bool = True,
    reads: bool = True,
) -> Model[State, State]:
    """`agents` that write `writes` versions in all, under a staleness bound of `bound` reads.

    `lazy` publishes invalidations when a write commits, else when it begins.  `reads` makes it fair
    that an agent without a copy fetches one.
    """
    if agents < 1 or not 0 <= bound < COUNTED_MAX:
        raise UsageError(
            f"{agents} agents, a bound of {bound}",
            remedy=f"at least one agent, a bound below {COUNTED_MAX}",
        )
    return Model(
        f"paper-{agents}x{writes}",
        initial=[State(0, (Agent(),) * agents)],
        actions=partial(_actions, writes, bound if enforced else None, lazy),
        properties=list(_properties(agents, bound)),
        fairness=[weak(name, each="process") for name in ("Deliver", *["Fetch"] * reads)],
        terminal=lambda _: True,
        alphabet=frozenset({"Fetch", "Read", "Upgrade", "Write", "Commit", "Deliver"}),
    )


def _actions(
    writes: int, bound: int | None, lazy: bool, state: State
) -> Iterator[tuple[Action, State]]:
    for who, agent in enumerate(state.agents):
        label = partial(Action, process=f"agent{who}")
        if agent.pending:
            yield label("Deliver"), _with(state, who, Agent("I", agent.version))
        current = agent.version == state.version
        if agent.at == "I" or (not current and agent.stale == bound):
            yield label("Fetch"), _fetched(state, who)
        else:
            # Beyond the largest allowed bound the count stays constant.
            stale = 0 if current else min(agent.stale + 1, COUNTED_MAX)
            yield label("Read"), _with(state, who, agent._replace(stale=stale))
        others = [a for i, a in enumerate(state.agents) if i != who]
        if agent.at in "IS" and not any(a.at in "EM" for a in others) and state.version < writes:
            begun = _with(state, who, Agent("E", state.version))
            yield label("Upgrade"), begun if lazy else _published(begun, who)
        if agent.at == "E":
            yield label("Write"), _with(state, who, agent._replace(at="M"))
        if agent.at == "M":
            done = State(state.version + 1, state.agents)
            done = _with(done, who, Agent("S", done.version))
            yield label("Commit"), _published(done, who)


def _with(state: State, who: int, agent: Agent) -> State:
    agents = list(state.agents)
    agents[who] = agent
    return State(state.version, tuple(agents))


def _fetched(state: State, who: int) -> State:
    """The reader shares the current version; an exclusive holder that has not written shares it."""
    return _with(state, who, Agent("S", state.version))


def _published(state: State, who: int) -> State:
    """Invalidations are in transit to all others that hold a copy."""
    agents = (
        agent if i == who or agent.at == "I" else agent._replace(pending=True)
        for i, agent in enumerate(state.agents)
    )
    return State(state.version, tuple(agents))


def _properties(agents: int, bound: int) -> Iterator[Property[State]]:
    yield always("single writer", lambda s: sum(a.at in "EM" for a in s.agents) <= 1)
    yield always("monotonic versions", lambda s: all(a.version <= s.version for a in s.agents))
    yield always("writer is current", _writer_is_current)
    yield always("bounded staleness", lambda s: all(a.stale <= bound for a in s.agents))
    yield reachable("a stale read", lambda s: any(a.stale for a in s.agents))
    for who in range(agents):
        yield leads_to(f"agent{who} becomes valid", partial(_invalid, who), partial(_valid, who))


def _writer_is_current(state: State) -> bool:
    return all(a.version == state.version for a in state.agents if a.at in "EM")


def _invalid(who: int, state: State) -> bool:
    return state.agents[who].at == "I"


def _valid(who: int, state: State) -> bool:
    return state.agents[who].at != "I"
