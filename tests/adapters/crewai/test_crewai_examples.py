"""The examples run, and show what they say."""

import pytest

pytest.importorskip("crewai")


@pytest.mark.slow
def test_a_team_costs_less_and_does_the_same(example, capsys):
    plain, coherent = example("crewai_team").main([])
    assert coherent < plain
    assert f"plain {plain}, coherent {coherent}" in capsys.readouterr().out


def test_a_cached_tool_is_stale_and_ours_is_not(example):
    plain, coherent = example("crewai_stale_cache").main([])
    assert "10" in plain
    assert "12" in coherent


@pytest.mark.slow
def test_flow_state_is_lost_and_ours_is_not(example):
    plain, coherent = example("crewai_flow_state").main()
    assert plain < 10
    assert coherent == 10
