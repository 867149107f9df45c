"""What the counts of reads and writes cost: beside another checkout, and each part by itself.

    python bench/bench_accounts.py                                  # the parts
    git worktree add ../before COMMIT
    python bench/bench_accounts.py ../before [--rounds 10]          # CPU time, ratios of rounds
    python bench/bench_accounts.py ../before --instructions         # counted by valgrind

A hit and a write are compared with those of the other checkout.  Rounds alternate between the two.
Instructions do not depend on what else the machine does: they are counted for two numbers of calls,
and the difference is divided by the difference of the numbers.  Both run with a clock that stands
still, so that nothing is collected meanwhile; what is done once a second is among the parts.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coherence import Workspace

ROOT = Path(__file__).parents[1]
TEXTS = ("x" * 4096, "y" * 4096)
CASES = {"hit": 4000, "write": 300}
STORES = ("memory", "SQLite")


def prepared(case: str, url: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """The call that is measured, and the end of its workspace."""
    from coherence import View, Workspace
    from coherence.tokens import Estimate

    View.counter = Estimate()  # loading a vocabulary at the end would be more than all the calls
    workspace = Workspace(url, clock=lambda: 5.0)
    ann, bob = workspace.agent("ann"), workspace.agent("bob")
    number = iter(range(10**9))

    def write() -> None:
        ann.write("plan", TEXTS[next(number) % 2])

    for _ in range(30):
        write()
        bob.read("plan")
    return (write if case == "write" else lambda: bob.read("plan")), workspace.close


def one(case: str, store: str, times: int) -> float:
    """Microseconds of CPU time of one call."""
    gc.disable()
    with tempfile.TemporaryDirectory() as folder:
        url = "memory://" if store == "memory" else f"sqlite:///{folder}/team.db"
        call, close = prepared(case, url)
        begun = process_time()
        for _ in range(times):
            call()
        spent = (process_time() - begun) / times * 1e6
        close()
    return spent


def run(checkout: Path, case: str, store: str, times: int, *prefix: str) -> str:
    """What `one` prints in a process of another checkout; with valgrind also its count."""
    path = os.pathsep.join([str(checkout), str(checkout / "adapters")])
    program = [sys.executable, __file__, "--one", case, store, str(times)]
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [*prefix, *program],
        env=environment,
        cwd=checkout,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def instructions(checkout: Path, case: str, store: str) -> float:
    """Instructions of one call."""
    tool = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")

    def counted(times: int) -> int:
        found = re.search(r"I +refs: +([\d,]+)", run(checkout, case, store, times, *tool))
        assert found is not None
        return int(found[1].replace(",", ""))

    few = CASES[case] // 2
    return (counted(3 * few) - counted(few)) / (2 * few)


def compare(before: Path, rounds: int, by_instructions: bool) -> None:
    unit = "instructions" if by_instructions else "us of CPU"
    print(f"{unit:24}{'before':>12}{'now':>12}{'ratio':>9}")
    for store in STORES:
        for case, times in CASES.items():
            if by_instructions:
                pairs = [(instructions(before, case, store), instructions(ROOT, case, store))]
            else:
                pairs = []
                for number in range(rounds):
                    order = (before, ROOT) if number % 2 else (ROOT, before)
                    found = {
                        each: float(run(each, case, store, times * 5).split()[0]) for each in order
                    }
                    pairs.append((found[before], found[ROOT]))
            then, now = (median(each) for each in zip(*pairs, strict=True))
            ratio = median(pair[1] / pair[0] for pair in pairs)
            print(f"{case + ', ' + store:24}{then:12,.1f}{now:12,.1f}{ratio:9.3f}")


def timed(work: Callable[[], object], times: int = 1, rounds: int = 15) -> float:
    """Microseconds of CPU time of one call, the median over rounds."""
    taken = []
    for _ in range(rounds):
        begun = process_time()
        for _ in range(times):
            work()
        taken.append((process_time() - begun) / times * 1e6)
    return median(taken)


def row(what: str, us: float) -> None:
    print(f"{what:60}{us:10.1f}")


def parts() -> None:
    """What is done once a second, at the end of an agent, and for each version with a tokenizer."""
    from coherence import Workspace
    from coherence.tokens import Estimate, installed

    print(f"{'us of CPU':60}")
    with tempfile.TemporaryDirectory() as folder:
        for store, url in zip(STORES, ("memory://", f"sqlite:///{folder}/t.db"), strict=True):
            with Workspace(url) as workspace:
                of_store(store, workspace)
    text, counter = (ROOT / "README.md").read_text()[:4096], installed()
    row(f"tokens of 4 KB, {Estimate.label}", timed(lambda: Estimate().count(text), 100))
    if isinstance(counter, Estimate):
        print("no tokenizer is installed")
    else:
        row(f"tokens of 4 KB, {counter.label}", timed(lambda: counter.count(text), 10))


def of_store(store: str, workspace: Workspace) -> None:
    """The parts on one store."""
    from coherence.workspace.workspace import site_of

    accounts = site_of(workspace).homes.accounts
    ann, bob = workspace.agent("ann"), workspace.agent("bob")
    names, number = [f"a{each}" for each in range(1_000)], iter(range(10**9))

    def write() -> None:
        ann.write("plan", str(next(number)))

    def read(count: int) -> None:
        for name in names[:count]:
            bob.read(name)

    for name in names:
        ann.write(name, name)
    read(len(names))
    write()
    taken = []
    for _ in range(15):
        accounts.collect()
        read(len(names))
        taken.append(timed(accounts.collect, rounds=1) / len(names))
    row(f"collect the hits of an agent on an artifact, {store}", median(taken))
    accounts.flush()
    row(f"write, {store}", timed(write, 20))
    for rows in (1, 32):
        taken = []
        for _ in range(15):
            accounts.send_all()
            read(rows)
            accounts.collect()
            taken.append(timed(write, rounds=1))
            assert not accounts.rows
        row(f"write that carries {rows} rows, {store}", median(taken))
    for reads in (0, 10):
        taken = []
        for each in range(15):
            guest = workspace.agent(f"guest {each} of {reads}")
            for name in names[:10]:
                guest.read(name)
            if not reads:
                accounts.send_all()
            taken.append(timed(guest.leave, rounds=1))
        row(f"leave with counts of {reads} artifacts, {store}", median(taken))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", nargs="?", type=Path, help="the checkout to compare with")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--instructions", action="store_true", help="count them, by valgrind")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        case, store, times = options.one
        print(one(case, store, int(times)))
    elif options.other is not None:
        compare(options.other.resolve(), options.rounds, options.instructions)
    else:
        parts()


if __name__ == "__main__":
    main()
