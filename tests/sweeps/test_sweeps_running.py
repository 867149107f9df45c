"""Running: processes change no figure, and what ends a sweep early takes nothing from it."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import Executor, Future

import pytest

from coherence.simulate.experiments import figures
from coherence.simulate.experiments.figures import NoScipy
from coherence.simulate.sweeps import measuring, planning, pools, running
from coherence.simulate.sweeps.pools import Pool, WorkerDied
from coherence.simulate.sweeps.running import StrangeFigures
from message_passing.errors import Defect

pytest.importorskip("scipy", reason="intervals need scipy")

COMMAND = [sys.executable, "-m", "coherence.simulate", "sweep"]


@pytest.fixture
def always_parallel(monkeypatch):
    monkeypatch.setattr(pools, "PARALLEL_ACTIONS_MIN", 0)


@pytest.mark.slow
@pytest.mark.usefixtures("always_parallel")
def test_processes_change_no_figure(make_sweep):
    sweep = make_sweep()
    assert running.run(sweep, processes=2) == running.run(sweep, processes=1)


def test_short_sweeps_start_no_process(make_sweep, monkeypatch):
    monkeypatch.setattr(pools, "workers", lambda count: pytest.fail("started"))
    running.run(make_sweep(), processes=2)


def test_progress_counts_measurements_from_what_is_there(make_sweep):
    counts = []
    outcome = running.run(make_sweep(), advance=lambda *count: counts.append(count))
    assert counts[0] == (0, outcome.asked)
    assert counts[-1] == (outcome.asked, outcome.asked)
    assert counts == sorted(counts)


def test_without_scipy_nothing_is_measured(make_sweep, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    figures.quantile.cache_clear()
    with pytest.raises(NoScipy, match="pip install"):
        running.run(make_sweep(), advance=lambda *count: pytest.fail("began"))
    outcome = running.run(make_sweep(fixed={"seeds": 1}))
    assert not outcome.is_partial
    figures.quantile.cache_clear()


# Early ends


def test_an_interrupt_keeps_what_is_done(make_sweep, tmp_path):
    def interrupt(done, asked):
        if done > asked // 2:
            raise KeyboardInterrupt

    file = tmp_path / "r.db"
    sweep = make_sweep()
    outcome = running.run(sweep, out=file, advance=interrupt)
    assert outcome.is_partial
    assert outcome.fault is None
    assert outcome.asked // 2 < outcome.done < outcome.asked
    # Every point has fewer runs, and none is missing.
    assert [line.runs for line in outcome.lines] == [2] * 8
    assert all(line.partial for line in outcome.lines)
    counts = []
    again = running.run(sweep, out=file, advance=lambda *count: counts.append(count))
    assert counts[0] == (outcome.done, outcome.asked)
    assert again == running.run(sweep)


@pytest.mark.slow
@pytest.mark.usefixtures("always_parallel")
def test_a_process_that_dies_is_typed_and_takes_nothing(make_sweep, tmp_path):
    def kill(done, asked):
        if 0 < done < asked:
            for process in multiprocessing.active_children():
                process.kill()

    file = tmp_path / "r.db"
    # So many that tasks are left when the processes are gone.
    sweep = make_sweep(fixed={"seeds": 20})
    outcome = running.run(sweep, out=file, processes=2, advance=kill)
    assert isinstance(outcome.fault, WorkerDied)
    assert outcome.fault.fault == "environment"
    assert "--jobs" in str(outcome.fault)
    assert 0 < outcome.done < outcome.asked
    counts = []
    again = running.run(sweep, out=file, processes=1, advance=lambda *count: counts.append(count))
    assert counts[0][0] >= outcome.done
    assert again == running.run(sweep, processes=1)


class Failing(Executor):
    """Runs tasks at once, and fails the one of number `at` with `error`."""

    def __init__(self, at, error):
        self.count, self.at, self.error = 0, at, error

    def submit(self, fn, /, *args):
        future = Future()
        self.count += 1
        if self.count == self.at:
            future.set_exception(self.error)
        else:
            future.set_result(fn(*args))
        return future


def test_what_ended_beside_a_failure_is_kept(make_sweep):
    """Four tasks are under way at once; the failing one is among them."""
    sweep = make_sweep()
    tasks = measuring.tasks(planning.needed(sweep).measurements.values())
    assert len(tasks) == 6
    found = []

    def measure():
        for findings in pools.measured(tasks, Pool(Failing(3, Defect("x")), processes=1)):
            found.extend(findings)

    with pytest.raises(Defect):
        measure()
    assert len(found) >= sum(map(len, tasks[:2])) + len(tasks[3])


def test_a_defect_ends_the_sweep_with_what_is_done(make_sweep, monkeypatch):
    made = []

    def perform(task):
        made.append(task)
        if len(made) == 3:
            raise Defect("a false word")
        return measuring.perform(task)

    monkeypatch.setattr(pools, "perform", perform)
    outcome = running.run(make_sweep())
    assert isinstance(outcome.fault, Defect)
    assert outcome.done == sum(map(len, made[:2]))


def test_an_error_that_nobody_expects_passes_and_what_was_done_is_kept(
    make_sweep, tmp_path, monkeypatch
):
    made = []

    def perform(task):
        made.append(task)
        if len(made) == 3:
            raise ZeroDivisionError
        return measuring.perform(task)

    monkeypatch.setattr(pools, "perform", perform)
    file = tmp_path / "r.db"
    with pytest.raises(ZeroDivisionError):
        running.run(make_sweep(), out=file)
    monkeypatch.undo()
    counts = []
    running.run(make_sweep(), out=file, advance=lambda *count: counts.append(count))
    assert counts[0][0] == sum(map(len, made[:2]))


def test_figures_of_another_program_are_refused(make_sweep, tmp_path, monkeypatch):
    def perform(task):
        (first, *rest) = measuring.perform(task)
        return [measuring.KeyedRow(b"another", first.parameters, first.found), *rest]

    monkeypatch.setattr(pools, "perform", perform)
    outcome = running.run(make_sweep(), out=tmp_path / "r.db")
    assert isinstance(outcome.fault, StrangeFigures)
    assert outcome.done == 0


@pytest.mark.slow
def test_ctrl_c_ends_a_sweep_of_all_cores_with_partial_results(tmp_path):
    grid = ["--over", "agents=40,50", "--over", "strategy=lazy,adaptive", "--seeds", "2000"]
    process = subprocess.Popen(
        [*COMMAND, *grid, "--json", "--out", tmp_path / "r.db"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches the workers too
        # A shell's background job, as a test run may be, inherits that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    progress = process.stderr.readline()
    while progress.startswith("measured 0 "):
        progress = process.stderr.readline()
    os.killpg(process.pid, signal.SIGINT)
    out, told = process.communicate()
    assert progress.startswith("measured ")
    assert " left" in progress
    assert process.returncode == 130, told
    assert "PARTIAL results, " in told
    assert "interrupted" in told
    assert "Traceback" not in told
    lines = json.loads(out)
    assert all(line["partial"] for line in lines)
    assert 0 < lines[0]["runs"] < 2000
