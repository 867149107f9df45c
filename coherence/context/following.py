"""Follows what any process publishes, for a program that must hear of it for as long as it runs."""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from coherence.contents import Kind
from coherence.errors import WorkspaceClosed
from coherence.messages import Version
from coherence.workspace.changes import Published
from coherence.workspace.workspace import Workspace, site_of
from message_passing.errors import ToolkitError
from message_passing.interrupts import Knock

#: How long after a fault of the store it is asked again.
RETRY_S: Final = 1.0

log = logging.getLogger("coherence.context")


class Changed(NamedTuple):
    """One or several artifacts have changed."""

    #: Artifact -> its new version.
    versions: dict[str, Version]
    #: Whether one of them was made or deleted.
    relists: bool


class Following:
    """The changes from now on, for one thread; no agent joins.  It ends with its workspace.

    It goes on after faults of the store, and after a gap in its log: then everything counts as
    changed.  Raises `WorkspaceClosed`, `StoreFault`.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._watch = workspace, workspace.watch()
        self._over = Knock()
        self._closed = False

    def next(self) -> Changed | None:
        """The next change, as it comes; None once it is closed."""
        while not self._closed:
            try:
                news = next(self._watch, None)
                if news is not None:
                    return self._everything() if news.missed else self._change(news)
            except WorkspaceClosed:
                break
            except ToolkitError as error:
                if (found := self._begin_again(error)) is not None:
                    return found
        return None

    def close(self) -> None:
        """End it: a thread that waits for the next change gets None."""
        self._closed = True
        self._over()
        self._watch.close()

    def _change(self, news: Published) -> Changed:
        name, version = news.ref.name, news.ref.version
        past = self._workspace.history(name, max(1, version - 1))
        gone = [e.handle.kind is Kind.TOMBSTONE for e in past if e.version <= version]
        return Changed({name: version}, version == 1 or len(gone) < 2 or gone[0] != gone[1])

    def _everything(self) -> Changed:
        names = self._workspace.names(deleted=True)
        return Changed(versions_of(self._workspace, names), True)

    def _begin_again(self, error: ToolkitError) -> Changed | None:
        """All that there is, once the store answers again; None if it does not, or the end."""
        if self._closed:
            return None
        log.warning("changes are not heard of, until the store answers: %s", error)
        self._watch.close()
        self._over.wait(RETRY_S)
        try:
            self._watch = self._workspace.watch()
            return self._everything()
        except ToolkitError:
            return None


def versions_of(workspace: Workspace, names: list[str]) -> dict[str, Version]:
    """The current versions of these artifacts, in one round trip; unknown ones are left out."""
    site = site_of(workspace)
    rows = site.look(site.store.rows, names)
    return {name: row.row.state.version for name, row in rows.items()}
