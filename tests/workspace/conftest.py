"""Every test that takes `rooms` runs on every store; shared ones also as two processes would.

In the fast suite it runs in memory and as two processes would.  A test for which one Workspace on
a store with a file matters names its kinds itself: `parametrize("rooms", [...], indirect=True)`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import pytest
from postgres_server import Server

from coherence import Lazy, Visibility, Workspace

# name: (the store, whether the second agent is in another Workspace on the same store)
KINDS = {
    "memory": ("memory", False),
    "sqlite": ("sqlite", False),
    "sqlite-2": ("sqlite", True),
    "postgres": ("postgres", False),
    "postgres-2": ("postgres", True),
}


class Rooms:
    """Workspaces on one store, and agents spread over them in turn."""

    def __init__(self, kind: str, folder: Path, server: Callable[[], Server]) -> None:
        self.store, self.apart = KINDS[kind]
        self.folder = folder
        self.opened: list[Workspace] = []
        policy = Lazy(grant_lease=5.0)
        if self.store == "postgres" and self.apart:
            # Where no hit is validated, others see a write when it returns only if it waits.
            policy = Lazy(grant_lease=5.0, visibility=Visibility.STRICT, validity=1.0)
        self.settings: dict[str, object] = {"policy": policy}
        self._server = server

    @cached_property
    def url(self) -> str:
        """Where the store is, that of these rooms alone."""
        if self.store == "postgres":
            return self._server().fresh()
        return "memory://" if self.store == "memory" else f"sqlite:///{self.folder}/team.db"

    def open(self, **settings: object) -> Workspace:
        """One more workspace on the store; in memory there is only ever one."""
        if self.store == "memory" and self.opened:
            return self.opened[0]
        workspace = Workspace(self.url, **{**self.settings, **settings})
        self.opened.append(workspace)
        return workspace

    def agents(self, *names: str) -> list:
        """Agents of these names; where stores are shared, each in a workspace of its own."""
        if not self.apart:
            workspace = self.opened[0] if self.opened else self.open()
            return [workspace.agent(name) for name in names]
        return [self.open().agent(name) for name in names]

    @property
    def validates(self) -> bool:
        """Whether a hit is never stale, whoever wrote."""
        return self.store != "postgres" or not self.apart

    def settle(self) -> None:
        """Take in now what others have done; where no hit is validated it comes by itself."""
        for workspace in self.opened:
            workspace._site.follower.fetch()

    def close(self) -> None:
        for workspace in self.opened:
            workspace.close()


@pytest.fixture(
    params=[
        kind if apart or store == "memory" else pytest.param(kind, marks=pytest.mark.slow)
        for kind, (store, apart) in KINDS.items()
    ]
)
def rooms(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rooms]:
    made = Rooms(request.param, tmp_path, lambda: request.getfixturevalue("postgres"))
    yield made
    made.close()
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def snapshot() -> Callable[[Workspace], object]:
    """All that a store holds of every artifact: equal before and after means nothing moved."""

    def take(workspace: Workspace) -> object:
        names = workspace.names(deleted=True)
        return [(name, workspace.row(name), workspace.history(name)) for name in names]

    return take
