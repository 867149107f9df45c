"""Items of a store as artifacts: names, contents, and what two writers both changed."""

import math
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherence import InvalidContent
from coherence.context.reader import merged
from coherence.context.references import RefsClash, newest_refs
from coherence.context.values import decoded, encoded, item_of, name_of
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


@pytest.mark.slow
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


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 1, 1), date(2026, 1, 1), {1}, frozenset(), b"bytes", Decimal(1), UUID(int=1),
        math.nan, math.inf, {1: 2}, {None: 1}, {(): 1}, [{"deep": {1}}],
    ],
    ids=repr,
)  # fmt: skip
def test_what_would_come_back_as_something_else_is_refused(value):
    with pytest.raises(InvalidContent, match="finite numbers"):
        encoded({"value": value})


@pytest.mark.parametrize("value", [1, [1], "text", None])
def test_an_item_is_a_dict(value):
    with pytest.raises(InvalidContent, match="a dict"):
        encoded(value)


def test_what_is_refused_is_named():
    with pytest.raises(InvalidContent, match=r"the value\['a'\]\[1\] is a set"):
        encoded({"a": [1, {2}]})


def test_a_tuple_is_a_list():
    value = {"a": (1, ("b", [2.5, True, None])), "n": 2**60}
    assert decoded(encoded(value)) == {"a": [1, ["b", [2.5, True, None]]], "n": 2**60}


def test_texts_in_any_field_are_merged_by_lines():
    was = {"title": "plan", "body": "1\n2\n3\n", "n": 1}
    mine = {**was, "body": "0\n2\n3\n"}
    theirs = {**was, "body": "1\n2\n4\n", "n": 2}
    made = merged(*map(encoded, (was, mine, theirs)))
    assert decoded(made) == {"title": "plan", "body": "0\n2\n4\n", "n": 2}
    theirs = {**was, "body": "0!\n2\n3\n"}
    assert merged(*map(encoded, (was, mine, theirs))) is None
    assert merged(*map(encoded, ({}, {"body": "mine"}, {"body": "theirs"}))) is None


def test_the_newest_ref_wins_and_a_key_is_one_artifact():
    assert newest_refs({"p": "p@2"}, {"p": "p@10", "q": "q@1"}) == {"p": "p@10", "q": "q@1"}
    with pytest.raises(RefsClash):
        newest_refs({"p": "p@2"}, {"p": "q@3"})
