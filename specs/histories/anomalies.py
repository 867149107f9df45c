"""The anomalies, and what the judge says of them.

========================  ==========================================================================
kind                      what was observed
========================  ==========================================================================
duplicate write           one write stands twice
unknown write             a content or a version that no transaction wrote
altered content           two contents under one version
G1a                       aborted read: what a refused transaction wrote was read (Adya 1999, 4.2.1)
G1b                       intermediate read: what its writer replaced itself was read
incompatible orders       two orders of the versions of one name, as a lost update leaves them
lost write                a write was acknowledged, and a later read lacks it
partial publish           of the writes of one transaction some stand, and a later read lacks others
version went back         an agent read an older version than before
G0                        write cycle: writes of two transactions interleave
G1c                       circular information flow
G-single                  a cycle with one anti-dependency: read skew, and more
G2-item                   a cycle with several anti-dependencies: write skew
...-realtime              the same with the order of real time: not strictly serializable
opacity: ...              the same with a refused transaction, by what it has read
========================  ==========================================================================

The cycles are those of Adya, *Weak Consistency* (1999), sections 4.2 and 4.3, found as in Alvaro
and Kingsbury, *Elle* (2020), section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

DUPLICATE: Final = "duplicate write"
UNWRITTEN: Final = "unknown write"
ALTERED: Final = "altered content"
G1A: Final = "G1a"
G1B: Final = "G1b"
FORK: Final = "incompatible orders"
LOST: Final = "lost write"
PARTIAL: Final = "partial publish"
BACK: Final = "version went back"
G0: Final = "G0"
G1C: Final = "G1c"
G_SINGLE: Final = "G-single"
G2: Final = "G2-item"

#: What each kind is called in words.
TITLES: Final = {
    DUPLICATE: "a write that stands twice",
    UNWRITTEN: "a content that no transaction wrote",
    ALTERED: "two contents under one version",
    G1A: "aborted read",
    G1B: "intermediate read",
    FORK: "lost update",
    LOST: "an acknowledged write that is not there",
    PARTIAL: "a transaction of which a part is there",
    BACK: "a read older than the one before",
    G0: "write cycle",
    G1C: "circular information flow",
    G_SINGLE: "a cycle with one anti-dependency",
    G2: "a cycle of anti-dependencies: write skew",
}
REALTIME: Final = "-realtime"
OPACITY: Final = "opacity: "


class Why(IntEnum):
    """Why one transaction comes before another; the first that applies names an edge."""

    #: The second wrote the next version.
    WW = 0
    #: The second read what the first wrote.
    WR = 1
    #: The second wrote the version after the one that the first read.
    RW = 2
    #: The first had returned before the second began.
    RT = 3


@dataclass(frozen=True, slots=True)
class Edge:
    """`first` comes before `second`; `name` is the artifact, or "" for real time."""

    first: str
    second: str
    why: Why
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Party:
    """A transaction of an anomaly; `begin` and `end` are in seconds, None if they are not known."""

    id: str
    where: str
    call: str
    outcome: str
    begin: float | None
    end: float | None


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One anomaly: a sentence, its transactions, and for a cycle the edges in their order."""

    kind: str
    text: str
    parties: tuple[Party, ...] = ()
    edges: tuple[Edge, ...] = ()

    @property
    def title(self) -> str:
        """The kind in words."""
        plain = self.kind.removeprefix(OPACITY).removesuffix(REALTIME)
        words = TITLES[plain]
        if self.kind.endswith(REALTIME):
            words += ", against the order of real time"
        return f"{words}, seen by a refused transaction" if OPACITY in self.kind else words
