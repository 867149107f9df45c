"""A cluster of Dask measures the same; it may lose workers, and what it cannot do is typed."""

from __future__ import annotations

import gc
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

from coherence.simulate.sweeps import cluster, pools, running
from coherence.simulate.sweeps.cluster import ClusterLost, ClusterUnfit, NoDask
from coherence.simulate.sweeps.pools import WorkerDied
from coherence.simulate.sweeps.running import StrangeFigures

pytest.importorskip("scipy", reason="intervals need scipy")

# A client that found no cluster leaves connections to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """They are collected here, and not in a test that knows nothing of them."""
    yield
    gc.collect()


HAS_DASK = importlib.util.find_spec("distributed") is not None
needs_dask = pytest.mark.skipif(not HAS_DASK, reason="needs distributed")


@pytest.mark.slow
def test_without_dask_its_package_is_named(make_sweep, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(NoDask, match="pip install distributed"):
        running.run(make_sweep(), on="tcp://127.0.0.1:1")


class KilledWorker(Exception):
    pass


class Client:
    """A client of a cluster that fails at the third task, as Dask's does."""

    error: BaseException = KilledWorker("perform-1 killed four workers")
    after = "running"

    def __init__(self, address, timeout):
        self.status, self.count = "running", 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.status = "closed"

    def run(self, function):
        return {"tcp://worker": function()}

    def run_on_scheduler(self, function):
        return function()

    def nthreads(self):
        return {"tcp://worker": 1}

    def get_executor(self, pure):
        assert not pure
        return self

    def submit(self, fn, *args):
        self.count += 1
        future = Future()
        if self.count < 3:
            future.set_result(fn(*args))
        elif isinstance(self.error, CancelledError | KilledWorker):
            future.set_exception(self.error)
        else:
            self.status = self.after
            raise self.error
        return future


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "after", "fault"),
    [
        (KilledWorker("perform-1 killed four workers"), "running", WorkerDied),
        (CancelledError(), "running", ClusterLost),
        (Exception("Tried sending message after closing"), "closed", ClusterLost),
    ],
)
def test_each_way_to_lose_a_cluster_is_typed(make_sweep, monkeypatch, error, after, fault):
    module = ModuleType("distributed")
    module.Client, module.KilledWorker = Client, KilledWorker
    monkeypatch.setitem(sys.modules, "distributed", module)
    monkeypatch.setattr(Client, "error", error)
    monkeypatch.setattr(Client, "after", after)
    outcome = running.run(make_sweep(), on="tcp://x:1")
    assert isinstance(outcome.fault, fault)
    assert 0 < outcome.done < outcome.asked


@pytest.mark.slow
def test_an_error_of_a_task_is_not_taken_for_a_lost_cluster(make_sweep, monkeypatch):
    module = ModuleType("distributed")
    module.Client, module.KilledWorker = Client, KilledWorker
    monkeypatch.setitem(sys.modules, "distributed", module)
    monkeypatch.setattr(Client, "error", ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        running.run(make_sweep(), on="tcp://x:1")


class Cluster:
    """A scheduler on this machine, and workers that are processes of one thread each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self.workers: list[subprocess.Popen[str]] = []
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", "0")
        (line,) = self.told(self.scheduler, "Scheduler at:")
        self.address = line.split()[-1]

    def start(self, what: str, *options: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{what}", "--no-dashboard", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self._folder,
            env={**os.environ, **environment},
        )
        self._stack.callback(self.end, process)
        return process

    def add(self, count: int, **environment: str) -> None:
        """Start workers, and wait until the scheduler knows them."""
        options = ["--nthreads", "1", "--no-nanny", "--host", "127.0.0.1"]
        added = [self.start("worker", self.address, *options, **environment) for _ in range(count)]
        for worker in added:
            self.told(worker, "Registered to:")
        self.workers += added

    def told(self, process: subprocess.Popen[str], text: str) -> list[str]:
        assert process.stderr is not None
        for line in process.stderr:
            if text in line:
                return [line]
        raise AssertionError(f"{process.args} ended without {text!r}")

    def end(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def dask(tmp_path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


@needs_dask
@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_measures_the_same(make_sweep, dask, tmp_path, caplog):
    dask.add(2)
    lost = []

    def advance(done, asked):
        if done and not lost:
            lost.append(done)
            dask.end(dask.workers[0])

    sweep = make_sweep(fixed={"seeds": 12})
    outcome = running.run(sweep, on=dask.address, out=tmp_path / "r.db", advance=advance)
    assert outcome.fault is None
    assert not outcome.is_partial
    assert 0 < lost[0] < outcome.asked
    assert outcome == running.run(sweep)
    # What is mended, or becomes a typed error, is not logged as well.
    quiet = {"distributed.client", "tornado.application"}
    assert not quiet & {record.name for record in caplog.records}


@needs_dask
@pytest.mark.slow
def test_a_cluster_that_loses_all_is_typed_and_takes_nothing(
    make_sweep, dask, tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster, "NO_WORKERS_S", 0.0)
    monkeypatch.setattr(pools, "POLL_S", 0.2)
    monkeypatch.setattr(cluster, "CONNECT_S", 2.0)
    dask.add(1)
    file = tmp_path / "r.db"
    sweep = make_sweep(fixed={"seeds": 12})
    before = 0
    for process, told in [(dask.workers[0], "no workers"), (dask.scheduler, "has ended")]:

        def advance(done, asked, process=process, before=before):
            if done > before:
                dask.end(process)

        outcome = running.run(sweep, on=dask.address, out=file, advance=advance)
        assert isinstance(outcome.fault, ClusterLost)
        assert told in str(outcome.fault)
        assert before < outcome.done < outcome.asked
        before = outcome.done
        if process is not dask.scheduler:
            dask.add(1)
    with pytest.raises(ClusterLost, match="start a scheduler"):
        running.run(sweep, on=dask.address, out=file)
    assert running.run(sweep, out=file) == running.run(sweep)


ANOTHER_PROGRAM = """\
from dataclasses import replace
from coherence.simulate.experiments.strategies import STRATEGIES
STRATEGIES["lazy"] = replace(STRATEGIES["lazy"], speaker=STRATEGIES["inject"].speaker)
"""
NO_PROGRAM = """\
import sys

sys.modules["coherence"] = None
"""


@needs_dask
@pytest.mark.slow
def test_a_worker_that_measures_otherwise_or_not_at_all_is_refused(make_sweep, dask, tmp_path):
    sweep = make_sweep(over={"strategy": ["lazy"]})
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    (tmp_path / "sitecustomize.py").write_text(ANOTHER_PROGRAM)
    dask.add(1, PYTHONPATH=path)
    outcome = running.run(sweep, on=dask.address)
    assert isinstance(outcome.fault, StrangeFigures)
    assert "same release" in str(outcome.fault)
    assert outcome.done == 0
    (tmp_path / "sitecustomize.py").write_text(NO_PROGRAM)
    dask.add(1, PYTHONPATH=path)
    with pytest.raises(ClusterUnfit, match=r"tcp://.*: No module named 'coh.*same release"):
        running.run(sweep, on=dask.address)


@pytest.mark.slow
@needs_dask
def test_an_address_that_is_none_is_typed(make_sweep, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    for address in ("nowhere", "tcp://127.0.0.1:1", "ftp://x"):
        with pytest.raises(ClusterLost, match="start a scheduler"):
            running.run(make_sweep(), on=address)
