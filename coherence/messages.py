"""The messages between caches and homes, and the requests of an application to its cache.

Message names are the Primer's (Nagarajan, Sorin, Hill, Wood, "A Primer on Memory Consistency and
Cache Coherence", 2nd ed., chapter 8); where a message here means something else, its docstring says
so.

Two numbers make every message safe to lose, repeat or overtake:

* `serial` counts a cache's requests.  An answer names the serial it answers, so an old answer is
  never taken for a new one, and a repeated request is recognised.
* `version` counts an artifact's commits, from 1; 0 is "never written".  An invalidation names the
  version it kills, so it can never kill a newer copy.

A number alone does not name a content: if a store went back to an earlier state, the versions after
it are counted a second time.  So a cache that claims to hold a version also gives its `digest`.

Content is opaque to the protocol: text and bytes in production, anything hashable in a model.
"""

from __future__ import annotations

from enum import StrEnum
from math import inf
from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from message_passing.errors import CallerError
from message_passing.process import Value

Version: TypeAlias = Annotated[int, Meta(ge=0)]
Serial: TypeAlias = Annotated[int, Meta(ge=0)]
Epoch: TypeAlias = Annotated[int, Meta(ge=0)]
Content: TypeAlias = Any
#: Distinguishes contents: see `digest_of`.  None is "not known" or "no content".
Digest: TypeAlias = Any


def digest_of(content: Content) -> Digest:
    """The digest of a handle or a view of content; any other content is its own digest."""
    return getattr(content, "digest", content)


class Current(Value, frozen=True, gc=False, tag=True):
    """Replaces content without a digest that a driver found equal to the current one."""


CURRENT = Current()


class Permission(StrEnum):
    """The state in which a cache may hold the version of a `Data` or `PutAck`."""

    S = "S"
    E = "E"
    M = "M"


class Refusal(StrEnum):
    """Why a request was refused."""

    #: The write was derived from a version that is no longer the current one.
    STALE = "stale"
    #: The write came under a grant that has ended; its epoch is over.
    FENCED = "fenced"
    #: Another agent's grant lives, or another commit is becoming visible: ask for a grant and wait.
    BUSY = "busy"
    #: The wait for a grant reached its deadline.
    DEADLINE = "deadline"


# Requests: the processor side.

#: The largest integer that has a wire form.
NUMBER_MAX = 2**63 - 1
#: The serials of an agent's session begin at its number, shifted by so many bits.  A session that
#: counts further never reaches the next one: session numbers grow faster than requests.
SERIAL_BITS = 16


class InvalidRequest(CallerError):
    """A request with a number outside its range; no process has seen the request."""


def _check(name: str, value: Any, least: int) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole and least <= value <= NUMBER_MAX):
        raise InvalidRequest(
            f"{name} is {value!r}", remedy=f"give the number of an answer, {least} or more"
        )


class Load(Value, frozen=True, gc=False, tag=True):
    """Read the artifact.  Answered by `Loaded`."""


class Acquire(Value, frozen=True, gc=False, tag=True):
    """Begin an exclusive draft, or renew the grant of one.  Answered by `Granted` or `Refused`.

    `wait` bounds the wait for the grant, in the driver's unit of time; None waits without end.
    Raises `InvalidRequest` if it is negative or not finite.
    """

    wait: float | None = None

    def __post_init__(self) -> None:
        wait: Any = self.wait
        if wait is None or (type(wait) in (int, float) and 0 <= wait < inf):
            return
        raise InvalidRequest(
            f"wait is {wait!r}", remedy="give a duration, 0 or more, or None to wait without end"
        )


class Commit(Value, frozen=True, gc=False, tag=True):
    """Publish `content`, derived from version `base`.  Answered by `Committed` or `Refused`.

    `epoch` is that of the grant under which the draft was made; 0 makes the commit an optimistic
    write, legal from every state and judged by its base alone.  `digest` is that of the base's
    content; with None only the number is compared.  Raises `InvalidRequest` for a negative number.
    """

    content: Content
    base: Version
    epoch: Epoch = 0
    digest: Digest = None

    def __post_init__(self) -> None:
        _check("base", self.base, 0)
        _check("epoch", self.epoch, 0)


class Abandon(Value, frozen=True, gc=False, tag=True):
    """Give the grant of `epoch` back without a commit.  Answered by `Done`.

    The epoch of an ended grant does not affect a live one.  Raises `InvalidRequest` below 1.
    """

    epoch: Epoch

    def __post_init__(self) -> None:
        _check("epoch", self.epoch, 1)


class Replacement(Value, frozen=True, gc=False, tag=True):
    """Drop the copy to make room.  Answered by `Done`."""


class Leave(Value, frozen=True, gc=False, tag=True):
    """The agent departs: a request answered by `Done`, and a message to home."""

    serial: Serial = 0


Request: TypeAlias = Load | Acquire | Commit | Abandon | Replacement | Leave


# Results.


class Loaded(Value, frozen=True, gc=False, tag=True):
    """The result of a read.  `content` is None if `version` is 0: nothing was ever written."""

    version: Version
    content: Content


class Granted(Value, frozen=True, gc=False, tag=True):
    """An exclusive draft may begin, from this version.  `Commit` it under this epoch."""

    version: Version
    content: Content
    epoch: Epoch


class Committed(Value, frozen=True, gc=False, tag=True):
    """The write is version `version`; in strict visibility no cache serves an older one.

    It is the base itself if the content was already the current one: no version was made.
    """

    version: Version


class Refused(Value, frozen=True, gc=False, tag=True):
    """Nothing was changed.  `version` is the newest current version that the cache knows."""

    reason: Refusal
    version: Version


class Done(Value, frozen=True, gc=False, tag=True):
    """The request needed no answer beyond having been carried out."""


Result: TypeAlias = Loaded | Granted | Committed | Refused | Done


# Cache to home.


class GetS(Value, frozen=True, gc=False, tag=True):
    """Asks for a readable copy.  `have` is the version whose content the cache holds, or 0.

    `digest` is that of the content held.
    """

    serial: Serial
    have: Version
    digest: Digest = None


class GetM(Value, frozen=True, gc=False, tag=True):
    """Asks for the exclusive grant; from its owner, renews it.  The rest is as in `GetS`."""

    serial: Serial
    have: Version
    digest: Digest = None


class PutM(Value, frozen=True, gc=False, tag=True):
    """Commits content derived from `base`; `epoch` 0 claims no grant.

    `digest` is that of the base's content, None where only its number is known.

    The Primer's PutM writes a dirty block back when it is evicted.  Ours is how a draft, which is
    private until then, becomes the next version.
    """

    serial: Serial
    base: Version
    epoch: Epoch
    content: Content
    digest: Digest = None


class Check(Value, frozen=True, gc=False, tag=True):
    """Asks home to refuse unless `base` is the current version.  It changes nothing.

    What a transaction has only read is checked so, in the store transaction of its commits.  A
    driver sends it, and takes a refusal: no cache is involved, so `serial` is 0 in production.
    `digest` is that of the content read, None where only its number is known.
    """

    serial: Serial
    base: Version
    digest: Digest = None


class PutE(Value, frozen=True, gc=False, tag=True):
    """Returns something clean and exclusive.

    With an epoch: the grant of that epoch, unused.  With epoch 0: the wait for a grant asked under
    `serial`, or an evicted E copy.
    """

    serial: Serial
    epoch: Epoch


class PutS(Value, frozen=True, gc=False, tag=True):
    """Says that a shared copy was dropped.  Not acknowledged: home may hear of it late or never."""

    serial: Serial


class InvAck(Value, frozen=True, gc=False, tag=True):
    """This cache no longer serves anything older than `version`, except to a read under way."""

    version: Version


# Home to cache.


class Data(Value, frozen=True, gc=False, tag=True):
    """Answers GetS and GetM with the committed content.

    `base` says how the content may travel: equal to `version`, the receiver already holds it, by
    number and digest, and `content` is None (*unchanged*); greater than 0, the receiver holds that
    version and the wire may send a *delta* against it; 0, *full*.  Home knows only the digest of
    the current version: the driver that makes a delta must check that both ends mean one base.
    """

    serial: Serial
    version: Version
    grant: Permission
    epoch: Epoch
    base: Version
    content: Content


class Inv(Value, frozen=True, gc=False, tag=True):
    """Every copy of version `stale` or older is dead.  `ack` says whether home awaits an InvAck."""

    stale: Version
    ack: bool


class Update(Value, frozen=True, gc=False, tag=True):
    """Pushes a new version; content None is a pointer: it exists, fetch it when needed.

    `base` is the version that a delta on the wire may assume.  Always acknowledged.
    """

    version: Version
    base: Version
    content: Content


class FwdGetS(Value, frozen=True, gc=False, tag=True):
    """Another cache reads: an E copy is now one of several.

    In the Primer the owner must supply the data.  Here home always has the committed content, so
    the message requests nothing and no cache waits.
    """


class FwdGetM(Value, frozen=True, gc=False, tag=True):
    """Another agent waits for the grant: a request to finish, handed to the application."""


class PutAck(Value, frozen=True, gc=False, tag=True):
    """The commit of `serial` is version `version`; its writer may hold it in state `grant`.

    `version` is the base where the content is that of the base, so that no version was made.
    """

    serial: Serial
    version: Version
    grant: Permission


class Nack(Value, frozen=True, gc=False, tag=True):
    """The commit or check of `serial` was refused and changed nothing.

    `version` is the current one.
    """

    serial: Serial
    reason: Refusal
    version: Version


ToHome: TypeAlias = GetS | GetM | PutM | Check | PutE | PutS | Leave | InvAck
Carrier: TypeAlias = Data | Update
"""The messages that carry content."""
CARRIERS = (Data, Update)
ToCache: TypeAlias = Data | Inv | Update | FwdGetS | FwdGetM | PutAck | Nack
Message: TypeAlias = ToHome | ToCache
