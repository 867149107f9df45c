"""Adapters translate, no more: what they could share has a room in coherence/context or causal."""

import ast
import io
import re
import sys
import tokenize
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CODE_LINES_MAX = 210
#: Of an adapter that is a store of items, for callers that block and for callers that await.
STORE_LINES_MAX = 400

# What each adapter is for; pydantic is how CrewAI describes a tool.
FRAMEWORKS = {
    "coherence_autogen": {"autogen_core"},
    "coherence_crewai": {"crewai", "pydantic"},
    "coherence_langgraph": {"langchain", "langchain_core", "langgraph"},
}
OURS = {"causal", "coherence", "message_passing"}

UNCOUNTED = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
SAMPLE = '''"""A module."""

import re  # why

# A remark.
def f(
    x,
):
    """It."""
    return """x
"""
'''


def code_lines(text):
    """How many lines hold code: no blank ones, comments or docstrings."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in UNCOUNTED:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def imported(text):
    """The packages that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.fixture(params=FRAMEWORKS)
def adapter(request):
    """The name of an adapter, and the text of each of its modules."""
    modules = sorted((ROOT / "adapters" / request.param).rglob("*.py"))
    return request.param, {path.name: path.read_text(encoding="utf-8") for path in modules}


def test_code_is_what_is_counted():
    assert code_lines(SAMPLE) == 6


def test_every_adapter_is_here():
    there = {path.parent.name for path in ROOT.glob("adapters/*/__init__.py")}
    assert there == set(FRAMEWORKS)


def test_an_adapter_is_short(adapter):
    _, texts = adapter
    lines = {name: code_lines(text) for name, text in texts.items()}
    limit = STORE_LINES_MAX if "store.py" in {Path(name).name for name in texts} else CODE_LINES_MAX
    assert sum(lines.values()) <= limit, lines


def test_an_adapter_imports_its_framework_and_us(adapter):
    package, texts = adapter
    allowed = OURS | FRAMEWORKS[package] | {package} | set(sys.stdlib_module_names)
    stray = {name: imported(text) - allowed for name, text in texts.items()}
    assert not any(stray.values()), stray


# What the docs say was tried: package, oldest, newest.
PAGES = sorted((ROOT / "docs" / "adapters").glob("*.md"))
TRIED = {
    found[1]: (found[2], found[3])
    for page in PAGES
    for found in re.finditer(
        r"^\| ([a-z-]+)(?: \([\w ]+\))? \| ([\d.]+) \| ([\d.]+) \|$", page.read_text(), re.MULTILINE
    )
}


def release(version):
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def test_every_framework_is_in_a_table_of_what_was_tried():
    assert {"autogen-agentchat", "autogen-core", "crewai", "langchain", "langgraph"} <= set(TRIED)


@pytest.mark.parametrize("package", TRIED)
def test_the_release_that_is_here_was_tried(package):
    """Once these tests pass with a newer release, the docs should say so."""
    try:
        here = metadata.version(package)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    oldest, newest = TRIED[package]
    assert release(oldest) <= release(here) <= release(newest)


@pytest.mark.parametrize("extra", ["autogen", "crewai", "langgraph"])
def test_an_extra_asks_for_the_oldest_that_was_tried(extra):
    for wanted in PYPROJECT["project"]["optional-dependencies"][extra]:
        name, oldest = re.match(r"([a-z-]+)>=([\d.]+),<", wanted).groups()
        assert TRIED[name][0] == oldest
