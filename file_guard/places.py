"""Where a file belongs: its root, by real paths, and what is on disk.

A root is the top of a git worktree, so that worktrees are apart; without git, the folder that the
first agent worked in.
"""

from __future__ import annotations

import os

from file_guard.journal import HOME

#: Files that are larger are not guarded.
READ_BYTES = 64 << 20


def real(path: str, folder: str) -> str:
    """The real path of a file that was named in a folder: symbolic links are resolved."""
    return os.path.realpath(os.path.join(folder, os.path.expanduser(path)))


def content(path: str) -> bytes | None:
    """What is on disk; None if nothing is."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def replace_file(path: str, data: bytes) -> None:
    """Give a file a content in one step, with its mode; a symbolic link stays one."""
    import shutil  # for no hook
    import tempfile

    path = os.path.realpath(path)
    handle, made = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".coherence-")
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(path):
            shutil.copymode(path, made)
        else:
            os.chmod(made, 0o644)
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise


def top(folder: str) -> str | None:
    """The top of the git worktree that a folder is in, or a folder above it with a journal."""
    while not (os.path.exists(os.path.join(folder, ".git")) or is_guarded(folder)):
        folder, below = os.path.dirname(folder), folder
        if folder == below:
            return None
    return folder


def home(folder: str) -> str:
    """The root of a client that works in a folder, which is a real path."""
    return top(folder) or folder


def is_guarded(root: str) -> bool:
    """Whether a root has a journal."""
    return os.path.exists(os.path.join(root, HOME, "guard.db"))


def root_of(path: str, project: str) -> str | None:
    """The root that guards a file, for a client that works in `project`.

    None for a folder, a device, a file that is too large, and one that belongs to git, to a
    journal, or to a root beside the project that has no journal.
    """
    root = top(os.path.dirname(path)) or project
    ours = _within(root, project) or _within(project, root) or is_guarded(root)
    inner = any(_within(path, os.path.join(root, each)) for each in (HOME, ".git"))
    if inner or not ours or not _within(path, root):
        return None
    if os.path.exists(path):
        return root if os.path.isfile(path) and os.path.getsize(path) <= READ_BYTES else None
    return root


def head(root: str) -> str:
    """Where git's HEAD is: a branch and its commit; empty without git."""
    git = os.path.join(root, ".git")
    try:
        if os.path.isfile(git):  # of a linked worktree
            git = os.path.join(root, _line(git).removeprefix("gitdir: "))
        at = _line(os.path.join(git, "HEAD"))
        common = os.path.join(git, "commondir")
        if os.path.exists(common):
            git = os.path.join(git, _line(common))
        ref = os.path.join(git, at.removeprefix("ref: "))
        return f"{at} {_line(ref)}" if os.path.isfile(ref) else at
    except OSError:
        return ""


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _line(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readline().strip()
