"""``python -m specs prove-any``: the proofs and the mistakes that they refute.

Loads z3 only where the command runs: the package is an extra.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import msgspec

from message_passing.console import complain, progress, say
from specs.checker.errors import UsageError
from specs.checker.result import Verdict

if TYPE_CHECKING:
    from specs.symbolic.engine import Effort
    from specs.symbolic.prover import Attempt, Row

NAME = "prove-any"
_WORDS = {
    Verdict.HOLDS: "PROVED",
    Verdict.VIOLATED: "REFUTED",
    Verdict.UNDETERMINED: "UNDETERMINED",
}


def add_to(add: Callable[[str, str, Any], argparse.ArgumentParser]) -> None:
    """Add the command, by the function that adds one to the command line."""
    command = add(NAME, "prove the safety of what ships for any number of processes, by z3", _run)
    command.add_argument(
        "what", nargs="?", default="caches", help="`caches`, or `hybrid`: causal delivery"
    )
    command.add_argument("--property", action="append", metavar="NAME", help="show only this")
    command.add_argument(
        "--policy",
        action="append",
        metavar="NAME",
        help="for `hybrid` a guarantee of the links; or `all`",
    )
    command.add_argument("--broken", action="store_true", help="refute the seeded mistakes instead")
    command.add_argument("--json", action="store_true")
    command.add_argument("--budget-paths", type=int, metavar="N", help="for each policy")
    command.add_argument("--budget-seconds", type=float, metavar="S", help="for each policy")
    command.add_argument("--workers", type=int, default=1, help="policies proved at once")


def _run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    if rest:
        raise UsageError(f"unknown arguments: {' '.join(rest)}", remedy="see prove-any --help")
    try:
        import z3  # noqa: F401
    except ImportError as error:
        raise UsageError("there is no z3", remedy="pip install z3-solver") from error
    if options.what not in ("caches", "hybrid"):
        raise UsageError(f"no proof of {options.what!r}", remedy="caches or hybrid")
    return _broken(options) if options.broken else _prove(options)


def _proofs(what: str) -> Any:
    """The module that proves it."""
    return import_module(f"specs.symbolic.{'hybrid' if what == 'hybrid' else 'prover'}")


def _prove(options: argparse.Namespace) -> int:
    proofs = _proofs(options.what)
    policies: list[str] = options.policy or list(proofs.USUAL)
    if policies == ["all"]:
        policies = list(proofs.POLICIES)
    known = proofs.PROPERTIES
    for kind, names, there in (
        ("policy", policies, proofs.POLICIES),
        ("property", options.property or (), known),
    ):
        for name in names:
            if name not in there:
                raise UsageError(f"no {kind} {name!r}", remedy="one of " + ", ".join(there))
    wanted = options.property or (*known, "lemmas")
    verdicts, documents = [], []
    for attempt in _attempts(policies, options):
        rows = [row for row in attempt.rows() if row.claim in wanted]
        verdicts += [row.verdict for row in rows]
        if options.json:
            documents += [_document(row) for row in rows]
        else:
            say("\n".join(_lines(attempt, rows, proofs.every_action())))
    if options.json:
        say(msgspec.json.encode(documents).decode())
    return max((_CODES[verdict] for verdict in verdicts), default=0, key=_SEVERITY.index)


#: Exit codes, and from the best to the worst.
_CODES = {Verdict.HOLDS: 0, Verdict.VIOLATED: 1, Verdict.UNDETERMINED: 3}
_SEVERITY = (0, 3, 1)


def _attempts(policies: Sequence[str], options: argparse.Namespace) -> Iterator[Attempt]:
    one = partial(_attempt, options.what, options.budget_paths, options.budget_seconds)
    if options.workers <= 1 or len(policies) == 1:
        for policy in policies:
            yield one(policy, shows=True)
        return
    from message_passing.workers import workers

    with workers(options.workers) as pool:
        yield from pool.map(one, policies)


def _attempt(
    what: str, paths: int | None, seconds: float | None, policy: str, shows: bool = False
) -> Attempt:
    from specs.symbolic.engine import Effort

    effort, prove = Effort(paths, seconds), _proofs(what).prove
    if not shows:
        return cast("Attempt", prove(policy, effort))
    effort.on_path = partial(_progress, policy)
    return cast("Attempt", prove(policy, effort))


def _progress(policy: str, effort: Effort) -> None:
    if effort.paths % 10 == 0:
        progress(f"{policy}: {effort.paths:,} paths, {effort.seconds:.0f} s")


def _lines(attempt: Attempt, rows: Sequence[Row], actions: frozenset[str]) -> Iterator[str]:
    early = f"; stopped {attempt.stopped}" if attempt.stopped else ""
    yield (
        f"{attempt.policy}: {attempt.ledger.paths:,} paths, "
        f"{attempt.seconds:.0f} s of the processor{early}"
    )
    for row in rows:
        word = _WORDS[row.verdict]
        yield f"  {word:13} {row.claim:18} {row.paths:>6,} paths {row.seconds:>7.1f} s"
    missing = ", ".join(sorted(actions - attempt.ledger.actions))
    if missing and not attempt.stopped:
        yield f"  never taken:  {missing}"
    for row in rows:
        for refutation in row.refutations[:1]:
            yield ""
            yield str(refutation)


def _document(row: Row) -> dict[str, Any]:
    return {
        "policy": row.policy,
        "claim": row.claim,
        "verdict": _WORDS[row.verdict],
        "paths": row.paths,
        "seconds": row.seconds,
        "refutations": [
            {"claim": r.claim, "where": r.where, "lines": r.lines} for r in row.refutations[:3]
        ],
    }


def _broken(options: argparse.Namespace) -> int:
    """Refute every mistake; 1 where one is not refuted."""
    from specs.symbolic.broken import mistakes
    from specs.symbolic.hybrid_broken import SLIPS

    missed = 0
    for mistake in SLIPS if options.what == "hybrid" else mistakes():
        found = mistake.refutation()
        missed += found is None
        say(f"{'NOT REFUTED' if found is None else 'refuted'}: {mistake.name} ({mistake.policy})")
        for line in str(found).splitlines() if found is not None else ():
            say(f"  {line}")
    if missed:
        complain(f"{missed} mistakes are not refuted")
    return 1 if missed else 0
