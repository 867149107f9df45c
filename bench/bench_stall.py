"""How long the others stand still when one of several contending processes is killed, or stopped.

    python bench/bench_stall.py [--kills N] [--processes N] [--store URL] [--stop | --leases]

Every process adds one to one counter as fast as it can.  At a random moment one of them is killed,
and the longest time from one addition of any other to the next is taken; then another process takes
its place.  As often no process is killed: those stops show the machine, not the kill.  `--leases`
blinds the processes to each other's end, as on a system that cannot tell it: the lease ends a stop
then.  `--stop` stops a process for longer than a lease in place of killing it.

Without `--store` it runs on a new SQLite file and on a PostgreSQL server of its own, as the tests
start it; where that is not installed it is left out.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from coherence import Lazy, Workspace
from coherence.runtime import lookout

TESTS = Path(__file__).parents[1] / "tests"
COUNTER = "counter"
#: What is watched after a kill, at least; and how long the others must have gone on by its end.
WINDOW_S = 1.5
GOING_S = 0.5
#: A lease in the runs that are to see one end.
SHORT_LEASE_S = 3.0
#: What stops are held against.
AIM_S = 0.5
PATIENCE_S = 120.0


def work(url: str, name: str, log: str, lease_s: float, blind: bool) -> None:
    """Add one for ever, and note when each addition was acknowledged."""
    if blind:
        lookout.FIRST_S = lookout.LOOK_S = float("inf")
    workspace = Workspace(url, policy=Lazy(grant_lease=lease_s))
    agent = workspace.agent(name)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        agent.update(COUNTER, lambda text: str(int(text) + 1))
        os.write(file, f"{name} {time.monotonic()}\n".encode())


def pause(seconds: float) -> None:
    """Let time pass: the processes that are watched say nothing when they stand still."""
    threading.Event().wait(seconds)


def await_none(some: Callable[[], Collection[str]], what: str) -> None:
    """Return when `some` gives no name any more; those that it gives for too long are told."""
    begun = time.monotonic()
    while left := some():
        assert time.monotonic() < begun + PATIENCE_S, f"{sorted(left)} {what}"
        pause(0.05)


class Contest:
    """Processes that contend for a counter, and the log of what they have done."""

    def __init__(self, url: str, folder: str, size: int, lease_s: float, blind: bool) -> None:
        self.url, self.log = url, f"{folder}/additions"
        self.settings = (str(lease_s), str(int(blind)))
        Path(self.log).touch()
        self.started = 0
        with Workspace(url) as workspace:
            workspace.agent("founder").write(COUNTER, "0", overwrite=True)
        self.live: dict[str, subprocess.Popen[bytes]] = {}
        for _ in range(size):
            self.join()
        self.await_all()

    def join(self) -> None:
        self.started += 1
        name = f"w{self.started}"
        command = [sys.executable, __file__, "work", self.url, name, self.log, *self.settings]
        self.live[name] = subprocess.Popen(command)

    def await_all(self) -> None:
        """Return when each process has added something since now."""
        since = time.monotonic()
        await_none(
            lambda: set(self.live) - {name for name, at in self.additions() if at > since},
            "make no progress",
        )

    def additions(self, tail_bytes: int = 1 << 20) -> Iterator[tuple[str, float]]:
        """The process and the time of each of the newest additions, in order."""
        with open(self.log, "rb") as file:
            file.seek(max(0, os.path.getsize(self.log) - tail_bytes))
            for line in file.read().decode().splitlines()[1:]:
                name, _, at = line.partition(" ")
                yield name, float(at)

    def stop(self, process: subprocess.Popen[bytes]) -> float:
        """Stop it outside of a transaction; when.  SQLite's lock cannot be taken from a process."""
        while True:
            at = time.monotonic()
            process.send_signal(signal.SIGSTOP)
            if not self.url.startswith("sqlite:///") or self.is_free():
                return at
            process.send_signal(signal.SIGCONT)
            pause(0.01)

    def is_free(self) -> bool:
        """Whether the SQLite file's lock goes round."""
        path = self.url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=1.0, isolation_level=None)) as db:
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            db.execute("ROLLBACK")
            return True

    def longest_stop(self, begun: float, victim: str | None, window_s: float) -> float:
        """The longest that the others went without an addition from `begun` on."""
        while True:
            pause(0.1)
            now = time.monotonic()
            times = [at for name, at in self.additions() if name != victim and at > begun]
            going = sum(at > now - GOING_S for at in times) > 1
            if (going and now > begun + window_s) or now > begun + PATIENCE_S:
                moments = [begun, *times, *([] if going else [now])]
                return max(after - before for before, after in pairwise(moments))

    def end(self) -> int:
        for process in self.live.values():
            process.kill()
        for process in self.live.values():
            process.wait()
        with Workspace(self.url) as workspace:
            # The server finds the end of a process when it next reads from its connection.
            await_none(
                lambda: [member.agent for member in workspace.members()],
                "are members, and were killed",
            )
            # What is under way at the server may change between two looks of a check.
            assert [line for line in workspace.check() if line in workspace.check()] == []
            count = int(workspace.agent("auditor").read(COUNTER).text)
        added = Path(self.log).read_bytes().count(b"\n")
        # What was under way when a process was killed may have been made, and not noted.
        assert added <= count <= added + self.started, f"{added} noted, {count} made"
        return added


def run(url: str, folder: str, given: argparse.Namespace) -> None:
    lease_s = SHORT_LEASE_S if given.stop else 15.0
    contest = Contest(url, folder, given.processes, lease_s, given.leases)
    stops: list[float] = []
    quiet: list[float] = []
    chance = random.Random()
    begun = time.monotonic()
    try:
        for _ in range(given.kills):
            quiet.append(contest.longest_stop(time.monotonic(), None, WINDOW_S))
            pause(chance.random() * 0.2)
            victim = chance.choice(sorted(contest.live))
            process = contest.live[victim]
            if given.stop:
                at = contest.stop(process)
                stops.append(contest.longest_stop(at, victim, lease_s + WINDOW_S))
                process.send_signal(signal.SIGCONT)
                process.kill()
            else:
                at = time.monotonic()
                process.kill()
                stops.append(contest.longest_stop(at, victim, WINDOW_S))
            process.wait()
            del contest.live[victim]
            contest.join()
            contest.await_all()
    finally:
        took_s = time.monotonic() - begun
        added = contest.end()
    say("stopped" if given.stop else "killed", stops)
    say("no process", quiet)
    print(f"  {added} additions, {added / took_s:.0f}/s with the pauses; all of them are there")


def say(what: str, stops: list[float]) -> None:
    stops = sorted(stops)
    within = sum(stop <= AIM_S for stop in stops) / len(stops)
    p99 = stops[min(len(stops) - 1, int(0.99 * len(stops)))]
    print(
        f"  {what:8} {len(stops):4} times: longest stop {stops[-1]:6.2f} s, 99 % {p99:6.2f} s, "
        f"median {stops[len(stops) // 2]:6.3f} s; {within:6.1%} within {AIM_S} s"
    )


def main() -> None:
    if sys.argv[1:2] == ["work"]:
        url, name, log, lease_s, blind = sys.argv[2:]
        work(url, name, log, float(lease_s), blind == "1")
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--store", default="")
    parser.add_argument("--stop", action="store_true")
    parser.add_argument("--leases", action="store_true")
    given = parser.parse_args()
    what = f"{given.processes} processes, one is {'stopped' if given.stop else 'killed'}"
    with tempfile.TemporaryDirectory() as folder:
        if given.store:
            print(f"{given.store.partition(':')[0]}, {what}")
            run(given.store, folder, given)
            return
        print(f"SQLite, {what}")
        run(f"sqlite:///{folder}/team.db", folder, given)
    postgres(given, what)


def postgres(given: argparse.Namespace, what: str) -> None:
    sys.path.insert(0, str(TESTS))
    from postgres_server import MISSING, Server, programs

    found = programs()
    if found is None:
        print(MISSING)
        return
    server = Server(found)
    try:
        with tempfile.TemporaryDirectory() as folder:
            print(f"PostgreSQL, {what}")
            run(server.fresh(), folder, given)
    finally:
        server.close()


if __name__ == "__main__":
    main()
