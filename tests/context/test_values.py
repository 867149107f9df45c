"""Items of a store as artifacts: names, contents, and what two writers both changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherence import InvalidContent
from coherence.context.references import RefsClash, newest_refs
from coherence.context.values import decoded, encoded, item_of, merged, name_of
from coherence.refs import check_name

# Short, for a name has an end: a character may take twelve.
LABELS = st.text(min_size=1, max_size=4)
VALUES = st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), max_size=3)


@given(
    st.lists(LABELS, max_size=3).map(tuple),
    st.text(st.characters(exclude_categories=()), max_size=4),
)
def test_every_item_is_an_artifact_of_its_own(labels, key):
    name = name_of(labels, key)
    assert item_of(name) == (labels, key)
    check_name(name)


@given(VALUES, VALUES, VALUES)
def test_a_merge_has_both_changes_or_is_none(was, mine, theirs):
    """By the definition: field by field, whoever changed it, unless both did, each his own way."""
    expected = {}
    for field in {*was, *mine, *theirs}:
        old, ours, now = was.get(field), mine.get(field), theirs.get(field)
        if old not in (ours, now) and ours != now:
            expected = None
            break
        expected[field] = now if ours == old else ours
    made = merged(*map(encoded, (was, mine, theirs)))
    if expected is None:
        assert made is None
    else:
        assert decoded(made) == {f: v for f, v in expected.items() if v is not None}


def test_a_text_is_that_text_and_all_else_is_json():
    assert encoded({"text": "plain"}) == "plain"
    assert encoded({"text": "plain", "n": 1}) == b'{"text":"plain","n":1}'
    assert decoded("plain") == {"text": "plain"}
    for value in ({"n": object()}, {"n": {1: object}}):
        with pytest.raises(InvalidContent):
            encoded(value)
    with pytest.raises(InvalidContent):
        decoded(b"\xff")


def test_the_newest_ref_wins_and_a_key_is_one_artifact():
    assert newest_refs({"p": "p@2"}, {"p": "p@10", "q": "q@1"}) == {"p": "p@10", "q": "q@1"}
    with pytest.raises(RefsClash):
        newest_refs({"p": "p@2"}, {"p": "q@3"})
