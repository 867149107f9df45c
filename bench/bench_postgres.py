"""PostgreSQL: writes a second by how many processes write, what idle ones cost, CPU of a write.

    python bench/bench_postgres.py [--peer CHECKOUT] [--rounds N] [--seconds S] [--fsync on|off]

`--peer` names a checkout of another version.  Both versions are measured in one run, in rounds that
alternate, and medians are given, so that what else the machine does shows in both.  The server is
one of the tests', on this machine; every process writes an artifact of its own.  CPU is that of
processes, not of the wall: of the clients, and of the server where /proc tells it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

HERE = Path(__file__).parents[1]
sys.path.insert(0, str(HERE / "tests"))
TEXT = "".join(f"line {number} of a text that agents change\n" for number in range(48))
PROCESSES = (1, 4, 16)
IDLE = 16
WARM_S = 0.5


class Spent(msgspec.Struct):
    """What one process did in a round."""

    calls: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0


# In a process of its own, with one version or the other.


def work(url: str, name: str) -> None:
    """Does what it is told by lines: ``write S``, ``hand S`` for so many seconds; ``cpu``."""
    import psycopg

    from coherence import Workspace

    with Workspace(url) as workspace, psycopg.connect(url, autocommit=True) as conn:
        agent = workspace.agent(name)
        versions = {"write": agent.write(name, TEXT).version, "hand": 0}
        update = "UPDATE hand SET body = %s, version = version + 1 WHERE name = %s AND version = %s"

        def write(number: int) -> None:
            agent.write(name, f"{TEXT}{number}\n")

        def hand(number: int) -> None:
            conn.execute(update, (f"{TEXT}{number}\n", name, number))

        calls = {"write": write, "hand": hand}
        conn.execute("INSERT INTO hand VALUES (%s, 0, '')", (name,))
        say(Spent())
        for line in sys.stdin:
            what, _, seconds = line.strip().partition(" ")
            if what == "cpu":
                say(Spent(cpu_s=time.process_time()))
                continue
            number, call = versions[what], calls[what]
            cpu, begun = time.process_time(), time.perf_counter()
            done = 0
            while time.perf_counter() < begun + float(seconds):
                call(number + done)
                done += 1
            versions[what] += done
            say(Spent(done, time.process_time() - cpu, time.perf_counter() - begun))


def say(spent: Spent) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(spent) + b"\n")
    sys.stdout.buffer.flush()


# Here.


class Version:
    """One version, its database, and processes that have it."""

    def __init__(self, name: str, checkout: Path, server: object) -> None:
        self.name, self.checkout = name, checkout
        server.run(f"CREATE DATABASE {name}")
        self.url = server.url(database=name)
        server.run("CREATE TABLE hand (name text PRIMARY KEY, version bigint, body text)", self.url)
        self.started = 0

    def start(self) -> subprocess.Popen[bytes]:
        self.started += 1
        path = os.pathsep.join([str(self.checkout), str(self.checkout / "adapters")])
        return subprocess.Popen(
            [sys.executable, __file__, "--work", self.url, f"artifact-{self.started}.md"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )


class Team:
    """Processes of one version that are told together what to do."""

    def __init__(self, version: Version, size: int) -> None:
        self.version = version
        self.processes = [version.start() for _ in range(size)]
        for process in self.processes:
            hear(process)

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            process.stdin.close()
        for process in self.processes:
            process.wait(60)
            process.stdout.close()

    def tell(self, what: str, first: int | None = None) -> list[Spent]:
        """What the first so many processes, or all, did."""
        told = self.processes[:first]
        for process in told:
            process.stdin.write(what.encode() + b"\n")
            process.stdin.flush()
        return [hear(process) for process in told]


def hear(process: subprocess.Popen[bytes]) -> Spent:
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a process has ended early")
    return msgspec.json.decode(line, type=Spent)


def server_cpu_s(folder: Path) -> float:
    """CPU that the server and its processes have used; 0 where /proc does not tell."""
    ticks = 0.0
    with suppress(OSError, ValueError):
        postmaster = int((folder / "data/postmaster.pid").read_text().split()[0])
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                    if postmaster in (int(fields[1]), int(entry.name)):
                        # Those of processes that have ended are their parent's.
                        ended = fields[13:15] if int(entry.name) == postmaster else []
                        ticks += sum(map(int, [*fields[11:13], *ended]))
    return ticks / os.sysconf("SC_CLK_TCK")


Figures = dict[str, float]
Measure = Callable[[Team], Figures]


def alternate(versions: list[Version], size: int, rounds: int, measure: Measure) -> list[Figures]:
    """The medians of what each version's team does, measured by turns."""
    found: list[list[Figures]] = [[] for _ in versions]
    with ExitStack() as stack:
        teams = [stack.enter_context(Team(version, size)) for version in versions]
        for team in teams:
            team.tell(f"write {WARM_S}")
        for number in range(rounds):
            order = list(enumerate(teams))
            for at, team in order if number % 2 else reversed(order):
                found[at].append(measure(team))
    return [
        {key: statistics.median(one[key] for one in figures) for key in figures[0]}
        for figures in found
    ]


def throughput(seconds: float, folder: Path) -> Measure:
    def measure(team: Team) -> Figures:
        before = server_cpu_s(folder)
        spent = team.tell(f"write {seconds}")
        server = server_cpu_s(folder) - before
        calls = sum(one.calls for one in spent)
        return {
            "writes/s": calls / statistics.mean(one.wall_s for one in spent),
            "client ms": 1e3 * sum(one.cpu_s for one in spent) / calls,
            "server ms": 1e3 * server / calls,
        }

    return measure


def beside_idle(seconds: float, folder: Path) -> Measure:
    def measure(team: Team) -> Figures:
        before, idle = server_cpu_s(folder), sum(one.cpu_s for one in team.tell("cpu")[1:])
        [spent] = team.tell(f"write {seconds}", 1)
        idle = sum(one.cpu_s for one in team.tell("cpu")[1:]) - idle
        server = server_cpu_s(folder) - before
        return {
            "writes/s": spent.calls / spent.wall_s,
            "client ms": 1e3 * spent.cpu_s / spent.calls,
            "server ms": 1e3 * server / spent.calls,
            "idle ms": 1e3 * idle / spent.calls,
        }

    return measure


def by_hand(seconds: float, folder: Path) -> Measure:
    def measure(team: Team) -> Figures:
        figures: Figures = {}
        for what in ("hand", "write"):
            before = server_cpu_s(folder)
            [spent] = team.tell(f"{what} {seconds}")
            server = (server_cpu_s(folder) - before) / spent.calls
            client = spent.cpu_s / spent.calls
            figures |= {f"{what} client us": 1e6 * client, f"{what} server us": 1e6 * server}
            figures[f"{what} us"] = 1e6 * (client + server)
        return figures | {
            "client ratio": figures["write client us"] / figures["hand client us"],
            "ratio": figures["write us"] / figures["hand us"],
        }

    return measure


def show(title: str, versions: list[Version], found: list[Figures]) -> None:
    print(f"{title}")
    for key in found[0]:
        values = "".join(f"{figures[key]:12.2f}" for figures in found)
        ratio = (
            f"{found[0][key] / found[1][key]:10.2f}x" if len(found) > 1 and found[1][key] else ""
        )
        print(f"    {key:18}{values}{ratio}")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path, help="a checkout of another version")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--fsync", choices=("on", "off"), action="append")
    parser.add_argument("--work", nargs=2, metavar=("URL", "NAME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(*options.work)
        return
    import postgres_server

    programs = postgres_server.programs()
    if programs is None:
        print(postgres_server.MISSING)
        return
    settings = postgres_server.SETTINGS.replace("max_connections = 120", "max_connections = 300")
    for fsync in options.fsync or ("off", "on"):
        postgres_server.SETTINGS = settings.replace("fsync = off", f"fsync = {fsync}")
        server = postgres_server.Server(programs)
        folder, rounds, seconds = server._folder, options.rounds, options.seconds
        try:
            versions = [Version("this", HERE, server)]
            if options.peer:
                versions.append(Version("peer", options.peer.resolve(), server))
            print(f"fsync {fsync}" + "".join(f"{version.name:>14}" for version in versions))
            for size in PROCESSES:
                found = alternate(versions, size, rounds, throughput(seconds, folder))
                show(f"  {size} processes write", versions, found)
            found = alternate(versions, 1 + IDLE, rounds, beside_idle(seconds, folder))
            show(f"  1 process writes, {IDLE} are idle", versions, found)
            found = alternate(versions, 1, rounds, by_hand(seconds, folder))
            show("  a write beside an UPDATE by hand", versions, found)
        finally:
            server.close()


if __name__ == "__main__":
    main()
