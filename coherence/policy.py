"""Policies: the choices of both automata, artifact by artifact, outside the tables.

A policy cannot break coherence if its `memory` covers its writers.  It decides how a commit is
announced, when a cached copy is used up, and all time limits; the tables decide which answers are
right.  To add one, subclass `Policy` and override what differs::

    class PushToFew(Policy, frozen=True):
        '''Push while few caches hold a copy, invalidate otherwise.'''
        def announce(self, home):
            return Announce.UPDATE if len(home.sharers) <= 3 else Announce.INV

It is recorded, modelled and simulated under its own name once its module is imported: the commands
`specs` and `simulate run` have an option ``--import MODULE``.  See examples/own_policy.py.

The five of the paper (arXiv 2603.15183, strategies of its evaluation) are below.  All durations are
in the driver's unit of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

import msgspec

from coherence.states import CacheState, HomeState
from message_passing.errors import CallerError
from message_passing.process import Address, Time


class Visibility(Enum):
    """When a commit returns to its writer."""

    #: Immediately; invalidations follow.  A reader may lag by the staleness bound.
    LAZY = "lazy"
    #: When no cache can serve an older version: each has acknowledged, or its copy has lapsed.
    STRICT = "strict"


class Announce(Enum):
    """How the other holders of a copy are told of a commit."""

    #: Their copy is dead: they ask again when they need it.
    INV = "Inv"
    #: They get the new version.
    UPDATE = "Update"
    #: They learn that there is a new version, and fetch it when they need it.
    POINTER = "pointer"


class Use(Enum):
    """The policy's verdict on one more read of a live copy."""

    #: Nothing: serve it.
    FREE = "free"
    #: Serve it, and count it.
    COUNTED = "counted"
    #: The copy is used up: ask home again.
    REFRESH = "refresh"


class InvalidPolicy(CallerError):
    """A policy's settings contradict each other or lie outside their range."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Lazy invalidation, the default; base of all policies.

    Raises `InvalidPolicy` if a setting is out of its range, or if `strict` visibility is combined
    with a periodic push, which tells readers of a commit only later.  A policy may leave bounds
    open: a workspace fills them in, and `require_bounds` checks those that a home needs.
    """

    visibility: Visibility = Visibility.LAZY
    #: How long a copy may be served after it was asked for: the staleness bound T.  0: every read
    #: is validated, at any cost.  None: no bound, for drivers that validate every hit.
    validity: Time | None = None
    #: How long a grant lives unless renewed.  None: until given back.
    grant_lease: Time | None = None
    #: When to repeat a request that got no answer.  None: never, for networks that lose nothing.
    retry_after: Time | None = None
    #: The most versions that a delta may span.  0: no deltas.
    delta_window: int = 0
    #: For how many recent writers home remembers the last commit, to recognise a repeated one.  On
    #: a network where writers repeat commits, it must be at least the number of concurrent writers:
    #: a commit that home has forgotten is judged again, and may be refused although it was made.
    memory: int = 64

    def __post_init__(self) -> None:
        if not isinstance(self.visibility, Visibility):
            raise InvalidPolicy(
                f"visibility is {self.visibility!r}", remedy="give a member of Visibility"
            )
        for name in ("validity", "grant_lease", "retry_after", "push_every"):
            value = getattr(self, name)
            if value is None or (isinstance(value, int | float) and value > 0):
                continue
            if name != "validity" or value != 0:
                raise InvalidPolicy(
                    f"{name} is {value!r}", remedy="give a positive duration, or None for no bound"
                )
        if self.delta_window < 0 or self.memory < 1:
            raise InvalidPolicy(
                f"delta_window is {self.delta_window}, memory is {self.memory}",
                remedy="delta_window must be at least 0 and memory at least 1",
            )
        if self.visibility is Visibility.STRICT and self.push_every is not None:
            raise InvalidPolicy(
                "strict visibility with a periodic push",
                remedy="choose one: a periodic push announces no commit when it is made",
            )

    def announce(self, home: HomeState) -> Announce:
        """How to tell the holders of older copies of the commit that `home` has just made."""
        return Announce.INV

    def use(self, cache: CacheState) -> Use:
        """Whether `cache` may serve its live copy once more, and whether that is counted."""
        return Use.FREE

    @property
    def push_every(self) -> Time | None:
        """How often home pushes to every member, changed or not; None for never."""
        return None

    @property
    def pushes(self) -> bool:
        """Whether caches are told more than that their copy is out of date."""
        return type(self).announce is not Policy.announce or self.push_every is not None

    @property
    def counts_uses(self) -> bool:
        """Whether serving a copy once more may mean more than serving it."""
        return type(self).use is not Policy.use

    @property
    def is_lease(self) -> bool:
        """Whether `validity` counts also where a driver validates every read."""
        return False

    @property
    def members(self) -> tuple[Address, ...]:
        """The receivers of a periodic push."""
        return ()


def require_bounds(policy: Policy) -> Policy:
    """`policy`, if it has every bound that a home needs.

    Raises `InvalidPolicy` if `strict` visibility has no `validity`, which bounds the wait for a
    reader that never answers.
    """
    if policy.visibility is Visibility.STRICT and policy.validity is None:
        raise InvalidPolicy(
            "strict visibility without a validity",
            remedy="set validity: it is how long a writer waits for a reader that has vanished",
        )
    return policy


def bearing(policy: Policy) -> str:
    """The settings of `policy` that affect other workspaces: equal texts are compatible."""
    if policy.pushes:
        return repr(policy)
    strict = f", strict within {policy.validity}" * (policy.visibility is Visibility.STRICT)
    return f"invalidates, grants for {policy.grant_lease}{strict}"


class Lazy(Policy, frozen=True, kw_only=True):
    """Invalidate at commit; readers ask again when they next need the artifact."""


class Eager(Policy, frozen=True, kw_only=True):
    """Push the new content to every holder at commit; with `pointer`, only a notice of it."""

    pointer: bool = False

    def announce(self, home: HomeState) -> Announce:
        return Announce.POINTER if self.pointer else Announce.UPDATE


class Lease(Policy, frozen=True, kw_only=True):
    """Invalidate at commit, and let no copy outlive its lease: `validity` is required.

    Any policy may have a `validity` (promise 3 of docs/workspace.md); here it is required.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.validity:
            raise InvalidPolicy("a lease without a length", remedy="set validity")

    @property
    def is_lease(self) -> bool:
        return True


class AccessCount(Policy, frozen=True, kw_only=True):
    """Invalidate at commit, and ask again after `max_accesses` reads of one copy."""

    max_accesses: int = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_accesses < 1:
            raise InvalidPolicy(
                f"max_accesses is {self.max_accesses}", remedy="set it to 1 or more"
            )

    def use(self, cache: CacheState) -> Use:
        return Use.REFRESH if cache.uses >= self.max_accesses else Use.COUNTED


class Broadcast(Policy, frozen=True, kw_only=True):
    """Push the content to every member every `period`, whether or not anything changed.

    The paper's baseline, not a recommendation.  Commits are not announced otherwise.
    """

    period: Time = 1
    everyone: tuple[Address, ...] = ()

    @property
    def push_every(self) -> Time | None:
        return self.period

    @property
    def members(self) -> tuple[Address, ...]:
        return self.everyone


def kinds() -> Iterator[type[Policy]]:
    """Every kind of policy whose module is loaded: those of this package and of the application."""
    waiting: list[type[Policy]] = [Policy]
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting += kind.__subclasses__()


def kind_of(name: str) -> type[Policy]:
    """The kind of policy of that name, among `kinds`.

    Raises `InvalidPolicy` if there is not exactly one.
    """
    found = [kind for kind in kinds() if kind.__name__ == name]
    if len(found) != 1:
        what = "two kinds of policy are" if found else "no kind of policy is"
        raise InvalidPolicy(
            f"{what} named {name!r}",
            remedy="rename one of them"
            if found
            else "import the module that defines it; a command does with --import MODULE",
        )
    return found[0]
