"""Each adapter's page begins with a program that runs as pasted, and a diff that leads to it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from adapter_pages import reverted, shown

ROOT = Path(__file__).parents[2]
#: What each page's program imports of its framework, and the most lines of code that it has.
PAGES = {
    "agent-framework": (["agent_framework"], 60),
    "langgraph": (["langgraph"], 25),
    "crewai": (["crewai"], 60),
    "deepagents": (["deepagents"], 60),
    "autogen": (["autogen_agentchat", "autogen_ext"], 60),
}
#: Pages that begin otherwise, or whose programs run elsewhere: tests/adapters/test_apart.py.
OTHERS = {"guard", "index", "mcp", "openai-agents", "scenarios"}
#: Runs in each process before the program does, and tells of every connection that is tried.
WATCH = """
import sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        sys.stderr.write(f"CONNECTS {arguments[-2:]}\\n")

sys.addaudithook(watch)
"""


def lines_of_code(lines: Sequence[str]) -> int:
    return sum(1 for line in lines if line.strip())


@pytest.fixture(params=PAGES)
def page(request):
    """A page of an adapter whose framework is here."""
    packages, _ = PAGES[request.param]
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    return shown(request.param)


def test_every_page_is_here():
    there = {page.stem for page in (ROOT / "docs" / "adapters").glob("*.md")} - OTHERS
    assert there == set(PAGES), "name in PAGES what the program of each page imports"


@pytest.fixture
def run(tmp_path):
    """Runs a program in a process of its own, in an empty folder; what it prints."""
    here, watch, empty = tmp_path / "program.py", tmp_path / "watch", tmp_path / "empty"
    for folder in (watch, empty):
        folder.mkdir()
    (watch / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
    # What other tests set is taken away: a user has pasted the program, and nothing else.
    ours = ("CREWAI_", "LANGSMITH_", "OTEL_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    path = os.pathsep.join(filter(None, [str(watch), env.get("PYTHONPATH")]))
    env |= {"PYTHONPATH": path, "CREWAI_STORAGE_DIR": str(tmp_path / "crewai")}

    def run(program: str) -> str:
        here.write_text(program, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, here],
            cwd=empty,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        assert "CONNECTS" not in done.stderr
        assert list(empty.iterdir()) == []
        # In the first run of a user some releases of CrewAI draw a box about tracing.
        return re.sub(r"^(?:[╭│╰].*)?\n", "", done.stdout, flags=re.MULTILINE)

    return run


@pytest.mark.slow
def test_the_first_program_runs_as_pasted(page, run):
    assert run(page.program) == page.prints


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(
    "page",
    # CrewAI takes its time to be imported.
    [pytest.param(name, marks=[pytest.mark.slow] * (name == "crewai")) for name in PAGES],
    indirect=True,
)
def test_without_what_the_diff_adds_a_change_is_lost(page, run):
    """The diff taken back from the program leaves a plain team, which prints what the page says."""
    assert run(reverted(page.program, page.diff)) == page.plain_prints
    assert page.plain_prints != page.prints


@pytest.mark.parametrize("name", PAGES)
def test_a_page_begins_with_pip_and_a_short_program(name):
    shows = shown(name)
    start, _, _ = shows.text.partition("```python\n")
    package = rf"(?:{name}|{name}-agentchat|{name}-core)\b"
    assert re.match(rf"# [\w ]+\n\n```sh\npip install \. {package}", start)
    assert lines_of_code(shows.program.splitlines()) <= PAGES[name][1]


@pytest.mark.parametrize("name", PAGES)
def test_a_diff_is_as_long_as_its_page_says(name):
    shows = shown(name)
    signed = [line for line in shows.diff.splitlines() if line[1:].strip()]
    added, removed = (sum(1 for line in signed if line[0] == sign) for sign in "+-")
    assert f"(+{added} -{removed} lines)" in shows.text
    plain = reverted(shows.program, shows.diff)
    assert "coherence" not in plain
    assert "Coherent" not in plain


@pytest.mark.parametrize("name", PAGES)
def test_the_tests_that_a_page_names_are_there(name):
    texts = "".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("*.py")
    )
    for named in re.findall(r"`(test_\w+)[`\[]", shown(name).text):
        assert f"def {named}(" in texts


def test_the_default_that_loses_is_in_the_first_screen_of_langgraph():
    shows = shown("langgraph")
    first, _, _ = shows.text.partition("\n## ")
    assert "**By default a put without a get replaces the item" in first


def test_a_diff_whose_after_side_is_not_the_program_is_noticed():
    assert reverted("a\nb\nc\n", " a\n+b\n") == "a\nc\n"
    assert reverted("a\nb\nc\n", "-x\n+a\n@@\n-y\n+c\n") == "x\nb\ny\n"
    for wrong in ("+d\n", "+c\n@@\n+a\n"):
        with pytest.raises(AssertionError, match=r"program|order"):
            reverted("a\nb\nc\n", wrong)


def test_a_program_that_connects_is_noticed(run):
    with pytest.raises(AssertionError, match="CONNECTS"):
        run("import socket\nsocket.getaddrinfo('127.0.0.1', 80)\n")
