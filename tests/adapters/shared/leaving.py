"""Who is there when the work is done."""

import gc
import re

import pytest

from coherence.context import seats


def there(workspace):
    """The members, less what tells stores apart, once all farewells that are due are said."""
    gc.collect()
    for _ in range(3):  # what is done may make more due
        assert seats.said(30)
    return sorted(re.sub(r"\.[0-9a-f]{6}$", "", member.agent) for member in workspace.members())


@pytest.fixture
def at_once(monkeypatch):
    """Nobody lingers."""
    monkeypatch.setattr(seats, "LINGER_S", 0.0)
