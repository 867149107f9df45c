"""Results in words, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from message_passing.console import say, show
from specs import catalogue
from specs.checker.chart import text_chart
from specs.checker.result import Finding, Path, Progress, Result, Verdict


def lines(result: Result) -> Iterator[str]:
    """The result for a reader, counterexamples charted."""
    rate = result.generated / result.seconds if result.seconds > 0 else 0.0
    yield f"{result.model}: {result.verdict.value}" + (
        f" (stopped: {result.stopped})" if result.stopped else ""
    )
    yield (
        f"  {result.distinct:,} distinct states, {result.generated:,} transitions, "
        f"depth {result.depth}"
    )
    compiled = f" + {result.compile_s:.2f} s compiling" if result.compile_s else ""
    calls = f", {result.step_calls:,} step calls" if result.step_calls else ""
    yield f"  {result.engine}: {result.seconds:.2f} s{compiled}, {rate / 1e6:.2f} M/s{calls}"
    for note in result.notes:
        yield f"  {note}"
    for finding in result.findings:
        yield "  " + _finding(finding)
    if result.deadlock is not None:
        yield f"  deadlock      after {len(result.deadlock)} steps"
    if result.never_taken and not result.stopped:
        yield "  never taken:  " + ", ".join(sorted(result.never_taken))
    path = result.counterexample
    if path is not None:
        yield ""
        yield from text_chart(path).splitlines()


def _finding(finding: Finding) -> str:
    text = f"{finding.verdict.value:13} {finding.claim.kind} {finding.name!r}"
    if finding.claim.kind == "temporal":
        text += f": {finding.claim.formula}"
    if finding.vacuous:
        never = "its antecedent was never true"
        if finding.claim.steps is not None:
            never = "no step changed what it is about"
        text += f", but vacuously: {never}"
    if finding.path is not None:
        what = {
            Verdict.VIOLATED: "counterexample",
            Verdict.HOLDS: "witness",
            Verdict.UNDETERMINED: "followed up to the bound",
        }[finding.verdict]
        text += f" ({what}: {len(finding.path)} steps)"
    if finding.why:
        text += f": {finding.why}"
    return text


def progress_line(progress: Progress) -> str:
    """The progress of a running search, in a line."""
    return (
        f"{progress.distinct:,} states, {progress.generated:,} transitions "
        f"({progress.rate / 1e6:.2f} M/s), queue {progress.queue:,}, depth {progress.depth}, "
        f"{progress.memory_mib:,.0f} MiB, {progress.seconds:.0f} s"
    )


def as_json(result: Result, differences: list[str]) -> bytes:
    """The result for a program."""
    document: dict[str, Any] = {
        name: getattr(result, name)
        for name in (
            *("model", "engine", "distinct", "generated", "depth", "stopped", "seconds"),
            *("bounded", "compile_s", "step_calls", "notes"),
        )
    }
    document |= {
        "verdict": result.verdict.value,
        "actions": sorted(result.actions),
        "never_taken": sorted(result.never_taken),
        "differences": differences,
        "deadlock": _path(result.deadlock),
        "findings": [
            {
                "name": finding.name,
                "kind": finding.claim.kind,
                "verdict": finding.verdict.value,
                "vacuous": finding.vacuous,
                "why": finding.why,
                "path": _path(finding.path),
            }
            for finding in result.findings
        ],
    }
    return msgspec.json.encode(document)


def _path(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    return {"actions": [str(action) for action in path.actions], "loop": path.loop}


# Results of the pinned cases.


@dataclass(frozen=True, slots=True)
class Outcome:
    """One pinned run: its result, and the differences from the pinned one."""

    name: str
    what: str
    differences: Sequence[str]
    seconds: float


def checks(run: Callable[[Any], Result], *, slow: bool, por: bool = False) -> Iterator[Outcome]:
    """`run` on every pinned case, slow ones if asked for; with `por` those that pin its counts."""
    for case in catalogue.cases():
        if (case.time == "slow" and not slow) or (por and case.por is None):
            continue
        result = run(catalogue.factory(case.name)(**case.constants))
        what = f"{result.verdict.value:13} {result.distinct:>12,} states"
        yield Outcome(str(case), what, case.differences(result, por=por), result.seconds)


def tell(outcome: Outcome) -> bool:
    """Write the outcome; return whether it differs from the pinned one."""
    verdict = "DIFFERS" if outcome.differences else "as pinned"
    say(f"{verdict:10} {outcome.name:36} {outcome.what:40} {outcome.seconds:8.2f} s")
    for text in outcome.differences:
        say(f"           {text}")
    return bool(outcome.differences)


def table(outcomes: Mapping[str, Sequence[Outcome]]) -> None:
    """Write one table of all outcomes, by command."""
    from rich.table import Table

    shown = Table("command", "runs", "as pinned", "differ", "seconds", "which differ")
    for command, of in outcomes.items():
        wrong = [outcome.name for outcome in of if outcome.differences]
        counts = (len(of), len(of) - len(wrong), len(wrong))
        seconds = f"{sum(outcome.seconds for outcome in of):,.1f}"
        shown.add_row(command, *map(str, counts), seconds, "\n".join(wrong))
    show(shown, file_width=80)
