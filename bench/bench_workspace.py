"""The workspace: hits, misses, writes with sharers, memory, contention; beside agent-coherence.

    python bench/bench_workspace.py [--peer PYTHON]

Figures are thread CPU time, medians of several rounds, so that a busy machine shows in the spread
and not in the figure; what waits for a disk is given on the wall clock too.  `--peer` names the
interpreter of an environment in which agent-coherence is installed, for the ratios.  PostgreSQL
runs on a server of its own, as the tests start it, on this machine and without syncing; where it is
not installed it is left out.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from coherence import Agent, Conflict, Workspace
from coherence.messages import Replacement

TESTS = Path(__file__).parents[1] / "tests"
CONTENDER = TESTS / "workspace/contenders.py"
PEER = Path(__file__).with_name("peer_workspace.py")
ROUNDS = 7
KB4 = "y" * 4096
MB10 = "y" * 10_000_000
#: In turn, since a write that changes nothing publishes nothing.
TEXTS = cycle(["text", "another text"])
LARGE = cycle([MB10, "z" + MB10[1:]])

Figures = dict[str, tuple[float, float]]


def timed(
    work: Callable[[], object], calls: int, before: Callable[[], object] | None = None
) -> tuple[float, float]:
    """Microseconds a call: CPU and wall, medians over rounds; `before` runs untimed each time.

    Then every call is between two looks at the clocks, whose own time is measured and taken off.
    """
    if before is None:
        return rounds(work, calls, 1, lambda: None)
    whole = rounds(work, 1, calls, before)
    clocks = rounds(lambda: None, 1, calls, before)
    return whole[0] - clocks[0], whole[1] - clocks[1]


def rounds(
    work: Callable[[], object], calls: int, times: int, before: Callable[[], object]
) -> tuple[float, float]:
    """`before` and then `calls` timed calls, that many times in each round."""
    cpu, wall = [], []
    for _ in range(ROUNDS):
        spent = passed = 0.0
        for _ in range(times):
            before()
            start, begun = time.thread_time(), time.perf_counter()
            for _ in range(calls):
                work()
            spent += time.thread_time() - start
            passed += time.perf_counter() - begun
        cpu.append(spent / (calls * times) * 1e6)
        wall.append(passed / (calls * times) * 1e6)
    return statistics.median(cpu), statistics.median(wall)


def miss(agent: Agent, name: str) -> None:
    agent._session.ask(name, Replacement())


def store(url: str) -> Figures:
    """Hits, misses and writes on one store."""
    found: Figures = {}
    with Workspace(url) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        ann.write("small", KB4)
        ann.write("large", MB10)
        for name, size in (("small", "4 KB"), ("large", "10 MB")):
            bob.read(name)
            found[f"hit, {size}"] = timed(lambda name=name: bob.read(name), 20_000)
        found["write, 10 MB"] = timed(lambda: ann.write("large", next(LARGE)), 3)
        found["write, 10 MB, unchanged"] = timed(lambda: ann.write("large", MB10), 3)
        found["miss, 4 KB"] = timed(lambda: bob.read("small"), 200, lambda: miss(bob, "small"))
        for sharers in (0, 1, 4, 16, 64):
            name = f"shared by {sharers}"
            readers = [workspace.agent(f"reader {i}") for i in range(sharers)]
            ann.write(name, "0")

            def share(name: str = name, readers: list[Agent] = readers) -> None:
                for reader in readers:
                    reader.read(name)

            found[f"write, {sharers} sharers"] = timed(
                lambda name=name: ann.write(name, next(TEXTS)), 20, share
            )
    return found


def pair_bytes() -> float:
    """Bytes for one (agent, artifact) pair beside content: 200 agents, 100 artifacts."""
    with Workspace() as workspace:
        agents = [workspace.agent(f"agent {i}") for i in range(200)]
        names = [f"artifact {i}" for i in range(100)]
        for name in names:
            agents[0].write(name, "text")
        tracemalloc.start()
        before = traced()
        for agent in agents[1:]:
            for name in names:
                agent.read(name)
        after = traced()
        tracemalloc.stop()
        return (after - before) / (199 * 100)


def traced() -> int:
    """Bytes in use, without what Python keeps of freed tuples to use again, which is bounded."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def opening(folder: str) -> float:
    """Milliseconds to open a workspace with 10,000 artifacts of 10 KB."""
    url = f"sqlite:///{folder}/many.db"
    with Workspace(url) as workspace:
        agent = workspace.agent("ann")
        workspace._site.store._connections.writer.execute("PRAGMA synchronous = OFF")
        workspace._site.store._connections.durable = True
        for number in range(10_000):
            agent.write(f"artifact {number}", "z" * 10_000)
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        Workspace(url).close()
        taken.append((time.perf_counter() - start) * 1e3)
    return statistics.median(taken)


def processes(url: str, count: int) -> float:
    """Seconds for four processes with `count` updates each of one artifact."""
    start = time.perf_counter()
    running = [
        subprocess.Popen(
            [sys.executable, str(CONTENDER), url, f"p{i}", str(count), "5"],
            stdout=subprocess.DEVNULL,
        )
        for i in range(4)
    ]
    assert [process.wait() for process in running] == [0] * 4
    with Workspace(url) as workspace:
        lines = workspace.agent("auditor").read("ledger.txt").text.splitlines()
    assert len(lines) == len(set(lines)) == 4 * count, "a line is lost"
    return time.perf_counter() - start


def increments() -> tuple[int, int]:
    """4 threads x 200 increments by plain read and write: how many are there, how many refused."""
    refused: list[Conflict] = []
    with Workspace() as workspace:
        agents = [workspace.agent(f"w{i}") for i in range(4)]
        agents[0].write("count", "0")

        def work(agent: Agent) -> None:
            for _ in range(200):
                try:
                    agent.write("count", str(int(agent.read("count").text) + 1))
                except Conflict as conflict:
                    refused.append(conflict)

        threads = [threading.Thread(target=work, args=(agent,)) for agent in agents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return int(agents[0].read("count").text), len(refused)


def peer(python: str) -> dict[str, float]:
    """The same on agent-coherence, in its own environment."""
    done = subprocess.run([python, str(PEER)], capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    return {name: float(value) for name, value in rows}


def postgres(beside: Figures) -> None:
    """The same on PostgreSQL, beside SQLite; says so where there is no server."""
    sys.path.insert(0, str(TESTS))
    from postgres_server import MISSING, Server, programs

    found = programs()
    if found is None:
        print(MISSING)
        return
    server = Server(found)
    try:
        print(f"{'us':24}{'postgres':>10}{'on the wall':>13}{'to sqlite':>11}")
        for name, (cpu, wall) in store(server.fresh()).items():
            print(f"{name:24}{cpu:10.1f}{wall:13.1f}{wall / beside[name][1]:11.1f}")
        print(f"{'4 processes x 200, s':34}{processes(server.fresh(), 200):10.1f}")
    finally:
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", default=os.environ.get("PEER_PYTHON", ""))
    arguments = parser.parse_args()
    theirs = peer(arguments.peer) if arguments.peer else {}
    with tempfile.TemporaryDirectory() as folder:
        tables = {"memory": store("memory://"), "sqlite": store(f"sqlite:///{folder}/team.db")}
        print(f"{'us':24}{'memory':>10}{'sqlite':>10}{'on the wall':>13}{'peer':>10}{'ratio':>8}")
        for name, (cpu, _) in tables["memory"].items():
            other, wall = tables["sqlite"][name]
            beside = theirs.get(name)
            ratio = f"{beside:10.1f}{beside / cpu:8.0f}" if beside else ""
            print(f"{name:24}{cpu:10.2f}{other:10.1f}{wall:13.1f}{ratio}")
        beside = theirs.get("pair, bytes")
        print(f"{'pair, bytes':24}{pair_bytes():10.0f}" + (f"{beside:33.0f}" if beside else ""))
        kept, refused = increments()
        print(f"of 800 plain increments by 4 threads: {kept} kept, {refused} refused, none lost")
        assert kept + refused == 800
        if theirs:
            left, said = theirs["increments kept of 800"], theirs["increments refused"]
            gone = 800 - left - said
            print(f"  the peer: {left:.0f} kept, {said:.0f} refused, {gone:.0f} lost in silence")
        print(f"{'open 10,000, ms':34}{opening(folder):10.1f}")
        print(f"{'4 processes x 200, s':34}{processes(f'sqlite:///{folder}/p.db', 200):10.1f}")
        postgres(tables["sqlite"])


if __name__ == "__main__":
    main()
