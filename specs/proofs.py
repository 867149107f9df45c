"""Expected results of TLC and of the comparison with it: the manifest of specs/tla, its commands.

``python -m specs tlc NAME`` runs one configuration, ``conform NAME`` compares its state graph with
ours, ``prove`` does both for every pinned case.  A changed count fails.
"""

from __future__ import annotations

import argparse
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from message_passing.console import complain, told
from message_passing.errors import ToolkitError
from specs import report, tlc
from specs.checker.check import check
from specs.checker.errors import UsageError
from specs.checker.result import OnProgress, Result
from specs.conform import Comparison, Twin, compare
from specs.report import Outcome
from specs.sources import AnyModel

MANIFEST = tlc.TLA / "manifest.toml"


@dataclass(frozen=True, slots=True)
class Run:
    """One configuration of a module, and its pinned results."""

    config: str
    module: str
    #: What must be violated: an invariant's name, "action property", "liveness"; "" for nothing.
    violates: str = ""
    distinct: int | None = None
    generated: int | None = None
    depth: int | None = None
    #: Labelled edges that both graphs have; None if the graphs are not compared.
    edges: int | None = None
    #: "fast" (seconds, in every test run) or "slow".
    time: str = "fast"

    def __str__(self) -> str:
        return f"{self.config} ({self.module})"

    @property
    def twin(self) -> Twin | None:
        """The Python model that the module claims to be, if there is one."""
        from specs.twins import TWINS

        return TWINS.get(self.module)

    @property
    def is_compared(self) -> bool:
        """Whether TLC's graph must equal a graph of ours."""
        return self.twin is not None and self.edges is not None

    def differences(self, result: tlc.TlcResult) -> list[str]:
        """The differences between TLC's result and the pinned one; empty if they agree."""
        found = []
        if result.violated != self.violates:
            said, pinned = result.violated or "nothing", self.violates or "nothing"
            found.append(f"violated: {said}, pinned {pinned}")
        for key in ("distinct", "generated", "depth"):
            pinned, got = getattr(self, key), getattr(result, key)
            if pinned is not None and got != pinned:
                found.append(f"{key}: {got:,}, pinned {pinned:,}")
        return found

    def departs(self, comparison: Comparison) -> list[str]:
        """The differences between the graphs, and from the pinned counts."""
        found = [*self.differences(comparison.said), *comparison.differences]
        if comparison.equal and self.edges is not None and comparison.edges[1] != self.edges:
            found.append(f"edges: {comparison.edges[1]:,}, pinned {self.edges:,}")
        return found


@cache
def runs() -> tuple[Run, ...]:
    """Every pinned case, in the order of the manifest."""
    parsed: dict[str, Any] = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
    return tuple(Run(config, **entry) for config, entry in parsed.items())


def run_of(config: str) -> Run:
    """The pinned run of a configuration.  Raises `UsageError`."""
    for run in runs():
        if run.config == config:
            return run
    raise UsageError(
        f"no configuration {config!r}", remedy="one of " + ", ".join(run.config for run in runs())
    )


# Commands.

#: The result of a run and its differences; None if a run of `all` skips the case.
Command: TypeAlias = Callable[["Run", bool], tuple[str, list[str]] | None]


def _chosen(options: argparse.Namespace) -> list[Run]:
    if options.name != "all":
        return [run_of(options.name)]
    return [run for run in runs() if options.slow or run.time == "fast"]


def _tlc(options: argparse.Namespace) -> int:
    return _each(_outcomes(_run_tlc, options))


def _conform(options: argparse.Namespace) -> int:
    return _each(_outcomes(_run_conform, options))


def _each(outcomes: Iterator[Outcome]) -> int:
    try:
        return 1 if report.tell(outcomes) else 0
    except ToolkitError as error:
        line, code = told(error)
        complain(line)
        return code


def _outcomes(command: Command, options: argparse.Namespace) -> Iterator[Outcome]:
    for run, _ in report.placed(_chosen(options)):
        started = time.perf_counter()
        found = command(run, options.name == "all")
        if found is not None:
            yield Outcome(run.config, *found, time.perf_counter() - started)


def _run_tlc(run: Run, _: bool) -> tuple[str, list[str]]:
    result = tlc.run(run.module, run.config)
    verdict = f"violates {result.violated}" if result.violated else "holds"
    return f"TLC: {verdict}, {result.distinct:,} states", run.differences(result)


def _run_uncompared(run: Run, skip: bool) -> tuple[str, list[str]] | None:
    """TLC, unless a comparison runs it and judges its verdict as well."""
    return None if run.is_compared else _run_tlc(run, skip)


def _run_conform(run: Run, skip: bool) -> tuple[str, list[str]] | None:
    if not run.is_compared:
        if skip:
            return None
        raise UsageError(f"{run.config} has no twin to be compared with", remedy="try `tlc`")
    assert run.twin is not None
    found = compare(run.twin, run.config)
    states, edges = found.distinct[1], found.edges[1]
    relation = "equal" if found.equal else "NOT EQUAL"
    return f"{relation} graphs: {states:,} states, {edges:,} edges", run.departs(found)


def _mutants(options: argparse.Namespace) -> int:
    from specs.mutants_command import run

    return run(options)


def _prove(options: argparse.Namespace) -> int:
    """Every pinned case, reported at once, and then in one table."""
    every = argparse.Namespace(name="all", slow=options.slow)
    told: dict[str, list[Outcome]] = {"check": [], "tlc": [], "conform": []}
    commands = (
        report.checks(_checked, slow=options.slow),
        _outcomes(_run_uncompared, every),
        _outcomes(_run_conform, every),
    )
    codes = []
    try:
        for of, outcomes in zip(told.values(), commands, strict=True):
            codes.append(_each(_kept(outcomes, of)))
    finally:
        report.table(told)
    return max(codes)


def _checked(model: AnyModel, on_progress: OnProgress | None) -> Result:
    return check(model, on_progress=on_progress)


def _kept(outcomes: Iterator[Outcome], told: list[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        if not outcome.interrupted:
            told.append(outcome)
        yield outcome


#: By name: what the command line runs.
COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "tlc": _tlc,
    "conform": _conform,
    "mutants": _mutants,
    "prove": _prove,
}
