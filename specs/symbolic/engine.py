"""Symbolic execution by running again: each undecided condition forks the run.

A run is a function of an `Execution`.  Whatever the run asks of a symbolic value becomes a term.
Where it needs a truth value, `Execution.decide` answers from a script of earlier decisions; beyond
the script it takes the first side that the solver does not rule out, and leaves the other for a
later run.  So every execution that the assumptions allow is followed by exactly one run.

What the solver cannot decide is never taken for a proof: a side that may be possible is followed,
and a claim without an answer is UNKNOWN.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

import z3

T = TypeVar("T")

#: Milliseconds for one question to the solver.
PATIENCE_MS = 20_000


class Proof(Enum):
    """The solver's answer to a claim."""

    PROVED = "proved"
    REFUTED = "refuted"
    UNKNOWN = "unknown"


class Exhausted(Exception):
    """The budget is used up before every path was followed."""


class Pruned(Exception):
    """The run has assumed something that its path rules out: there is no such execution."""


class Execution:
    """One execution: what is assumed, what was decided, and a solver that knows both."""

    def __init__(self, solver: z3.Solver, script: Sequence[int] = ()) -> None:
        self._script = list(script)
        self._at = 0
        self._solver = solver
        self._names: dict[str, int] = {}
        #: Scripts of the sides that were not taken.
        self.others: list[tuple[int, ...]] = []

    def fresh(self, name: str, sort: Any = None) -> Any:
        """A new constant.  Its name is unique within the path and the same in every run."""
        count = self._names[name] = self._names.get(name, -1) + 1
        return z3.Const(
            f"{name}!{count}" if count else name, z3.IntSort() if sort is None else sort
        )

    def assume(self, *facts: Any) -> None:
        """Restrict the path to executions in which `facts` hold."""
        self._solver.add(*facts)

    def is_possible(self, condition: Any = True) -> bool:
        """Whether some execution of this path may satisfy `condition`: no only where proved."""
        return bool(self._check(condition) != z3.unsat)

    def is_satisfied(self) -> bool:
        """Whether this path has an execution: yes only where the solver has found one."""
        return bool(self._check(True) == z3.sat)

    def decide(self, condition: Any) -> bool:
        """The value of `condition` on this path."""
        condition = z3.simplify(condition)
        if z3.is_true(condition):
            return True
        if z3.is_false(condition):
            return False
        return not self._fork((condition, z3.Not(condition)))

    def choose(self, options: Sequence[tuple[Any, T]]) -> T:
        """The value whose condition holds; the conditions cover all executions of this path."""
        return options[self._fork([condition for condition, _ in options])][1]

    def _fork(self, conditions: Sequence[Any]) -> int:
        if self._at < len(self._script):
            taken = self._script[self._at]
        else:
            taken = self._first_possible(conditions)
            self._script.append(taken)
        self._at += 1
        self._solver.add(conditions[taken])
        return taken

    def _first_possible(self, conditions: Sequence[Any]) -> int:
        possible = [n for n, condition in enumerate(conditions) if self.is_possible(condition)]
        if not possible:
            raise Pruned
        before = tuple(self._script)
        self.others.extend((*before, other) for other in reversed(possible[1:]))
        return possible[0]

    def prove(self, claim: Any, preferred: Any = None) -> tuple[Proof, z3.ModelRef | None]:
        """Whether `claim` holds in every execution of this path, else a model of one without.

        A model that satisfies `preferred` comes first, if there is one.
        """
        found = self._check(z3.Not(claim))
        if found == z3.unsat:
            return Proof.PROVED, None
        if found == z3.sat:
            if preferred is not None:
                self._check(z3.And(z3.Not(claim), preferred))
            return Proof.REFUTED, self._model
        return Proof.UNKNOWN, None

    def _check(self, condition: Any) -> z3.CheckSatResult:
        self._solver.push()
        try:
            self._solver.add(condition)
            found = self._solver.check()
            if found == z3.sat:
                self._model = self._solver.model()
            elif found == z3.unknown and "interrupted" in self._solver.reason_unknown():
                raise KeyboardInterrupt  # the solver has caught the signal
            return found
        finally:
            self._solver.pop()


@dataclass
class Effort:
    """Paths followed and seconds spent, with limits."""

    paths_max: int | None = None
    seconds_max: float | None = None
    on_path: Callable[[Effort], None] | None = None
    paths: int = 0
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self.started

    def count(self) -> None:
        """Count one path.  Raises `Exhausted` beyond a limit."""
        if self.paths_max is not None and self.paths >= self.paths_max:
            raise Exhausted(f"{self.paths:,} paths")
        if self.seconds_max is not None and self.seconds > self.seconds_max:
            raise Exhausted(f"{self.seconds:.0f} s")
        self.paths += 1
        if self.on_path is not None:
            self.on_path(self)


def explore(
    begin: Callable[[Execution], None], run: Callable[[Execution], T], effort: Effort
) -> Iterator[T]:
    """The results of `run` on every path, each with what `begin` has assumed once for all.

    Raises `Exhausted` where the effort's limits end it.
    """
    solver = z3.SimpleSolver()
    solver.set("timeout", PATIENCE_MS)
    begin(Execution(solver))
    waiting: list[tuple[int, ...]] = [()]
    while waiting:
        effort.count()
        path = Execution(solver, waiting.pop())
        solver.push()
        try:
            yield run(path)
        except Pruned:
            pass
        finally:
            solver.pop()
        waiting.extend(path.others)
