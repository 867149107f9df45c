"""The code blocks of a page, and a reader who pastes them one after the other.

The rules are in `tests/project/test_blocks.py`.  As a program, this module is the reader: it takes
one `Session` as JSON from its input and ends with an error at the first block that does not do
what its page says.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import traceback
import types
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(
    r"^(?:<!-- block: (?P<mark>[^\n]*?) -->\n+)?"
    r"(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_SHELLS = ("sh", "console")


class Block(NamedTuple):
    """A fenced block: the line of its first line of text, its language, its title, its mark."""

    line: int
    language: str
    title: str
    mark: str
    text: str

    @property
    def shown(self) -> bool:
        return self.mark.startswith("shown")

    @property
    def raises(self) -> str:
        """The name of the error that ends the block."""
        word, _, name = self.mark.partition(" ")
        return name if word == "raises" else ""

    @property
    def runs(self) -> bool:
        return self.language in ("python", *_SHELLS) and not (self.shown or self.title)


class Step(NamedTuple):
    """A block that is pasted or saved, and what the page says that it prints, if it does."""

    block: Block
    prints: str | None


class Session(NamedTuple):
    """The blocks of one page in their order."""

    page: str
    steps: list[Step]


def blocks(page: str) -> list[Block]:
    """Every fenced block of the Markdown text `page`."""
    found = []
    for fence in _FENCE.finditer(page):
        language, _, rest = fence["info"].strip().partition(" ")
        title = re.search(r'title="([^"]*)"', rest)
        line = page.count("\n", 0, fence.start("text")) + 1
        text = re.sub(rf"^{fence['indent']}", "", fence["text"], flags=re.MULTILINE)
        found.append(Block(line, language, title[1] if title else "", fence["mark"] or "", text))
    return found


def session(page: Path, *, slow: bool) -> Session:
    """What a reader of `page` does; without `slow`, what takes a moment only."""
    steps: list[Step] = []
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.mark == "slow" and not slow:
            continue
        if block.language == "text" and not block.mark and steps:
            last = steps[-1]
            if last.block.runs and last.prints is None:
                steps[-1] = Step(last.block, block.text)
        elif block.runs or (block.title and not block.shown):
            steps.append(Step(block, None))
    return Session(str(page), steps)


def matches(said: str, shown: str) -> bool:
    """Whether `said` is `shown`, where "..." is any text, and a line of it any number of lines."""

    def plain(text: str) -> str:
        return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())

    parts = re.split(r"(?m)(^ *\.\.\.$\n?|\.\.\.)", plain(shown) + "\n")
    pattern = "".join(".*?" if "..." in part else re.escape(part) for part in parts)
    return re.fullmatch(pattern, plain(said) + "\n", re.DOTALL) is not None


# The reader


@contextlib.contextmanager
def captured() -> Iterator[io.StringIO]:
    """What this process and its children print meanwhile."""
    said = io.StringIO()
    sys.stdout.flush()
    kept = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            yield said
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)
            file.seek(0)
            said.write(file.read().decode())


def paste(page: str, block: Block, module: types.ModuleType) -> None:
    """Run a Python block; its tracebacks show the lines of the page."""
    code = compile("\n" * (block.line - 1) + block.text, page, "exec")
    if not block.raises:
        exec(code, module.__dict__)
        return
    try:
        exec(code, module.__dict__)
    except Exception as error:
        if type(error).__name__ != block.raises:
            raise
        sys.stdout.writelines(traceback.format_exception_only(error))
    else:
        raise AssertionError(f"nothing raised {block.raises}")


def commands(block: Block) -> Iterator[tuple[str, str | None, bool]]:
    """Each command with what it prints, and whether it may fail: a transcript shows the error."""
    if block.language == "sh":
        yield block.text, None, False
        return
    first, *rest = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not first, "a `console` block begins with a command after `$ `"
    for each in rest:
        command, _, prints = each.partition("\n")
        yield command, prints, bool(prints)


def call(command: str, *, may_fail: bool) -> str:
    """Run a command as a shell does; what it prints."""
    # The outputs of a terminal are one; those of a script that runs are looked at apart.
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode and not may_fail:
        raise AssertionError(f"exit code {done.returncode} of\n{command}\n{done.stdout}")
    return done.stdout


def read(given: Session) -> None:
    """Do what a reader does, in the current folder.  Raises what a block raises."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    for step in given.steps:
        block = step.block
        where = f"{given.page}:{block.line}"
        if block.mark == "fresh":
            module = sys.modules["__main__"] = types.ModuleType("__main__")
        if block.title:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.text, encoding="utf-8")
            continue
        outputs: list[tuple[str, str | None]] = []
        try:
            if block.language == "python":
                with captured() as output:
                    paste(given.page, block, module)
                outputs.append((output.getvalue(), step.prints))
            else:
                for command, prints, may_fail in commands(block):
                    said = call(command, may_fail=may_fail)
                    outputs.append((said, prints or step.prints))
        except BaseException as error:
            error.add_note(f"in the block at {where}")
            raise
        for said, shown in outputs:
            if shown is not None and not matches(said, shown):
                sys.exit(f"{where}: the block prints\n\n{said}\nand its page says\n\n{shown}")


def stubs(folder: Path) -> Path:
    """A folder of commands that would install or build: they say whether they could."""
    folder.mkdir()
    script = f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    for name in ("pip", "make", "python3"):
        stub = folder / name
        stub.write_text(f"{script}import pages\npages.{name}_stub(sys.argv[1:])\n")
        stub.chmod(0o755)
    return folder


def pip_stub(arguments: Sequence[str]) -> None:
    """`pip install` of packages that pyproject.toml names, of the checkout, or of a wheel."""
    verb, *names = arguments
    if verb == "wheel":
        return
    assert verb == "install", f"pip {verb}"
    unknown = [
        name
        for name in (name for name in names if not name.startswith("-"))
        if name != "." and not name.endswith(".whl") and wanted(name) not in declared()
    ]
    assert not unknown, f"pyproject.toml does not name {unknown}"


def make_stub(arguments: Sequence[str]) -> None:
    """`make` of a target that exists."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    unknown = [each for each in arguments if "=" not in each and each not in targets]
    assert not unknown, f"the Makefile has no {unknown}"


def python3_stub(arguments: Sequence[str]) -> None:
    """An environment that changes nothing, so that its `pip` is the one above; or Python."""
    if list(arguments[:2]) != ["-m", "venv"]:
        os.execv(sys.executable, [sys.executable, *arguments])
    activate = Path(arguments[2], "bin", "activate")
    activate.parent.mkdir(parents=True, exist_ok=True)
    activate.write_text("")


def wanted(requirement: str) -> str:
    """The package of a requirement, as registries spell it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()


def declared() -> set[str]:
    """Every package that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    return {wanted(each) for each in chain.from_iterable(lists)} - {project["name"]}


def installs(given: Session) -> set[str]:
    """The packages that the page tells its reader to install."""
    lines = [
        line
        for step in given.steps
        if step.block.language in _SHELLS
        for line in step.block.text.splitlines()
    ]
    names = [
        word.strip("'\"")
        for line in lines
        if (call := re.match(r"(?:\$ )?pip install ([^#]*)", line))
        for word in call[1].split()
    ]
    return {
        wanted(name)
        for name in names
        if not name.startswith(("-", ".")) and not name.endswith(".whl")
    }


if __name__ == "__main__":
    sys.path[0] = ""  # as for a program in the reader's folder
    page, steps = json.load(sys.stdin)
    read(Session(page, [Step(Block(*block), prints) for block, prints in steps]))
