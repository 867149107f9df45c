"""Adapters of frameworks that cannot be installed beside CrewAI, in an environment of their own."""

from pathlib import Path

import pytest
from own_environment import TIMEOUT_S, run_tests_apart

HERE = Path(__file__).parent
BLOCKS = HERE.parent / "project" / "test_blocks.py"


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("adapter", ["openai_agents"])
def test_an_adapter_works_apart(adapter):
    page = f"docs/adapters/{adapter.replace('_', '-')}.md"
    blocks = f"{BLOCKS}::test_a_reader_can_paste_every_block[{page}-slow]"
    assert "skipped" not in run_tests_apart(HERE / adapter, blocks)
