"""Examples in the docstrings of modules run, and files of tests have names of their own."""

from __future__ import annotations

import ast
import re
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from coherence import Workspace
from coherence.stores.memory import MemoryStore

ROOT = Path(__file__).parents[2]
PACKAGES = ("message_passing", "coherence", "causal", "specs")
_BLOCK = re.compile(r"::\n\n((?:    .*\n|\n)+)")


def examples(text: str) -> list[str]:
    """The indented blocks of a docstring that begin with an import: whole programs."""
    blocks = [textwrap.dedent(block).strip() + "\n" for block in _BLOCK.findall(text + "\n")]
    return [block for block in blocks if block.startswith(("from ", "import "))]


EXAMPLES = [
    pytest.param(block, id=f"{path.relative_to(ROOT)}")
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    for block in examples(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
]


@pytest.mark.parametrize("program", EXAMPLES)
def test_an_example_in_a_docstring_runs(program, tmp_path, monkeypatch):
    if "json.patch" in program:
        pytest.importorskip("jsonpatch")
    if "telemetry" in program:
        pytest.importorskip("opentelemetry.metrics")
    monkeypatch.chdir(tmp_path)
    with Workspace() as workspace:
        given = {"workspace": workspace, "agent": workspace.agent("ann"), "MyStore": MemoryStore}
        try:
            exec(compile(program, "<docstring>", "exec"), given)
        finally:
            for left in [each for each in given.values() if isinstance(each, Workspace)]:
                left.close()


def test_there_are_examples():
    assert len(EXAMPLES) > 2
    assert examples("Words::\n\n    import this\n\nMore words.\n") == ["import this\n"]
    assert examples("A tree::\n\n    root\n") == []


def test_no_two_files_of_tests_share_a_name():
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, times in names.items() if times > 1] == []
