"""The members of a store: the agents whose processes are not known to have ended.

The row of a process that has ended is marked, not removed at once: it identifies the grants and
places in queues that the agents have left in any artifact.  The mark counts once the end can no
longer be observed; it does not affect a process that is seen to live.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final, LiteralString

from coherence.errors import StoreFault
from coherence.stores.living import unpack_life
from coherence.stores.port import Member
from message_passing.process import Address, Time

#: The columns from which `member_of` makes a member.
COLUMNS: Final[LiteralString] = "agent, session, since, origin, life, until, ended"
#: How long the row of a process that has ended is kept.
KEPT_S: Final = 3600.0
#: How often a process checks all members for processes that have ended.
SWEEP_S: Final = 60.0


def member_of(row: Sequence[Any]) -> Member:
    """The member in a row of `COLUMNS`."""
    agent, session, since, origin, life, until, ended = row
    return Member(agent, session, since, origin, unpack_life(life), until, ended)


class Membership(ABC):
    """The members of a store, as seen by one opening of it."""

    def __init__(self, origin: int) -> None:
        self.origin = origin
        self._sweep_at = 0.0

    @abstractmethod
    def join(self, agent: Address, beyond: int | None) -> int:
        """As `Store.join`."""

    @abstractmethod
    def leave(self, agent: Address, session: int) -> None:
        """As `Store.leave`."""

    @abstractmethod
    def members(self) -> list[Member]:
        """As `Store.members`."""

    @abstractmethod
    def sessions(self, agents: Collection[Address]) -> list[Member]:
        """As `Store.sessions`."""

    @abstractmethod
    def bury(self, member: Member) -> None:
        """As `Store.bury`."""

    @abstractmethod
    def renew(self) -> None:
        """As `Store.renew`."""

    @abstractmethod
    def has_ended(self, member: Member) -> bool | None:
        """Whether the process of `member` has ended; None if that cannot be known."""

    def has_lock(self, member: Member) -> bool:
        """Whether the process of `member` holds its lock, for when `has_ended` gives None.

        A slow check, for a process that has been silent for long.
        """
        return False

    @abstractmethod
    def sweep(self) -> None:
        """Mark the members whose processes have ended, and remove those marked long ago."""

    @abstractmethod
    def agreed(self) -> str:
        """The agreed text; empty before the first agreement."""

    @abstractmethod
    def agree(self, text: str) -> None:
        """Make `text` the agreed text."""

    def gone(self, member: Member) -> bool:
        """As `Store.gone`."""
        return self._fate(member) is True

    def living(self, members: Iterable[Member], now: Time) -> list[Member]:
        """Those of `members` that are still members."""
        return [
            each
            for each, fate in self._fates(members)
            if fate is False or (fate is None and (each.until >= now or self.has_lock(each)))
        ]

    def lost(self, members: Iterable[Member], now: Time) -> tuple[set[int], list[Member]]:
        """The ended processes without a mark; and the members whose rows can be removed."""
        ended, over = set(), []
        for each, fate in self._fates(members):
            if fate is True and not each.ended:
                ended.add(each.origin)
            heard = max(each.ended or each.until, each.since)
            if fate is not False and heard < now - KEPT_S and not self.has_lock(each):
                over.append(each)
        return ended - {0}, over

    def sweep_in_passing(self) -> None:
        """`sweep` at most once an interval, as part of another call, which does not fail for it."""
        now = monotonic()
        if self._sweep_at <= now:
            self._sweep_at = now + SWEEP_S
            with suppress(StoreFault):
                self.sweep()

    def _fates(self, members: Iterable[Member]) -> list[tuple[Member, bool | None]]:
        known: dict[int, bool | None] = {self.origin: False} if self.origin else {}
        found = []
        for each in members:
            if not each.origin:
                fate = self._fate(each)
            elif each.origin in known:
                fate = known[each.origin]
            else:
                fate = known[each.origin] = self._fate(each)
            found.append((each, fate))
        return found

    def _fate(self, member: Member) -> bool | None:
        """Whether the process has ended, as observed now, or else as observed before."""
        ended = self.has_ended(member)
        return True if ended is None and member.ended else ended


class HasMembers:
    """The calls about members of a store that keeps them by a `Membership`."""

    _membership: Membership

    def join(self, agent: Address, *, beyond: int | None = None) -> int:
        self._membership.sweep_in_passing()
        return self._membership.join(agent, beyond)

    def leave(self, agent: Address, session: int) -> None:
        self._membership.leave(agent, session)
        self._membership.sweep_in_passing()

    def members(self) -> list[Member]:
        return self._membership.members()

    def sessions(self, agents: Collection[Address]) -> list[Member]:
        return self._membership.sessions(agents)

    def gone(self, member: Member) -> bool:
        return self._membership.gone(member)

    def bury(self, member: Member) -> None:
        self._membership.bury(member)

    def agree(self, text: str) -> str:
        kept = self._membership.agreed()
        if kept and any(each.origin != self._membership.origin for each in self.members()):
            return kept
        if kept != text:
            self._membership.agree(text)
        return text

    def renew(self) -> None:
        self._membership.renew()
