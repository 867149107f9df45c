"""One check, or one search, as a program: it reads a task, and writes what comes of it.

``python -m coherence_console.check_process`` reads one line of JSON from standard input, and writes
lines to standard output: progress, and at the end the outcome.  A check takes hundreds of megabytes
and whole seconds of the interpreter; here it disturbs no page, and a kill ends it at once.  Results
hold predicates, which belong to their process, so paths leave it as numbers of actions.

The program ends when its input does, so that it does not outlive the console.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from threading import Thread
from typing import IO, Any, Literal

import msgspec

from coherence_console.explorer_shapes import Finding, Located, Outcome, Reached
from message_passing.console import import_modules
from specs.checker.check import Engine, check
from specs.checker.errors import CheckerError
from specs.checker.result import Budget, Path, Progress, Result
from specs.constants import from_texts
from specs.session import Session, condition, find_state
from specs.sources import AnyModel, find


class CheckTask(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, and how long."""

    model: str
    settings: Mapping[str, str] = {}
    kind: Literal["check", "search"] = "check"
    engine: Engine = "auto"
    symmetry: bool = False
    por: bool = False
    seconds: float = 60.0
    memory_mib: float = 4096.0
    states: int | None = None
    #: Of a search: from where, and for what.
    path: tuple[int, ...] = (0,)
    field: str = ""
    operator: str = "="
    value: str = ""
    modules: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the program's output: one of these."""

    progress: Reached | None = None
    outcome: Outcome | None = None
    located: Located | None = None
    #: An error: code, message, remedy.
    error: tuple[str, str, str] | None = None


def main() -> None:
    """Read a task, do it, and write reports."""
    out = _own_output()
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=CheckTask)
    Thread(target=_end_with_input, daemon=True).start()

    def say(report: Report) -> None:
        out.write(msgspec.json.encode(report) + b"\n")
        out.flush()

    try:
        import_modules(task.modules)
        source = find(task.model)
        model = source.build(from_texts(source, task.settings))
        say(work(model, task, say))
    except CheckerError as error:
        say(Report(error=(error.code, str(error.args[0]), error.remedy)))
    except Exception as error:  # of the model's own code: the page has to be told
        say(Report(error=("raised", f"{type(error).__name__}: {error}", "")))


def work(model: AnyModel, task: CheckTask, say: Any) -> Report:
    """The outcome of a task.  Raises `CheckerError`."""
    budget = Budget(task.states, task.seconds, task.memory_mib)

    def on_progress(at: Progress) -> None:
        fields = ("distinct", "generated", "depth", "queue", "seconds", "memory_mib")
        say(Report(progress=Reached(**{name: getattr(at, name) for name in fields})))

    session = Session(model)
    if task.kind == "search":
        wanted = condition(task.field, task.operator, task.value)
        found = find_state(session, task.path, wanted, budget=budget, on_progress=on_progress)
        digest = session.digest(found.path) if found.path else ""
        return Report(
            located=Located(
                path=tuple(found.path),
                digest=digest,
                distinct=found.distinct,
                stopped=found.stopped,
            )
        )
    result = check(
        model,
        engine=task.engine,
        budget=budget,
        symmetry=task.symmetry,
        por=task.por,
        on_progress=on_progress,
    )
    return Report(outcome=outcome_of(session, result))


def outcome_of(session: Session, result: Result) -> Outcome:
    """The result with its paths as numbers of actions."""
    findings = []
    for finding in result.findings:
        numbers, digest = _numbers(session, finding.path)
        findings.append(
            Finding(
                name=finding.name,
                kind=finding.claim.kind,
                verdict=finding.verdict.value,
                vacuous=finding.vacuous,
                why=finding.why,
                path=numbers,
                digest=digest,
                loop=finding.path.loop if finding.path is not None else None,
            )
        )
    deadlock, digest = _numbers(session, result.deadlock)
    return Outcome(
        verdict=result.verdict.value,
        engine=result.engine,
        distinct=result.distinct,
        generated=result.generated,
        depth=result.depth,
        seconds=result.seconds,
        stopped=result.stopped,
        bounded=result.bounded,
        notes=result.notes,
        findings=tuple(findings),
        deadlock=deadlock,
        deadlock_digest=digest,
    )


def _numbers(session: Session, path: Path | None) -> tuple[tuple[int, ...] | None, str]:
    """The numbers of a whole path and its digest; None for one that the model does not have."""
    if path is None:
        return None, ""
    numbers = session.follow(path)
    if len(numbers) < len(path.moments):
        return None, ""
    return tuple(numbers), session.digest(numbers)


def _own_output() -> IO[bytes]:
    """Standard output for reports alone: what a model prints goes to standard error."""
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return own


def _end_with_input() -> None:
    # Not by a buffered reader: its lock, held by a thread that waits, fails the interpreter's end.
    while os.read(0, 1 << 10):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
