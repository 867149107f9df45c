"""Adapters translate, no more: what they could share has a room in coherence/context or causal."""

import ast
import io
import re
import sys
import tokenize
import tomllib
import warnings
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CODE_LINES_MAX = 245
#: Of adapters with a limit of their own.
LINES_MAX = {
    "coherence_agent_framework": 200,
    "coherence_guard": 500,
    "coherence_mcp": 400,
    "coherence_openai_agents": 80,
}
#: Of an adapter that is a store of items, for callers that block and for callers that await.
STORE_LINES_MAX = 430

# What each adapter is for; pydantic is how CrewAI describes a tool.
FRAMEWORKS = {
    "coherence_agent_framework": {"agent_framework"},
    "coherence_autogen": {"autogen_core"},
    "coherence_crewai": {"crewai", "pydantic"},
    "coherence_deepagents": {"deepagents", "langchain", "langchain_core", "langgraph"},
    "coherence_guard": set(),
    "coherence_langgraph": {"langchain", "langchain_core", "langgraph"},
    "coherence_mcp": {"anyio", "mcp", "mcp_types", "pydantic", "typer", "uvicorn"},
    "coherence_openai_agents": {"agents"},
}
OURS = {"causal", "coherence", "file_guard", "message_passing"}
#: Of adapters without a framework.
LIBRARIES = {"coherence_guard": {"msgspec", "typer"}}

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
    assert there == set(FRAMEWORKS), "name in FRAMEWORKS what each adapter may import"


def test_an_adapter_is_short(adapter):
    package, texts = adapter
    lines = {name: code_lines(text) for name, text in texts.items()}
    limit = STORE_LINES_MAX if "store.py" in {Path(name).name for name in texts} else CODE_LINES_MAX
    assert sum(lines.values()) <= LINES_MAX.get(package, limit), lines


def test_an_adapter_imports_its_framework_and_us(adapter):
    package, texts = adapter
    allowed = OURS | FRAMEWORKS[package] | {package} | set(sys.stdlib_module_names)
    allowed |= LIBRARIES.get(package, set())
    stray = {name: imported(text) - allowed for name, text in texts.items()}
    assert not any(stray.values()), stray


def adapter_of(page):
    return f"coherence_{page.replace('-', '_')}"


# What the pages say was tried, each in one form: package, oldest, newest.
PAGES = {
    page.stem: page.read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs" / "adapters").glob("*.md"))
    if FRAMEWORKS.get(adapter_of(page.stem))
}
TABLE = re.compile(
    r"^## Tested with\n\n\| package \| oldest \| newest \|\n\|---\|---\|---\|\n((?:\|.*\|\n)+)"
    r"\nPython 3\.11, and the newest with 3\.12 and 3\.13\.\n",
    re.MULTILINE,
)
ROW = re.compile(r"\| ([a-z-]+)(?: \([\w ]+\))? \| (\d[\d.]+) \| (\d[\d.]+) \|")
OPTIONAL = PYPROJECT["project"]["optional-dependencies"]
#: Package -> the oldest release that we ask for, and the first that we do not take.
ASKED = {
    found[1]: (found[2], found[3])
    for extra in (*PAGES, "frameworks")
    for wanted in OPTIONAL[extra]
    if (found := re.fullmatch(r"([a-z-]+)>=([\d.]+),<([\d.]+)", wanted))
}


def tried(text):
    """What a page says was tried: package -> oldest, newest."""
    (rows,) = TABLE.findall(text)
    found = [ROW.fullmatch(row) for row in rows.splitlines()]
    assert all(found), rows
    return {row[1]: (row[2], row[3]) for row in found}


TRIED = {
    package: (name, *span) for name, text in PAGES.items() for package, span in tried(text).items()
}


def release(version):
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def test_every_framework_is_in_a_table_of_what_was_tried():
    assert {adapter_of(page) for page in PAGES} == {name for name in FRAMEWORKS if FRAMEWORKS[name]}
    assert set(TRIED) == set(ASKED)


@pytest.mark.parametrize("package", TRIED)
def test_the_oldest_and_the_newest_are_among_what_is_asked_for(package):
    _, oldest, newest = TRIED[package]
    lowest, below = ASKED[package]
    assert oldest == lowest
    assert release(oldest) <= release(newest) < release(below)


@pytest.mark.parametrize("package", TRIED)
def test_the_release_that_is_here_was_tried(package):
    try:
        here = metadata.version(package)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    page, oldest, newest = TRIED[package]
    if page in OPTIONAL["apart"][0] and find_spec("crewai"):
        pytest.skip(f"{package} is that of CrewAI: the adapter is tested in an environment apart")
    assert release(oldest) <= release(here), f"{package} {here} is older than all that was tried"
    assert release(here) <= release(newest), (
        f"{package} {here} is newer than {newest}, the newest that docs/adapters/{page}.md says "
        f"was tried: once tests/adapters pass, write {here} there"
    )


def required(text):
    """What a module asks of a framework as it is imported: package -> oldest, below."""
    calls = [node.value for node in ast.parse(text).body if isinstance(node, ast.Expr)]
    return {
        call.args[0].value: tuple(ast.literal_eval(bound) for bound in call.args[1:])
        for call in calls
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "require"
    }


def test_an_adapter_refuses_what_is_not_asked_for(adapter):
    package, texts = adapter
    if not FRAMEWORKS[package]:
        return
    bounds = {}
    for text in texts.values():
        bounds |= required(text)
    assert bounds, "call require, of coherence.context.frameworks, as the package is imported"
    for package, spans in bounds.items():
        for bound, asked in zip(spans, ASKED[package], strict=True):
            padded, wanted = (part + (0,) * (3 - len(part)) for part in (bound, release(asked)))
            assert padded == wanted, package


def test_one_warning_of_one_module_is_let_through():
    """Of an opentelemetry that an old CrewAI brings; without it nothing is collected there."""
    said = "SelectableGroups dict interface is deprecated. Use select.", DeprecationWarning
    warnings.warn_explicit(*said, "its.py", 1, module="opentelemetry.util._importlib_metadata")
    for module in ("opentelemetry.util", "coherence.context.frameworks"):
        with pytest.raises(DeprecationWarning):
            warnings.warn_explicit(*said, "its.py", 1, module=module)
