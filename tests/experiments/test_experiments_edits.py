"""Contents: how large edits are, and that differences are monotone and subadditive."""

from random import Random
from statistics import fmean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherence.simulate.experiments import edits
from coherence.simulate.experiments.edits import EditedContents, Span, drawn, united

SIZES = st.integers(1, 400)


@st.composite
def places(draw, size: int) -> list[Span]:
    """Edits anywhere, of any size."""
    ends = st.tuples(st.integers(0, size - 1), st.integers(1, size))
    spans = draw(st.lists(ends.filter(lambda span: span[0] < span[1]), max_size=40))
    return [Span(span, min(size, 2 * (span[1] - span[0]))) for span in spans]


@st.composite
def contents(draw) -> tuple[EditedContents, list[Span], int]:
    size = draw(SIZES)
    made = draw(
        st.one_of(
            places(size),
            st.builds(
                lambda k, seed: drawn(size, k, Random(seed)), st.integers(0, 60), st.integers()
            ),
        )
    )
    return EditedContents([size], [made]), made, size


@pytest.mark.slow
@given(contents())
def test_a_difference_covers_the_union_of_the_edits_in_between(given_contents):
    found, made, size = given_contents
    for version in range(len(made) + 1, 0, -1):
        for base in range(version, 0, -1):
            covered = set()
            for place in made[base - 1 : version - 1]:
                covered.update(range(*place.interval))
            assert found.difference(0, base, version) == min(size, 2 * len(covered))


@given(contents(), st.data())
def test_differences_are_monotone_and_subadditive(given_contents, data):
    found, made, size = given_contents
    a, b, c, d = sorted(data.draw(st.tuples(*[st.integers(1, len(made) + 1)] * 4)))
    assert found.difference(0, b, c) <= found.difference(0, a, d) <= size
    assert found.difference(0, a, c) <= found.difference(0, a, b) + found.difference(0, b, c)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20))))
def test_intervals_stay_disjoint_sorted_and_complete(spans):
    starts: list[int] = []
    ends: list[int] = []
    covered: set[int] = set()
    for first, length in spans:
        positions = set(range(first, first + length))
        assert united(starts, ends, first, first + length) == len(positions - covered)
        covered |= positions
        assert {p for a, b in zip(starts, ends, strict=True) for p in range(a, b)} == covered
        assert all(end < start for end, start in zip(ends, starts[1:], strict=False))


def test_an_older_base_extends_what_was_computed_for_a_newer_one():
    made = [Span((k, k + 1), 2) for k in range(0, 900, 3)]
    found = EditedContents([900], [made])
    assert [found.difference(0, 301 - k, 301) for k in range(1, 301)] == list(range(2, 602, 2))


def test_a_full_cache_changes_no_difference(monkeypatch):
    made = drawn(900, 300, Random(1))
    whole, small = EditedContents([900], [made]), EditedContents([900], [made])
    monkeypatch.setattr(edits, "DIFFERENCES_MAX", 50)
    pairs = [(base, version) for version in range(2, 301, 7) for base in range(1, version, 3)]
    expected = [EditedContents([900], [made]).difference(0, *pair) for pair in pairs]
    assert [small.difference(0, *pair) for pair in pairs] == expected
    monkeypatch.undo()
    assert [whole.difference(0, *pair) for pair in pairs] == expected


def test_the_cache_is_bounded(monkeypatch):
    monkeypatch.setattr(edits, "DIFFERENCES_MAX", 500)
    found = EditedContents([4_096], [drawn(4_096, 2_000, Random(1))])
    for version in range(2, 2_000):
        found.difference(0, max(1, version - 30), version)
        assert sum(map(len, found._rows[0].values())) <= 500 + 64
    assert len(found._rows[0]) > 1


def test_one_seed_gives_one_history():
    assert drawn(4_096, 50, Random("a")) == drawn(4_096, 50, Random("a"))
    assert drawn(4_096, 50, Random("a")) != drawn(4_096, 50, Random("b"))


@pytest.mark.parametrize(("size", "middle", "share"), [(4_096, 114, 0.10), (1_000, 65, 0.17)])
def test_edits_are_as_large_as_in_the_histories_that_they_are_fitted_to(size, middle, share):
    tokens = [place.tokens for place in drawn(size, 20_000, Random(1))]
    assert median(tokens) == pytest.approx(middle, rel=0.08)
    assert fmean(tokens) / size == pytest.approx(share, abs=0.01)
    assert 1 <= min(tokens) <= max(tokens) <= size


@pytest.mark.parametrize(
    ("span", "low", "high"), [(2, 0.95, 1.0), (4, 0.77, 0.95), (8, 0.53, 0.81), (16, 0.39, 0.77)]
)
def test_differences_of_one_text_combine_as_in_the_histories(span, low, high):
    """Medians of seven git histories, as shares of the sum of the single differences."""
    found = EditedContents([4_096], [drawn(4_096, 3_000, Random(1))])
    shares = [
        found.difference(0, v, v + span)
        / sum(found.difference(0, u, u + 1) for u in range(v, v + span))
        for v in range(1, 3_000 - span)
    ]
    assert low <= median(shares) <= high


def test_an_edit_lies_within_its_text():
    for size in (1, 2, 7, 300):
        for place in drawn(size, 500, Random(size)):
            first, end = place.interval
            assert 0 <= first < end <= size
            assert 1 <= place.tokens <= size
