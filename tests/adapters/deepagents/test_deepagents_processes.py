"""Two processes on one file; the example as a stranger runs it; the script of upstream's tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("deepagents")

from coherence_deepagents import CoherentBackend

ADAPTERS = Path(__file__).parents[1]
EXAMPLES = ADAPTERS.parents[1] / "examples"
EDITS = 25

WORK = """
import sys
from coherence_deepagents import CoherentBackend

url, who = sys.argv[1:]
with CoherentBackend(url, agent=who) as backend:
    backend.read("/plan.md", 0, 1000)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(%d):
        made = backend.edit("/plan.md", f"{who} {number}: open", f"{who} {number}: done")
        assert made.error is None, made
    print("edited", flush=True)
    sys.stdin.readline()
    print(backend.write("/plan.md", "all of it, from what I read at first").error, flush=True)
"""

SUITE = """
import asyncio

from deepagents.backends.store import StoreBackend
from langgraph.store.memory import InMemoryStore

def backend():
    return StoreBackend(store=InMemoryStore(), namespace=lambda _: ("files",))

def test_a_file_is_there():
    files = backend()
    assert files.write("/a.md", "x").path == "/a.md"
    assert files.read("/a.md").file_data["content"] == "x"

def test_the_store_has_it():
    files = backend()
    files.write("/a.md", "x")
    assert files._get_store().get(("files",), "/a.md").value["content"] == "x"

def test_awaited():
    assert asyncio.run(backend().aread("/a.md")).error == "File '/a.md' not found"

def test_of_the_inside():
    files = backend()
    files.write("/a.md", "x")
    assert ("files",) in files._get_store()._data

def test_that_fails_anyway():
    assert backend().read("/a.md").error is None
"""


@pytest.mark.slow
def test_two_processes_lose_nothing(tmp_path):
    url = f"sqlite:///{tmp_path}/team.db"
    lines = [f"{who} {number}: open" for who in ("ann", "bob") for number in range(EDITS)]
    with CoherentBackend(url) as backend:
        backend.write("/plan.md", "\n".join(lines))
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", WORK % EDITS, url, who],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for who in ("ann", "bob")
        ]
        for done in ("ready\n", "edited\n"):
            for worker in workers:
                assert worker.stdout.readline() == done
            for worker in workers:
                worker.stdin.write("\n")
                worker.stdin.flush()
        said = [worker.communicate()[0] for worker in workers]
        assert all("/plan.md was not written" in each for each in said), said
        assert any("bob" in each for each in said)
        assert backend.read("/plan.md").file_data["content"].count("done") == 2 * EDITS


@pytest.mark.slow
def test_the_example(tmp_path):
    command = [sys.executable, "deepagents_files.py"]
    ran = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    kept = [line.partition("kept: ")[2] for line in lines if "kept: " in line]
    assert kept == ["bob"] * 3 + ["ann"] * 3
    assert sum("was not written" in line for line in lines) == 3
    assert lines[-1] == "coherent 4 x 50 edits   told done: 200, lost in silence: 0"


@pytest.mark.slow
def test_the_script_of_upstream_s_tests(tmp_path):
    """A case that passes with the stock backend alone is named, and fails the run."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "pytest_asyncio.py").touch()  # which the cases here do not need
    tests = tmp_path / "checkout" / "libs" / "deepagents" / "tests" / "unit_tests" / "backends"
    tests.mkdir(parents=True)
    (tests / "test_composite_backend.py").write_text(SUITE, encoding="utf-8")
    paths = [str(tmp_path / "plugins"), *sys.path]
    ran = subprocess.run(
        [
            sys.executable,
            str(ADAPTERS / "deepagents_suites.py"),
            str(tmp_path / "checkout"),
            *("--suite", "composite", "--json", "--workspace", "sqlite"),
        ],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    [row] = json.loads(ran.stdout)["suites"]
    assert (row["cases"], row["plain_passed"], row["wrapped_passed"]) == (5, 4, 3)
    assert [case.rpartition("::")[2] for case in row["lost"]] == ["test_of_the_inside"]
