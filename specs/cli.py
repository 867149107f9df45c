"""The command line of ``python -m specs``.

Exit codes: 0 HOLDS, 1 VIOLATED or not as pinned, 2 a wrong call, 3 UNDETERMINED, 130 interrupted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from message_passing.console import (
    INTERRUPTED,
    NoSuchModule,
    complain,
    erase_progress,
    import_modules,
    say,
    terminal_width,
    told,
)
from specs import constants, listing, report, usage
from specs.checker.check import ENGINES, check, require_workers
from specs.checker.composite import Composite
from specs.checker.errors import CheckerError, UsageError
from specs.checker.result import Budget, OnProgress, Result, Verdict
from specs.histories import command as histories
from specs.sources import AnyModel, Source, find, tail
from specs.symbolic import command as prove_any

#: Commands of `specs.proofs`, which is loaded only where one of them is run.
EVIDENCE = {
    "tlc": "run TLC on a configuration of specs/tla, or on `all`",
    "conform": "compare TLC's state graph with ours, edge by edge, or `all`",
    "mutants": "change cells, guards and operations; lists changes that no judge notices",
    "prove": "all models, all of TLC, all comparisons",
}


def main(arguments: Sequence[str] | None = None, prog: str = "python -m specs") -> int:
    """The model checker: the shipped models, and models of yours.

    Returns the exit code.
    """
    try:
        options, rest = _parser(prog).parse_known_args(arguments)
        _import([*options.modules, *options.modules_after])
        code: int = options.run(options, rest)
    except CheckerError as error:
        complain(f"{error.code}: {error}")
        if where := tail(error):
            complain(where)
        return 2
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    finally:
        erase_progress()
    return code


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = usage.Parser(
        prog=prog,
        description="Check the protocols of this distribution as models, and models of yours.",
        epilog=usage.ENDS,
        allow_abbrev=False,
    )
    parser.add_import("modules")
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, text: str, run: Any, description: str = "") -> usage.Parser:
        command: usage.Parser = commands.add_parser(
            name,
            help=text,
            description=description or text,
            epilog=usage.epilog(name, prog),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            # An abbreviation could be a constant of the model.
            allow_abbrev=False,
            add_help=False,
        )
        command.add_argument("-h", "--help", action=_Help, help="show this help and end")
        command.add_import("modules_after")
        command.set_defaults(run=run)
        return command

    listed = add("list", "the models and their pinned results, or the models of a file", _list)
    listed.add_argument("name", nargs="?", help="one model, or FILE.py; all shipped ones if none")
    checking = add(
        "check",
        "check one model, or all that are pinned",
        _check,
        "Check one model, or all that are pinned. Constants of the model are options, too.",
    )
    checking.add_argument("name", metavar="NAME", help="a model, or `all`: every pinned case")
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
    checking.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes or threads for the search; with --simulate each walks with its own seed",
    )
    checking.add_argument("--json", action="store_true")
    checking.add_argument("--slow", action="store_true", help="with `all`: slow cases too")
    for form in ("mermaid", "svg", "itf"):
        checking.add_argument(f"--{form}", type=Path, metavar="FILE", help="the path, to a file")
    checking.add_argument("--certify", type=Path, metavar="FILE", help="a certificate, to a file")
    judging = add("judge", "judge certificates of `check --certify` without the engines", _judge)
    judging.add_argument("files", nargs="+", type=Path, metavar="file")
    judging.add_argument("--states", type=int, metavar="N", help="to search again, at most")
    exploring = add(
        "explore",
        "walk a state space step by step",
        _explore,
        "Walk a state space step by step, in the terminal. In a browser: coherence console --model "
        "NAME.",
    )
    exploring.add_argument("name", metavar="NAME")
    following = add(
        "recorded", "whether recorded runs of a workspace are runs of the protocol", _recorded
    )
    following.add_argument("files", nargs="+", type=Path, metavar="file")
    following.add_argument("--tlc", action="store_true", help="behaviours of Mesi.tla, too")
    for name, text in EVIDENCE.items():
        command = add(name, text, partial(_evidence, name))
        if name != "prove":
            command.add_argument("name")
        if name == "mutants":
            _add_mutants(command)
        command.add_argument("--slow", action="store_true", help="with `all`: slow ones too")
    prove_any.add_to(add)
    histories.add_to(add)
    return parser


class _Help(argparse.Action):
    """The help of a command, and the constants of the model that is named before the option."""

    def __init__(self, option_strings: Sequence[str], dest: str, **rest: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **rest)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Write both to standard output, and end with code 0."""
        text = parser.format_help()
        name = getattr(namespace, "name", None)
        if name not in (None, "all") and getattr(namespace, "run", None) in (_check, _explore):
            _import(namespace.modules_after)
            text += "\n" + constants.parser_of(find(str(name)), vars(namespace)).format_help()
        say(text.rstrip())
        parser.exit()


def _add_mutants(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--kind", action="append", choices=("cells", "guards", "bodies"), help="repeatable; or all"
    )
    command.add_argument("--sample", type=int, metavar="N", help="so many of each list, evenly")
    command.add_argument("--models-only", action="store_true", help="leave a checkout's tests out")
    command.add_argument("--json", action="store_true")


def _import(modules: Sequence[str]) -> None:
    try:
        import_modules(modules)
    except NoSuchModule as error:
        raise UsageError(str(error)) from error


def _list(options: argparse.Namespace, rest: Sequence[str]) -> int:
    _refuse(rest)
    taken = vars(_parser("").parse_args(["check", "any"]))
    for line in listing.lines(options.name, taken):
        say(report.folded(line, terminal_width(), listing.INDENT))
    return 0


def _check(options: argparse.Namespace, rest: Sequence[str]) -> int:
    walking = options.simulate is not None
    require_workers(options.workers)
    if walking:
        _refuse_beside_walks(options)
    if options.name == "all":
        _refuse(rest)
        if options.certify:
            raise UsageError("--certify beside `all`", remedy="certify one model at a time")
        return _check_all(options)
    source, chosen = _chosen(options, rest)
    model = source.build(chosen)
    if walking:
        result = _simulate(source, chosen, options)
    else:
        result = _run(model, report.on_progress(), options)
    case = source.case_of(chosen)
    differences: list[str] = []
    if case is not None and not result.stopped and not walking:
        differences = case.differences(result, symmetry=options.symmetry, por=options.por)
    if options.json:
        say(report.as_json(result, differences).decode())
    else:
        say("\n".join(report.lines(result, terminal_width())))
        if options.por and case is not None and case.distinct and not result.stopped:
            say(f"  without the reduction {case.distinct:,} states")
        for difference in differences:
            say(f"  NOT AS PINNED: {difference}")
    _write_paths(model, result, options)
    if options.certify:
        _write_certificate(source, chosen, result, options)
    if result.interrupted and result.verdict is Verdict.UNDETERMINED:
        return INTERRUPTED
    return 1 if differences else result.verdict.exit_code


def _check_all(options: argparse.Namespace) -> int:
    run = partial(_run, options=options)
    return 1 if report.tell(report.checks(run, slow=options.slow, por=options.por)) else 0


def _run(model: AnyModel, on_progress: OnProgress | None, options: argparse.Namespace) -> Result:
    return check(
        model,
        engine=options.engine,
        budget=_budget(options),
        symmetry=options.symmetry,
        por=options.por,
        workers=options.workers,
        digest=options.certify is not None,
        on_progress=on_progress,
    )


def _simulate(source: Source, chosen: dict[str, Any], options: argparse.Namespace) -> Result:
    """Walks with one seed, or with several at once: the first violation, else the last result."""
    from specs.walks import Walks, take_all

    walks = Walks(
        source.name,
        chosen,
        options.simulate,
        options.steps,
        _budget(options),
        (*options.modules, *options.modules_after),
    )
    seeds = range(options.seed, options.seed + options.workers)
    return take_all(walks, seeds, report.on_progress())


def _budget(options: argparse.Namespace) -> Budget:
    return Budget(options.budget_states, options.budget_seconds, options.budget_memory)


def _explore(options: argparse.Namespace, rest: Sequence[str]) -> int:
    from specs.explore import explore

    source, chosen = _chosen(options, rest)
    explore(source.build(chosen), input, say)
    return 0


def _judge(options: argparse.Namespace, rest: Sequence[str]) -> int:
    _refuse(rest)
    from specs.certificate import read
    from specs.judge import judge
    from specs.space import STATES_MAX

    failed = 0
    for path in options.files:
        try:
            certificate = read(path.read_bytes())
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        model = find(certificate.origin.name).build(certificate.origin.constants)
        reason = judge(certificate, model, options.states or STATES_MAX)
        failed += bool(reason)
        word = "REFUSED" if reason else "accepted"
        line = f"{word:10} {certificate.model:24} {certificate.verdict.value:13} {reason}"
        say(line.rstrip())
    return 1 if failed else 0


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
            line, code = told(error)
            complain(line)
            return code
        failed += not found.accepted
        word = "accepted" if found.accepted else "REFUSED"
        line = f"{word:10} {path.name:34} {judge:7} {found.steps:>8,} steps  {found.refused}"
        say(line.rstrip())
    return 1 if failed else 0


def _evidence(command: str, options: argparse.Namespace, rest: Sequence[str]) -> int:
    _refuse(rest)
    from specs import proofs

    return proofs.COMMANDS[command](options)


def _chosen(options: argparse.Namespace, rest: Sequence[str]) -> tuple[Source, dict[str, Any]]:
    """The model that is named, and its constants: the options that the command does not know."""
    source = find(options.name)
    return source, constants.parse(source, list(rest), vars(options))


def _write_paths(model: AnyModel, result: Result, options: argparse.Namespace) -> None:
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


def _write_certificate(
    source: Source, chosen: dict[str, Any], result: Result, options: argparse.Namespace
) -> None:
    from specs.certificate import Origin, certify, written

    reduction = "symmetry" if options.symmetry else "partial order" if options.por else ""
    certificate = certify(
        result,
        source.build(chosen),
        Origin(source.name, chosen),
        budget=_budget(options),
        reduction=reduction,
    )
    options.certify.write_bytes(written(certificate))


def _refuse_beside_walks(options: argparse.Namespace) -> None:
    """Refuse options of a search: walks have no reduction, no engine, and one model at a time."""
    beside = [f"--{name}" for name in ("symmetry", "por") if getattr(options, name)]
    beside += ["--engine"] if options.engine != "auto" else []
    beside += ["--certify"] if options.certify else []
    beside += ["all"] if options.name == "all" else []
    if beside:
        raise UsageError(f"--simulate beside {', '.join(beside)}", remedy="one or the other")


def _refuse(rest: Sequence[str]) -> None:
    if rest:
        raise UsageError(
            f"unknown arguments: {' '.join(rest)}", remedy="`--help` lists those known"
        )
