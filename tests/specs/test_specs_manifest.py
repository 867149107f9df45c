"""Every pinned case comes to what is pinned, by every engine that takes it."""

from itertools import pairwise

import pytest

from specs import catalogue
from specs.checker import Composite, Verdict, check

FAST = [case for case in catalogue.cases() if case.time == "fast"]
LATER = [case for case in catalogue.cases() if case.time != "fast"]


def make(case):
    return catalogue.factory(case.name)(**case.constants)


def facts(result):
    return (
        *(result.verdict, result.distinct, result.generated, result.depth, result.actions),
        *[(f.name, f.verdict, f.vacuous, f.path is None or len(f.path)) for f in result.findings],
    )


# Larger cases are left to the slow tests, and the slow engine's to them sooner.
LARGE, SMALL = 10_000, 2_500


def up_to(most, cases):
    """The cases, those of more than `most` transitions marked slow."""
    return [
        pytest.param(case, marks=() if (case.generated or 0) <= most else pytest.mark.slow)
        for case in cases
    ]


@pytest.mark.slow(fast=7)
@pytest.mark.parametrize("case", up_to(LARGE, FAST), ids=str)
def test_pinned(case):
    result = check(make(case))
    assert case.differences(result) == []


@pytest.mark.slow(fast=5)
@pytest.mark.parametrize("case", up_to(SMALL, FAST), ids=str)
def test_engines_agree(case):
    if not isinstance(make(case), Composite):
        pytest.skip("a plain model has one engine")
    reference, *others = (check(make(case), engine=e) for e in ("reference", "table", "numba"))
    for other in others:
        assert facts(other) == facts(reference)


@pytest.mark.parametrize("case", [c for c in FAST if c.orbits], ids=str)
def test_orbits(case):
    result = check(make(case), symmetry=True)
    assert case.differences(result, symmetry=True) == []


@pytest.mark.slow(fast=9)
@pytest.mark.parametrize(
    "case",
    up_to(SMALL, [case for case in catalogue.cases() if case.por and case.time != "slow"]),
    ids=str,
)
def test_partial_order_reduction(case):
    model = make(case)
    result = check(model, por=True)
    assert case.differences(result, por=True) == []
    # Where something is violated the counterexample may be longer, and the search go deeper.
    assert result.verdict is Verdict.VIOLATED or case.por <= case.distinct
    plain = model.model()
    for path in [result.counterexample, *(f.path for f in result.findings)]:
        for before, after in pairwise(path.moments if path else ()):
            assert (after.action, after.state) in plain.successors(before.state)


def test_what_may_be_reduced_is_pinned():
    for case in catalogue.cases():
        model = make(case)
        takes = isinstance(model, Composite) and not any(
            prop.is_liveness or prop.steps for prop in model.properties
        )
        assert takes if case.por is not None else not takes or case.time == "slow", case


# Larger cases are left to the kernel.
TABLE_MAX = 400_000
#: Models without components, which have no tables.
PLAIN = {"guarded-file"}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("case", "engine"),
    [
        pytest.param(case, engine, id=f"{case}-{engine}")
        for case in LATER
        for engine in (("reference",) if case.name in PLAIN else ("table", "numba"))
        if engine != "table" or case.distinct <= TABLE_MAX
    ],
)
def test_pinned_at_size(case, engine):
    assert case.differences(check(make(case), engine=engine)) == []


def test_a_changed_count_fails():
    case = FAST[0]
    result = check(make(case))
    other = type(case)(case.name, case.constants, case.expect, distinct=case.distinct + 1)
    assert other.differences(result) == ["distinct: 288, pinned 289"]


@pytest.mark.parametrize("name", catalogue.names())
def test_every_model_has_a_case_and_a_line(name):
    assert list(catalogue.cases(name))
    assert catalogue.about(name)
    assert catalogue.constants(name) is not None
