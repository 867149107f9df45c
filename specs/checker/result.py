"""The result of a check: three verdicts, the counts, and a path for every violated claim."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from specs.checker.errors import UsageError
from specs.checker.model import Action, Property

#: Why a search ended that Ctrl-C ended.
INTERRUPTED = "interrupted"


class Verdict(enum.Enum):
    """HOLDS and VIOLATED are proofs.

    UNDETERMINED is the verdict of a search that ended early, and of a claim that a bound of the
    model left open.  `Model` says what each verdict claims where a bound was met.
    """

    HOLDS = "HOLDS"
    VIOLATED = "VIOLATED"
    UNDETERMINED = "UNDETERMINED"

    @property
    def exit_code(self) -> int:
        """For a shell: 0, 1 and 3.  UNDETERMINED is never a pass."""
        return {"HOLDS": 0, "VIOLATED": 1, "UNDETERMINED": 3}[self.value]


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of a search.  None means unlimited; a limit of zero is refused."""

    states: int | None = None
    seconds: float | None = None
    #: Resident size of the process, in mebibytes.
    memory_mib: float | None = None

    def __post_init__(self) -> None:
        for name in ("states", "seconds", "memory_mib"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(
                    f"a budget of {value} {name} decides nothing", remedy="above zero, or None"
                )


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a running search."""

    distinct: int
    generated: int
    depth: int
    queue: int
    seconds: float
    memory_mib: float

    @property
    def rate(self) -> float:
        """Transitions a second since the start."""
        return self.generated / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Moment:
    """One state of a path and the action that led to it (None: an initial state)."""

    action: Action | None
    state: Any


@dataclass(frozen=True, slots=True)
class Path:
    """A behaviour.  With `loop`, the states from that index on repeat for ever: a lasso.

    A loop that starts at the last state is stuttering: no further step is taken.
    """

    moments: tuple[Moment, ...]
    loop: int | None = None

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.moments) - 1

    @property
    def actions(self) -> tuple[Action, ...]:
        """The steps in order."""
        return tuple(m.action for m in self.moments if m.action is not None)

    @property
    def last(self) -> Any:
        """The state it ends in."""
        return self.moments[-1].state

    @property
    def switches(self) -> int:
        """How often the next step belongs to another process."""
        who = [action.process for action in self.actions]
        return sum(a != b for a, b in itertools.pairwise(who))


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one property."""

    claim: Property[Any]
    verdict: Verdict
    #: The counterexample of a violated property; the witness of a `reachable` one that holds; of
    #: a liveness property that a bound left open, a behaviour that is not followed to its end.
    path: Path | None = None
    #: The antecedent was never true, so the property was not tested.
    vacuous: bool = False
    #: What is wrong with the last step of the path, where its states do not say so.
    why: str = ""

    @property
    def name(self) -> str:
        """The property's name."""
        return self.claim.name


@dataclass(frozen=True, slots=True)
class StateSet:
    """All states of the full graph: the same for each engine, with symmetry or without."""

    count: int
    #: How many of them `within` excludes from expansion.
    outside: int
    #: Of the set, by `specs.checker.canonical`.
    digest: str


@dataclass(frozen=True, slots=True)
class Result:
    """The results of one check.

    `generated` counts transitions, those to known states included: TLC adds the initial states.
    `depth` is the longest of all shortest paths to these states, in steps: TLC prints one more.
    """

    model: str
    engine: str
    verdict: Verdict
    distinct: int
    generated: int
    depth: int
    #: Names of the actions that were taken.
    actions: frozenset[str]
    #: Names that the model lists and that were never taken.
    never_taken: frozenset[str]
    findings: tuple[Finding, ...]
    deadlock: Path | None = None
    #: Why the search ended early, or "".
    stopped: str = ""
    #: Whether a bound of the model was met; see `Model`.
    bounded: bool = False
    seconds: float = 0.0
    #: Spent in compiling the kernel; not part of `seconds`.
    compile_s: float = 0.0
    step_calls: int = 0
    notes: tuple[str, ...] = field(default=())
    #: Of a complete search that was asked for it.
    states: StateSet | None = None

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the search."""
        return self.stopped == INTERRUPTED

    @property
    def counterexample(self) -> Path | None:
        """The first path that shows a VIOLATED verdict, if a path can show it."""
        if self.deadlock is not None:
            return self.deadlock
        return next(
            (f.path for f in self.findings if f.verdict is Verdict.VIOLATED and f.path is not None),
            None,
        )

    @property
    def vacuous(self) -> tuple[str, ...]:
        """Names of the properties that were never tested."""
        return tuple(f.name for f in self.findings if f.vacuous)

    def finding(self, name: str) -> Finding:
        """The finding on the property `name`; raises `UsageError` if there is no such property."""
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise UsageError(
            f"{self.model!r} has no property {name!r}",
            remedy="one of " + ", ".join(f.name for f in self.findings),
        )


OnProgress = Callable[[Progress], None]
