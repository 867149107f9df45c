"""Differences are exact, guarded, and readable; merges take both sides or none."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherence.delta import WrongBase, diff, merge, split
from coherence.delta import edits as edits_of
from coherence.stores.codec import splice, unsplice

texts = st.text(alphabet="ab\n\r\u2028é", max_size=40)


@given(texts)
def test_lines_are_the_text(text):
    assert "".join(split(text)) == text


@given(texts, texts)
def test_a_delta_makes_the_new_text_from_the_old(old, new):
    assert diff(old, new).apply(old) == new


@given(texts, texts, texts)
def test_a_delta_applies_to_its_base_alone(old, new, other):
    if other != old:
        with pytest.raises(WrongBase):
            diff(old, new).apply(other)


def test_a_delta_of_a_long_text_is_one_edit_where_matching_would_take_for_ever(monkeypatch):
    monkeypatch.setattr("coherence.delta.MATCHED_LINES_MAX", 2)
    old = "".join(f"{number}\n" for number in range(9))
    new = old.replace("2\n", "two\n").replace("6\n", "six\n")
    delta = diff(old, new)
    assert len(delta.edits) == 1
    assert delta.apply(old) == new


def test_a_delta_reads_as_a_diff_does():
    assert diff("a\nb\nc\nd\n", "a\nB\nc\nd\ne").render("a\nb\nc\nd\n") == (
        "@@ -2 +2 @@\n-b\n+B\n@@ -4,0 +5 @@\n+e\n\\ no newline at the end\n"
    )
    assert diff("a\n", "").render("a\n") == "@@ -1 +0,0 @@\n-a\n"


@pytest.mark.parametrize(
    ("context", "hunks"),
    [
        (0, "@@ -2 +2,2 @@\n-b\n+B\n+x\n@@ -6 +7 @@\n-f\n+F\n"),
        (1, "@@ -1,3 +1,4 @@\n a\n-b\n+B\n+x\n c\n@@ -5,3 +6,3 @@\n e\n-f\n+F\n g\n"),
        (2, "@@ -1,7 +1,8 @@\n a\n-b\n+B\n+x\n c\n d\n e\n-f\n+F\n g\n"),
    ],
)
def test_hunks_have_context(context, hunks):
    old, new = "a\nb\nc\nd\ne\nf\ng\n", "a\nB\nx\nc\nd\ne\nF\ng\n"
    delta = diff(old, new)
    assert delta.render(old, context) == hunks
    assert delta.counts() == (3, 2)


@given(texts, texts)
def test_a_merge_with_nothing_is_the_other_side(base, text):
    assert merge(base, text, base) == text
    assert merge(base, base, text) == text
    assert merge(base, text, text) == text


@given(st.lists(st.sampled_from("abc"), max_size=8), st.data())
def test_a_merge_has_every_change_of_both_sides(lines, data):
    """Each side rewrites lines of its own choice; where they are apart, both are in the outcome."""
    base = "".join(f"{line}\n" for line in lines)
    some = st.sets(st.integers(0, max(len(lines) - 1, 0)), max_size=len(lines))
    mine, theirs = data.draw(some), data.draw(some)

    def rewritten(numbers, word):
        return "".join(f"{word if i in numbers else line}\n" for i, line in enumerate(lines))

    ours, others = rewritten(mine, "X"), rewritten(theirs, "Y")
    merged = merge(base, ours, others)
    near = any(abs(i - j) <= 1 for i in mine for j in theirs)
    if merged is None:
        assert near
    else:
        assert merged == "".join(
            f"{'X' if i in mine else 'Y' if i in theirs else line}\n"
            for i, line in enumerate(lines)
        )
        assert not (mine & theirs)


@given(st.binary(max_size=200), st.binary(max_size=20), st.integers(0, 200), st.integers(0, 9))
def test_a_splice_gives_the_old_content_back(old, insertion, at, cut):
    new = old[:at] + insertion + old[at + cut :]
    packed = splice(old, new)
    assert packed is None or unsplice(packed, new) == old
    if len(old) > 150:
        assert packed is not None, "a small change to a long text is worth a difference"


@given(st.lists(texts, max_size=3), st.lists(texts, max_size=3))
def test_edits_are_in_order_and_apart(old, new):
    before, after = split("".join(old)), split("".join(new))
    found = list(edits_of(before, after))
    assert all(a.stop < b.start for a, b in pairwise(found))
