"""A git repository, read by git's plumbing: nothing in it is changed, and no server is asked.

The history is the *mainline*: from a commit to its first parent, and so on.  There every version of
a file is made from the one before, which is not so if the commits of branches are put in a row.  A
merge is one change of the mainline, and the work of the author of what it merges.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from coherence.simulate.replay.errors import (
    EmptyHistory,
    GitFailed,
    GitMissing,
    NoRepository,
    PartialClone,
    ShallowHistory,
    UnknownPath,
    UnknownRevision,
)

RENAMES_MAX: Final = 1_000
"""Files of one commit that may have been renamed and changed; beyond, a rename is a new file."""

_REQUESTS_AT_ONCE: Final = 200
"""Blobs that are asked for before any is read: their names fit into a pipe."""

_EXCLUSIONS: Final = (":!", ":^", ":(exclude)")


class MainCommit(NamedTuple):
    """One commit of the mainline."""

    name: str
    parent: str | None
    #: When it became part of the history, in seconds since 1970.
    time_s: int
    #: The address of its author, by the repository's mailmap.
    author: bytes


class RawChange(NamedTuple):
    """One change of one path in a commit, as ``git diff-tree --raw`` says it."""

    status: str
    old_mode: str
    new_mode: str
    old_blob: str
    new_blob: str
    old_path: bytes
    path: bytes


class Repository:
    """A complete clone, with or without a working tree.

    Raises `GitMissing`, `NoRepository`, `ShallowHistory`, `PartialClone` and `GitFailed`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        inner = folder / ".git"
        try:
            folder = inner if inner.exists() else folder
            is_folder = folder.exists()
        except (OSError, ValueError):
            is_folder = False
        if not is_folder:
            raise NoRepository(f"{self.folder}: there is no such folder")
        # As of a bare repository: nothing is read from a working tree, such as a `.mailmap` there.
        options = ["--no-pager", "--no-replace-objects", "-c", "core.bare=true"]
        self._start = ["git", *options, f"--git-dir={folder}"]
        code, said, complaint = self._try("rev-parse", "--is-shallow-repository")
        if code:
            if "not a git repository" in complaint or "gitfile" in complaint:
                raise NoRepository(f"{self.folder}: not a git repository")
            raise GitFailed(f"{self.folder}: {complaint}")
        if said.strip() == b"true":
            raise ShallowHistory(f"{self.folder}: a shallow clone")
        keys = r"^(extensions\.partialclone|remote\..*\.(promisor|partialclonefilter))$"
        if self._try("config", "--get-regexp", keys)[1]:
            raise PartialClone(f"{self.folder}: a partial clone")

    def commit(self, revision: str) -> str:
        """The full name of a commit.  Raises `UnknownRevision` and `EmptyHistory`."""
        asked = f"{revision}^{{commit}}"
        code, said, _ = self._try("rev-parse", "--verify", "--quiet", "--end-of-options", asked)
        if code == 0:
            return said.split()[-1].decode()
        if revision == "HEAD":
            raise EmptyHistory(f"{self.folder}: no commits")
        raise UnknownRevision(f"{self.folder}: no commit is named {revision!r}")

    def mainline(self, commit: str) -> list[MainCommit]:
        """The commits from the first one to `commit`."""
        form = "--format=%H%x01%P%x01%ct%x01%aE"
        log = ["-c", f"mailmap.file={os.devnull}", "-c", f"mailmap.blob={commit}:.mailmap", "log"]
        options = ["-z", "--use-mailmap", "--no-show-signature", "--no-color", form]
        said = self._run(*log, "--first-parent", "--reverse", *options, commit)
        found: list[MainCommit] = []
        merges: dict[str, list[int]] = {}
        for line in filter(None, said.split(b"\0")):
            name, parents, time_s, author = line.split(b"\x01")
            before = parents.decode().split()
            if len(before) > 1:
                merges.setdefault(before[1], []).append(len(found))
            first = before[0] if before else None
            found.append(MainCommit(name.decode(), first, int(time_s), author))
        if merges:
            asked = "\n".join(merges).encode()
            form = "--format=%H%x01%aE"
            options[-1] = form
            said = self._run(*log, "--no-walk=unsorted", "--stdin", *options, given=asked)
            for line in filter(None, said.split(b"\0")):
                name, author = line.split(b"\x01")
                for i in merges[name.decode()]:
                    found[i] = found[i]._replace(author=author)
        return found

    def check_paths(self, commit: str, paths: Iterable[str]) -> None:
        """Raises `UnknownPath` for the first path that no commit of the mainline touches."""
        for path in paths:
            if path.startswith(_EXCLUSIONS):
                continue
            asked = ("log", "-1", "--first-parent", "--format=%H", commit, "--", path)
            code, said, complaint = self._try(*asked)
            if code:
                raise UnknownPath(f"{self.folder}: {path!r}: {complaint}")
            if not said.strip():
                raise UnknownPath(f"{self.folder}: no commit touches {path!r}")

    def changes(
        self, commits: Sequence[MainCommit], paths: Sequence[str]
    ) -> Iterator[tuple[str, list[RawChange]]]:
        """Yield each commit that changes `paths`, or any path if none is given, and its entries."""
        # Git drops a last line that does not end.
        lines = [" ".join(filter(None, (commit.name, commit.parent))) + "\n" for commit in commits]
        options = ["-r", "-z", "--raw", "--no-abbrev", "--root", "-M", f"-l{RENAMES_MAX}"]
        asked = "".join(lines).encode()
        said = self._run("diff-tree", "--stdin", *options, "--", *paths, given=asked)
        return _parsed(said)

    def tree(self, commit: str, paths: Sequence[str]) -> list[RawChange]:
        """The files that a commit has, as entries that add each of them."""
        empty = self._run("hash-object", "-t", "tree", "--stdin", given=b"").decode().strip()
        options = ["-r", "-z", "--raw", "--no-abbrev", "--no-renames"]
        said = self._run("diff-tree", *options, empty, commit, "--", *paths)
        return [entry for _, entries in _parsed(b"start\0" + said) for entry in entries]

    def sizes(self, blobs: Iterable[str]) -> dict[str, int]:
        """The bytes of each blob.  Raises `GitFailed` if one is missing."""
        asked = "\n".join(blobs).encode()
        said = self._run("cat-file", "--batch-check", "--buffer", given=asked)
        found = {}
        for line in said.decode().splitlines():
            name, *about = line.split()
            if len(about) != 2:
                raise GitFailed(
                    f"{self.folder}: the object {name} is missing", remedy="git fsck --full"
                )
            found[name] = int(about[1])
        return found

    def blobs(self, names: Iterable[str]) -> Iterator[bytes]:
        """Yield the contents of blobs that exist, in the order of their names."""
        with subprocess.Popen(
            [*self._start, "cat-file", "--batch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            wanted = iter(names)
            while batch := list(islice(wanted, _REQUESTS_AT_ONCE)):
                process.stdin.write("".join(f"{name}\n" for name in batch).encode())
                process.stdin.flush()
                for name in batch:
                    about = process.stdout.readline().split()
                    if len(about) != 3:
                        raise GitFailed(f"{self.folder}: the object {name} cannot be read")
                    yield process.stdout.read(int(about[2]))
                    process.stdout.read(1)

    def _run(self, *arguments: str, given: bytes | None = None) -> bytes:
        code, said, complaint = self._try(*arguments, given=given)
        if code:
            raise GitFailed(f"{self.folder}: {complaint}")
        return said

    def _try(self, *arguments: str, given: bytes | None = None) -> tuple[int, bytes, str]:
        """The exit code of a command of git, what it said, and the last line of its complaint."""
        try:
            done = subprocess.run(
                [*self._start, *arguments],
                input=given,
                stdin=subprocess.DEVNULL if given is None else None,
                capture_output=True,
                env=_environment(),
                check=False,
            )
        except FileNotFoundError as error:
            raise GitMissing("git is not installed") from error
        except (OSError, ValueError) as error:
            raise GitFailed(f"git cannot be run: {error}") from error
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        complaint = lines[0] if lines else f"exit code {done.returncode}"
        return done.returncode, done.stdout, complaint.removeprefix("fatal: ")


def _environment() -> dict[str, str]:
    """The environment without what would point git at another repository, or let it ask."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    quiet = ("GIT_TERMINAL_PROMPT", "0"), ("GIT_OPTIONAL_LOCKS", "0"), ("GIT_NO_LAZY_FETCH", "1")
    return {**kept, **dict(quiet), "LC_ALL": "C"}


def _parsed(said: bytes) -> Iterator[tuple[str, list[RawChange]]]:
    """The commits and entries of ``git diff-tree --stdin --raw -z``."""
    parts = iter(said.split(b"\0"))
    name, entries = "", []
    for part in parts:
        if part.startswith(b":"):
            old_mode, new_mode, old, new, status = part[1:].decode().split(" ")
            path = next(parts)
            renamed = next(parts) if status[0] in "RC" else path
            entries.append(RawChange(status[0], old_mode, new_mode, old, new, path, renamed))
        elif part:
            if entries:
                yield name, entries
            name, entries = part.decode(), []
    if entries:
        yield name, entries
