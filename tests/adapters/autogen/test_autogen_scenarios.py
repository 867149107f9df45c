"""The twelve scenarios that every adapter passes, by AutoGen agents and its replay model."""

import pytest

pytest.importorskip("autogen_agentchat")
pytest.importorskip("autogen_ext")

from scenarios import SCENARIOS


@pytest.mark.slow(fast=3)
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_scenario(scenario, driver, tmp_path):
    scenario(driver, tmp_path)
