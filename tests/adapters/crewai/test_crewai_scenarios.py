"""The twelve scenarios that every adapter passes, by crews that call functions, or write text."""

import pytest

pytest.importorskip("crewai")

from scenarios import SCENARIOS


@pytest.mark.slow(fast=2)
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
@pytest.mark.parametrize("native", [True, False], ids=["functions", "text"], indirect=True)
def test_scenario(scenario, driver, tmp_path):
    scenario(driver, tmp_path)
