"""Random walks of the command line: with one seed, or with several at once in processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from message_passing.console import import_modules
from message_passing.workers import workers
from specs.checker.errors import CheckerError, UsageError
from specs.checker.result import Budget, OnProgress, Result
from specs.checker.simulate import simulate
from specs.sources import find

_RAISED = -1


@dataclass(frozen=True, slots=True)
class Walks:
    """Walks through a model that each process finds by its name."""

    name: str
    constants: Mapping[str, Any]
    walks: int
    steps: int
    budget: Budget
    #: Modules to import before the model is looked up.
    modules: tuple[str, ...] = ()

    def take(self, seed: int, on_progress: OnProgress | None = None) -> Result:
        """Walk here, with one seed."""
        return simulate(
            find(self.name).build(self.constants),
            walks=self.walks,
            steps=self.steps,
            seed=seed,
            budget=self.budget,
            on_progress=on_progress,
        )


def take_all(walks: Walks, seeds: Sequence[int], on_progress: OnProgress | None) -> Result:
    """Walk with every seed, each in a process: the first violation by seed, else the first result.

    An interrupt ends the processes and is raised.
    """
    if len(seeds) == 1:
        return walks.take(seeds[0], on_progress)
    codes = _codes(walks, seeds)
    # Results hold predicates, which cannot be pickled: walk the seed that decides again, here.
    decisive = [seed for seed, code in zip(seeds, codes, strict=True) if code in (1, _RAISED)]
    return walks.take((decisive or seeds)[0], on_progress)


def _codes(walks: Walks, seeds: Sequence[int]) -> list[int]:
    try:
        with workers(len(seeds), _begin, walks.modules, walks.name) as pool:
            pending = [pool.submit(_code, walks, seed) for seed in seeds]
            return [future.result() for future in pending]
    except BrokenProcessPool:
        raise UsageError(
            "a process of the walks was killed", remedy="fewer --workers, or --budget-memory"
        ) from None


def _begin(modules: tuple[str, ...], name: str) -> None:
    """Import all that the constants of a walk may refer to."""
    import_modules(modules)
    find(name)


def _code(walks: Walks, seed: int) -> int:
    try:
        return walks.take(seed).verdict.exit_code
    except CheckerError:
        return _RAISED
