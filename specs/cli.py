"""The command line of ``python -m specs``.

Exit codes: 0 HOLDS, 1 VIOLATED or not as pinned, 2 a wrong call, 3 UNDETERMINED.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from message_passing.console import NoSuchModule, complain, import_modules, say
from specs import catalogue, report
from specs.checker.check import ENGINES, check
from specs.checker.composite import Composite
from specs.checker.errors import CheckerError, UsageError
from specs.checker.model import Model
from specs.checker.result import Budget, Progress, Result

#: Commands of `specs.proofs`, which is loaded only where one of them is run.
EVIDENCE = {
    "tlc": "run TLC on a configuration of specs/tla, or on `all`",
    "conform": "compare TLC's state graph with ours, edge by edge, or `all`",
    "mutants": "change each cell of the protocol's tables; lists changes that no model notices",
    "prove": "all models, all of TLC, all comparisons",
}


def main(arguments: Sequence[str] | None = None, prog: str = "python -m specs") -> int:
    """The checker: the shipped models, and your own.  Returns the exit code."""
    parser = _parser(prog)
    options, rest = parser.parse_known_args(arguments)
    try:
        if options.modules:
            _import(options.modules)
        code: int = options.run(options, rest)
    except CheckerError as error:
        complain(f"{type(error).__name__}: {error}")
        return 2
    return code


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description="Check the protocols of this distribution as models."
    )
    parser.add_argument(
        "--import",
        dest="modules",
        metavar="MODULE",
        action="append",
        default=[],
        help="import it first, from the working directory too: its policies and machines get names",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    listing = commands.add_parser("list", help="the models and their pinned results")
    listing.set_defaults(run=_list)
    checking = commands.add_parser(
        "check",
        help="check one model, or all that are pinned",
        description="Constants of the model are options: check twophase --rms 5",
    )
    checking.add_argument("name", help="a model, or `all`: every pinned case")
    checking.add_argument("--engine", choices=ENGINES, default="auto")
    checking.add_argument("--symmetry", action="store_true", help="one state for each orbit")
    checking.add_argument(
        "--por",
        action="store_true",
        help="one order for steps that commute: safety only, by an engine of its own; "
        "with `all`: the cases where that is pinned",
    )
    checking.add_argument("--budget-states", type=int, metavar="N")
    checking.add_argument("--budget-seconds", type=float, metavar="S")
    checking.add_argument("--budget-memory", type=float, metavar="MiB")
    checking.add_argument(
        "--simulate", type=int, metavar="WALKS", help="random walks instead of a search"
    )
    checking.add_argument("--steps", type=int, default=200, help="of a walk, at most")
    checking.add_argument("--seed", type=int, default=0)
    checking.add_argument("--workers", type=int, default=1, help="walk with so many seeds at once")
    checking.add_argument("--json", action="store_true")
    checking.add_argument("--slow", action="store_true", help="with `all`: slow cases too")
    for form in ("mermaid", "svg", "itf"):
        checking.add_argument(f"--{form}", type=Path, metavar="FILE", help="the path, to a file")
    checking.set_defaults(run=_check)
    exploring = commands.add_parser("explore", help="walk a state space step by step")
    exploring.add_argument("name")
    exploring.add_argument("--html", type=Path, metavar="FILE", help="one page instead")
    exploring.add_argument("--states", type=int, default=2_000, help="on the page, at most")
    exploring.set_defaults(run=_explore)
    following = commands.add_parser(
        "recorded", help="whether recorded runs of a workspace are runs of the protocol"
    )
    following.add_argument("files", nargs="+", type=Path, metavar="file")
    following.add_argument("--tlc", action="store_true", help="behaviours of Mesi.tla, too")
    following.set_defaults(run=_recorded)
    for name, text in EVIDENCE.items():
        command = commands.add_parser(name, help=text)
        if name != "prove":
            command.add_argument("name")
        command.add_argument("--slow", action="store_true", help="with `all`: slow ones too")
        command.set_defaults(run=partial(_evidence, name))
    return parser


def _import(modules: Sequence[str]) -> None:
    try:
        import_modules(modules)
    except NoSuchModule as error:
        raise UsageError(str(error)) from error


def _list(options: argparse.Namespace, rest: Sequence[str]) -> int:
    _refuse(rest)
    for name in catalogue.names():
        say(f"{name:12} {catalogue.about(name)}")
        for case in catalogue.cases(name):
            counts = f"{case.distinct:,} states" if case.distinct is not None else ""
            what = f"{case.expect.value} {case.violates!r}" if case.violates else case.expect.value
            say(f"    {case!s:34} {what:36} {counts:>18}  {case.time}")
    return 0


def _check(options: argparse.Namespace, rest: Sequence[str]) -> int:
    walking = options.simulate is not None
    if walking:
        _refuse_beside_walks(options)
    if options.name == "all":
        _refuse(rest)
        return _check_all(options)
    constants = _constants(options.name, rest)
    model = catalogue.factory(options.name)(**constants)
    result = _simulate(constants, options) if walking else _run(model, options)
    case = catalogue.case_of(options.name, constants)
    differences: list[str] = []
    if case is not None and not result.stopped and not walking:
        differences = case.differences(result, symmetry=options.symmetry, por=options.por)
    if options.json:
        say(report.as_json(result, differences).decode())
    else:
        say("\n".join(report.lines(result)))
        if options.por and case is not None and case.distinct and not result.stopped:
            say(f"  without the reduction {case.distinct:,} states")
        for difference in differences:
            say(f"  NOT AS PINNED: {difference}")
    _write_paths(model, result, options)
    return 1 if differences else result.verdict.exit_code


def _check_all(options: argparse.Namespace) -> int:
    found = report.checks(partial(_run, options=options), slow=options.slow, por=options.por)
    return 1 if sum(map(report.tell, found)) else 0


def _run(model: Model[Any, Any] | Composite[Any], options: argparse.Namespace) -> Result:
    budget = Budget(options.budget_states, options.budget_seconds, options.budget_memory)
    return check(
        model,
        engine=options.engine,
        budget=budget,
        symmetry=options.symmetry,
        por=options.por,
        on_progress=_show_progress if sys.stderr.isatty() else None,
    )


def _simulate(constants: dict[str, Any], options: argparse.Namespace) -> Result:
    """Walks with one seed, or with several at once: the first violation, else the last result."""
    seeds = range(options.seed, options.seed + max(1, options.workers))
    walks = [(options.name, constants, options, seed) for seed in seeds]
    if len(walks) == 1:
        return _walks(*walks[0])
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # Spawned, not forked: the calling program may have threads.
    with ProcessPoolExecutor(len(walks), mp_context=get_context("spawn")) as pool:
        results = [future.result() for future in [pool.submit(_summary, *w) for w in walks]]
    # Results hold predicates, which cannot be pickled: walk the seed that decides again, here.
    failed = [seed for seed, code in zip(seeds, results, strict=True) if code == 1]
    return _walks(options.name, constants, options, (failed or seeds)[0])


def _walks(name: str, constants: dict[str, Any], options: argparse.Namespace, seed: int) -> Result:
    from specs.checker.simulate import simulate

    budget = Budget(options.budget_states, options.budget_seconds, options.budget_memory)
    model = catalogue.factory(name)(**constants)
    return simulate(model, walks=options.simulate, steps=options.steps, seed=seed, budget=budget)


def _summary(name: str, constants: dict[str, Any], options: argparse.Namespace, seed: int) -> int:
    return _walks(name, constants, options, seed).verdict.exit_code


def _explore(options: argparse.Namespace, rest: Sequence[str]) -> int:
    from specs.explore import explore, page

    model = catalogue.factory(options.name)(**_constants(options.name, rest))
    if options.html is not None:
        options.html.write_text(page(model, options.states), encoding="utf-8")
        say(f"written to {options.html}")
    else:
        explore(model, input, say)
    return 0


def _recorded(options: argparse.Namespace, rest: Sequence[str]) -> int:
    _refuse(rest)
    from message_passing.errors import ToolkitError
    from specs.runs import accept, accept_by_tlc

    judges = {"tables": accept} | ({"TLC": accept_by_tlc} if options.tlc else {})
    failed = 0
    for path, (judge, accepts) in product(options.files, judges.items()):
        try:
            found = accepts(path)
        except ToolkitError as error:
            complain(f"{type(error).__name__}: {error}")
            return 2
        failed += not found.accepted
        word = "accepted" if found.accepted else "REFUSED"
        line = f"{word:10} {path.name:34} {judge:7} {found.steps:>8,} steps  {found.refused}"
        say(line.rstrip())
    return 1 if failed else 0


def _evidence(command: str, options: argparse.Namespace, rest: Sequence[str]) -> int:
    _refuse(rest)
    from specs import proofs

    return proofs.COMMANDS[command](options)


def _show_progress(progress: Progress) -> None:
    sys.stderr.write(f"\r\x1b[K{report.progress_line(progress)}")
    sys.stderr.flush()


def _constants(name: str, rest: Sequence[str]) -> dict[str, Any]:
    """The model's own options, which are the parameters of its factory."""
    parser = argparse.ArgumentParser(prog=f"python -m specs check {name}", add_help=False)
    for key, default in catalogue.constants(name).items():
        flag = f"--{key.replace('_', '-')}"
        if isinstance(default, bool):
            parser.add_argument(flag, dest=key, action=argparse.BooleanOptionalAction)
        else:
            parser.add_argument(flag, dest=key, type=type(default))
    chosen = parser.parse_args(rest)
    return {key: value for key, value in vars(chosen).items() if value is not None}


def _write_paths(
    model: Model[Any, Any] | Composite[Any], result: Result, options: argparse.Namespace
) -> None:
    if not (options.mermaid or options.svg or options.itf):
        return
    path = result.counterexample or next((f.path for f in result.findings if f.path), None)
    if path is None:
        complain("no path to write: nothing is violated and nothing has a witness")
        return
    from specs.checker.chart import mermaid_chart, svg_chart
    from specs.checker.itf import itf

    if options.mermaid:
        options.mermaid.write_text(mermaid_chart(path), encoding="utf-8")
    if options.svg:
        options.svg.write_text(svg_chart(path), encoding="utf-8")
    if options.itf:
        variables = model.slots if isinstance(model, Composite) else ("state",)
        options.itf.write_bytes(itf(path, variables))


def _refuse_beside_walks(options: argparse.Namespace) -> None:
    """Refuse options of a search: walks have no reduction, no engine, and one model at a time."""
    beside = [f"--{name}" for name in ("symmetry", "por") if getattr(options, name)]
    beside += ["--engine"] if options.engine != "auto" else []
    beside += ["all"] if options.name == "all" else []
    if beside:
        raise UsageError(f"--simulate beside {', '.join(beside)}", remedy="one or the other")


def _refuse(rest: Sequence[str]) -> None:
    if rest:
        late = "; --import belongs before the command" if "--import" in rest else ""
        complain(f"unknown arguments: {' '.join(rest)}{late}")
        raise SystemExit(2)
