"""Two-phase commit: the counts that the field pins, by every engine."""

import pytest

from specs.checker import Verdict, check
from specs.models.twophase import twophase

# Distinct states, transitions, depth: TLC prints transitions and depth one higher.
COUNTS = {3: (288, 1_145, 10), 5: (8_832, 58_145, 16)}


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("engine", ["reference", "table"])
@pytest.mark.parametrize("rms", COUNTS)
def test_counts(rms, engine):
    result = check(twophase(rms), engine=engine)
    assert result.verdict is Verdict.HOLDS
    assert (result.distinct, result.generated, result.depth) == COUNTS[rms]
    assert not result.never_taken
    assert result.step_calls < 500


@pytest.mark.parametrize("engine", ["reference", "table"])
def test_a_hasty_coordinator_is_caught(engine):
    result = check(twophase(4, hasty=True), engine=engine)
    assert result.verdict is Verdict.VIOLATED
    assert result.finding("consistent").verdict is Verdict.VIOLATED
    assert len(result.counterexample) == 9
    assert (result.distinct, result.generated, result.depth) == (1_508, 7_153, 9)
    last = result.counterexample.last
    assert {"committed", "aborted"} <= {local.state for local in last[:4]}


@pytest.mark.slow
def test_seven():
    result = check(twophase(7), engine="table")
    assert (result.distinct, result.generated, result.depth) == (296_448, 2_744_705, 22)


def test_without_numba_the_tables_take_over_and_say_so(monkeypatch):
    monkeypatch.setattr("specs.checker.engines.find_spec", lambda name: None)
    result = check(twophase(3), engine="numba")
    assert result.engine == "table"
    assert result.distinct == 288
    assert any("numba is not installed" in note for note in result.notes)


def test_the_choice_of_engine_is_stated():
    assert check(twophase(3)).notes == ("engine: table, for fewer than 300,000 states",)
