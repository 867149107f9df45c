"""The inductive invariants: what always holds of home, of any cache beside it, and of any message.

Each claim is about home, one address that stands for any, and one version that stands for any.
Nothing is said of two caches at once, so the number of caches never appears.

A claim has the name of a property of `coherence.invariants` or, where it only serves the induction,
``lemma: ...``.  Every claim is assumed before a step and proved after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from z3 import And, If, Implies, Not, Or

from coherence.policy import Eager, Policy, Visibility
from coherence.states import CacheAt, HomeAt
from specs.symbolic import views as v
from specs.symbolic.standins import NONE, REASONS, at, is_within
from specs.symbolic.views import CacheView, HomeView, Kind

Claim: TypeAlias = tuple[str, Any]

A = CacheAt
LIVE = (A.S, A.E, A.M)
COVERED = (A.SM_D, A.MS_A)
READING = (A.IS_D, A.IS_D_I)
ASKING = (A.IM_D, A.IM_D_I, A.SM_D)
WRITING = (A.IS_A, A.IS_A_I, A.MS_A)
TRANSIENT = READING + ASKING + WRITING
#: The copy, if there was one, has been given up: no `validity` runs.
OVER = (A.I, A.IS_D_I, A.IM_D_I, A.IS_A_I)
#: How long a copy lives: the unit of time.
VALIDITY = 1


@dataclass(frozen=True)
class Invariants:
    """The claims of states, under one policy.

    `alarms`: a cache's `Leave` may be sent by others although it lives; then nothing is claimed of
    what home knows of copies.  `forgets`: home may forget any verdict at any time.
    """

    policy: Policy
    alarms: bool = False
    forgets: bool = False

    @property
    def strict(self) -> bool:
        """Whether strict visibility is claimed."""
        return self.policy.visibility is Visibility.STRICT and not self.alarms

    @property
    def updates(self) -> bool:
        """Whether a commit is announced with its content."""
        return isinstance(self.policy, Eager) and not self.policy.pointer

    @property
    def pointer(self) -> bool:
        """Whether a commit is announced with its version alone."""
        return isinstance(self.policy, Eager) and self.policy.pointer

    @property
    def lists(self) -> bool:
        """Whether it is claimed that home knows of every readable copy."""
        return self.policy.validity is None and not self.alarms

    # Home.

    def of_home(self, h: HomeView, any_address: Any, any_version: Any) -> Iterator[Claim]:
        """What holds of home, in particular of its entries for one address."""
        free = h.is_at(HomeAt.I, HomeAt.S, HomeAt.E)
        owned = h.is_at(HomeAt.M)
        yield "well_formed", h.is_at(*HomeAt)
        yield "well_formed", (h.owner != 0) == owned
        yield "well_formed", Implies(free, h.waiting == NONE)
        yield "well_formed", Implies(h.writer != 0, h.is_at(HomeAt.S_A))
        yield "well_formed", Implies(h.is_at(HomeAt.I), And(h.sharers == NONE, h.unacked == NONE))
        yield "well_formed", h.first >= 0
        lists = (h.sharers, h.unacked, h.waiting, h.judged)
        yield "well_formed", And([at(entries, 0) == -1 for entries in lists])  # no address
        yield "well_formed", Implies(h.is_at(HomeAt.S, HomeAt.E), h.sharers != NONE)
        yield "version_order", h.version >= h.first
        yield "data_value", h.content == v.log(h.version)
        yield (
            "lemma: what a grant begins from",
            And(h.epoch >= 0, Implies(owned, self.granted(h, h.owner, h.epoch, h.version))),
        )
        yield (
            "lemma: what the owner asked",
            If(owned, asked(h, h.owner, h.owner_serial, Kind.GETM), h.owner_serial == 0),
        )
        yield (
            "lemma: to whom an answer is owed",
            Implies(h.writer != 0, acknowledged(h, h.writer, h.writer_serial, h.version)),
        )
        lease, bound = self.policy.grant_lease is not None, self.policy.validity is not None
        yield "timers_fit", h.grant_armed == And(owned, lease)
        yield "timers_fit", h.acks_armed == And(h.unacked != NONE, bound)
        if self.policy.visibility is Visibility.STRICT:
            settled = Not(h.is_at(HomeAt.S_A))
            yield "lemma: who is awaited", settled == (h.unacked == NONE)
            if self.strict:
                shown = And(h.first <= h.returned, h.returned <= h.visible)
                yield "strict_visibility", shown
            yield "lemma: one more in S_A", Implies(Not(settled), h.version > h.first)
        else:
            yield "lemma: a lazy commit is visible at once", Not(h.is_at(HomeAt.S_A))
            yield (
                "lemma: who is awaited",
                is_within(h.unacked, h.sharers) if self.updates else h.unacked == NONE,
            )
        yield from self._of_entries(h, any_address, any_version)
        yield from self._of_version(h, any_version)

    def _of_entries(self, h: HomeView, a: Any, any_version: Any) -> Iterator[Claim]:
        lists = (h.sharers, h.unacked, h.waiting, h.judged)
        yield "well_formed", And([at(entries, a) >= -1 for entries in lists])
        for entries in (h.sharers, h.unacked):
            serial = at(entries, a)
            heard = And(a != 0, serial > 0, v.asked_version(a, serial) <= h.version)
            yield "lemma: entries are of requests", Implies(serial >= 0, heard)
        serial = at(h.waiting, a)
        held = at(h.waiting_have, a) == v.base(a, serial)
        digest = at(h.waiting_digest, a) == v.digest(a, serial)
        waits = And(asked(h, a, serial, Kind.GETM), held, digest, at(h.places, a) < h.end)
        yield "lemma: what waiters asked", Implies(serial >= 0, waits)
        serial, version, reason = (
            at(of, a) for of in (h.judged, h.judged_version, h.judged_reason)
        )
        accepted = And(acknowledged(h, a, serial, version))
        refused = self.not_made(h, a, serial, any_version)
        yield (
            "no_lost_update",
            Implies(
                serial >= 0,
                And(
                    asked(h, a, serial, Kind.PUTM),
                    reason >= 0,
                    reason < len(REASONS),
                    If(reason == 0, accepted, refused),
                ),
            ),
        )

    def _of_version(self, h: HomeView, u: Any) -> Iterator[Claim]:
        """What holds of the commit that made any version after the first."""
        who, serial = v.author(u), v.author_serial(u)
        made = And(u > h.first, u <= h.version)
        yield (
            "no_lost_update",
            Implies(
                made, And(v.kind(who, serial) == Kind.PUTM, v.base(who, serial) == u - 1, who != 0)
            ),
        )
        yield "data_value", Implies(made, v.log(u) == v.content(who, serial))
        yield "version_order", Implies(made, Or(v.log(u - 1) == 0, v.log(u) != v.log(u - 1)))
        yield "bounded_staleness", Implies(made, v.asked_version(who, serial) < u)
        under = v.epoch(who, serial)
        yield (
            "fencing",
            Implies(
                And(made, under != 0),
                And(v.grant_owner(under) == who, v.grant_version(under) == u - 1),
            ),
        )
        if not self.forgets:
            yield "lemma: commits are remembered", Implies(made, at(h.judged, who) >= serial)

    def granted(self, h: HomeView, owner: Any, epoch: Any, version: Any) -> Any:
        return And(
            epoch >= 1,
            epoch <= h.epoch,
            owner != 0,
            v.grant_owner(epoch) == owner,
            v.grant_version(epoch) == version,
        )

    @staticmethod
    def not_made(h: HomeView, a: Any, serial: Any, u: Any) -> Any:
        made = And(u > h.first, u <= h.version)
        return Implies(made, Not(And(v.author(u) == a, v.author_serial(u) == serial)))

    # A cache.

    def of_cache(self, a: Any, c: CacheView, h: HomeView, now: Any) -> Iterator[Claim]:
        """What holds of the cache at `a`, and between it and home."""
        live, awaits = c.is_at(*LIVE), c.is_at(*TRANSIENT)
        yield "well_formed", And(c.is_at(*CacheAt), c.serial >= 0, c.dead >= -1)
        yield "well_formed", Implies(c.is_at(*LIVE, *COVERED), c.version > c.dead)
        yield "well_formed", Implies(c.again, c.is_at(*ASKING))
        yield "version_order", And(c.version >= 0, c.version <= h.version, c.dead < h.version)
        yield "version_order", Implies(live, c.version >= h.first)
        yield "data_value", Implies(Or(live, c.version > 0), c.content == v.log(c.version))
        for states, kind in ((READING, Kind.GETS), (ASKING, Kind.GETM), (WRITING, Kind.PUTM)):
            yield (
                "lemma: a request is of its state",
                Implies(c.is_at(*states), asked(h, a, c.serial, kind)),
            )
        held = And(v.base(a, c.serial) == c.version, v.digest(a, c.serial) == c.content)
        yield "lemma: nothing changes beneath a request", Implies(c.is_at(*READING, *ASKING), held)
        asked_version = v.asked_version(a, c.serial)
        yield "bounded_staleness", Implies(live, asked_version <= c.version)
        yield (
            "monotone_reads",
            And(
                c.served <= h.version,
                Implies(awaits, And(c.served <= asked_version, c.version <= asked_version)),
                Implies(live, c.served <= c.version),
            ),
        )
        yield "lemma: home does not go back", Implies(c.again, c.dead < asked_version)
        yield (
            "lemma: whose grants a cache has",
            And(
                c.epoch >= 0, c.epoch <= h.epoch, Implies(c.epoch > 0, v.grant_owner(c.epoch) == a)
            ),
        )
        drafts = And(c.epoch > 0, c.version == v.grant_version(c.epoch))
        yield "draft_is_current", Implies(c.is_at(A.M), drafts)
        owns = And(c.is_at(A.M), h.owner == a, h.epoch == c.epoch)
        yield "draft_is_current", Implies(owns, c.version == h.version)
        yield from self._of_timers(a, c, now)
        for entries in (h.sharers, h.unacked, h.waiting, h.judged):
            yield "lemma: home heard no later serial", at(entries, a) <= c.serial
        yield (
            "lemma: home heard no later serial",
            And(
                Implies(h.owner == a, h.owner_serial <= c.serial),
                Implies(h.writer == a, h.writer_serial <= c.serial),
            ),
        )
        yield from self._of_copies(a, c, h, now)

    def _of_timers(self, a: Any, c: CacheView, now: Any) -> Iterator[Claim]:
        bound, repeats = self.policy.validity is not None, self.policy.retry_after is not None
        yield "timers_fit", c.validity_armed == And(Not(c.is_at(*OVER)), bound)
        yield "timers_fit", c.retry_armed == And(c.is_at(*TRANSIENT), repeats)
        yield "timers_fit", Implies(c.deadline_armed, c.is_at(*ASKING))
        since = v.asked_at(a, c.serial)
        yield "bounded_staleness", Implies(c.is_at(*LIVE, *TRANSIENT), since <= now)
        yield "bounded_staleness", Implies(c.validity_armed, c.due <= since + VALIDITY)

    def _of_copies(self, a: Any, c: CacheView, h: HomeView, now: Any) -> Iterator[Claim]:
        live, awaits = c.is_at(*LIVE), c.is_at(*TRANSIENT)
        if self.strict:
            in_time = And(live, c.due > now)
            yield "strict_visibility", Implies(in_time, c.version >= h.visible)
            since = v.asked_at(a, at(h.unacked, a))
            outlives = And(since <= now, h.acks_due >= since + VALIDITY)
            yield "lemma: home waits longer", Implies(at(h.unacked, a) >= 0, outlives)
            for entries in (h.sharers, h.waiting):
                since = v.asked_at(a, at(entries, a))
                yield "lemma: home waits longer", Implies(at(entries, a) >= 0, since <= now)
            yield (
                "lemma: a read that began",
                Implies(c.is_at(*READING), c.begun <= v.asked_version(a, c.serial)),
            )
        if not (self.strict or self.lists):
            return
        written = And(live, v.kind(a, c.serial) == Kind.PUTM)
        later = v.base(a, c.serial) < c.version
        yield (
            "lemma: a commit is made once",
            Implies(written, Or(later, _same(a, c.serial, c.version))),
        )
        name = "directory_agrees" if self.lists else "strict_visibility"
        if self.lists:
            agrees = And(at(h.sharers, a) >= 0, c.version == h.version)
            yield name, Implies(live, Or(agrees, at(h.told, a) >= c.version))
        yield name, Implies(live, self.is_known(a, c, h, now, c.serial, c.version))
        owed = And(h.writer == a, awaits, h.writer_serial == c.serial)
        yield name, Implies(owed, self.is_known(a, c, h, now, c.serial, h.version))
        judged = And(at(h.judged, a) == c.serial, at(h.judged_reason, a) == 0, awaits, c.serial > 0)
        version = at(h.judged_version, a)
        yield name, Implies(judged, self.is_known(a, c, h, now, c.serial, version))

    def is_known(self, a: Any, c: CacheView, h: HomeView, now: Any, serial: Any, of: Any) -> Any:
        """Whether home knows of the copy of version `of` that its answer to `serial` makes.

        Home lists it, or awaits its end; or it has ended, or is dead on arrival.
        """
        listed, current = at(h.sharers, a) >= serial, of == h.version
        ended = c.dead >= of
        if self.lists:
            told = at(h.told, a) >= (h.version - 1 if self.updates else of)
        else:
            told = And(of == h.version - 1, at(h.unacked, a) >= serial)
            ended = Or(ended, c.is_at(*OVER), c.due <= now)
        if self.updates:  # told of a commit, a cache stays listed
            return Or(And(listed, Or(current, told)), ended)
        return Or(And(listed, current), told, ended)


def asked(h: HomeView, a: Any, serial: Any, kind: Kind) -> Any:
    """The cache at `a` counted `serial` for a request of that kind, in the past."""
    return And(serial > 0, v.kind(a, serial) == kind, v.asked_version(a, serial) <= h.version)


def acknowledged(h: HomeView, a: Any, serial: Any, version: Any) -> Any:
    """The commit of `serial` made `version`, or has its content and made none."""
    made = And(version > h.first, v.author(version) == a, v.author_serial(version) == serial)
    return And(
        v.kind(a, serial) == Kind.PUTM,
        serial > 0,
        version >= h.first,
        version <= h.version,
        v.asked_version(a, serial) <= version,
        Or(And(made, version == v.base(a, serial) + 1), _same(a, serial, version)),
    )


def _same(a: Any, serial: Any, version: Any) -> Any:
    """The commit of `serial` has the content of its own base, `version`."""
    value = v.content(a, serial)
    return And(version == v.base(a, serial), v.log(version) == value, value != 0)
