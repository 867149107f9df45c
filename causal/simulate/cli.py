"""The command line of ``coherence causal simulate``.

Exit code 1: a figure disagrees, or delivery was not causal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console, RenderableType
from rich.progress import track

from causal.simulate import figures, loads, report
from causal.simulate import jobs as job_shapes
from causal.simulate import reproduce as expectations
from causal.simulate import tables as own
from causal.simulate.record import PROTOCOLS, YARDSTICKS, Record, builder
from message_passing import console
from message_passing.commands import SETTINGS, Commands, examples
from message_passing.console import imported, reported, write

T = TypeVar("T")

EXAMPLES = examples(
    "coherence causal simulate",
    "coherence causal simulate fan-in --rate 2 -p hybrid -p cykas",
    "coherence causal simulate reproduce",
)

#: Columns of a table in a file.
FILE_WIDTH = 160

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
    epilog=EXAMPLES,
)

Protocols = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol", "-p", help=f"One of {', '.join((*PROTOCOLS, *YARDSTICKS))}; repeatable."
    ),
]


Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="MODULE",
        callback=imported,
        help="Import it first, from the working directory too: its machines are protocols; "
        "repeatable, before the command or after it.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")]
Runs = Annotated[int, typer.Option(help="Runs, with consecutive seeds.", min=1)]
Seed = Annotated[int, typer.Option(help="The first seed.")]

MEANING = """\
Times in round trips. Job: eight notices, then a job that works for one round
trip; fan-out: eight such jobs at once. Traffic: eight processes, each sending
once a round trip, delays exponential. Fan-in: secrets reach one agent at one a
round trip. Bytes: ordering metadata on a message.
Next: coherence causal simulate fan-in --rate 2"""


@app.callback(invoke_without_command=True)
def compare(context: typer.Context, json: Json = False, modules: Modules = None) -> None:
    """Causal delivery protocols in virtual time: costs and waits.

    Without a command: every protocol in four experiments, in one table.
    """
    if context.invoked_subcommand is not None:
        return
    with reported():
        records = [
            record
            for protocol in listed(PROTOCOLS, "protocols")
            for record in (
                job_shapes.run(protocol, "notices", 8, 1.0),
                job_shapes.run(protocol, "fan-out", 8, 1.0),
                loads.traffic(protocol, latency="exponential"),
                loads.fan_in(protocol, rate=1.0, duration=500.0),
                loads.starvation(protocol, rounds=100),
            )
        ]
        if json:
            write(report.as_json(records))
            return
        show(overview(records), MEANING)
        judge(records)


def overview(records: list[Record]) -> RenderableType:
    """One row for each protocol, the experiments side by side."""
    made = report.table("", [])
    made.columns.clear()
    headings = ("job\nstarts", "\nreported", "\nfan-out", "\ntraffic", "\np99", "fan-in\nwait")
    for heading in ("\nprotocol", *headings, "\nstarves", "\ncontrol", "\nbytes"):
        made.add_column(heading, justify="left" if heading == "\nprotocol" else "right")
    for protocol in dict.fromkeys(record.protocol for record in records):
        job, fan_out, traffic, fan_in, starved = (r for r in records if r.protocol == protocol)
        figures = (
            job.start_rtt,
            job.report_rtt,
            fan_out.makespan_rtt,
            traffic.latency_mean_rtt,
            traffic.latency_p99_rtt,
            fan_in.wait_mean_rtt,
        )
        made.add_row(
            protocol,
            *(f"{figure:.2f}" for figure in figures if figure is not None),
            "yes" if (starved.wait_max_rtt or 0.0) > 90 else "no",
            f"{traffic.control_per_message:.2f}",
            f"{traffic.metadata_bytes_mean:.0f}",
        )
    return made


@app.command(epilog=examples("coherence causal simulate jobs --shape fan-out --job 10 -p hybrid"))
def jobs(
    protocol: Protocols = None,
    modules: Modules = None,
    shape: Annotated[str, typer.Option(help=", ".join(job_shapes.SHAPES))] = "notices",
    k: Annotated[int, typer.Option(help="Notices, jobs or stages.", min=1, max=200)] = 8,
    job: Annotated[list[float] | None, typer.Option(help="Length in RTT; repeatable.")] = None,
    json: Json = False,
) -> None:
    """The long-running job: when it starts, when it is reported, when all is done."""
    with reported():
        picked = next((known for known in job_shapes.SHAPES if known == shape), None)
        if picked is None:
            raise typer.BadParameter(f"shape {shape!r}: one of {', '.join(job_shapes.SHAPES)}")
        lengths = job or list(expectations.JOBS_RTT)
        if not all(0 <= length < 1e9 for length in lengths):
            raise typer.BadParameter("a job takes 0 to 1e9 round trips")
        records = [
            job_shapes.run(name, picked, k, length)
            for length in lengths
            for name in chosen(protocol)
        ]
        deliver(f"{shape}, k={k}", records, json, ["job_rtt"])


@app.command(
    epilog=examples("coherence causal simulate traffic --rate 2 --latency exponential --reorder")
)
def traffic(
    protocol: Protocols = None,
    modules: Modules = None,
    n: Annotated[int, typer.Option(help="Processes.", min=2, max=1000)] = 8,
    rate: Annotated[list[float] | None, typer.Option(help="Sends a process an RTT.")] = None,
    latency: Annotated[str, typer.Option(help=", ".join(loads.LATENCIES))] = "constant",
    reorder: Annotated[bool, typer.Option(help="Links that do not keep the order.")] = False,
    duration: Annotated[float, typer.Option(help="In RTT.", min=1)] = 60.0,
    runs: Runs = 3,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Random traffic: latency, waits, control packets and metadata."""
    with reported():
        if latency not in loads.LATENCIES:
            raise typer.BadParameter(f"latency {latency!r}: one of {', '.join(loads.LATENCIES)}")
        plan = [
            (name, each, seed + run)
            for each in positive(rate or [0.5, 1.0, 2.0])
            for name in chosen(protocol)
            for run in range(runs)
        ]
        records = [
            loads.traffic(
                name,
                n=n,
                rate=each,
                latency=latency,
                ordered=not reorder,
                duration=duration,
                seed=number,
            )
            for name, each, number in listed(plan, "runs")
        ]
        deliver(f"random traffic, n={n}, {latency} delay", records, json, ["rate"])


@app.command(
    name="fan-in", epilog=examples("coherence causal simulate fan-in --rate 2 -p hybrid -p cykas")
)
def fan_in(
    protocol: Protocols = None,
    modules: Modules = None,
    rate: Annotated[list[float] | None, typer.Option(help="Secrets an RTT.")] = None,
    duration: Annotated[float, typer.Option(help="In RTT.", min=50)] = 1_000.0,
    runs: Runs = 3,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """A popular agent: how long its own messages wait for the secrets that it keeps."""
    with reported():
        plan = [
            (name, each, seed + run)
            for each in positive(rate or list(expectations.RATES))
            for name in chosen(protocol)
            for run in range(runs)
        ]
        records = [
            loads.fan_in(name, rate=each, duration=duration, seed=number)
            for name, each, number in listed(plan, "runs")
        ]
        deliver("a popular agent", records, json, ["rate"])


@app.command(epilog=examples("coherence causal simulate starvation --rounds 100"))
def starvation(
    protocol: Protocols = None,
    modules: Modules = None,
    rounds: Annotated[int, typer.Option(help="Rounds of secrets.", min=4)] = 500,
    json: Json = False,
) -> None:
    """Two agents that send secrets for ever, and a third that wants to send once."""
    with reported():
        records = [loads.starvation(name, rounds=rounds) for name in chosen(protocol)]
        deliver(f"{rounds} rounds of secrets", records, json)


@app.command(epilog=examples("coherence causal simulate acks --turn 60 -p hybrid"))
def acks(
    protocol: Protocols = None,
    modules: Modules = None,
    k: Annotated[int, typer.Option(help="Agents that get a notice.", min=1, max=100)] = 4,
    turn: Annotated[float, typer.Option(help="A turn, in RTT.", min=0.001)] = 600.0,
    runs: Runs = 3,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """A sidecar that takes mail at any time, against an agent that does so between turns."""
    with reported():
        records = [
            loads.acks(name, policy, k=k, turn_rtt=turn, seed=seed + run)
            for policy in ("sidecar", "turns")
            for name in chosen(protocol)
            for run in range(runs)
        ]
        deliver(f"{k} notices, then a job; turns of {turn:g} RTT", records, json, ["policy"])


@app.command(epilog=examples("coherence causal simulate reproduce --json"))
def reproduce(json: Json = False) -> None:
    """Figures of papers and closed forms beside the simulated ones; exit code 1 if they differ."""
    with reported():
        found = list(listed(expectations.rows(), "figures"))
        if json:
            write(report.as_json(found))
        else:
            exact = {"notices, k=8, J=1", "fan-out, k=8, J=1", "pipeline, k=8, J=1"}
            made = report.comparison(
                found,
                keep=lambda r: not report.is_of_a_job(r) or r.what.split(": ")[1] in exact,
            )
            show(made, report.counts(found), keys=0)
        if not all(row.agrees for row in found):
            raise typer.Exit(1)


@app.command(epilog=examples("coherence causal simulate tables fan-in"))
def tables(
    name: Annotated[
        list[str] | None, typer.Argument(help=f"One of {', '.join(own.TABLES)}; all by default.")
    ] = None,
) -> None:
    """The tables of docs/causal.md, measured again, as Markdown (a minute)."""
    with reported():
        for each in listed(own.chosen(name or ()), "tables"):
            write(f"{each}\n\n{own.markdown(own.TABLES[each]())}\n")


@app.command(epilog=examples("coherence causal simulate figure waits.svg"))
def figure(
    file: Annotated[Path, typer.Argument(help="Where to; .svg, .png or .pdf.")],
) -> None:
    """Draw the gain of eager sending and its cost at a popular agent (needs matplotlib)."""
    with reported():
        figures.draw(file)


def chosen(given: list[str] | None) -> list[str]:
    """The requested protocols, each once; all of them by default."""
    for name in given or ():
        builder(name)
    return list(dict.fromkeys(given or PROTOCOLS))


def positive(rates: list[float]) -> list[float]:
    """Check the rates."""
    if not all(0 < rate <= 100 for rate in rates):
        raise typer.BadParameter("a rate is more than 0 and at most 100")
    return rates


def listed(steps: Iterable[T], what: str) -> Iterator[T]:
    """`steps`, with a bar on standard error if that is a terminal."""
    screen = Console(stderr=True)
    if not screen.is_terminal:
        return iter(steps)
    return iter(track(steps, description=what, console=screen, transient=True))


def deliver(
    title: str, records: list[Record], json: bool, varying: list[str] | None = None
) -> None:
    """Print the records, and fail if delivery was not causal."""
    if json:
        write(report.as_json(records))
    else:
        show(
            report.table(title, records, varying=varying or []),
            keys=1 + len(varying or []),
        )
    judge(records)


def judge(records: Iterable[Record]) -> None:
    """Exit with 1 if the oracle saw a message before its cause."""
    if any(record.violations for record in records):
        typer.echo("delivery was not causal: see `violations`", err=True)
        raise typer.Exit(1)


def show(*parts: RenderableType, keys: int = 1) -> None:
    """Print for people; a table that is too wide is folded after its first `keys` columns."""
    console.show(*parts, file_width=FILE_WIDTH, keys=keys)
