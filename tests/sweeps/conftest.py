"""What the tests of sweeps share: small grids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from coherence.simulate.sweeps import requests
from coherence.simulate.sweeps.requests import Sweep

SMALL = """\
scenario = "churn"
steps = 8
seeds = 3
[over]
agents = [2, 3]
loss_probability = [0, 0.3]
strategy = ["lazy", "adaptive"]
"""


def _sweep(text: str = SMALL, /, *, fixed: Any = None, over: Any = None) -> Sweep:
    changes = requests.Request(fixed or {}, over or {})
    return requests.parse(text, "small.toml", changes=changes)


@pytest.fixture(scope="session")
def make_sweep() -> Callable[..., Sweep]:
    """A grid of four points, two strategies and three seeds, after changes."""
    return _sweep
