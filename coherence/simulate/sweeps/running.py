"""Runs a sweep: what is missing is measured and kept, then all of it becomes lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic

import msgspec

from coherence.simulate.experiments.figures import quantile
from coherence.simulate.sweeps import cluster, lines, planning, pools
from coherence.simulate.sweeps.lines import Line
from coherence.simulate.sweeps.measuring import (
    Found,
    KeyedRow,
    Measurement,
    Task,
    key_of,
    tasks,
)
from coherence.simulate.sweeps.pools import Pool
from coherence.simulate.sweeps.requests import Sweep
from coherence.simulate.sweeps.results import Results
from message_passing.errors import EnvironmentFault, ToolkitError

SAVE_EVERY_S = 1.0
"""What a process that is killed may lose."""


class StrangeFigures(EnvironmentFault):
    """A process of another version has measured: its figures would not be those of this one."""

    remedy = (
        "let every worker have the same release of artifact-coherence, restart them, and repeat"
        " the command"
    )


class Swept(msgspec.Struct, frozen=True):
    """The outcome of a sweep, complete or partial."""

    lines: list[Line]
    #: Measurements that are there, those of earlier sweeps included, and that were asked for.
    done: int
    asked: int
    #: What ended the sweep early; None at an interrupt.
    fault: ToolkitError | None = None

    @property
    def is_partial(self) -> bool:
        """Whether something has not been measured."""
        return self.done < self.asked


def run(
    sweep: Sweep,
    *,
    out: str | Path | None = None,
    on: str | None = None,
    processes: int | None = None,
    advance: Callable[[int, int], None] = lambda done, asked: None,
) -> Swept:
    """Measure what is missing, and sum up.

    `out` keeps every measurement, and those that it has already are not made again.  `on` is the
    address of a Dask scheduler; otherwise `processes` of this machine measure, as many as it has
    cores if not given.  `advance` gets the number of measurements done and asked for, first before
    any is made.

    An interrupt, a disk that is full and a process that dies end the sweep, not the caller: what
    was measured is returned, and kept.  Before anything is measured, raises `NoScipy`,
    `ForeignResults`, `ResultsFault`, `NoDask`, `ClusterLost` and `ClusterUnfit`.
    """
    if sweep.seeds > 1:
        quantile(1)
    plan = planning.needed(sweep)
    fault = None
    with Results(None if out is None else Path(out)) as results:
        work = _Work(plan.measurements, results, advance)
        todo = tasks(work.missing())
        try:
            with cluster.connected(on) if on and todo else pools.local(todo, processes) as pool:
                work.through(todo, pool)
        except ToolkitError as error:
            if not work.has_begun:
                raise
            fault = error
        except KeyboardInterrupt:
            pass
    made = lines.lines(sweep, plan, work.found)
    return Swept(made, len(work.found), len(plan.measurements), fault)


class _Work:
    """The measurements of a sweep: asked for, there, and not yet kept."""

    def __init__(
        self,
        asked: Mapping[bytes, Measurement],
        results: Results,
        advance: Callable[[int, int], None],
    ) -> None:
        self.found: dict[bytes, Found] = {}
        self.has_begun = False
        self._asked, self._results, self._advance = asked, results, advance
        self._unsaved: list[KeyedRow] = []
        self._saved_at = monotonic()

    def missing(self) -> list[Measurement]:
        """What is asked for and not in the results."""
        self.found.update(self._results.found(list(self._asked)))
        return [asked for key, asked in self._asked.items() if key not in self.found]

    def through(self, todo: Sequence[Task], pool: Pool) -> None:
        """Measure `todo`, and keep what is measured, also if that ends early."""
        self.has_begun = True
        try:
            self._advance(len(self.found), len(self._asked))
            for findings in pools.measured(map(self._rest, todo), pool):
                self._take(findings)
        finally:
            self._save()

    def _rest(self, task: Task) -> Task:
        """What another sweep has not kept by now."""
        keys = {key_of(measurement): measurement for measurement in task}
        known = self._results.found(list(keys))
        if known:
            self.found.update(known)
            self._advance(len(self.found), len(self._asked))
        return tuple(measurement for key, measurement in keys.items() if key not in known)

    def _take(self, findings: Sequence[KeyedRow]) -> None:
        for finding in findings:
            if finding.key not in self._asked:
                raise StrangeFigures(
                    "a process measured by another version of the program than this one"
                )
        self._unsaved += findings
        self.found.update({finding.key: finding.found for finding in findings})
        if monotonic() - self._saved_at >= SAVE_EVERY_S:
            self._save()
        self._advance(len(self.found), len(self._asked))

    def _save(self) -> None:
        if self._unsaved:
            self._results.add(self._unsaved)
            self._unsaved = []
        self._saved_at = monotonic()
