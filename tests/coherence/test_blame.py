"""Each line of a text has the version that brought it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coherence.blame import Origin, blame
from coherence.delta import split


def origins(*history):
    return [(each.line, each.first, each.last) for each in blame(history)]


def test_lines_keep_the_version_that_brought_them():
    assert origins((1, "a\nb\n"), (2, "a\nB\n"), (3, "x\na\nB\n")) == [
        ("x\n", 3, 3),
        ("a\n", 1, 1),
        ("B\n", 2, 2),
    ]


def test_a_version_that_is_not_kept_leaves_a_range():
    found = blame([(3, "a\n"), (4, "a\nb\n"), (7, "a\nb\nc\n")])
    assert found == [Origin("a\n", 1, 3), Origin("b\n", 4, 4), Origin("c\n", 5, 7)]
    assert [each.known for each in found] == [False, True, False]


def test_what_follows_a_deletion_or_bytes_is_all_new():
    assert origins((1, "a\n"), (2, None), (3, "a\n")) == [("a\n", 3, 3)]
    assert origins((1, "a\n"), (2, b"a\n"), (3, "a\n")) == [("a\n", 3, 3)]
    assert origins((1, "a\n"), (2, None)) == []
    assert blame([]) == []


texts = st.lists(st.sampled_from("abc"), max_size=6).map("\n".join)
histories = st.lists(
    st.tuples(st.integers(1, 3), texts | st.none() | st.just(b"raw")), min_size=1, max_size=6
)


@given(histories)
def test_a_line_is_in_the_versions_from_its_own_on(steps):
    version, history = 0, []
    for step, content in steps:
        version += step
        history.append((version, content))
    found = blame(history)
    last = history[-1][1]
    assert "".join(each.line for each in found) == (last if isinstance(last, str) else "")
    contents = dict(history)
    for each in found:
        assert each.first <= each.last
        assert each.last in contents
        for version, content in history:
            if version >= each.last:
                assert each.line in split(content)
