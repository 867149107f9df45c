"""What a schedule of `coherence.testing` costs, and that the kit costs production nothing.

    python bench/bench_testing.py [--rounds N] [--json]

Each program of three agents with four calls each is explored to its end.  `times plain` is the CPU
of one schedule beside that of the same calls in a plain workspace, one agent after the other.  The
last line is a cached read in a new process that has imported and used the kit, beside one that has
not: the median over the rounds.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from types import SimpleNamespace
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from coherence import Workspace
from coherence.testing import explore

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "testing_kit"))
PLAIN = 200
HIT = """
from time import thread_time
from coherence import Workspace
if {kit}:
    from coherence.testing import explore
    explore(lambda team: team.run(ann=lambda: team.agent("ann").update("plan", str.upper)))
with Workspace() as workspace:
    agent = workspace.agent("ann")
    agent.write("plan", "text" * 1000)
    for _ in range(20_000):
        agent.read("plan")
    begun = thread_time()
    for _ in range(200_000):
        agent.read("plan")
    print(thread_time() - begun)
"""


class Explored(msgspec.Struct, frozen=True):
    """One program, explored to its end."""

    program: str
    schedules: int
    seconds: float
    cpu_ms: float
    times_plain: float


def in_turn(program: Callable[[Any], Any]) -> None:
    """The program without the kit: each agent after the other."""
    with Workspace() as workspace:
        team = SimpleNamespace(
            agent=workspace.agent,
            run=lambda **works: {name: work() for name, work in works.items()},
        )
        program(team)


def explored(program: Callable[[Any], Any]) -> Explored:
    """Explore the program, and run it plainly."""
    explore(program, bound=None, schedules=10)
    begun, cpu = perf_counter(), process_time()
    result = explore(program, bound=None, schedules=20_000, seconds=600)
    seconds, cpu = perf_counter() - begun, (process_time() - cpu) / result.schedules
    if not result.exhaustive:
        raise SystemExit(f"{program.__name__}: {result}")
    plain = process_time()
    for _ in range(PLAIN):
        in_turn(program)
    plain = (process_time() - plain) / PLAIN
    return Explored(
        program.__name__, result.schedules, round(seconds, 2), round(1e3 * cpu, 2), cpu / plain
    )


def hit(*, kit: bool) -> float:
    """Seconds of cached reads in a process of their own."""
    code = HIT.format(kit=kit)
    return float(subprocess.check_output([sys.executable, "-c", code], text=True))


def main(
    rounds: Annotated[int, typer.Option(help="Of cached reads.", min=1)] = 5,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure."""
    import programs

    found = [explored(each) for each in (programs.apart, programs.typical, programs.hot)]
    ratio = median(hit(kit=True) / hit(kit=False) for _ in range(rounds))
    if json:
        print(msgspec.json.encode({"explored": found, "hit": ratio}).decode())
        return
    table = Table("3 agents of 4 calls", "schedules", "s", "CPU ms a schedule", "times plain")
    for each in found:
        table.add_row(
            each.program,
            f"{each.schedules:,}",
            f"{each.seconds:.2f}",
            f"{each.cpu_ms:.2f}",
            f"{each.times_plain:.1f}",
        )
    console = Console()
    console.print(table)
    console.print(f"a cached read after the kit was used, beside one without: {ratio:.2f}")


if __name__ == "__main__":
    typer.run(main)
