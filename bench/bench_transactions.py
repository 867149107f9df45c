"""Transactions beside single writes: the commit of W written and R read artifacts, in ratios.

    python bench/bench_transactions.py [URL ...] [--rounds N]

Without URLs: in memory, a SQLite file in a new folder, and PostgreSQL where its server is installed
(as the tests start it: on this machine, without syncing).  A round makes some single writes and
some transactions of each size in turns, so that what else the machine does shows in both; a ratio
is the median of those within one round.  `block` is everything from the begin to the end of the
block, with one cut of all that is read; `commit` is its end.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import fmean, median
from time import perf_counter, thread_time

from coherence import Agent, Workspace

TESTS = Path(__file__).parents[1] / "tests"
#: Written, read only.
SIZES = [(1, 0), (1, 1), (1, 7), (4, 4), (8, 24)]
#: How many of each a round makes; the first is not counted.
CALLS = 6
NUMBERS = count()


def mean(made: list[list[float]]) -> list[float]:
    """The mean of each column, without the first line."""
    return [fmean(column) for column in zip(*made[1:], strict=True)]


def single(agent: Agent) -> list[float]:
    """Seconds of a single write, on the clock of this thread and on the wall."""
    text = f"text {next(NUMBERS)}"
    begun, wall = thread_time(), perf_counter()
    agent.write("single", text)
    return [thread_time() - begun, perf_counter() - wall]


def transaction(agent: Agent, names: list[str], written: int) -> list[float]:
    """Seconds of a transaction: its commit by both clocks, and its block by both."""
    text = f"text {next(NUMBERS)}"
    begun, wall = thread_time(), perf_counter()
    block = agent.transaction(names)
    tx = block.__enter__()
    for name in names[:written]:
        tx.write(name, text)
    commit, commit_wall = thread_time(), perf_counter()
    block.__exit__(None, None, None)
    done, done_wall = thread_time(), perf_counter()
    return [done - commit, done_wall - commit_wall, done - begun, done_wall - wall]


def run(url: str, rounds: int) -> None:
    with Workspace(url) as workspace:
        agent, other = workspace.agent("ann"), workspace.agent("bob")
        names = [f"n{number:02}" for number in range(max(w + r for w, r in SIZES))]
        for name in (*names, "single"):
            other.write(name, "first")
        agent.read("single")
        taken: dict[tuple[int, int], list[list[float]]] = {size: [] for size in SIZES}
        singles, cuts, looks = [], [], []
        gc.disable()
        for number in range(rounds):
            singles.append(mean([single(agent) for _ in range(CALLS)]))
            for written, read in SIZES:
                every = [transaction(agent, names[: written + read], written) for _ in range(CALLS)]
                taken[written, read].append(mean(every))
            begun = perf_counter()
            agent.snapshot(names[:20])
            cuts.append(perf_counter() - begun)
            begun = perf_counter()
            agent.check(*(f"{name}@1" for name in names[:20]))
            looks.append(perf_counter() - begun)
            if number % 20 == 0:
                gc.collect()
        gc.enable()
    print(f"\n{url.partition(':')[0]}: a single write {median(w for _, w in singles) * 1e6:.0f} us")
    print(
        f"{'written + read':16}{'commit':>12}{'ratio':>8}{'block':>12}{'ratio':>8}   (cpu ratios)"
    )
    for (written, read), each in taken.items():
        ratios = [
            median(
                made[column] / alone[column % 2] for made, alone in zip(each, singles, strict=True)
            )
            for column in range(4)
        ]
        commit, block = (median(made[column] for made in each) * 1e6 for column in (1, 3))
        print(
            f"{f'{written} + {read}':16}{commit:9.0f} us{ratios[1]:8.2f}{block:9.0f} us"
            f"{ratios[3]:8.2f}   ({ratios[0]:.2f}, {ratios[2]:.2f})"
        )
    shown = (f"{median(each) * 1e6:.0f} us" for each in (cuts, looks))
    print("a snapshot of 20: {}; a check of 20: {}".format(*shown))


@contextmanager
def stores() -> Iterator[list[str]]:
    """One of each kind."""
    sys.path.insert(0, str(TESTS))
    from postgres_server import Server, programs

    found = programs()
    server = Server(found) if found is not None else None
    with tempfile.TemporaryDirectory() as folder:
        urls = ["memory://", f"sqlite:///{folder}/team.db"]
        try:
            yield urls + ([server.fresh()] if server is not None else [])
        finally:
            if server is not None:
                server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("urls", nargs="*")
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    if arguments.urls:
        for url in arguments.urls:
            run(url, arguments.rounds)
        return
    with stores() as urls:
        for url in urls:
            run(url, arguments.rounds)


if __name__ == "__main__":
    main()
