"""Each guard at its edge, and each operation under a rare policy: see `edges`."""

import edges
import pytest


@pytest.mark.parametrize("name", edges.EDGES)
def test_an_edge(name: str) -> None:
    assert edges.failure(name) == ""
