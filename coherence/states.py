"""The states of the two automata: the named states of a cache and a home, and their fields."""

from __future__ import annotations

from enum import StrEnum

from coherence.messages import Content, Digest, Epoch, GetM, GetS, PutM, Refusal, Serial, Version
from message_passing.process import Address, Value


class CacheAt(StrEnum):
    """The states of a cache.  Transient states read *from-to-awaiting*, as in the Primer."""

    #: No readable copy.  Dead content may be kept as the base of a cheap answer.
    I = "I"  # noqa: E741 - the state's name for forty years
    #: A readable copy of a committed version; others may have one.
    S = "S"
    #: As S, and home knew of no other copy when it said so.  A hint: it confers no right.
    E = "E"
    #: As S, and a grant to draft the next version was given and has not been given back.
    M = "M"
    #: Read under way, awaiting Data.
    IS_D = "IS_D"
    #: As IS_D, but asked longer ago than a copy may live: serve the answer once, keep nothing.
    IS_D_I = "IS_D_I"
    #: Grant asked for, no readable copy beneath, awaiting Data.
    IM_D = "IM_D"
    #: As IM_D, but asked longer ago than a copy may live: take the grant, not the copy.
    IM_D_I = "IM_D_I"
    #: Grant asked for (or renewed) over a live copy, awaiting Data.
    SM_D = "SM_D"
    #: Commit sent, no readable copy beneath, awaiting PutAck or Nack.
    IS_A = "IS_A"
    #: As IS_A, but sent longer ago than a copy may live.
    IS_A_I = "IS_A_I"
    #: Commit sent over a live copy, awaiting PutAck or Nack.
    MS_A = "MS_A"


#: The states in which a cache serves its copy.
READABLE = frozenset({CacheAt.S, CacheAt.E, CacheAt.M})


class HomeAt(StrEnum):
    """The states of a home."""

    #: No cache is known to hold a copy.
    I = "I"  # noqa: E741
    #: Caches may hold copies of the current version.
    S = "S"
    #: One cache holds a copy and was told so.
    E = "E"
    #: One cache holds the grant to draft the next version; others may read this one.
    M = "M"
    #: A commit has been made and its writer awaits its acknowledgement.
    S_A = "S_A"


class CacheState(Value, frozen=True, gc=False, tag=True):
    """One agent's side of one artifact.

    Invariants: `version` > `dead_through` wherever the copy is readable (S, E, M, SM_D, MS_A);
    `asked` is set exactly in the transient states; `again` only while a grant is asked for.
    """

    at: CacheAt = CacheAt.I
    #: The version of the content below, or 0.  In I a dead copy, kept as a base for answers.
    version: Version = 0
    content: Content = None
    #: The newest version known to be dead: neither it nor an older one may become readable again.
    dead_through: int = -1
    #: The serial of the last request sent.  It must survive a crash, or answers could be confused.
    serial: Serial = 0
    #: The epoch of the last grant received and not given back, or 0.
    epoch: Epoch = 0
    #: Reads served from this copy since it was fetched, where the policy counts them.
    uses: int = 0
    #: The request under way, kept to be sent again when no answer comes.
    asked: GetS | GetM | PutM | None = None
    #: The cache asks again for a grant whose version was dead; nothing was killed since.
    again: bool = False


class Sharer(Value, frozen=True, gc=False, tag=True, array_like=True):
    """A cache that may hold a copy, and the serial of the last request that home answered it."""

    cache: Address
    serial: Serial


class Waiter(Value, frozen=True, gc=False, tag=True, array_like=True):
    """A cache in the queue for the grant, and its cached content."""

    cache: Address
    serial: Serial
    have: Version
    #: None in rows of earlier releases: such a waiter is sent the content whole.
    digest: Digest = None


class Verdict(Value, frozen=True, gc=False, tag=True, array_like=True):
    """How a commit was judged, so that a repeated request is answered and not judged again."""

    cache: Address
    serial: Serial
    version: Version
    refusal: Refusal | None


# An unknown field is damage: if it were ignored, a renamed field would get its default.
class HomeState(Value, frozen=True, gc=False, tag=True, forbid_unknown_fields=True):
    """The directory entry and current content of one artifact.

    Invariants: `owner` is set exactly in M; `queue` is empty in I, S and E; `writer` is set only in
    S_A.  Home is never stale: `content` is the last committed one.
    """

    at: HomeAt = HomeAt.I
    version: Version = 0
    content: Content = None
    #: Caches that may hold a copy, sorted by address.
    sharers: tuple[Sharer, ...] = ()
    owner: Address = ""
    #: The serial of the owner's newest request for the grant.
    owner_serial: Serial = 0
    #: The epoch of the last grant: a new number for each, so that a late writer is recognised.
    epoch: Epoch = 0
    queue: tuple[Waiter, ...] = ()
    #: Caches that have not acknowledged an announcement, sorted, as they were known when told.
    unacked: tuple[Sharer, ...] = ()
    #: The writer whose commit awaits its acknowledgement, and the serial.
    writer: Address = ""
    writer_serial: Serial = 0
    #: The last commit of each recent writer and how it was judged, oldest first.
    verdicts: tuple[Verdict, ...] = ()
