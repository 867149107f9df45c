"""What the replay's tests share: small repositories, made by git itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


class Made:
    """A repository in which every commit has an author and a time, one minute after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.time_s = 1_600_000_000
        folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str, author: str = "ann") -> str:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": author,
            "GIT_AUTHOR_EMAIL": f"{author}@example.org",
            "GIT_COMMITTER_NAME": "committer",
            "GIT_COMMITTER_EMAIL": "committer@example.org",
            "GIT_AUTHOR_DATE": f"{self.time_s} +0000",
            "GIT_COMMITTER_DATE": f"{self.time_s} +0000",
        }
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            check=True,
            timeout=60,
        )
        return done.stdout.decode(errors="surrogateescape")

    def write(self, path: str | bytes, content: str | bytes) -> None:
        file = self.folder / os.fsdecode(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, author: str = "ann", minutes: int = 1, **files: str) -> str:
        """Commit everything; `files` are written first, with ``__`` for a dot in their names."""
        for name, text in files.items():
            self.write(name.replace("__", "."), text)
        self.time_s += 60 * minutes
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "a change", author=author)
        return self.git("rev-parse", "HEAD").strip()

    def merge(self, branch: str, author: str = "ann") -> None:
        self.time_s += 60
        self.git("merge", "-q", "--no-ff", "-m", f"merge {branch}", branch, author=author)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path / "repo")


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Made]:
    return lambda name: Made(tmp_path / name)


def lines(count: int, word: str = "line") -> str:
    """A text of so many different lines."""
    return "".join(f"{word} {number} of a text\n" for number in range(count))


@pytest.fixture(scope="session")
def text() -> Callable[..., str]:
    return lines
