"""One run of a program under one schedule, and what has gone wrong in it."""

from __future__ import annotations

import gc
import sys
from _thread import get_ident
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import FrameType
from typing import Any, Final, NamedTuple, TypeAlias

from coherence.errors import BadArgument
from coherence.testing.before import Before
from coherence.testing.errors import (
    BadToken,
    Deadlock,
    Ended,
    LostUpdate,
    Nondeterminism,
    StaleDecision,
    Stuck,
)
from coherence.testing.faults import Fault, Striking
from coherence.testing.frames import outwards
from coherence.testing.patches import Patches
from coherence.testing.scheduler import TeamRun
from coherence.testing.scratch import ScratchStores
from coherence.testing.search import Search
from coherence.testing.stage import Regrain, Stage
from coherence.testing.team import ExploredTeam
from coherence.testing.threads import PATIENCE_S, ThreadRun

Program: TypeAlias = Callable[[ExploredTeam], Any]

KINDS: Final = {"lost update": LostUpdate, "stale decision": StaleDecision}
FINDS: Final = ("lost update", "deadlock", "error")
KINDS_FOUND: Final = (*FINDS, "stale decision")


#: Found whether or not errors of the program are looked for.
_ALWAYS_FOUND = BadToken | Deadlock | Nondeterminism

#: The call of `play` that is under way, with its thread.
_UNDER_WAY: dict[str, tuple[FrameType, int]] = {}


class Settings(NamedTuple):
    """How a program is run, whatever the schedule."""

    stores: ScratchStores
    #: What the user's modules hold from before.
    before: Before
    #: The URL of the workspace of a team.
    store: str = "memory://"
    find: tuple[str, ...] = FINDS
    outcome: Callable[[Any], object] | None = None
    workspace: Mapping[str, Any] = {}
    patience_s: float = PATIENCE_S
    #: Whether the moments of the stores are counted, at which they can fail.
    counts: bool = False


class PlayedRun(NamedTuple):
    """One run of a program."""

    run: TeamRun
    failure: BaseException | None
    outcome: str
    moments: int


def play(
    program: Program,
    search: Search,
    settings: Settings,
    grain: str,
    fault: Fault | None = None,
    begins: Callable[[TeamRun], None] = lambda _: None,
) -> PlayedRun:
    """Run `program` once.

    Raises `Stuck`, `Regrain` if the grain hides something, and what opening a store has raised.
    """
    played = sys._getframe(), get_ident()
    if _UNDER_WAY.setdefault("run", played) is not played and _lasts(*_UNDER_WAY["run"]):
        raise BadArgument(
            "a program is explored already in this process",
            remedy="explore one at a time: the locks and sleeps of all threads are replaced",
        )
    collects = gc.isenabled()
    try:
        _UNDER_WAY["run"] = played
        # A collection within a run could end a dropped draft there, and not in the next run.
        try:
            gc.disable()
            return _play(program, search, settings, grain, fault, begins)
        finally:
            if collects:
                gc.enable()
    finally:
        _UNDER_WAY.clear()


def _lasts(of_run: FrameType, thread: int) -> bool:
    """Whether a call of `play` lasts: an interrupt may have cut its end off."""
    return any(frame is of_run for frame in outwards(sys._current_frames().get(thread)))


def _play(
    program: Program,
    search: Search,
    settings: Settings,
    grain: str,
    fault: Fault | None,
    begins: Callable[[TeamRun], None],
) -> PlayedRun:
    search.begin()
    run = TeamRun(search)
    begins(run)
    run.finds_deadlocks = "deadlock" in settings.find
    stores = settings.stores
    stores.begin(run.clock)
    stage = Stage(run, ThreadRun(run, settings.patience_s), grain, stores)
    striking = Striking(stage, fault, counts=settings.counts)
    failure: BaseException | None = None
    value: Any = None
    with ExitStack() as stack:
        stack.enter_context(Patches(stage, settings.before).installed())
        team = ExploredTeam(stage, striking, stack, settings.store, settings.workspace)
        try:
            value = program(team)
            if settings.outcome is not None:
                value = settings.outcome(value)
        except Ended:
            failure = run.failure
        except Exception as error:
            failure = error
        run.is_settling = True  # what closes it makes no moves
    if isinstance(failure, Regrain | Stuck):
        raise failure
    if stores.fault is not None and failure is stores.fault:
        raise stores.fault
    failure = failure or run.failure
    outcome = repr(value)
    if "error" not in settings.find and not isinstance(failure, _ALWAYS_FOUND | None):
        failure, outcome = None, repr(failure)
    for finding in stage.world.findings:
        if finding.kind in settings.find and not isinstance(failure, Nondeterminism):
            found = KINDS[finding.kind](finding.text)
            found.__cause__ = failure
            failure = found
            break
    return PlayedRun(run, failure, outcome, striking.moments)
