"""The generator of edits: its fit, by hand and on the shipped histories."""

from __future__ import annotations

from math import exp
from pathlib import Path
from random import Random
from statistics import fmean, pstdev

import pytest

from coherence.simulate.experiments import prices
from coherence.simulate.replay import generator as generators
from coherence.simulate.replay import saving
from coherence.simulate.replay.errors import EmptyHistory
from coherence.simulate.replay.fit import judge
from coherence.simulate.replay.generator import Generator, distance, fitted, sampled, shipped
from coherence.simulate.replay.history import (
    BYTES,
    About,
    FileChange,
    History,
    Revision,
    Tracked,
    Weights,
    code,
)
from coherence.simulate.replay.teams import Team

HISTORIES = Path(__file__).parents[2] / "simulations" / "histories"


def load(name: str) -> History:
    return saving.load(HISTORIES / f"{name}.history")


def made(edits: int, made_by: Generator, seed: int = 1) -> History:
    """Files whose every edit replaces one line of as many units as the generator draws."""
    rng = Random(seed)
    files, revisions = [], []
    for number in range(edits):
        size = round(exp(rng.uniform(6, 10)))
        tokens = made_by.tokens(size, rng)
        units = 4 * tokens - len("@@ -1 +1 @@\n")
        weights = [units // 2, units - units // 2]
        lines = [code(0), code(1)]
        file = Tracked(1, [size, size], lines, Weights(weights), Weights(weights), [(), ()])
        files.append(file)
        revisions.append(Revision(number * 60, number % 3, (FileChange(number, 2, b"a"),)))
    about = About(
        name="made",
        commit="0" * 40,
        date="2020-01-01",
        command="none",
        measure=BYTES.name,
        commits=edits,
        authors=3,
        files=edits,
        versions=2 * edits,
    )
    return History(about, files, {}, revisions)


TRUE = Generator(rewrites=0.0, mean=1.0, exponent=0.4, deviation=0.5, near=0.0, source="test")


def test_the_fit_finds_the_numbers_that_made_the_edits():
    found = fitted([made(2_000, TRUE)])
    assert found.exponent == pytest.approx(TRUE.exponent, abs=0.05)
    assert found.mean == pytest.approx(TRUE.mean, abs=0.4)
    assert found.deviation == pytest.approx(TRUE.deviation, abs=0.03)
    assert found.rewrites < 0.01
    assert found.source == "made 000000000000"


def test_drawn_edits_are_those_of_the_model():
    rng = Random(1)
    tokens = [TRUE.tokens(100_000, rng) for _ in range(4_000)]
    logs = [generators.log(each) for each in tokens]
    assert fmean(logs) == pytest.approx(1 + 0.4 * generators.log(100_000), abs=0.05)
    assert pstdev(logs) == pytest.approx(0.5, abs=0.03)
    assert all(TRUE.tokens(10, rng) <= 10 for _ in range(100))


def test_the_distance_is_that_of_kolmogorov():
    """By hand: below 2 there is half of the first sample, and a quarter of the second."""
    assert generators.apart([1.0, 1.0, 2.0, 3.0], [1.0, 2.0, 2.0, 9.0]) == pytest.approx(0.25)
    assert generators.apart([1.0], [2.0]) == 1.0
    assert generators.apart([1.0, 2.0], [2.0, 1.0]) == 0.0


@pytest.mark.slow
def test_the_distance_is_that_of_scipy():
    scipy = pytest.importorskip("scipy.stats")
    rng = Random(3)
    one = [rng.choice([1.0, 2.0, rng.random()]) for _ in range(200)]
    other = [rng.choice([1.0, rng.random() * 2]) for _ in range(300)]
    assert generators.apart(one, other) == pytest.approx(scipy.ks_2samp(one, other).statistic)


def test_a_history_with_nothing_to_learn_from_is_refused():
    with pytest.raises(EmptyHistory, match="fewer than two edits"):
        sampled(made(1, TRUE))


@pytest.mark.slow
def test_the_shipped_numbers_are_those_of_the_shipped_histories():
    numbers = shipped()
    assert numbers.source == ", ".join(
        f"{name} {load(name).about.commit[:12]}" for name in ("flask", "peps")
    )
    assert numbers.near in generators.NEAR


@pytest.mark.slow
@pytest.mark.parametrize("name", ["requests", pytest.param("zod", marks=pytest.mark.slow)])
def test_it_is_near_a_history_that_it_was_not_fitted_to(name):
    """And a formal test rejects it there."""
    found = distance(load(name), shipped())
    assert found.critical < max(found.share, found.tokens) <= 0.18


@pytest.mark.slow
@pytest.mark.parametrize("name", ["requests", "zod"])
def test_multiples_are_near_those_with_the_real_edits(name):
    models = [prices.shipped()["claude-opus-5"]]
    rows = judge(load(name), shipped(), Team(), models, ("lazy_delta", "push_delta", "adaptive"))
    assert max(row.apart for row in rows) <= 0.15


@pytest.mark.slow
def test_the_fit_is_the_shipped_one():
    found = fitted([load("flask"), load("peps")])
    numbers = shipped()
    for name in ("rewrites", "mean", "exponent", "deviation", "near"):
        assert getattr(numbers, name) == pytest.approx(getattr(found, name), rel=1e-3)
