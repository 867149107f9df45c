"""The models of the field against TLC on their originals: CPU time, start-up counted on both sides.

    python bench/bench_examples.py ORIGINALS [--only NAME] [--workers 2] [--rounds 1] [--json]

ORIGINALS is a folder of checkouts, each under the name that ``specs/examples/manifest.toml`` gives:
tlaplus/Examples, ongardie/raft.tla, lemmy/BlockingQueue.  TLC comes from the extra `tlc`.

Each run is a process of its own, and the programs take turns.  A figure is the least CPU time of
the rounds, of all threads, in seconds; read the ratios.  TLC's counts are compared with those that
the manifest states.
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from specs import catalogue, tlc
from specs.checker import Composite

ROOT = Path(__file__).parents[1]
#: Modules of the proof system, which some originals name and TLC 2.15 does not have.
STUBS = {
    "TLAPS": "PTL == TRUE\n",
    "FiniteSetTheorems": "EXTENDS FiniteSets\nFS_EmptySet == TRUE\nFS_Singleton == TRUE\n",
}
#: Statements of configurations that TLC 2.15 does not know.
UNKNOWN = re.compile(r"(?m)^\s*(CHECK_DEADLOCK\s+\w+|ALIAS\s+\w+)")


def stage(originals: Path, case: catalogue.Case, folder: Path) -> tuple[str, str]:
    """Put the original of a case and its configuration into `folder`; their names."""
    repository, file = catalogue.original(case.name).split()
    source = originals / repository / file
    for each in [*source.parent.glob("*.tla"), *source.parent.glob("*.cfg")]:
        shutil.copy(each, folder)
    for each in (ROOT / "specs" / "examples" / "tla").iterdir():
        shutil.copy(each, folder)
    for name, text in STUBS.items():
        if not (folder / f"{name}.tla").exists():
            (folder / f"{name}.tla").write_text(f"---- MODULE {name} ----\n{text}====\n")
    module, config = catalogue.run_of(case.name)
    text = UNKNOWN.sub("", (folder / f"{config}.cfg").read_text(encoding="utf-8"))
    for old, new in case.edits:
        if old not in text:
            raise SystemExit(f"{config}.cfg of {repository} has no {old!r}: another version?")
        text = text.replace(old, new)
    (folder / "Bench.cfg").write_text(text, encoding="utf-8")
    return module, "Bench"


def cpu_of(run: Callable[[], Any]) -> tuple[float, Any]:
    """The CPU time of the child processes that `run` starts and awaits, and its result."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, result


def run_tlc(originals: Path, case: catalogue.Case, workers: int) -> tuple[float, list[int]]:
    with tempfile.TemporaryDirectory() as scratch:
        module, config = stage(originals, case, Path(scratch))
        cpu, found = cpu_of(lambda: tlc.run(module, config, folder=Path(scratch), workers=workers))
    return cpu, [found.distinct, found.generated]


def run_ours(case: catalogue.Case, engine: str) -> float:
    command = [sys.executable, "-m", "specs", "check", case.name, "--engine", engine]
    for key, value in case.constants.items():
        command += [f"--{key.replace('_', '-')}", str(value)]
    return cpu_of(lambda: subprocess.run(command, cwd=ROOT, capture_output=True, check=True))[0]


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row a case."""
    for name in filter(catalogue.original, catalogue.names()):
        for case in catalogue.cases(name):
            if not case.tlc or (options.only and name not in options.only):
                continue
            model = catalogue.factory(name)(**case.constants)
            engines = ["reference"]
            engines += ["table", "numba"] if isinstance(model, Composite) else []
            times: dict[str, list[float]] = {"TLC": [], **{engine: [] for engine in engines}}
            for _ in range(options.rounds):
                cpu, counts = run_tlc(options.originals, case, options.workers)
                times["TLC"].append(cpu)
                for engine in engines:
                    times[engine].append(run_ours(case, engine))
            least = {program: min(measured) for program, measured in times.items()}
            yield {
                "case": str(case),
                "distinct": counts[0],
                "generated": counts[1],
                "as stated": counts == list(case.tlc[:2]),
                "cpu_s": least,
                "ratio": {engine: least["TLC"] / least[engine] for engine in engines},
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("originals", type=Path, help="a folder of checkouts")
    parser.add_argument("--only", action="append", metavar="NAME", help="this model; repeatable")
    parser.add_argument("--workers", type=int, default=2, help="of TLC")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    options = parser.parse_args()
    found = []
    for row in rows(options):
        found.append(row)
        sys.stderr.write(f"{row['case']}: {row['cpu_s']}\n")
    if options.json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    table = Table("case", "distinct", "counts", "TLC, s", "reference", "table", "numba")
    for row in found:
        ours = (
            f"{row['cpu_s'][e]:.2f} ({row['ratio'][e]:.1f}x)" if e in row["ratio"] else "-"
            for e in ("reference", "table", "numba")
        )
        counts = "as stated" if row["as stated"] else "DIFFER"
        tlc_s = f"{row['cpu_s']['TLC']:.2f}"
        table.add_row(row["case"], f"{row['distinct']:,}", counts, tlc_s, *ours)
    Console().print(table)


if __name__ == "__main__":
    main()
