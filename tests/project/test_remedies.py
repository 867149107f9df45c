"""What a program says is missing can be installed, from a checkout, a wheel and a release."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pages import ROOT, declared, wanted

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SHIPPED = (
    "adapters",
    "bench",
    "causal",
    "coherence",
    "coherence_console",
    "examples",
    "message_passing",
    "specs",
)
#: Packages whose modules have other names.
DISTRIBUTIONS = {
    "agent_framework": "agent-framework-core",
    "agents": "openai-agents",
    "autogen_agentchat": "autogen-agentchat",
    "autogen_core": "autogen-agentchat",  # which needs it
    "autogen_ext": "autogen-ext",
    "langchain_core": "langchain",
}
INSTALL = re.compile(r"pip install ((?:['\"]?[a-z][\w\[\]<>=.,-]*['\"]? ?)+)")
BASE = {wanted(each) for each in PROJECT["dependencies"]}


def shipped(*suffixes: str) -> list[Path]:
    files = [path for folder in (*SHIPPED, "docs") for path in (ROOT / folder).rglob("*.*")]
    return [path for path in [*files, ROOT / "README.md"] if path.suffix in suffixes]


def test_no_text_names_an_extra_of_ours():
    """An extra is installed with a release of ours only: a remedy names the packages."""
    found = [
        str(path.relative_to(ROOT))
        for path in shipped(".py", ".md")
        if "artifact-coherence[" in path.read_text(encoding="utf-8")
    ]
    assert found == []


@pytest.mark.slow
def test_every_package_of_a_remedy_is_declared():
    """``pip install NAME`` in a message or a docstring names what pyproject.toml names."""
    unknown = []
    for path in shipped(".py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            for call in INSTALL.findall(node.value):
                names = [wanted(word.strip("'\"")) for word in call.split()]
                unknown += [(path.name, name) for name in names if name not in declared()]
    assert unknown == []


EXAMPLES = {
    path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*.py"))
}


def needed(text: str) -> set[str]:
    """The packages that an example imports beside ours and those that ours brings."""
    found = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    ours = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    ours |= {path.parent.name for path in ROOT.glob("adapters/*/__init__.py")}
    helpers = {name.removesuffix(".py") for name in EXAMPLES}
    modules = found - ours - helpers - set(sys.stdlib_module_names)
    return {DISTRIBUTIONS.get(name, name) for name in modules} - BASE


def programs() -> list[str]:
    return [
        name
        for name, text in EXAMPLES.items()
        if needed(text) and "__main__" in text and not name.endswith("_scripted.py")
    ]


@pytest.mark.slow(fast=3)
@pytest.mark.parametrize("name", programs())
def test_an_example_says_what_it_needs_before_it_fails(name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-S", ROOT / "examples" / name],  # without installed packages
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    first, _, command = done.stderr.strip().splitlines()
    assert first.startswith(f"{name} needs artifact-coherence, ")
    assert needed(EXAMPLES[name]) <= set(command.split()[2:])


def test_examples_that_need_a_framework_are_seen():
    assert "langgraph_team.py" in programs()
    assert needed("import crewai\nimport os\nfrom coherence import Ref\n") == {"crewai"}
