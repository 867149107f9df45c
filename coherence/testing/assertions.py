"""What a test can say of a workspace after its agents have run."""

from __future__ import annotations

from collections.abc import Iterable

from coherence.errors import BadArgument, UnknownArtifact
from coherence.stores.port import Entry
from coherence.testing.errors import LostUpdate
from coherence.workspace.workspace import Workspace, site_of


def assert_no_lost_update(workspace: Workspace, *names: str) -> None:
    """Raise `LostUpdate` if a version replaced another agent's, which its writer had not seen.

    Judges the kept histories of these artifacts, by default of all, deleted ones too.  A rebased
    write (`update`, `merge=True`) keeps what it replaces.  A write of an agent that had never seen
    the artifact derives from nothing, so nothing is lost by it.
    """
    for name in names or _checked(workspace).names(deleted=True):
        try:
            entries = workspace.history(name)
        except UnknownArtifact:
            if names:
                raise
            continue
        if lost := _loss(name, entries):
            raise LostUpdate(lost)


def _loss(name: str, entries: Iterable[Entry]) -> str:
    """The first lost update of a history, in words."""
    authors: dict[int, str] = {}
    for entry in entries:
        authors[entry.version] = entry.author
        if not (entry.overwrite and entry.base):
            continue
        for lost in range(entry.version - 1, entry.base, -1):
            by = authors.get(lost, "")
            if by and by != entry.author:
                return (
                    f"{entry.author} replaced {name}@{entry.version - 1} by "
                    f"{name}@{entry.version}, without having seen {name}@{lost} by {by}: "
                    f"{entry.author} had seen {name}@{entry.base}"
                )
    return ""


def assert_no_waiters(workspace: Workspace, *names: str) -> None:
    """Raise `AssertionError` if an agent waits for one of these artifacts, by default for any.

    The agents of all processes count.  A killed agent waits until its lease has ended.
    """
    site = site_of(_checked(workspace))
    revisions = site.look(site.store.revisions)
    found = []
    # An artifact that waiting agents want may never have been written.
    for name, row in site.look(
        site.store.rows, names or [name for name, _, _ in revisions]
    ).items():
        home = row.row.state
        if home.queue:
            waiting = " and ".join(waiter.cache for waiter in home.queue)
            held = f", which {home.owner} holds" if home.owner else ""
            found.append(f"{waiting} waits for {name}{held}")
    if found:
        raise AssertionError("; ".join(found))


def _checked(workspace: Workspace) -> Workspace:
    if not isinstance(workspace, Workspace):
        raise BadArgument(
            f"a {type(workspace).__name__} is not a Workspace",
            remedy="for tasks, give the Workspace that the AsyncWorkspace was made of",
        )
    return workspace
