"""A waiting agent checks whether the agents that it waits for still live.

The kernel drops the lock of a process that ends without a notification, so this check is periodic.
It costs nothing while no agent waits.  Of all agents of a process that wait for one artifact, one
checks for all of them.  It remembers the agents ahead of it, and asks the store again only when one
of them is gone: agents that come later stand behind.
"""

from __future__ import annotations

import logging

from coherence.errors import StoreFault
from coherence.runtime.caches import Caches
from coherence.runtime.farewells import Fate, farewells, waited_for
from coherence.runtime.follower import Follower
from coherence.runtime.homes import Homes
from coherence.stores.port import Member
from message_passing.process import Address, Time

log = logging.getLogger("coherence.workspace")

#: The delay of the first look after a wait has begun: most waits are over by then.
FIRST_S = 0.02
#: How long between two looks.
LOOK_S = 0.15


class _Lookout:
    """The lookout for one artifact."""

    __slots__ = ("at", "by", "known")

    def __init__(self, by: Address, at: Time) -> None:
        #: The agent that looks.
        self.by = by
        #: When the agent looks next, on this process's monotonic clock.
        self.at = at
        #: The blocking agents that are members; None if they must be determined again.
        self.known: list[Member] | None = None


class Lookouts:
    """The artifacts that agents of this process wait for, and the looking agent of each."""

    def __init__(self, homes: Homes, caches: Caches, follower: Follower) -> None:
        self._homes, self._caches, self._follower = homes, caches, follower
        self._clock = caches.clock
        self._kept: dict[str, _Lookout] = {}

    def at(self, artifact: str, agent: Address) -> Time | None:
        """When `agent`, which waits for `artifact`, must `look`; None if another agent does."""
        if not (self._homes.store.shared and self._waits(agent, artifact)):
            return None
        lookout = self._kept.get(artifact)
        if lookout is None or (lookout.by != agent and not self._waits(lookout.by, artifact)):
            lookout = self._kept[artifact] = _Lookout(agent, self._clock() + FIRST_S)
        return lookout.at if lookout.by == agent else None

    def doubt(self, artifact: str) -> None:
        """The blocking agents of `artifact` may have changed."""
        lookout = self._kept.get(artifact)
        if lookout is not None:
            lookout.known = None

    def end(self, artifact: str, agent: Address) -> None:
        """`agent` stopped waiting: another waiting agent looks in its place."""
        lookout = self._kept.get(artifact)
        if lookout is None or lookout.by != agent:
            return
        for name, caches in tuple(self._caches.agents.items()):
            asked = caches.asked.get(artifact)
            if asked is not None and asked.wake is not None and name != agent:
                lookout.by = name
                asked.wake()
                return
        self._kept.pop(artifact, None)

    def look_before(self, artifact: str, deadline: Time) -> None:
        """Look at once, if a wait for `artifact` would be over before its first look."""
        if self._homes.store.shared and deadline <= self._clock() + FIRST_S:
            try:
                self._bury(artifact)
            except StoreFault as error:
                log.debug("the holder of %r is unknown: %s", artifact, error)

    def look(self, artifact: str, agent: Address) -> None:
        """Send leave messages to `artifact`'s home for dead agents that block it."""
        lookout = self._kept.get(artifact)
        if lookout is None or lookout.by != agent:
            return
        lookout.at = self._clock() + LOOK_S
        follower, store = self._follower, self._homes.store
        try:
            # A killed process may not have sent this process its notification.
            follower.refresh()
            known = lookout.known
            if known is not None:
                if not any(store.gone(member) for member in known):
                    return
                follower.fetch()
            known = lookout.known = self._bury(artifact)
            if all(member.origin == store.origin for member in known):
                # No other process blocks it: the answer may be in the log without a
                # notification.
                follower.fetch()
        except StoreFault as error:
            log.debug("the agents that wait for %r are unknown: %s", artifact, error)

    def _bury(self, artifact: str) -> list[Member]:
        """The blocking agents that are not known to be dead."""
        store = self._homes.store
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
        # The mark comes first: a live agent is told of the leave message, and removes the mark.
        for agent in gone:
            if not members[agent].ended:
                store.bury(members[agent])
        if said:
            log.info("%r is freed of %s", artifact, ", ".join(sorted({name for name, _ in said})))
            self._homes.carry({artifact: said})
        return [member for agent, member in members.items() if agent not in gone]

    def _waits(self, agent: Address, artifact: str) -> bool:
        caches = self._caches.agents.get(agent)
        return caches is not None and caches.waits(artifact)
