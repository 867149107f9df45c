"""The script that runs LangGraph's own suites, on a checkout with a suite of our own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("langgraph")

ADAPTERS = Path(__file__).parents[1]

SUITE = """
import langgraph.store.memory
from langgraph.store.memory import InMemoryStore

def test_a_put_is_there():
    store = InMemoryStore()
    store.put(("a",), "k", {"n": 1})
    assert store.get(("a",), "k").value == {"n": 1}

def test_a_list_is_shared():
    store, value = InMemoryStore(), {"n": [1]}
    store.put(("a",), "k", value)
    value["n"].append(2)
    assert store.get(("a",), "k").value == {"n": [1, 2]}

def test_that_fails_anyway():
    assert InMemoryStore().get(("a",), "k") is not None
"""

#: pytest's plugins that the suites of LangGraph need, as far as this one does: their names.
NEEDED = ("pytest_asyncio", "pytest_mock")


@pytest.fixture
def run(tmp_path):
    """Runs the script on a checkout whose tests are `suite`."""

    def of(suite, *options):
        tests = tmp_path / "checkout" / "libs" / "checkpoint" / "tests"
        tests.mkdir(parents=True)
        (tests / "__init__.py").touch()
        (tests / "test_store.py").write_text(suite, encoding="utf-8")
        paths = [*sys.path, str(tmp_path / "plugins")]
        for name in NEEDED:
            (tmp_path / "plugins").mkdir(exist_ok=True)
            (tmp_path / "plugins" / f"{name}.py").touch()
        script = [sys.executable, str(ADAPTERS / "langgraph_suites.py")]
        return subprocess.run(
            [*script, str(tmp_path / "checkout"), "--suite", "memory", *options],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            capture_output=True,
            text=True,
            check=False,
        )

    return of


@pytest.mark.slow
def test_a_case_that_fails_wrapped_alone_is_named_and_fails_the_run(run):
    ran = run(SUITE, "--json")
    assert ran.returncode == 1, ran.stderr
    [row] = json.loads(ran.stdout)["suites"]
    assert (row["cases"], row["plain_passed"], row["wrapped_passed"]) == (3, 2, 1)
    assert [*row["lost"]] == ["tests/test_store.py::test_a_list_is_shared"]
    assert [*row["plain_failed"]] == ["tests/test_store.py::test_that_fails_anyway"]


@pytest.mark.slow
def test_what_fails_plain_too_is_not_ours(run):
    ran = run(SUITE.replace("[1, 2]", "[1]"), "--workspace", "sqlite")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines()[1].split() == ["memory", "sqlite", "3", "1", "2", "0"]


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    script = [sys.executable, str(ADAPTERS / "langgraph_suites.py"), str(tmp_path)]
    ran = subprocess.run(script, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "no libs/checkpoint/tests" in ran.stderr
