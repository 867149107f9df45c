"""Compare this checkout with another one, call by call, in CPU time.

    git worktree add ../before main~20
    python bench/bench_against.py ../before [--rounds 20] [--json]

Each round runs both checkouts once, in alternating order, each in a process of its own.  The figure
of a call is the median over the rounds, in microseconds of CPU time; the ratio is the median of the
ratios of each round, so that a change of the machine's speed between rounds cancels out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time

import msgspec
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
SHARERS = 64


def each_us(call: Callable[[], object], times: int) -> float:
    """CPU time of one call, in microseconds."""
    begun = process_time()
    for _ in range(times):
        call()
    return (process_time() - begun) / times * 1e6


def workspace_costs(url: str, kind: str, times: int) -> dict[str, float]:
    """A hit, a write, and a write with the miss that it causes, less the write."""
    from coherence import Workspace

    with Workspace(url) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        number = iter(range(10**9))

        def write() -> None:
            ann.write("plan", str(next(number)))

        def write_and_miss() -> None:
            write()
            bob.read("plan")

        each_us(write_and_miss, times // 4)
        found = {f"hit, {kind}": each_us(lambda: bob.read("plan"), 20 * times)}
        found[f"write, {kind}"] = each_us(write, times)
        found[f"write and miss, {kind}"] = each_us(write_and_miss, times)
        if kind == "memory":
            team = [workspace.agent(f"a{each}") for each in range(SHARERS)]

            def write_to_all() -> None:
                for agent in team:
                    agent.read("plan")
                write()

            found[f"write to {SHARERS} sharers, with their misses"] = each_us(write_to_all, 40)
        return found


def hybrid_costs(times: int) -> dict[str, float]:
    """A message of the hybrid: its send, its delivery, and the acknowledgement."""
    from causal.hybrid import Hybrid
    from causal.messages import Unicast
    from message_passing.network import Guarantee
    from message_passing.process import Invoke, Receive, Send

    machines = {name: Hybrid(name, "ab", links=Guarantee.ORDERED) for name in "ab"}
    states = {name: machine.initial() for name, machine in machines.items()}

    def step(name: str, event: object) -> None:
        taken = machines[name].step(states[name], event, 0.0)  # type: ignore[arg-type]
        states[name] = taken.state
        for command in taken.commands:
            if type(command) is Send:
                step(command.dst, Receive(name, command.message))

    return {"message of the hybrid": each_us(lambda: step("a", Invoke(Unicast("b", b""))), times)}


def simulation_costs() -> dict[str, float]:
    """One run of a shipped scenario over 1,000 steps, as a whole process."""
    argv = [sys.executable, "-m", "coherence.simulate", "run", "planning", "--runs", "1", "--quiet"]
    sizes = ["--rules", "engine", "-s", "lazy", "--set", "steps=1000"]
    begun = os.times()
    subprocess.run([*argv, *sizes], check=True, capture_output=True)
    ended = os.times()
    return {"simulate planning, 1,000 steps": (sum(ended[2:4]) - sum(begun[2:4])) * 1e6}


def costs() -> dict[str, float]:
    """Every figure of this process's checkout."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            **workspace_costs("memory://", "memory", 2000),
            **workspace_costs(f"sqlite:///{folder}/team.db", "SQLite", 400),
            **hybrid_costs(20_000),
            **simulation_costs(),
        }


def measured(checkout: Path) -> dict[str, float]:
    """The figures of another checkout, in a process of its own."""
    path = os.pathsep.join([str(checkout), str(checkout / "adapters")])
    done = subprocess.run(
        [sys.executable, __file__, "--one"],
        env={**os.environ, "PYTHONPATH": path},
        cwd=checkout,
        check=True,
        capture_output=True,
        text=True,
    )
    return msgspec.json.decode(done.stdout, type=dict[str, float])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", nargs="?", type=Path, help="the checkout to compare with")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        sys.stdout.write(msgspec.json.encode(costs()).decode())
        return
    if options.other is None:
        parser.error("name a checkout to compare with")
    before, after = options.other.resolve(), ROOT
    rounds: list[dict[Path, dict[str, float]]] = []
    for number in range(options.rounds):
        pair = (before, after) if number % 2 else (after, before)
        rounds.append({checkout: measured(checkout) for checkout in pair})
    rows = [
        (
            name,
            median(each[before][name] for each in rounds),
            median(each[after][name] for each in rounds),
            median(each[after][name] / each[before][name] for each in rounds),
        )
        for name in rounds[0][after]
    ]
    if options.json:
        sys.stdout.write(msgspec.json.encode(rows).decode())
        return
    table = Table("call", "before, us", "now, us", "ratio")
    for name, then, now, ratio in rows:
        table.add_row(name, f"{then:,.1f}", f"{now:,.1f}", f"{ratio:.3f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
