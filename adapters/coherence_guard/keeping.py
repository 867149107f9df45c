"""Kept contents as versions of a workspace, so that log, show, diff and blame work on them.

A hook keeps contents in the journal, since opening a workspace would cost more than the whole call.
They are published from there, in their order and by their authors, when a command or a message
needs them.
"""

from __future__ import annotations

import fcntl
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from coherence import PathTaken, Retention, Workspace
from coherence.context.values import name_of
from coherence.refs import NAME_CHARS_MAX, Ref
from file_guard.journal import HOME, KEPT_DAYS, Journal
from file_guard.places import content, real, replace_file, root_of
from file_guard.rules import Facts, Verdict, digest

_MOVE = "move it away, or name a file of this root"
_RETENTION = Retention(versions=None, age_s=KEPT_DAYS * 86_400.0)


def url_of(root: str) -> str:
    """The address of a root's store."""
    return f"sqlite:///{os.path.join(root, HOME, 'files.db')}"


def artifact_of(name: str) -> str:
    """The artifact of a file; a name that is too long for one is hashed."""
    *labels, last = name.split("/")
    made = name_of(tuple(labels), last)
    return made if len(made) <= NAME_CHARS_MAX else f"long/{digest(name.encode())}"


@contextmanager
def settled(root: str) -> Iterator[Workspace]:
    """The workspace of a root, with all kept contents in it.  Raises `StoreFault`, `OSError`.

    A process that ends in the middle leaves the rest for the next one.  The content that it may
    have published without a note of it is then the current one, and makes no second version.
    """
    with Journal(root) as journal:
        rows = journal.unpublished()
    with (
        open(os.path.join(root, HOME, "lock"), "w", encoding="utf-8") as lock,
        Workspace(url_of(root), retention=_RETENTION) as workspace,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        for n, name, label, text in rows:
            with Journal(root) as journal:
                if not journal.unpublished(n):
                    continue  # published by another process meanwhile, or too old
            artifact = artifact_of(name)
            stored = workspace.row(artifact)
            base = stored.row.state.version if stored else 0
            with workspace.agent(label or "outside") as agent:
                ref = agent.write(artifact, text, expect=base)
            with Journal(root) as journal:
                journal.published(n, ref.version)
        yield workspace


def reference(root: str, name: str, wanted: str) -> str | None:
    """The ref of a kept content, quoted for a shell; None if its text is not kept."""
    with settled(root), Journal(root) as journal:
        version = journal.version(name, wanted)
    return shlex.quote(f"{name}@{version}") if version else None


def restore(root: str, ref: str) -> str | None:
    """Write a kept version to its file; the ref of what the file held before.

    Other content is kept first, and the write is one step on disk.  Raises `BadRef`, `PathTaken`,
    `UnknownArtifact`, `UnknownVersion`, `StoreFault`, `OSError`, `sqlite3.Error`.
    """
    name, _, version = ref.rpartition("@")
    wanted = Ref.parse(f"{artifact_of(name)}@{version}")
    path = real(name, root)
    if root_of(path, root) != root:
        raise PathTaken(f"{path} is not a file that is guarded in {root}", remedy=_MOVE)
    with settled(root) as workspace, workspace.agent("restore") as agent:
        kept = agent.read(wanted.name, version=wanted.version).content
    data = kept.encode() if isinstance(kept, str) else kept
    with Journal(root) as journal:
        was = content(path)
        journal.keep(name, was)
        if journal.text(name, digest(was)) is None:
            raise PathTaken(f"{path} holds a content that cannot be kept", remedy=_MOVE)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        replace_file(path, data)
        journal.keep(name, data, "restore")
        facts = Facts(name, "restore", data)
        journal.remember(facts, Verdict(wrote=digest(data)))
    return reference(root, name, digest(was)) if was is not None else None
