"""The terms that the claims speak of: the history of an execution, and the states of both sides.

The *history* are functions that one execution fixes.  Each value is defined by one step: the log's
by the commit that makes the version, a grant's by the step that makes its epoch, a request's by the
step in which its cache first counts its serial.  These numbers only grow, one at a time (which is
proved), so no value is defined twice, and the step that makes a value may assume its definition.

A *view* has the terms of one state's fields, and of the timers that its driver has armed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import z3

from coherence.states import CacheAt, HomeAt

_I, _R = z3.IntSort(), z3.RealSort()


def _of_version(name: str) -> Any:
    return z3.Function(name, _I, _I)


def _of_request(name: str, sort: Any = None) -> Any:
    return z3.Function(name, _I, _I, _I if sort is None else sort)


class Kind(IntEnum):
    """What a serial was counted for."""

    OTHER = 0
    GETS = 1
    GETM = 2
    PUTM = 3


# The history.

#: version -> the content committed under it, and the address and serial of the commit.
log = _of_version("log")
author = _of_version("author")
author_serial = _of_version("author_serial")
#: epoch -> to whom the grant was given, and the version that was current then.
grant_owner = _of_version("grant_owner")
grant_version = _of_version("grant_version")
#: (address, serial) -> what was asked, the version current at that moment, and the time.
kind = _of_request("kind")
asked_version = _of_request("asked_version")
asked_at = _of_request("asked_at", _R)
#: (address, serial) -> the fields of the request: for GetS and GetM the version held, for PutM the
#: base, and the digest of either.
base = _of_request("base")
digest = _of_request("digest")
epoch = _of_request("epoch")
content = _of_request("content")

CACHE_CODES = {state: n for n, state in enumerate(CacheAt)}
HOME_CODES = {state: n for n, state in enumerate(HomeAt)}


@dataclass(frozen=True, eq=False)
class HomeView:
    """The fields of a `HomeState`; lists are arrays from addresses, with -1 for no entry."""

    at: Any
    version: Any
    content: Any
    owner: Any
    owner_serial: Any
    epoch: Any
    writer: Any
    writer_serial: Any
    sharers: Any
    unacked: Any
    waiting: Any
    waiting_have: Any
    waiting_digest: Any
    places: Any
    end: Any
    judged: Any
    judged_version: Any
    judged_reason: Any
    #: Whether the timers are armed, and when the second is due.
    grant_armed: Any
    acks_armed: Any
    acks_due: Any
    #: address -> the newest version of which it was told that it is dead.
    told: Any
    #: The version that home began with, and the newest whose commit has returned to its writer.
    first: Any
    returned: Any

    def is_at(self, *states: HomeAt) -> Any:
        """Whether the state is one of these."""
        return z3.Or([self.at == HOME_CODES[state] for state in states])

    @property
    def visible(self) -> Any:
        """The newest version whose commit has been acknowledged, under strict visibility."""
        return z3.If(self.is_at(HomeAt.S_A), self.version - 1, self.version)


@dataclass(frozen=True, eq=False)
class CacheView:
    """The fields of a `CacheState`, and what its driver and its readers remember."""

    at: Any
    version: Any
    content: Any
    dead: Any
    serial: Any
    epoch: Any
    again: Any
    #: Whether the timers are armed, and when the first is due.
    validity_armed: Any
    retry_armed: Any
    deadline_armed: Any
    due: Any
    #: The newest version served; the newest that had returned when the read under way began.
    served: Any
    begun: Any

    def is_at(self, *states: CacheAt) -> Any:
        """Whether the state is one of these."""
        return z3.Or([self.at == CACHE_CODES[state] for state in states])


_FLAGS = {"again", "validity_armed", "retry_armed", "deadline_armed"}
_SORTS = {name: z3.BoolSort() for name in _FLAGS} | {"due": _R}
_FIELDS = tuple(CacheView.__dataclass_fields__)
_OF_CACHE = {name: z3.Function(f"cache_{name}", _I, _SORTS.get(name, _I)) for name in _FIELDS}


def cache_at(name: Any) -> CacheView:
    """The view of the cache at the address `name`, in the state before the step."""
    return CacheView(**{field: of(name) for field, of in _OF_CACHE.items()})


def home_before() -> HomeView:
    """The view of an arbitrary home, in the state before the step."""
    array = z3.ArraySort(_I, _I)
    arrays = {"sharers", "unacked", "waiting", "waiting_have", "waiting_digest", "places"}
    arrays |= {"judged", "judged_version", "judged_reason", "told"}
    sorts: dict[str, Any] = dict.fromkeys(arrays, array)
    sorts |= {"grant_armed": z3.BoolSort(), "acks_armed": z3.BoolSort(), "acks_due": _R}
    fields = HomeView.__dataclass_fields__
    return HomeView(**{name: z3.Const(f"home_{name}", sorts.get(name, _I)) for name in fields})
