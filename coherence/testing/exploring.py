"""Explores a program: runs it under one schedule after another, until one fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from itertools import groupby, permutations
from typing import Any, NamedTuple

from coherence.errors import BadArgument
from coherence.testing.before import Before
from coherence.testing.errors import (
    BadToken,
    Nondeterminism,
    NotSerial,
    Stuck,
)
from coherence.testing.faults import AT_MOMENTS, AT_MOVES, IN_RUNS, Fault, faults_of
from coherence.testing.interrupts import interrupts_kept
from coherence.testing.moves import NOBODY
from coherence.testing.playing import FINDS, KINDS_FOUND, PlayedRun, Program, Settings, play
from coherence.testing.result import Found, Result, Token
from coherence.testing.scheduler import TeamRun
from coherence.testing.scratch import ScratchStores, require_url
from coherence.testing.search import Bounded, Follow, Search, Serial
from coherence.testing.sources import Sources
from coherence.testing.stage import Regrain
from coherence.testing.team import ExploredTeam, with_agents
from coherence.testing.threads import PATIENCE_S
from coherence.testing.walk import Walk

#: Which part of the schedules may go to those with few preemptions, and which to the reduction.
BOUNDED, REDUCED = 0.25, 0.9
#: For how many agents every order of whole agents is tried.
SERIAL_MAX = 6
#: How often a first run is played again because it has started a service or imported modules.
FIRSTS_MAX = 3
#: How many schedules are tried to make a failure shorter.
SHRINK_MAX = 300


def explore(
    program: Program,
    agents: Mapping[str, Callable[[Any], Any]] | None = None,
    check: Callable[[ExploredTeam], object] | None = None,
    *,
    schedules: int = 10_000,
    seconds: float = 10.0,
    bound: int | None = 2,
    beyond: bool = True,
    reduce: bool = True,
    walks: int = 100,
    seed: int = 0,
    grain: str = "call",
    faults: Iterable[str] = (),
    find: Iterable[str] = FINDS,
    serial: bool = False,
    outcome: Callable[[Any], object] | None = None,
    store: str = "memory://",
    workspace: Mapping[str, Any] | None = None,
    patience_s: float = PATIENCE_S,
    raises: bool = True,
) -> Result:
    """Run `program` under every order of the moves of its agents, as far as the budget goes.

    ``program(team)`` is called once for each schedule, and must be the same each time.  With
    `agents` it only prepares: then each function runs with its agent of that name, or a coroutine
    function with its agent for tasks, and `check(team)` comes last.  First come
    the schedules with no preemption, then with one, up to `bound`; then every schedule up to the
    order of moves that commute, or with ``reduce=False`` every schedule; then random `walks` from
    `seed`.  Without `beyond` it ends at the bound.  The budget is `schedules`, and `seconds` of
    real time.

    `faults` happen one at a time: with "kill" and "stall" each agent also dies, or is away for
    longer than a lease, before each of its moves; with "kill within" and "unknown outcome" the
    agent dies, or the answer of the store is lost, at each moment of a transaction; with "late
    news" workspaces on PostgreSQL hear of each other as late as they can.
    `find` may also name "stale decision".  With `serial` the outcome must be that of some order in
    which the agents run one after the other; `outcome` makes it of what the program returns.
    `workspace` has arguments for `Workspace`, and `store` is the URL of the team's.  A URL of
    SQLite or PostgreSQL names a store that begins empty in each run, on virtual time: a temporary
    file, or a schema of its own in the database, for which the role must be allowed to create one.

    Raises `Found` at the first failure unless `raises` is false; `Nondeterminism`, `Stuck`,
    `BadArgument`, `BadUrl`, `StoreFault`.
    """
    require_url(store)
    wanted = _some_of((*AT_MOVES, *AT_MOMENTS, *IN_RUNS), faults, "faults")
    counts = not set(wanted).isdisjoint(AT_MOMENTS)
    kinds = _some_of(KINDS_FOUND, find, "find")
    program = with_agents(program, agents, check)
    stores, before, options = ScratchStores(), Before(program), dict(workspace or {})
    settings = Settings(stores, before, store, kinds, outcome, options, patience_s, counts)
    if grain not in ("call", "transaction"):
        raise BadArgument(f"grain is {grain!r}", remedy="'call' or 'transaction'")
    phases = _Phases(bound, beyond, reduce, walks if beyond else 0, seed)
    firsts = FIRSTS_MAX
    with closing(settings.stores), interrupts_kept() as require_none:
        while True:
            exploring = _Exploring(
                program, settings, grain, schedules, seconds, require_none, is_first=firsts > 0
            )
            try:
                exploring.explore(phases, serial, wanted)
                break
            except Regrain:
                grain = "transaction"
            except _Grown:
                firsts -= 1
            except Stuck:  # a module that was imported meanwhile may have the lock
                if firsts <= 0 or not settings.before.has_grown():
                    raise
                firsts -= 1
    result = exploring.result
    if raises and result.found is not None:
        raise result.found from result.found.cause
    return result


def replay(
    program: Program,
    token: str,
    agents: Mapping[str, Callable[[Any], Any]] | None = None,
    check: Callable[[ExploredTeam], object] | None = None,
    *,
    find: Iterable[str] = FINDS,
    serial: bool = False,
    outcome: Callable[[Any], object] | None = None,
    store: str = "memory://",
    workspace: Mapping[str, Any] | None = None,
    raises: bool = True,
) -> Result:
    """Run `program` under the schedule of `token`, with the settings that found it.

    Raises `Found` if it fails, and `BadToken` where the program does something else.
    """
    require_url(store)
    kinds = _some_of(KINDS_FOUND, find, "find")
    program, wanted = with_agents(program, agents, check), Token.parse(token)
    stores, before, options = ScratchStores(), Before(program), dict(workspace or {})
    settings = Settings(stores, before, store, kinds, outcome, options)
    settings = settings._replace(counts=wanted.fault is not None and not wanted.fault.agent)

    def missing(at: int, name: str) -> None:
        raise BadToken(f"{name} cannot make move {at + 1} of the token: the program has changed")

    with closing(settings.stores), interrupts_kept() as require_none:
        exploring = _Exploring(program, settings, wanted.grain, 10_000, 60.0, require_none)
        if serial:
            exploring.run_serially()
        exploring.try_all(Follow(wanted.schedule, exploring.name_of, missing), 1.0, wanted.fault)
    result = exploring.result
    if result.found is not None and isinstance(result.found.cause, BadToken):
        raise result.found.cause
    if result.found is None and result.longest < len(wanted.schedule):
        moves = f"{result.longest} of the {len(wanted.schedule)} moves"
        raise BadToken(f"the program ends after {moves} of the token: the program has changed")
    if raises and result.found is not None:
        raise result.found from result.found.cause
    return result


def _some_of(known: Iterable[str], given: Iterable[str], what: str) -> tuple[str, ...]:
    kinds = (given,) if isinstance(given, str) else tuple(given)
    if unknown := sorted(set(kinds) - set(known)):
        raise BadArgument(f"{what} names {unknown}", remedy=f"some of {sorted(known)}")
    return kinds


class _Phases(NamedTuple):
    bound: int | None
    beyond: bool
    reduce: bool
    walks: int
    seed: int


class _Grown(Exception):
    """The first run has left what later runs find: a thread that serves the process, modules."""


class _Exploring:
    """One exploration under way."""

    def __init__(
        self,
        program: Program,
        settings: Settings,
        grain: str,
        schedules: int,
        seconds: float,
        require_none: Callable[[], None],
        *,
        is_first: bool = False,
    ) -> None:
        self._is_first, self._require_none = is_first, require_none
        self._program, self._settings, self._grain = program, settings, grain
        self._most, self._until = schedules, time.monotonic() + seconds
        self._begun, self._seconds = time.monotonic(), seconds
        self._run: TeamRun | None = None
        self._serial: set[str] | None = None
        self._moves: dict[str, int] = {}
        self._moments = 0
        self._too_long = False
        self.result = Result(grain=grain)

    def _begins(self, run: TeamRun) -> None:
        self._run = run

    def name_of(self, agent: int) -> str:
        """The name of an agent of the run under way."""
        return self._run.actors[agent].name if self._run is not None else ""

    def explore(self, phases: _Phases, serial: bool, kinds: Collection[str]) -> None:
        """All phases, until something is found or the budget is spent."""
        if serial:
            self.run_serially()
        done = self._search(phases)
        for fault in faults_of(self._moves, self._moments, kinds):
            if self.result.found is None:
                self.result.faults += 1
                done = self.try_all(_whole(phases.reduce), REDUCED, fault) and done
        self.result.exhaustive = done and not self._too_long
        if not done and self.result.found is None:
            self.try_all(Walk(phases.seed), 1.0, most=phases.walks)
        self.result.seconds = time.monotonic() - self._begun

    def _search(self, phases: _Phases) -> bool:
        """Without faults; whether every schedule was played."""
        if phases.bound is not None:
            search = Bounded(phases.bound)
            if self.try_all(search, BOUNDED if phases.beyond else 1.0):
                return True
            if search.is_through:
                self.result.preemptions = phases.bound
        if self.result.found is not None or not phases.beyond:
            return False
        return self.try_all(_whole(phases.reduce), REDUCED)

    def try_all(
        self, search: Search, share: float, fault: Fault | None = None, most: int | None = None
    ) -> bool:
        """Play schedules until one fails, or this share of the budget is spent; whether all."""
        more, tried = True, 0
        while more and self.result.found is None:
            spent = self.result.schedules + self.result.cut_short
            late = time.monotonic() > self._begun + self._seconds * share
            if spent >= self._most * share or late or (most is not None and tried >= most):
                return False
            played = self._play(search, fault)
            tried += 1
            if isinstance(played.failure, Nondeterminism) and self.result.doubts:
                self.result.doubts.append(f"not reproducible: {played.failure}")
                return False
            if played.failure is not None:
                self._found(played, fault, search)
            else:
                more = search.end(played.run.moves)
            del played  # or the collector would find its run only after the next one
        return search.is_complete and self.result.found is None

    def _play(self, search: Search, fault: Fault | None = None) -> PlayedRun:
        self._require_none()
        played = play(self._program, search, self._settings, self._grain, fault, self._begins)
        run, result = played.run, self.result
        if self._is_first and (run.has_started_service or self._settings.before.has_grown()):
            raise _Grown
        self._is_first = False
        result.doubts += run.doubts
        if run.is_too_long:
            self._too_long = True
            result.doubts.append("a schedule had too many moves, and was cut off")
        if run.is_cut_short:
            result.cut_short += 1
            return played._replace(failure=None)
        result.schedules += 1
        result.longest = max(result.longest, sum(move.agent != NOBODY for move in run.moves))
        for actor in run.actors:
            if fault is None:
                self._moves[actor.name] = max(self._moves.get(actor.name, 0), actor.moves)
        if fault is None:
            self._moments = max(self._moments, played.moments)
        if played.failure is None:
            result.outcomes[played.outcome] += 1
            if self._serial is not None and played.outcome not in self._serial:
                known = " and ".join(sorted(self._serial))
                words = f"{played.outcome} is the outcome of no order of whole agents: {known}"
                played = played._replace(failure=NotSerial(words))
        return played

    def run_serially(self) -> None:
        """Find the outcomes of every order in which the agents run one after the other."""
        first = play(self._program, Serial(()), self._settings, self._grain)
        agents = [actor.index for actor in first.run.actors if actor.parent is None]
        if len(agents) > SERIAL_MAX:
            raise BadArgument(
                f"serial=True with {len(agents)} agents", remedy=f"at most {SERIAL_MAX}"
            )
        outcomes = set()
        for order in permutations(agents):
            played = play(self._program, Serial(order), self._settings, self._grain)
            if played.failure is not None:
                self._found(played, None, None)
                return
            outcomes.add(played.outcome)
        self._serial = outcomes

    # Failures.

    def _found(self, played: PlayedRun, fault: Fault | None, search: Search | None) -> None:
        if isinstance(played.failure, Nondeterminism):
            raise played.failure
        if not isinstance(search, Bounded | Follow):
            played = self._shrunk(played, fault)
        assert played.failure is not None
        token = Token(_schedule(played.run), self._grain, fault)
        self.result.found = Found(played.failure, token, played.run, self.result)

    def _shrunk(self, played: PlayedRun, fault: Fault | None) -> PlayedRun:
        """The same kind of failure, with fewer switches if there is such a schedule nearby."""
        kind, tried, better = type(played.failure), 0, True
        result, self.result = self.result, Result()
        try:
            while better and tried < SHRINK_MAX:
                better = False
                for candidate in _shorter(_schedule(played.run)):
                    tried += 1
                    again = self._play(Follow(candidate, self.name_of), fault)
                    if type(again.failure) is kind and _size(again.run) < _size(played.run):
                        played, better = again, True
                        break
                    if tried >= SHRINK_MAX:
                        break
        finally:
            self.result = result
        return played


def _whole(reduce: bool) -> Search:
    return Sources() if reduce else Bounded(None)


def _schedule(run: TeamRun) -> tuple[str, ...]:
    return tuple(run.actors[move.agent].name for move in run.moves if move.agent != NOBODY)


def _size(run: TeamRun) -> tuple[int, int]:
    token = Token(_schedule(run))
    return token.switches, len(token.schedule)


def _shorter(schedule: tuple[str, ...]) -> Iterable[list[str]]:
    """Schedules with two blocks of one agent's moves joined, or without the end."""
    blocks = [list(same) for _, same in groupby(schedule)]
    for i in range(len(blocks) - 1):
        swapped = [*blocks[:i], blocks[i + 1], blocks[i], *blocks[i + 2 :]]
        yield [name for block in swapped for name in block]
        yield [name for block in blocks[: i + 1] for name in block]
