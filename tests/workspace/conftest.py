"""Every test that takes `rooms` runs on every store; shared ones also as two processes would."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coherence import Lazy, Workspace

# name: (the store, whether the second agent is in another Workspace on the same store)
KINDS = {"memory": ("memory", False), "sqlite": ("sqlite", False), "sqlite-2": ("sqlite", True)}


class Rooms:
    """Workspaces on one store, and agents spread over them in turn."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.store, self.apart = KINDS[kind]
        self.folder = folder
        self.opened: list[Workspace] = []
        self.settings: dict[str, object] = {"policy": Lazy(grant_lease=5.0)}

    @property
    def url(self) -> str:
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

    def close(self) -> None:
        for workspace in self.opened:
            workspace.close()


@pytest.fixture(params=KINDS)
def rooms(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rooms]:
    made = Rooms(request.param, tmp_path)
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
