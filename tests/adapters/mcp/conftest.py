import pytest

from coherence import Workspace


@pytest.fixture(autouse=True)
def no_connection():
    """Servers of these tests are reached over the loopback."""


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/team.db"


@pytest.fixture
def here(url):
    """The workspace of the server."""
    with Workspace(url) as opened:
        yield opened


@pytest.fixture
def other(url):
    """The same store, opened as another process opens it."""
    with Workspace(url) as opened:
        yield opened
