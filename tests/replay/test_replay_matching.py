"""Differences of a replay: the shipped ones, edit by edit and token by token."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherence.delta import diff, edits
from coherence.simulate.replay import counting
from coherence.simulate.replay.history import (
    BYTES,
    EXACT,
    Measure,
    RealContents,
    Tracked,
    Weights,
    code,
    number,
)
from coherence.simulate.replay.matching import replaced
from coherence.simulate.replay.reading import coded
from coherence.tokens import Estimate, TokenizerMissing, exact


def shipped(old: str, new: str) -> list[tuple[int, int, str]]:
    return [(edit.start, edit.stop, "".join(edit.lines)) for edit in edits(old, new)]


def ours(old: str, new: str) -> list[tuple[int, int, str]]:
    return [(start, stop, new[first:end]) for start, stop, first, end in replaced(old, new)]


@given(st.text("ab", max_size=12), st.text("ab", max_size=12))
def test_the_edits_of_repeated_lines_are_the_shipped_ones(old, new):
    assert ours(old, new) == shipped(old, new)


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 60), st.integers(0, 6))
def test_the_edits_of_an_edited_text_are_the_shipped_ones(seed, alphabet, length, changes):
    rng = Random(seed)
    old = "".join(chr(97 + rng.randrange(alphabet)) for _ in range(length))
    new = list(old)
    for _ in range(changes):
        at = rng.randint(0, len(new))
        new[at : at + rng.randint(0, 4)] = [
            chr(97 + rng.randrange(alphabet + 3)) for _ in range(rng.randint(0, 4))
        ]
    assert ours(old, "".join(new)) == shipped(old, "".join(new))


def test_beyond_the_shipped_bound_everything_between_is_one_edit():
    old = "".join(map(chr, range(1_000, 6_000)))
    new = "a" + old[1:2_500] + "b" + old[2_501:-1] + "c"
    assert ours(old, new) == shipped(old, new)
    assert len(ours(old, new)) == 1


def test_every_number_has_a_code_of_its_own_and_none_is_a_surrogate():
    numbers = [0, 127, 128, 0xD7FF, 0xD800, 0xD801, 0x10F7FF]
    assert [number(code(n)) for n in numbers] == numbers
    "".join(map(code, numbers)).encode()


def test_weights_are_found_beyond_the_surrogates():
    weights = Weights(range(0xD802))
    assert weights.total([code(n) for n in (3, 0xD7FF, 0xD800, 0xD801)]) == 3 + 3 * 0xD800
    assert weights.numbered() == list(range(0xD802))


TEXTS = st.lists(
    st.sampled_from(
        ["\n", "a\n", "  b = 1\n", "}\n", "/* c */\n", "é ✓\n", "0123456789\n", "- x\n"]
    ),
    max_size=20,
).map("".join) | st.text(max_size=40)


def contents(counter: counting.LineCounter, *texts: str) -> RealContents:
    file = Tracked(1, [], [], Weights(), Weights(), [])
    make = coded(file, counter)
    for each in texts:
        file.codes.append(make(each))
        file.sizes.append(counter.text(each))
    return RealContents([file], counter.measure)


@given(TEXTS, TEXTS)
def test_a_difference_has_the_tokens_of_the_shipped_one(old, new):
    made = contents(counting.counter("estimate"), old, new)
    whole = Estimate().count(new)
    assert made.text(0, 2) == whole
    shown = Estimate().count(diff(old, new).render(old))
    assert made.difference(0, 1, 2) == min(whole, shown)
    assert made.difference(0, 2, 2) == 0


@given(TEXTS, TEXTS)
def test_so_it_has_by_the_exact_tokenizer(old, new):
    try:
        count = exact().count
    except TokenizerMissing:
        pytest.skip("no tokenizer is installed")
    made = contents(counting.counter("exact"), old, new)
    assert made.text(0, 2) == count(new)
    shown = count(diff(old, new).render(old))
    assert made.difference(0, 1, 2) == min(count(new), shown)


@pytest.mark.parametrize("measure", [BYTES, EXACT], ids=lambda measure: measure.name)
@given(st.integers(0, 20_000), st.integers(0, 2_000), st.integers(0, 2_000), st.integers(-99, 99))
def test_the_line_before_a_hunk_is_counted_without_a_tokenizer(
    measure: Measure, start: int, old: int, new: int, shift: int
):
    if start + shift < 0:
        return
    first = start + 1 - (old == 0), start + shift + 1 - (new == 0)
    sides = [
        str(at) if count == 1 else f"{at},{count}"
        for at, count in zip(first, (old, new), strict=True)
    ]
    shown = f"@@ -{sides[0]} +{sides[1]} @@\n"
    if measure is BYTES:
        assert measure.hunk(start, old, new, shift) == len(shown)
        return
    try:
        assert measure.hunk(start, old, new, shift) == exact().count(shown)
    except TokenizerMissing:
        pytest.skip("no tokenizer is installed")
