"""Every code block of README and docs runs as pasted.

A reader of a page pastes its blocks in their order, in one session of Python that begins in an
empty folder.  Tests do the same (`tests/pages.py`):

- ``python`` is run, in the names of the blocks before it.  A following ``text`` block is what it
  prints; "..." stands for text that is not shown, a line of it for any number of lines.
- ``sh`` is run by bash and must succeed; a following ``text`` block is what it prints.
- ``console`` is a transcript: each command after ``$ ``, and below it what it prints.
- ``python title="team.py"`` (any language) is a file: it is saved, and a later block runs or
  imports it.
- ``json`` and ``toml`` are parsed, ``diff``, ``mermaid``, ``tla``, ``sql`` and blocks without a
  language (layouts, drawings, formulas) are only looked at.

In the folder are ``examples`` and ``bench`` of the checkout.  ``pip install`` and ``make`` install
and build nothing: they check that pyproject.toml names each package and that the target exists.
``python3 -m venv`` makes an environment that changes nothing.
TEAM_DATABASE is the address of an empty PostgreSQL database where a page names it.

A comment on the line before a block, which readers do not see, says what is different:

- ``<!-- block: shown, REASON -->``: not run, or (``text``) not compared.  Python must still parse.
- ``<!-- block: raises Conflict -->``: this error ends the block, as its last line of output.
- ``<!-- block: fresh -->``: a new program, without the names of the blocks before it.
- ``<!-- block: slow -->``: takes seconds; runs with the slow tests.

Pages that import an agent framework run with the slow tests, where the framework is installed.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pages
import pytest
from pages import ROOT, Block, Session, blocks, session

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def ndjson(text: str) -> list[object]:
    return [json.loads(line) for line in text.splitlines()]


PARSED = {"json": json.loads, "ndjson": ndjson, "toml": tomllib.loads}
LANGUAGES = {"", "python", "sh", "console", "text", "diff", "mermaid", "sql", "tla", *PARSED}
MARK = re.compile(r"shown, \S.*|raises \w+|fresh|slow")
FRAMEWORKS = {
    "agent_framework",
    "agents",
    "autogen_agentchat",
    "autogen_core",
    "crewai",
    "deepagents",
    "langchain",
    "langgraph",
}


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def imports(block: Block) -> set[str]:
    """The packages that a Python block imports, in the order of nothing."""
    if block.language != "python":
        return set()
    found = set()
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def is_slow(given: Session) -> bool:
    return any(imports(step.block) & FRAMEWORKS for step in given.steps) or bool(
        pages.installs(given) & {each.replace("_", "-") for each in FRAMEWORKS}
    )


def cases() -> list[pytest.param]:
    """Each page once with the fast tests, or with the slow ones, or once with each."""
    found = []
    for page in PAGES:
        whole, brief = session(page, slow=True), session(page, slow=False)
        framework = is_slow(whole)
        if brief.steps and not framework:
            found.append(pytest.param(brief, id=named(page)))
        if whole.steps and (framework or whole != brief):
            found.append(pytest.param(whole, id=f"{named(page)}-slow", marks=pytest.mark.slow))
    return found


def missing(given: Session) -> list[str]:
    """The packages that a page needs and that are not installed."""
    files = {Path(step.block.title).stem for step in given.steps}
    modules = set().union(*(imports(step.block) for step in given.steps)) - files
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    for package in pages.installs(given):
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            absent.append(package)
    return absent


@pytest.fixture
def read(tmp_path, request):
    """Reads a page in a folder and a process of its own."""

    def read(given: Session, times: int = 1) -> None:
        if absent := missing(given):
            pytest.skip(f"not installed: {', '.join(sorted(absent))}")
        folder = tmp_path / "reader"
        folder.mkdir()
        for name in ("examples", "bench"):
            (folder / name).symlink_to(ROOT / name)
        # What other tests set is taken away: a reader has a fresh terminal.
        ours = ("COHERENCE_", "CREWAI_", "LANGSMITH_", "OTEL_")
        env = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        programs = [str(pages.stubs(tmp_path / "bin")), str(Path(sys.executable).parent)]
        env |= {
            "CI": "1",  # Hypothesis then fails nothing for being slow
            "COLUMNS": "100",
            "CREWAI_STORAGE_DIR": str(tmp_path / "crewai"),
            "NO_COLOR": "1",
            "PATH": os.pathsep.join([*programs, env["PATH"]]),
            "PYTEST_PLUGINS": "coherence_pytest",  # a checkout may have been installed before it
        }
        if any("TEAM_DATABASE" in step.block.text for step in given.steps):
            env["TEAM_DATABASE"] = request.getfixturevalue("postgres_url")
        for _ in range(times):
            done = subprocess.run(
                [sys.executable, pages.__file__],
                cwd=folder,
                env=env,
                input=json.dumps(given),
                capture_output=True,
                text=True,
                check=False,
                timeout=110,
            )
            assert done.returncode == 0, done.stderr
            # Frameworks warn of this and that.
            assert is_slow(given) or done.stderr == ""

    return read


@pytest.mark.slow
@pytest.mark.parametrize("given", cases())
def test_a_reader_can_paste_every_block(given, read):
    read(given)


@pytest.mark.slow
def test_the_readme_can_be_pasted_twice(read):
    """A file that the first run has left does not stop the second."""
    given = session(ROOT / "README.md", slow=False)
    first = next(step for step in given.steps if step.block.language == "python")
    read(Session(given.page, [first]), times=2)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_blocks_are_known_and_parse(page):
    said = page.read_text(encoding="utf-8")
    found = blocks(said)
    assert said.count("```") == 2 * len(found)
    for number, block in enumerate(found):
        where = f"{named(page)}:{block.line}"
        assert block.language in LANGUAGES, f"{where}: {block.language}"
        assert not block.mark or MARK.fullmatch(block.mark), f"{where}: {block.mark}"
        if block.language == "python":
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if block.shown else 0
            compile(block.text, where, "exec", flags | ast.PyCF_ONLY_AST)
        if block.language in PARSED and not block.shown:
            PARSED[block.language](block.text)
        if block.title and not block.shown:
            later = "".join(each.text for each in found[number + 1 :])
            assert Path(block.title).stem in later, f"{where}: no block uses {block.title}"
    assert said.count("<!-- block:") == sum(1 for block in found if block.mark)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_blocks_are_fenced(page):
    """A block by indentation has no language: it is neither coloured nor run."""
    text = re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"))
    loose = re.findall(r"(?m)^(?![-*] |\d+\. |  )[^\n]*\n\n    (\S.*)$", text)
    assert loose == []


# What tests see


def said(text: str, tmp_path: Path, read) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    read(session(page, slow=False))


@pytest.mark.slow(fast=4)
@pytest.mark.parametrize(
    "text",
    [
        "```python\nx = 1\n```\n\n```python\nassert x == 1\n```\n",
        "```python\nprint('one')\n```\n\n```text\none\n```\n",
        "```python\nprint('a\\nb 7\\nc')\n```\n\n```text\na\nb ...\nc\n```\n",
        "```python\nprint('a\\nb\\nc')\n```\n\n```text\n...\nc\n```\n",
        "<!-- block: raises KeyError -->\n```python\n{}['a']\n```\n\n```text\nKeyError: 'a'\n```\n",
        "<!-- block: shown, one needs a key -->\n```sh\nexit 7\n```\n",
        '```python title="two.py"\nx = 2\n```\n\n```python\nimport two\nassert two.x == 2\n```\n',
        "```sh\npip install langgraph msgspec .\nmake test\n```\n",
        "```console\n$ echo a\na\n$ ls none\nls: ...\n$ echo b\nb\n```\n",
    ],
)
def test_a_page_that_does_what_it_says(text, tmp_path, read):
    said(text, tmp_path, read)


@pytest.mark.slow(fast=6)
@pytest.mark.parametrize(
    "text",
    [
        "```python\nx = 1\n```\n\n<!-- block: fresh -->\n```python\nassert x == 1\n```\n",
        "```python\nprint('one')\n```\n\n```text\ntwo\n```\n",
        "```python\nprint('a\\nb\\nc')\n```\n\n```text\na\n...\nd\n```\n",
        "<!-- block: raises KeyError -->\n```python\n{}\n```\n",
        "<!-- block: raises KeyError -->\n```python\n[][1]\n```\n",
        "```sh\nexit 7\n```\n",
        "```sh\nfalse\ntrue\n```\n",
        "```sh\npip install pytest unheard-of\n```\n",
        "```sh\nmake unheard-of\n```\n",
        "```console\n$ echo a\nb\n```\n",
        "```console\n$ false\n```\n",
        "```python\nimport sys\nprint('noise', file=sys.stderr)\n```\n",
    ],
)
def test_a_page_that_does_not(text, tmp_path, read):
    with pytest.raises(AssertionError):
        said(text, tmp_path, read)
