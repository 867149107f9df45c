"""Artifacts as files of a folder, for `export` and `import`."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from coherence.contents import Content
from coherence.errors import InvalidName, PathTaken
from coherence.refs import check_name
from message_passing.errors import EnvironmentFault

_SEVERAL = "export the two groups separately by --pattern, into two folders"
_ELSEWHERE = "move it away, or export into another folder"


def write_files(folder: Path, names: Iterable[str], content: Callable[[str], Content]) -> int:
    """Write each artifact's content to the file of its name; return the number of files.

    No symbolic link below `folder` is followed or replaced.  All names and paths are checked first,
    and every content is on the disk before the first file gets its name.  Raises `PathTaken`, and
    then nothing was written.
    """
    wanted = sorted(check_name(name) for name in names)  # checked again: a path is made of each
    _look_for_clashes(wanted)
    try:
        for name in wanted:
            _look_at(folder, name)
        folder.mkdir(parents=True, exist_ok=True)
        # In the folder of its target, so that one rename puts each file in place.
        with tempfile.TemporaryDirectory(prefix=".coherence-", dir=folder) as staged:
            for number, name in enumerate(wanted):
                Path(staged, str(number)).write_bytes(_bytes(content(name)))
            for number, name in enumerate(wanted):
                _put(Path(staged, str(number)), folder, name)
    except OSError as error:
        raise file_fault(error, folder) from error
    return len(wanted)


def read_files(folder: Path) -> dict[str, Content]:
    """Every file below `folder`, by the name it would have; links are left out.

    Nothing is read where one of them cannot have a name.  Raises `InvalidName`.
    """
    if not folder.is_dir():
        raise InvalidName(f"there is no folder {folder}", remedy="name a folder of files")
    try:
        paths = sorted(
            path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
        )
        named = {check_name(path.relative_to(folder).as_posix()): path for path in paths}
        return {name: _content(path.read_bytes()) for name, path in named.items()}
    except OSError as error:
        raise file_fault(error, folder) from error


def file_fault(error: OSError, path: Path) -> EnvironmentFault:
    """The typed error for `error` of the system; `path` is named if the error names none."""
    where = error.filename if isinstance(error.filename, str) else path
    text = f"{where}: {error.strerror or error}"
    return EnvironmentFault(text)


def _look_for_clashes(names: list[str]) -> None:
    """Raises `PathTaken` if one name is both a file and the folder of another file."""
    files = set(names)
    for name in names:
        for place, letter in enumerate(name):
            if letter == "/" and name[:place] in files:
                raise PathTaken(
                    f"{name[:place]!r} would be a file, and a folder for {name!r}", remedy=_SEVERAL
                )


def _look_at(folder: Path, name: str) -> None:
    """Raises `PathTaken` if a link, or something other than a folder above it, blocks the file."""
    path = folder
    *above, last = name.split("/")
    for part in above:
        path /= part
        mode = _mode(path)
        if mode is not None and not stat.S_ISDIR(mode):
            raise PathTaken(f"{path} is {_kind(mode)}, in the way of {name!r}", remedy=_ELSEWHERE)
    path /= last
    mode = _mode(path)
    if mode is not None and not stat.S_ISREG(mode):
        raise PathTaken(f"{path} is {_kind(mode)}, in the way of {name!r}", remedy=_ELSEWHERE)


def _put(staged: Path, folder: Path, name: str) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    _look_at(folder, name)
    with suppress(FileNotFoundError):
        shutil.copymode(target, staged)
    # A file of that name is replaced, never written to: it may have other names elsewhere.
    os.replace(staged, target)


def _mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return None


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a folder" if stat.S_ISDIR(mode) else "a file" if stat.S_ISREG(mode) else "no file"


def _bytes(content: Content) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _content(data: bytes) -> Content:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
