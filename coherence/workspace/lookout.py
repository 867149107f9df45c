"""A waiting agent looks whether those that it waits for still live.

The kernel drops the lock of a process that ends and tells nobody, so this one look is by time.  It
costs nothing where nobody waits.  Of all agents of a process that wait for one artifact one looks,
for all of them.  It remembers whom it found in the way, and asks the store for more only when one
of those is gone: whoever comes later stands behind.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING

from coherence.errors import StoreFault
from coherence.stores.port import Member
from coherence.workspace.farewells import Fate, farewells, waited_for
from message_passing.process import Address

if TYPE_CHECKING:
    from coherence.workspace.exchange import Exchange

log = logging.getLogger("coherence.workspace")

#: How long after a wait has begun the first look comes: most waits are over by then.
FIRST_S = 0.02
#: How long between two looks.
LOOK_S = 0.15


class _Lookout:
    """That for one artifact."""

    __slots__ = ("at", "by", "known")

    def __init__(self, by: Address, at: float) -> None:
        #: The agent that looks.
        self.by = by
        #: When it looks next, on this process's monotonic clock.
        self.at = at
        #: Those in the way, as far as they are members; None where it is time to find out.
        self.known: list[Member] | None = None


class Lookouts:
    """The artifacts that agents of this process wait for, and who looks for each of them."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._kept: dict[str, _Lookout] = {}

    def at(self, artifact: str, agent: Address) -> float | None:
        """When `agent`, which waits for `artifact`, is to `look`; None where another one does."""
        if not (self._exchange.store.shared and self._waits(agent, artifact)):
            return None
        lookout = self._kept.get(artifact)
        if lookout is None or (lookout.by != agent and not self._waits(lookout.by, artifact)):
            lookout = self._kept[artifact] = _Lookout(agent, monotonic() + FIRST_S)
        return lookout.at if lookout.by == agent else None

    def doubt(self, artifact: str) -> None:
        """What was found of `artifact` may be found differently by now."""
        lookout = self._kept.get(artifact)
        if lookout is not None:
            lookout.known = None

    def end(self, artifact: str, agent: Address) -> None:
        """`agent` waits no longer: another one looks in its place, where one waits."""
        lookout = self._kept.get(artifact)
        if lookout is None or lookout.by != agent:
            return
        for name, caches in tuple(self._exchange.agents.items()):
            waiter = caches.waiters.get(artifact)
            if waiter is not None and name != agent:
                lookout.by = name
                waiter()
                return
        self._kept.pop(artifact, None)

    def look_before(self, artifact: str, deadline: float) -> None:
        """Look at once, where a wait for `artifact` would be over before its first look."""
        if self._exchange.store.shared and deadline <= monotonic() + FIRST_S:
            try:
                self._bury(artifact)
            except StoreFault as error:
                log.debug("nobody knows who holds %r: %s", artifact, error)

    def look(self, artifact: str, agent: Address) -> None:
        """Say farewell to `artifact`'s home for those in the way whose processes have ended."""
        lookout = self._kept.get(artifact)
        if lookout is None or lookout.by != agent:
            return
        lookout.at = monotonic() + LOOK_S
        exchange = self._exchange
        try:
            # One that was killed may have owed this process a word of what it had done.
            exchange.refresh()
            store, known = exchange.store, lookout.known
            if known is not None:
                if not any(store.gone(member) for member in known):
                    return
                exchange.fetch()
            known = lookout.known = self._bury(artifact)
            if all(member.origin == store.origin for member in known):
                # No other process is in the way: what is waited for may be in the log, unannounced.
                exchange.fetch()
        except StoreFault as error:
            log.debug("nobody knows who waits for %r: %s", artifact, error)

    def _bury(self, artifact: str) -> list[Member]:
        """Those that are in the way and live, as far as anybody knows."""
        exchange = self._exchange
        store = exchange.store
        stored = store.row(artifact)
        heard = waited_for(stored.row.state) if stored is not None else {}
        if stored is None or not heard:
            return []
        members = {member.agent: member for member in store.sessions(list(heard))}
        gone = {agent for agent, member in members.items() if store.gone(member)}

        def fate(agent: Address, session: int) -> Fate:
            member = members.get(agent)
            if member is None or session > member.session:
                return Fate.LIVE
            if session < member.session:
                return Fate.SUPERSEDED
            return Fate.ENDED if agent in gone else Fate.LIVE

        said = farewells(stored.row.state, fate)
        # The mark comes first: an agent that lives is told of the farewell, and takes it back.
        for agent in gone:
            if not members[agent].ended:
                store.bury(members[agent])
        if said:
            log.info("%r is freed of %s", artifact, ", ".join(sorted({name for name, _ in said})))
            exchange.carry({artifact: said})
        return [member for agent, member in members.items() if agent not in gone]

    def _waits(self, agent: Address, artifact: str) -> bool:
        caches = self._exchange.agents.get(agent)
        return caches is not None and artifact in caches.waiters
