"""A study as a file: Markdown, with commands in blocks and a finding whose figures are filled in.

A block that begins with three backquotes and ``sh NAME`` contains one command of ``coherence
simulate``.  What the command prints with ``--json`` are the rows called NAME.  The rest of the file
is a template of jinja2, in which NAME stands for these rows (see `writing`).
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import msgspec

from message_passing.errors import CallerError

_BLOCK = re.compile(r"^```sh(?: (?P<name>\w+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_PREFIX = ("coherence", "simulate")


class InvalidStudy(CallerError):
    """The file does not describe a study; the message names file, place and fault."""

    remedy = "docs/studies.md has the form of a study"


class Study(msgspec.Struct, frozen=True):
    """One question."""

    name: str
    #: A template; its blocks of commands have no names any more.
    text: str
    #: The arguments after ``coherence simulate``, by the name of the rows.
    commands: dict[str, tuple[str, ...]]

    @property
    def title(self) -> str:
        """The heading of the file."""
        return self.text.partition("\n")[0].lstrip("# ")


def read(file: Path) -> Study:
    """Read a study.  Raises `InvalidStudy`."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InvalidStudy(f"{file}: cannot be read: {error}") from None
    return parse(text, file.stem, str(file))


def parse(text: str, name: str, source: str) -> Study:
    """The study that `text` describes; `source` names it in messages.  Raises `InvalidStudy`."""
    if not text.startswith("# "):
        raise InvalidStudy(f"{source}: the first line is not a heading")
    commands: dict[str, tuple[str, ...]] = {}
    for block in _BLOCK.finditer(text):
        key, line = block["name"], text.count("\n", 0, block.start()) + 1
        if key is None:
            continue
        where = f"{source}:{line}"
        try:
            words = tuple(shlex.split(block["text"].replace("\\\n", " ")))
        except ValueError as error:
            raise InvalidStudy(f"{where}: {error}") from None
        if words[:2] != _PREFIX or "\n" in block["text"].replace("\\\n", " ").strip():
            raise InvalidStudy(f"{where}: not one command that begins with {' '.join(_PREFIX)!r}")
        if key in commands:
            raise InvalidStudy(f"{where}: there are two blocks called {key!r}")
        commands[key] = words[2:]
    if not commands:
        raise InvalidStudy(f"{source}: has no block that begins with ```sh NAME")
    return Study(name, _BLOCK.sub(lambda block: f"```sh\n{block['text']}```", text), commands)


def found(paths: list[Path]) -> list[Study]:
    """The studies of files and folders, in the order of their names.  Raises `InvalidStudy`."""
    files: list[Path] = []
    for path in paths:
        files += sorted(path.glob("*.md"), key=_order) if path.is_dir() else [path]
    if not files:
        raise InvalidStudy(f"{', '.join(map(str, paths))}: no file of a study (*.md)")
    return [read(file) for file in files]


def _order(file: Path) -> tuple[int, str]:
    """Numbers first, as numbers."""
    number = re.match(r"\d+", file.stem)
    return (int(number[0]) if number else 10**9), file.stem
