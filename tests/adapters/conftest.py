"""What tests of all adapters share: frameworks that phone nobody, and a watch on every socket."""

import importlib
import sys
from pathlib import Path

import pytest
import quiet_frameworks  # noqa: F401

# What tests share, and the examples, are imported by name: tests form no package.  Not from here:
# folders beside this file are named as the frameworks are, and would seem to be them.
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "shared"), str(HERE.parents[1] / "examples")]

_connections: list[str] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo"):
        _connections.append(f"{event}{arguments[-2:]}")


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def no_connection():
    """Fails a test in whose time anything in this process reached for the network."""
    before = len(_connections)
    yield
    assert _connections[before:] == []


@pytest.fixture
def example():
    """Gives an example as a module, by its file's name."""
    return importlib.import_module


@pytest.fixture
def workspace():
    from coherence import Workspace

    with Workspace("memory://") as opened:
        yield opened
