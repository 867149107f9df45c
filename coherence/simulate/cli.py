"""The command line of ``coherence simulate``.

Exit codes: 1 a comparison failed; 130 interrupted, with the complete results so far on standard
output.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.padding import Padding

from coherence.simulate import catalogue, engine, jobs, published, report, rough
from coherence.simulate.contention import command as contention
from coherence.simulate.errors import UnknownChoice, nearest
from coherence.simulate.experiments import command, targets_command
from coherence.simulate.measures import Record
from coherence.simulate.progress import Runs
from coherence.simulate.replay import command as replaying
from coherence.simulate.replay import fit as fitting
from coherence.simulate.result import RULES, STRATEGIES
from coherence.simulate.scenario import Scenario
from coherence.simulate.studies import command as studies
from coherence.simulate.sweeps import command as sweeping
from message_passing.commands import SETTINGS, Commands, examples
from message_passing.console import (
    INTERRUPTED,
    columns,
    imported,
    reported,
    say,
    terminal_width,
    write,
)

EXAMPLES = examples(
    "coherence simulate",
    "coherence simulate run planning churn -s lazy -s eager --runs 3",
    "coherence simulate run churn --set loss_probability=0.2 --check",
    "coherence simulate reproduce",
)

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
    epilog=EXAMPLES,
)

Json = Annotated[bool, typer.Option("--json", help="Print a JSON list instead of tables.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV instead of tables.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no explanations.")]
Check = Annotated[
    bool,
    typer.Option(
        "--check",
        help="Check all invariants at every step of the engine's runs, and of rough runs: loss, "
        "copies, reordering, crashes.",
    ),
]


Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="MODULE",
        callback=imported,
        help="Import it first, from the working directory too: it defines kinds of policy, "
        "each of which is a strategy by its name; repeatable, before the command or after it.",
    ),
]
MEANING = """\
[bold]Saved[/bold]: tokens not sent, against the paper's broadcast (every artifact to every agent \
in every step) and against refetch (the full text at every access).
[bold]Stale[/bold]: reads of an outdated copy; longest: in a row (paper), in steps since it was \
replaced (engine). Lost updates: {lost}; refusing them costs the refetch.
Next: coherence simulate run churn --set loss_probability=0.2"""


@app.callback(invoke_without_command=True)
def compare(
    context: typer.Context,
    json: Json = False,
    csv: Csv = False,
    quiet: Quiet = False,
    check: Check = False,
    modules: Modules = None,
) -> None:
    """What coherence saves, on the Token Coherence paper's scenarios.

    Without a command: the four canonical scenarios under five strategies, ten seeds each, our
    engine beside the paper's own rules on the same actions.
    """
    if context.invoked_subcommand is not None:
        if json or csv or quiet or check:
            raise typer.BadParameter(f"options belong after {context.invoked_subcommand!r}")
        return
    _require_one_format(json, csv)
    with reported():
        scenarios = [catalogue.find(name) for name in catalogue.CANONICAL]
        outcome = _simulated(scenarios, STRATEGIES, RULES, check=check, quiet=quiet)
        tables: list[RenderableType] = [report.comparison(outcome.records, RULES, _width())]
        if not quiet:
            tables.append(MEANING.format(lost=_lost(outcome.records)))
        _show(outcome, tables, json=json, csv=csv)


@app.command(
    epilog=examples(
        "coherence simulate run planning churn -s lazy -s eager --runs 3",
        "coherence simulate run churn --set loss_probability=0.2 --check",
        "coherence simulate run my_team.toml --csv",
    )
)
def run(
    scenarios: Annotated[
        list[str], typer.Argument(metavar="NAME|FILE...", help="Shipped names, or TOML files.")
    ],
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy",
            "-s",
            help=f"One of {', '.join(STRATEGIES)}, or a policy of an imported module; repeatable.",
        ),
    ] = None,
    modules: Modules = None,
    rules: Annotated[
        list[str] | None,
        typer.Option("--rules", help="paper or engine; repeatable. Both if not given."),
    ] = None,
    runs: Annotated[
        int | None, typer.Option("--runs", min=1, help="Runs, each with the next seed.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of the first run.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key of the scenarios; artifacts=10 makes ten of the first one's size, "
            "size_tokens=500 gives every one that size.",
        ),
    ] = None,
    json: Json = False,
    csv: Csv = False,
    quiet: Quiet = False,
    check: Check = False,
) -> None:
    """Run scenarios, shipped or your own, under chosen strategies and rules."""
    _require_one_format(json, csv)
    with reported():
        strategies = _strategies(strategy)
        chosen_rules = _chosen("rules", rules, RULES)
        changes = list(set_ or ())
        changes += [f"runs={runs}"] if runs is not None else []
        changes += [f"first_seed={seed}"] if seed is not None else []
        found = [catalogue.find(name, changes) for name in scenarios]
        outcome = _simulated(found, strategies, chosen_rules, check=check, quiet=quiet)
        _show(outcome, [report.details(outcome.records)], json=json, csv=csv)


@app.command(epilog=examples("coherence simulate record churn runs -s lazy --seed 3"))
def record(
    scenario: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A scenario.")],
    folder: Annotated[Path, typer.Argument(help="Gets a file for each artifact.")],
    strategy: Annotated[str, typer.Option("--strategy", "-s", help="As for `run`.")] = "lazy",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the run.")] = 1,
    modules: Modules = None,
) -> None:
    """Record one run by the engine's rules, for `coherence console` and `coherence trace`."""
    with reported():
        found = catalogue.find(scenario)
        (chosen,) = _strategies([strategy])
        engine.run(found, chosen, seed, record=folder)
        say(f"{len(found.artifacts)} files in {folder}; next: coherence console --trace {folder}")


@app.command(epilog=examples("coherence simulate reproduce --quiet"))
def reproduce(json: Json = False, csv: Csv = False, quiet: Quiet = False) -> None:
    """Compare the paper's rules with the published figures, each cell; exit 1 if one differs."""
    _require_one_format(json, csv)
    with reported():
        scenarios = [catalogue.find(name) for name in catalogue.CANONICAL]
        outcome = _simulated(scenarios, STRATEGIES, ("paper",), check=False, quiet=quiet)
        if outcome.partial:
            _interrupted(outcome)
        cells = report.cells(published.FIGURES, outcome.records)
        agreeing = sum(cell.agrees for cell in cells)
        if json or csv:
            write(report.as_json(cells) if json else report.as_csv(cells, report.Cell))
        else:
            tables: list[RenderableType] = [report.reproduction(cells)]
            if not quiet:
                tables.append(f"Sources: {published.PAPER}; {published.REFERENCE}.")
            tables.append(f"{agreeing} of {len(cells)} published figures agree.")
            _print(tables)
        if agreeing < len(cells):
            raise typer.Exit(1)


@app.command("list", epilog=examples("coherence simulate list --json"))
def list_(json: Json = False, quiet: Quiet = False) -> None:
    """List the shipped scenarios, with their parameters and descriptions."""
    with reported():
        names = catalogue.shipped()
        found = {name: catalogue.find(name) for name in names}
        if json:
            values = [
                scenario.model_dump() | {"description": catalogue.description(name)}
                for name, scenario in found.items()
            ]
            write(report.as_json(values))
            return
        for name, scenario in found.items():
            if quiet:
                write(f"{name}\n")
                continue
            text = f"[bold]{name}[/bold]: {catalogue.description(name)}"
            parameters = report.parameters(scenario).splitlines()
            _print([text, *(Padding(line, (0, 0, 0, 2)) for line in parameters)])


def _strategies(given: Sequence[str] | None) -> tuple[str, ...]:
    """The paper's strategies, or those that are named, policies of imported modules included."""
    own = [name for name in engine.own_strategies() if name not in STRATEGIES]
    if not given:
        return STRATEGIES
    also = ", and the policies of a module that --import names"
    return _chosen("strategy", given, (*STRATEGIES, *own), also)


def _chosen(
    what: str, given: Sequence[str] | None, known: Sequence[str], also: str = ""
) -> tuple[str, ...]:
    """Return `given` without repetitions, in its order; all of `known` if nothing was given."""
    for word in given or ():
        if word not in known:
            allowed = ", ".join(known)
            hint = nearest(word, known)
            raise UnknownChoice(f"{what} {word!r}: unknown{hint}; allowed are {allowed}{also}")
    return tuple(dict.fromkeys(given or known))


def _simulated(
    scenarios: Sequence[Scenario],
    strategies: Sequence[str],
    rules: Sequence[str],
    *,
    check: bool,
    quiet: bool,
) -> jobs.Played:
    with Runs(quiet=quiet) as progress:
        played = jobs.simulate(scenarios, strategies, rules, check=check, advance=progress.advance)
    if check and "engine" in rules and not played.partial:
        found = rough.play(rough.policies_of(scenarios, strategies))
        if not quiet:
            typer.echo(str(found), err=True)
    return played


def _show(outcome: jobs.Played, tables: Sequence[RenderableType], *, json: bool, csv: bool) -> None:
    if json:
        write(report.as_json(outcome.records))
    elif csv:
        write(report.as_csv(outcome.records, Record))
    elif outcome.records:
        _print(tables)
    if outcome.partial:
        _interrupted(outcome)


def _interrupted(outcome: jobs.Played) -> None:
    done = f"{outcome.runs_done:,} of {outcome.runs_asked:,} runs"
    typer.echo(f"interrupted: PARTIAL results, {done}", err=True)
    raise typer.Exit(INTERRUPTED)


def _lost(records: Sequence[Record]) -> str:
    sums = {
        rules: sum(record.lost_updates for record in records if record.rules == rules)
        for rules in RULES
    }
    return ", ".join(f"{count:,} under the {rules} rules" for rules, count in sums.items())


def _require_one_format(json: bool, csv: bool) -> None:
    if json and csv:
        raise typer.BadParameter("--json and --csv exclude each other")


def _print(parts: Sequence[RenderableType]) -> None:
    write(report.rendered(*parts, terminal=terminal_width() is not None, width=_width()))


def _width() -> int:
    """The width of the output: the terminal's, or unlimited in a file."""
    return columns(report.FILE_WIDTH)


app.command(epilog=command.EXAMPLES)(command.compare)
app.command(epilog=targets_command.EXAMPLES)(targets_command.targets)
app.command(epilog=sweeping.EXAMPLES)(sweeping.sweep)
app.command(epilog=replaying.EXAMPLES)(replaying.replay)
app.command(epilog=fitting.EXAMPLES)(fitting.fit)
app.command(epilog=studies.EXAMPLES)(studies.study)
app.command(epilog=contention.EXAMPLES)(contention.transactions)


def main(arguments: Sequence[str], prog: str) -> None:
    """Savings of coherence on scenarios, beside the paper's rules."""
    app(arguments, prog_name=prog)
