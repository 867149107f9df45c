"""The contracts of a workspace hold under every order of two agents' calls."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from contracts import CONTRACTS

from coherence.testing import ExplorationVerdict, explore


@pytest.mark.parametrize(
    ("program", "settings"), CONTRACTS.items(), ids=lambda given: getattr(given, "__name__", "")
)
def test_a_contract_holds_in_every_order(program, settings):
    result = explore(
        program, grain="transaction", bound=None, schedules=50_000, **{"seconds": 60, **settings}
    )
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
