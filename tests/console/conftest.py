"""Consoles over stores in use; see `console_client`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from console_client import Running, shown, source, working

from coherence import Workspace
from coherence_console.context import Context


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/team.db"


@pytest.fixture
def team(url: str) -> Iterator[Workspace]:
    with working(url) as workspace:
        yield workspace


@pytest.fixture
def running(team: Workspace, url: str) -> Iterator[Running]:
    """A console over the store of `team`."""
    with shown(Context(source=source(url), hz=20.0)) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """As `running`, for all tests of a module that only ask."""
    url = f"sqlite:///{tmp_path_factory.mktemp('team')}/team.db"
    with working(url), shown(Context(source=source(url), hz=20.0)) as made:
        yield made
