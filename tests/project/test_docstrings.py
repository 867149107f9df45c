"""Examples in the docstrings of modules run, and files of tests have names of their own."""

from __future__ import annotations

import ast
import re
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from coherence import Workspace

ROOT = Path(__file__).parents[2]
PACKAGES = ("message_passing", "coherence", "causal", "specs", "adapters")
_BLOCK = re.compile(r"::\n\n((?:[ ]+.*\n|\n)+)")
_TEAM = """
from message_passing import Invoke, Send, Simulator, Step, Value

class Start(Value, frozen=True, gc=False, tag=True):
    rounds: int

class Ping:
    def __init__(self, other=None):
        self.other = other

    def initial(self):
        return 0

    def step(self, state, event, now):
        sends = [Send(self.other, event.request)] if isinstance(event, Invoke) else []
        return Step(state + 1, sends, "Ping")

Pong = Ping
"""
#: What a reader has before an example that is not a whole program, by its module.
BEFORE = {
    "causal/recorder.py": (
        "from causal import Endpoint, MemoryHub, Recorder\nteam, hub = ['ann'], MemoryHub()"
    ),
    "coherence/policy.py": "from coherence import Announce, Policy",
    "coherence/runtime/recorder.py": "from coherence import Recorder, Workspace",
    "coherence/stores/conformance.py": "from coherence.stores.memory import MemoryStore as MyStore",
    "coherence/workspace/json.py": "agent = Workspace().agent('ann')",
    "coherence/workspace/overview.py": (
        "from coherence.stores.opening import open_store\n"
        "from coherence.workspace.overview import Observer\n"
        "Workspace('sqlite:///team.db').close()"
    ),
    "coherence/workspace/telemetry.py": "workspace = Workspace()",
    "message_passing/simulator.py": _TEAM,
    "specs/checker/model.py": "from specs.checker import Model, always",
    "specs/checker/stateful.py": (
        "from specs.checker import Model\nfrom specs.checker.stateful import state_machine\n"
        "clock = Model('clock', [1], lambda hour: [('tick', hour % 12 + 1)], [])"
    ),
}
#: Modules whose examples need a framework and a model: the first program of the adapter's page,
#: which a test runs, is the same with both.
PARTS = {
    f"adapters/coherence_{name}/__init__.py"
    for name in (
        "agent_framework",
        "autogen",
        "crewai",
        "deepagents",
        "langgraph",
        "openai_agents",
    )
}


def examples(text: str) -> list[str]:
    """The literal blocks of a docstring that are Python and call something or define a class."""
    found = []
    for block in _BLOCK.findall(text + "\n"):
        program = textwrap.dedent(block).strip() + "\n"
        try:
            flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            tree = compile(program, "<docstring>", "exec", flags)
        except SyntaxError:
            if program.startswith(("async ", "class ", "def ", "from ", "import ", "with ")):
                raise
            continue
        if any(isinstance(node, ast.Call | ast.ClassDef | ast.Import) for node in ast.walk(tree)):
            found.append(program)
    return found


def documented(path: Path) -> list[str]:
    """The docstrings of a module with a literal block, its classes and its functions."""
    source = path.read_text("utf-8")
    if "::\n" not in source:  # to read them all takes longer than most tests
        return []
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return [text for node in nodes if (text := ast.get_docstring(node))]


EXAMPLES = [
    pytest.param(path.relative_to(ROOT).as_posix(), block, id=f"{path.relative_to(ROOT)}-{number}")
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    for number, block in enumerate(block for text in documented(path) for block in examples(text))
]


@pytest.mark.parametrize(("module", "program"), EXAMPLES)
def test_an_example_in_a_docstring_runs(module, program, tmp_path, monkeypatch):
    # An example with an argument left out can be read, but not run.
    if module in PARTS or re.search(r"\.\.\.[,)]|^async |^await ", program, re.MULTILINE):
        return
    if package := {"json": "jsonpatch", "telemetry": "opentelemetry.metrics"}.get(
        Path(module).stem
    ):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    given: dict[str, object] = {"Workspace": Workspace, "__name__": "example"}
    try:
        exec(compile(BEFORE.get(module, ""), "<before>", "exec"), given)
        exec(compile(program, "<docstring>", "exec"), given)
    finally:
        for opened in given.values():
            if callable(close := getattr(opened, "close", None)) and not isinstance(opened, type):
                close()


def test_there_are_examples():
    assert len(EXAMPLES) > 10
    assert {param.values[0] for param in EXAMPLES} >= set(BEFORE) | PARTS
    assert examples("Words::\n\n    import this\n\nMore words.\n") == ["import this\n"]
    assert examples("A tree::\n\n    root\n") == []
    with pytest.raises(SyntaxError):
        examples("Words::\n\n    from a import b\n    b(c=1, ..., 2)\n")


def test_no_two_files_of_tests_share_a_name():
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, times in names.items() if times > 1] == []
