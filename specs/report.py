"""Results in words, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any, TypeVar

import msgspec

from message_passing.console import progress, say, show, shows_progress
from specs import catalogue
from specs.checker.chart import text_chart
from specs.checker.result import Finding, OnProgress, Path, Progress, Result, Verdict
from specs.sources import AnyModel

T = TypeVar("T")


def lines(result: Result, width: int | None = None) -> Iterator[str]:
    """The result for a reader, counterexamples charted; at most `width` columns wide."""
    yield from (folded(line, width) for line in _told(result))
    path = result.counterexample
    if path is not None:
        yield ""
        yield from text_chart(path, width).splitlines()


def folded(line: str, width: int | None, indent: int = 6) -> str:
    """`line` in lines of at most `width` columns, of which all but the first are indented."""
    if width is None or len(line) <= width:
        return line
    first = line[: len(line) - len(line.lstrip())]
    return fill(
        line.strip(),
        width,
        initial_indent=first,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )


def _told(result: Result) -> Iterator[str]:
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


def on_progress(label: str = "") -> OnProgress | None:
    """A function that shows how far a search is, beside `label`; None without a terminal."""
    if not shows_progress():
        return None

    def show_progress(at: Progress) -> None:
        progress(
            f"{label}{at.distinct:,} states ({at.rate / 1e6:.2f} M/s), queue {at.queue:,}, "
            f"depth {at.depth}, {at.memory_mib:,.0f} MiB, {at.seconds:.0f} s"
        )

    return show_progress


def as_json(result: Result, differences: list[str]) -> bytes:
    """The result for a program."""
    document: dict[str, Any] = {"v": 1} | {
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
    #: Ctrl-C ended the run: the result is not compared.
    interrupted: bool = False


def checks(
    run: Callable[[AnyModel, OnProgress | None], Result], *, slow: bool, por: bool = False
) -> Iterator[Outcome]:
    """`run` on every pinned case, slow ones if asked for; with `por` those that pin its counts.

    After the outcome of a run that Ctrl-C ended, `KeyboardInterrupt` is raised.
    """
    cases = [
        case
        for case in catalogue.cases()
        if (slow or case.time != "slow") and not (por and case.por is None)
    ]
    for case, place in placed(cases):
        model = catalogue.factory(case.name)(**case.constants)
        result = run(model, on_progress(f"{place} {case}: "))
        what = f"{result.verdict.value:13} {result.distinct:>12,} states"
        differences = [] if result.interrupted else case.differences(result, por=por)
        yield Outcome(str(case), what, differences, result.seconds, result.interrupted)
        if result.interrupted:
            raise KeyboardInterrupt


def placed(cases: Sequence[T]) -> Iterator[tuple[T, str]]:
    """Each case with its place, such as "3/40", which is shown as progress, too."""
    for number, case in enumerate(cases, 1):
        place = f"{number}/{len(cases)}"
        progress(f"{place} {case}")
        yield case, place


def tell(outcomes: Iterable[Outcome]) -> int:
    """Write each outcome as it comes, and their number at the end; return how many differ.

    The number is written before an exception of `outcomes` is raised, an interrupt included.
    """
    seen = done = differ = 0
    try:
        for outcome in outcomes:
            _tell(outcome)
            seen += 1
            done += not outcome.interrupted
            differ += bool(outcome.differences)
    finally:
        if seen > 1:
            say(f"{done:,} runs, {differ:,} not as pinned")
    return differ


def _tell(outcome: Outcome) -> None:
    verdict = "DIFFERS" if outcome.differences else "as pinned"
    if outcome.interrupted:
        verdict = "stopped"
    say(f"{verdict:10} {outcome.seconds:8.2f} s  {outcome.what:40} {outcome.name}")
    for text in outcome.differences:
        say(f"           {text}")


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
