"""Which other files a text names: what it imports, includes or links to, as far as a line shows it.

A name is a path without its ending, in parts: ``from ..app import Flask`` in a Python file is
``("..", "app")``, and ``#include "net/url.h"`` is ``("net", "url")``.  It means the file whose path
ends like that and is nearest to the text's own folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, TypeAlias

Name: TypeAlias = tuple[str, ...]

_PYTHON: Final = re.compile(r"\s*(?:from\s+(\.*[\w.]*)\s+import\s+([\w, ]*)|import\s+([\w., ]+))")
_SCRIPT: Final = re.compile(
    r"""(?:^\s*(?:import|export)\b[^'"]*|^\s*\}\s*from\s*|\brequire\(\s*|\bimport\(\s*)['"]([^'"]+)"""
)
_INCLUDE: Final = re.compile(r"""\s*#\s*include\s+"([^"]+)"|\s*@?(?:import|use)\s+['"]([^'"]+)""")
_RUST: Final = re.compile(r"\s*(?:pub(?:\([^)]*\))?\s+)?(?:mod|use)\s+([\w:]+)")
_LINK: Final = re.compile(
    r"\]\(([^)\s#?]+)|\.\. (?:literal)?include:: (\S+)|:doc:`(?:[^`<]*<)?([^`>]+)"
)

_BY_ENDING: Final = {
    **dict.fromkeys(("py", "pyi"), "python"),
    **dict.fromkeys(("js", "jsx", "ts", "tsx", "mjs", "cjs", "mts", "cts", "vue"), "script"),
    **dict.fromkeys(("c", "h", "cc", "cpp", "hpp", "css", "scss"), "include"),
    "rs": "rust",
    **dict.fromkeys(("md", "mdx", "rst", "txt"), "link"),
}
#: Files that stand for the folder in which they are.
_FOLDERS: Final = {"__init__", "index", "mod", "README"}
_LINE_CHARS_MAX: Final = 1_000


def kind_of_text(path: bytes) -> str:
    """The kind of language of a path; the empty string for one whose lines name nothing."""
    ending = path.rpartition(b".")[2].decode("ascii", "replace").lower()
    return _BY_ENDING.get(ending, "")


def names(kind: str, line: str) -> tuple[Name, ...]:
    """What a line of a text of that kind names."""
    if not kind or len(line) > _LINE_CHARS_MAX:
        return ()
    match kind:
        case "python":
            found = _PYTHON.match(line)
            return _python(found) if found else ()
        case "rust":
            found = _RUST.match(line)
            return (tuple(filter(None, found[1].split("::"))),) if found else ()
        case "script":
            written = [found[1] for found in _SCRIPT.finditer(line)]
        case "include":
            found = _INCLUDE.match(line)
            written = [found[1] or found[2]] if found else []
        case _:
            written = [next(filter(None, found.groups())) for found in _LINK.finditer(line)]
    return tuple(_path(text) for text in written if "://" not in text)


def _python(found: re.Match[str]) -> tuple[Name, ...]:
    if found[3]:
        modules = filter(None, map(str.split, found[3].split(",")))
        return tuple(tuple(words[0].split(".")) for words in modules)
    dots = len(found[1]) - len(found[1].lstrip("."))
    up = (".",) * (dots == 1) + ("..",) * (dots - 1)
    module = (*up, *filter(None, found[1][dots:].split(".")))
    members = [part.split()[0] for part in found[2].split(",") if part.split()]
    return (module, *((*module, member) for member in members))


def _path(text: str) -> Name:
    parts = [part for part in text.split("/") if part]
    if parts and parts[-1] not in (".", ".."):
        stem, dot, _ = parts[-1].rpartition(".")
        parts[-1] = stem if dot and stem else parts[-1]
    return tuple(parts)


class Places:
    """The files that exist, found by the ends of their paths."""

    def __init__(self) -> None:
        self._parts: dict[int, Name] = {}
        # Files by the last part of their path, or of their folder's if they stand for it.
        self._by_end: dict[str, dict[int, None]] = {}

    def add(self, file: int, path: bytes) -> None:
        """A file exists from now on."""
        parts = _path(path.decode("utf-8", "surrogateescape"))
        self._parts[file] = parts
        for end in _ends(parts):
            self._by_end.setdefault(end, {})[file] = None

    def remove(self, file: int) -> None:
        """A file exists no longer."""
        for end in _ends(self._parts.pop(file)):
            self._by_end[end].pop(file, None)

    def resolve(self, file: int, named: Iterable[Name]) -> tuple[int, ...]:
        """The files that are meant by names in the text of `file`, without itself."""
        folder = self._parts[file][:-1]
        found: dict[int, None] = {}
        for name in named:
            meant = self._meant(folder, name)
            if meant is not None and meant != file:
                found[meant] = None
        return tuple(found)

    def _meant(self, folder: Name, name: Name) -> int | None:
        at: list[str] = []
        is_relative = name[:1] in ((".",), ("..",))
        if is_relative:
            at = list(folder)
            for part in name:
                if part == "..":
                    if not at:
                        return None
                    at.pop()
                elif part != ".":
                    at.append(part)
            name = tuple(at)
        if not name:
            return None
        best, nearest = None, (-1, 0)
        for file in self._by_end.get(name[-1], ()):
            parts = self._parts[file]
            for whole in (parts, parts[:-1] if parts[-1] in _FOLDERS else ()):
                fits = whole == name if is_relative else whole[-len(name) :] == name
                if whole and fits:
                    near = _common(folder, parts), -len(parts)
                    if near > nearest:
                        best, nearest = file, near
        return best


def _ends(parts: Name) -> tuple[str, ...]:
    if not parts:
        return ()
    return parts[-2:] if parts[-1] in _FOLDERS else parts[-1:]


def _common(a: Name, b: Name) -> int:
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count
