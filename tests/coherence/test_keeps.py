"""Whether a text keeps a change that its writer was told of."""

import pytest

from coherence.delta import keeps

BASE = "a\nb\nc\nd\ne\n"


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [
        ("a\nB\nc\nd\ne\n", True),
        ("a\nB\nc\nd\nmine\n", True),
        ("a\nb\nc\nd\nmine\n", False),
        ("a\nB\nmine\nd\ne\n", True),
        ("a\nb\nmine\nd\ne\n", False),
        ("a\nmine\nc\nd\ne\n", False),
        ("mine\n", False),
        ("B\nmine\n", True),
        ("", False),
    ],
)
def test_a_change_is_kept_or_not(text, is_kept):
    assert keeps(BASE, "a\nB\nc\nd\ne\n", text) is is_kept


def test_what_was_told_to_be_gone_is_gone():
    told = "a\nc\nd\ne\n"
    assert keeps(BASE, told, "a\nc\nd\nmine\n")
    assert keeps(BASE, told, "a\nmine\nd\ne\n")
    assert not keeps(BASE, told, "a\nb\nc\nd\nmine\n")
    assert not keeps(BASE, told, "a\nb\nmine\nd\ne\n")
