"""The shapes of the API's JSON: named fields, and ``"v": 1`` in each.

Times are seconds since the epoch on the store's clock.  Whole numbers over 2^53 are texts, since
JavaScript does not read them exactly (`answers.exact`).  Other parts of the console define their
shapes beside their routes, as structs that inherit from `Shape`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from coherence.workspace.overview import Standing

VERSION: Final = 1


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The root of every answer and event."""

    v: int = VERSION


class Failure(Shape, frozen=True, kw_only=True):
    """An error: `code` is stable, the texts are for people."""

    code: str
    message: str
    remedy: str = ""


class Token(Shape, frozen=True, kw_only=True):
    """The token, for a page that was opened with a code."""

    token: str


class Has(msgspec.Struct, frozen=True):
    """Which pages have something to show."""

    team: bool
    timeline: bool
    explorer: bool
    reports: bool


class About(Shape, frozen=True, kw_only=True):
    """What the page's frame needs."""

    #: The release of the distribution.
    release: str
    #: What the store is called, or empty; and its kind: ``sqlite``, ``postgresql``, ``memory``.
    label: str
    kind: str
    has: Has
    #: Whether contents of artifacts are shown.
    contents: bool
    #: The model that the command line has named, or empty.
    model: str


class Joined(msgspec.Struct, frozen=True):
    """An agent that has joined and not left."""

    agent: str
    since: float


class Refusal(msgspec.Struct, frozen=True):
    """A refused write, as `coherence.stores.records.RefusedWrite`."""

    artifact: str
    agent: str
    at: float
    base: int
    current: int
    #: ``conflict`` or ``fenced``.
    kind: str
    reason: str
    size_bytes: int
    attempt: str


class TeamWhole(Shape, frozen=True, kw_only=True):
    """The team at one look, as homes know it: older copies and hits are the caches' own affair."""

    #: Looks at which something had moved.
    look: int
    now: float
    agents: tuple[Joined, ...]
    artifacts: tuple[Standing, ...]
    #: The newest that are kept, oldest first.
    refused: tuple[Refusal, ...]


class TeamMoved(Shape, frozen=True, kw_only=True):
    """What has moved between two looks."""

    look: int
    now: float
    #: Whole rows, each in place of the earlier one.
    artifacts: tuple[Standing, ...]
    #: Artifacts that no longer exist.
    gone: tuple[str, ...]
    #: All of them, if they differ.
    agents: tuple[Joined, ...] | None
    refused: tuple[Refusal, ...] | None


class Saved(msgspec.Struct, frozen=True):
    """What the reads and writes of one agent or day have cost and saved."""

    #: The agent or the day; empty in a total.
    name: str
    reads: int
    writes: int
    conflicts: int
    #: The tokens of the whole text at each read, those that reads have served, and the difference.
    refetch_tokens: int
    served_tokens: int
    saved_tokens: int


class Tokens(Shape, frozen=True, kw_only=True):
    """The counts that agents have sent to the store; some of the last minute are still missing."""

    #: None if the store keeps no counts.
    total: Saved | None
    #: Those whose reads would have cost most first.
    agents: tuple[Saved, ...]


class VersionLine(msgspec.Struct, frozen=True):
    """A version in the history of an artifact."""

    version: int
    author: str
    at: float
    #: ``text``, ``bytes`` or ``tombstone``.
    kind: str
    size_bytes: int
    pinned: bool
    #: The version that the writer had seen, or 0.
    base: int
    overwrite: bool
    reason: str


class History(Shape, frozen=True, kw_only=True):
    """The kept versions of an artifact, newest first."""

    name: str
    now: float
    exists: bool
    versions: tuple[VersionLine, ...]
    refused: tuple[Refusal, ...]


class Content(Shape, frozen=True, kw_only=True):
    """The content of one version."""

    name: str
    version: int
    kind: str
    size_bytes: int
    #: The beginning of a text, or None for anything else.
    text: str | None
    #: The characters that are left out.
    cut: int


class Difference(Shape, frozen=True, kw_only=True):
    """The difference between two versions, as a unified diff of whole lines."""

    name: str
    a: int
    b: int
    added: int
    removed: int
    text: str
    cut: int


class BlameLine(msgspec.Struct, frozen=True):
    """A line, and the version that brought it: one of `first` to `version`."""

    text: str
    first: int
    version: int
    #: Empty and 0 if the version that brought it is not kept.
    author: str
    at: float


class Blame(Shape, frozen=True, kw_only=True):
    """The lines of a version, and where each comes from."""

    name: str
    version: int
    lines: tuple[BlameLine, ...]
    #: The lines that are left out.
    cut: int


class Written(msgspec.Struct, frozen=True):
    """A version that an agent has published."""

    artifact: str
    version: int
    at: float


class Work(Shape, frozen=True, kw_only=True):
    """What one agent has done, as far as the change log and the records are kept."""

    agent: str
    now: float
    #: When it joined, or None if it is not there.
    since: float | None
    #: Newest first.
    written: tuple[Written, ...]
    #: Whether older lines of the log exist or are lost.
    older: bool
    refused: tuple[Refusal, ...]
    #: By day, oldest first.
    days: tuple[Saved, ...]
