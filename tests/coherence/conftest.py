"""What the engine's tests share: the modules beside this one, and the flag that rewrites them."""

import sys
from pathlib import Path

import pytest

# `fuzzing`, `cells` and `play` are support, not tests: test modules here import them by name.
sys.path.insert(0, str(Path(__file__).parent))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="write what is seen into rows/*.txt, transcripts/*.txt; review the diff",
    )


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Whether expected outputs are to be written, not compared."""
    return bool(request.config.getoption("--rewrite", default=False))
