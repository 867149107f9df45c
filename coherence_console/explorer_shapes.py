"""The shapes of the explorer's JSON; frames, trees and charts are those of `specs.session`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from coherence_console.shapes import Shape
from specs.session import Branch, Frame


class PinnedCase(msgspec.Struct, frozen=True):
    """Constants of a model, and what a check of it finds."""

    settings: Mapping[str, str]
    expect: str
    violates: str
    distinct: int | None


class ModelLine(msgspec.Struct, frozen=True):
    """A model that can be explored."""

    name: str
    about: str
    #: Its constants with their defaults, as texts; empty for those without default.
    constants: Mapping[str, str]
    cases: tuple[PinnedCase, ...]
    #: Whether the command line has named it.
    named: bool = False


class ModelList(Shape, frozen=True, kw_only=True):
    """All models: the one of the command line first."""

    models: tuple[ModelLine, ...]
    #: Why the model of the command line is missing, or empty.
    trouble: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check says of one property; `path` is evidence, by numbers of actions."""

    name: str
    kind: str
    verdict: str
    vacuous: bool
    why: str
    path: tuple[int, ...] | None
    digest: str
    loop: int | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a whole check."""

    verdict: str
    engine: str
    distinct: int
    generated: int
    depth: int
    seconds: float
    #: Why it ended early, or empty.
    stopped: str
    bounded: bool
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]
    #: The path to a deadlock.
    deadlock: tuple[int, ...] | None
    deadlock_digest: str


class Located(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a search for a state."""

    path: tuple[int, ...]
    digest: str
    distinct: int
    stopped: str


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """How far a check or a search has come."""

    distinct: int
    generated: int
    depth: int
    queue: int
    seconds: float
    memory_mib: float


class Job(Shape, frozen=True, kw_only=True):
    """A check or a search, in a process of its own."""

    id: str
    model: str
    settings: Mapping[str, str]
    #: "check" or "search"
    kind: str
    #: "running", "done", "failed" or "cancelled"
    state: str
    progress: Reached | None = None
    outcome: Outcome | None = None
    located: Located | None = None
    #: Of one that failed.
    message: str = ""
    remedy: str = ""


class ExplorerView(Shape, frozen=True, kw_only=True):
    """One place on a path of a model."""

    model: str
    settings: Mapping[str, str]
    #: The constants that the model has, with their defaults.
    constants: Mapping[str, str]
    frame: Frame
    #: What a finished check has found with these constants.
    outcome: Outcome | None
    #: Why the path that was asked for is not the one shown, or empty.
    trouble: str


class WalkedPath(Shape, frozen=True, kw_only=True):
    """A path, by numbers of actions, with its digest."""

    path: tuple[int, ...]
    digest: str
    loop: int | None = None


class StatePart(Shape, frozen=True, kw_only=True):
    """A part of a state, with its whole text, or as much of it as a page gets."""

    branch: Branch
    text: str


class PathMatches(Shape, frozen=True, kw_only=True):
    """The steps of a path that satisfy a condition; 0 is the initial state."""

    steps: tuple[int, ...]


class TraceFile(Shape, frozen=True, kw_only=True):
    """A trace in ITF that was read: a path of the model, or a trace that is only shown."""

    states: int
    #: The path, as far as the model has it.
    path: tuple[int, ...]
    digest: str
    loop: int | None
    #: By which the trace itself is shown; empty if the model has all of it.
    id: str


class TraceView(Shape, frozen=True, kw_only=True):
    """One state of a trace without its model."""

    frame: Frame
    step: int
    steps: int
