"""The import contracts catch what they forbid: broken in a copy of the tree, each says so."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LINTER = PYPROJECT["tool"]["importlinter"]

# How each rule is broken: the contract, a file, the line added at its end, what is reported.
VIOLATIONS = {
    "symbolic execution": (
        "symbolic",
        "specs/symbolic/engine.py",
        "import coherence.directory",
        "specs.symbolic.engine -> coherence.directory",
    ),
    "the judge leaning on what it judges": (
        "histories",
        "specs/histories/orders.py",
        "import coherence.messages",
        "specs.histories.orders -> coherence.messages",
    ),
    "pure, directly": (
        "pure",
        "message_passing/process.py",
        "import random",
        "message_passing.process -> random",
    ),
    "pure, through a driver": (
        "pure",
        "message_passing/network.py",
        "import message_passing.simulator",
        "message_passing.network -> message_passing.simulator",
    ),
    "pure, in a module that is new": (
        "pure",
        "message_passing/new.py",
        "import socket",
        "new -> socket",
    ),
    "upwards": (
        "layers",
        "message_passing/network.py",
        "import coherence",
        "message_passing.network -> coherence",
    ),
    "between the engines": (
        "layers",
        "coherence/aside.py",
        "import causal",
        "coherence.aside -> causal",
    ),
    "an adapter used by an engine": (
        "layers",
        "coherence/aside.py",
        "import coherence_langgraph",
        "coherence.aside -> coherence_langgraph",
    ),
    "the other way": ("layers", "causal/aside.py", "import coherence", "causal.aside -> coherence"),
    "downwards, out of the checker": (
        "checker",
        "specs/checker/aside.py",
        "import message_passing",
        "specs.checker.aside -> message_passing",
    ),
    "an engine in a hook": (
        "file-guard",
        "file_guard/aside.py",
        "import message_passing.errors",
        "file_guard.aside -> message_passing.errors",
    ),
    "decisions on files that read files": (
        "file-rules",
        "file_guard/rules.py",
        "import os",
        "file_guard.rules -> os",
    ),
    "production leaning on a scheduler of tests": (
        "testing",
        "coherence/workspace/draft.py",
        "import coherence.testing",
        "coherence.workspace.draft -> coherence.testing",
    ),
    "a search that knows threads": (
        "searches",
        "coherence/testing/search.py",
        "import threading",
        "coherence.testing.search -> threading",
    ),
    "the reference model leaning on the engine": (
        "reference",
        "coherence/simulate/paper.py",
        "import coherence.table",
        "coherence.simulate.paper -> coherence.table",
    ),
}

# What importing a package must not load: it would cost every user what few of them need.
HEAVY = {
    "agent_framework",
    "autogen_core",
    "crewai",
    "langgraph",
    "matplotlib",
    "networkx",
    "numba",
    "numpy",
    "psycopg",
}


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command as main; main()",
    ]
    return subprocess.run(
        [*command, "--no-cache", "--no-logo"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "adapters")},
        capture_output=True,
        text=True,
        check=False,
    )


def folder(package: str) -> str:
    """Where a package is: at the root, or under the source root of the adapters."""
    return package if (ROOT / package).exists() else f"adapters/{package}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the packages and their contracts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in LINTER["root_packages"]:
        shutil.copytree(ROOT / folder(package), tmp_path / folder(package))
    return tmp_path


@pytest.mark.slow
def test_the_tree_keeps_its_contracts(tree):
    kept = lint(tree)
    assert kept.returncode == 0, kept.stdout + kept.stderr


def test_every_contract_is_broken_once():
    broken = {contract for contract, *_ in VIOLATIONS.values()}
    assert broken == {contract["id"] for contract in LINTER["contracts"]}


@pytest.mark.slow
def test_every_violation_is_named(tree):
    for _, file, line, _ in VIOLATIONS.values():
        with (tree / file).open("a", encoding="utf-8") as module:
            module.write(f"\n{line}\n")
    broken = lint(tree)
    assert broken.returncode == 1, broken.stdout + broken.stderr
    said = " ".join(broken.stdout.split())
    assert [what for what, (*_, report) in VIOLATIONS.items() if report not in said] == []


@pytest.mark.parametrize("package", [p for p in LINTER["root_packages"] if folder(p) == p])
def test_an_import_stays_light(package):
    loaded = subprocess.run(
        [sys.executable, "-c", f"import {package}, sys; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert HEAVY.intersection(loaded.stdout.split()) == set()
