"""The claims of messages: what holds of everything ever sent, whether it has arrived or not.

What one side assumes of a message that it receives, the other side proves of each that it sends;
and no step of either side makes it untrue.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from z3 import And, BoolVal, If, Implies, Or

from coherence.messages import (
    Check,
    Data,
    FwdGetM,
    FwdGetS,
    GetM,
    GetS,
    Inv,
    InvAck,
    Leave,
    Nack,
    Permission,
    PutAck,
    PutE,
    PutM,
    PutS,
    Refusal,
    Update,
)
from specs.symbolic import views as v
from specs.symbolic.invariants import LIVE, TRANSIENT, Invariants, acknowledged, asked
from specs.symbolic.standins import at
from specs.symbolic.values import term
from specs.symbolic.views import CacheView, HomeView, Kind


@dataclass(frozen=True)
class Claims(Invariants):
    """All claims under one policy: of home, of any cache, and of any message between them."""

    def to_home(self, a: Any, c: CacheView, h: HomeView, now: Any, message: Any) -> Any:
        """What holds of a message that the cache at `a` has sent, however long ago."""
        if type(message) is InvAck:
            return self._is_past(a, c, h, term(message.version))
        serial = term(message.serial)
        if type(message) is Check:  # of a driver, about any version
            return serial == 0
        sent = And(serial > 0, serial <= c.serial)
        match message:
            case GetS() | GetM():
                kind = Kind.GETS if type(message) is GetS else Kind.GETM
                return And(
                    sent,
                    asked(h, a, serial, kind),
                    v.asked_at(a, serial) <= now,
                    v.base(a, serial) == term(message.have),
                    v.digest(a, serial) == term(message.digest),
                )
            case PutM():
                return And(
                    sent,
                    asked(h, a, serial, Kind.PUTM),
                    v.asked_at(a, serial) <= now,
                    v.base(a, serial) == term(message.base),
                    v.digest(a, serial) == term(message.digest),
                    v.epoch(a, serial) == term(message.epoch),
                    v.content(a, serial) == term(message.content),
                )
            case PutE():
                gone = Implies(term(message.epoch) == 0, self._is_gone(c, serial))
                return And(serial >= 0, serial <= c.serial, term(message.epoch) >= 0, gone)
            case Leave():
                return And(sent, self._is_gone(c, serial))
            case PutS():
                return And(sent, self._is_gone(c, serial))
        raise TypeError(message)

    def _is_gone(self, c: CacheView, serial: Any) -> Any:
        """The cache has given up whatever it had or asked for up to `serial`."""
        if self.alarms:
            return BoolVal(True)
        return Implies(c.is_at(*LIVE, *TRANSIENT), serial < c.serial)

    def _is_past(self, a: Any, c: CacheView, h: HomeView, version: Any) -> Any:
        """The cache will serve nothing older than `version`, except to a read under way."""
        later = v.asked_version(a, c.serial) >= version
        return And(
            version <= h.version,
            Implies(c.is_at(*LIVE), c.version >= version),
            Implies(c.is_at(*TRANSIENT), Or(later, c.dead >= version - 1)),
        )

    def to_cache(
        self, a: Any, c: CacheView, h: HomeView, now: Any, message: Any, any_version: Any
    ) -> Any:
        """What holds of a message that home has sent to `a`, however long ago."""
        match message:
            case Data():
                return And(list(self._data(a, c, h, now, message)))
            case PutAck():
                serial, version = term(message.serial), term(message.version)
                known = self._is_known_if_awaited(a, c, h, now, serial, version)
                visible = version <= h.visible if self.strict else True
                return And(
                    serial > 0,
                    serial <= c.serial,
                    acknowledged(h, a, serial, version),
                    message.grant is not Permission.M,
                    known,
                    visible,
                )
            case Nack():
                serial = term(message.serial)
                refused = self.not_made(h, a, serial, any_version)
                judged = at(h.judged, a) >= serial
                claim = BoolVal(True) if self.forgets else And(refused, judged)
                commit = asked(h, a, serial, Kind.PUTM)
                of_commit = And(serial > 0, serial <= c.serial, commit, claim)
                if message.reason is not Refusal.STALE:
                    return of_commit
                return Or(of_commit, serial == 0)  # of a check, for a driver
            case Inv():
                told = at(h.told, a) >= term(message.stale) if self.lists else True
                return And(term(message.stale) >= 0, term(message.stale) < h.version, told)
            case Update():
                version = term(message.version)
                if not (self.pointer if message.content is None else self.updates):
                    return BoolVal(False)
                value = term(message.base) < version
                if message.content is not None:
                    value = And(value, term(message.content) == v.log(version))
                told = at(h.told, a) >= version - 1 if self.lists else True
                return And(version > h.first, version <= h.version, value, told)
            case FwdGetS() | FwdGetM():
                return BoolVal(True)
        raise TypeError(message)

    def _data(self, a: Any, c: CacheView, h: HomeView, now: Any, message: Any) -> Iterator[Any]:
        serial, version = term(message.serial), term(message.version)
        base = term(message.base)
        yield And(serial > 0, serial <= c.serial)
        yield And(version >= h.first, version <= h.version)
        if message.grant is Permission.M:
            yield asked(h, a, serial, Kind.GETM)
            yield self.granted(h, a, term(message.epoch), version)
        else:
            yield asked(h, a, serial, Kind.GETS)
        yield v.asked_version(a, serial) <= version
        if message.content is None:
            held = And(version == v.base(a, serial), v.log(version) == v.digest(a, serial))
            yield And(base == version, If(version > 0, held, v.log(version) == 0))
        else:
            yield And(term(message.content) == v.log(version), Or(base == 0, base < version))
        yield self._is_known_if_awaited(a, c, h, now, serial, version)

    def _is_known_if_awaited(
        self, a: Any, c: CacheView, h: HomeView, now: Any, serial: Any, version: Any
    ) -> Any:
        if not (self.strict or self.lists):
            return BoolVal(True)
        awaited = And(c.is_at(*TRANSIENT), c.serial == serial)
        return Implies(awaited, self.is_known(a, c, h, now, serial, version))
