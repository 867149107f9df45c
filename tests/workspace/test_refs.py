"""Refs print and parse; names that pass are safe as a path and as a key."""

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherence import BadRef, InvalidName, Ref
from coherence.refs import VERSION_MAX, check_name


def test_a_ref_prints_as_it_parses():
    ref = Ref("notes/plan.md", 3, "some-workspace")
    assert str(ref) == "notes/plan.md@3"
    assert Ref.parse(str(ref)) == ref
    assert hash(Ref.parse(str(ref))) == hash(ref)


@given(st.text(max_size=30), st.integers(1, VERSION_MAX))
def test_every_good_ref_survives_printing(name, version):
    try:
        check_name(name)
    except InvalidName:
        return
    assert Ref.parse(f"{name}@{version}") == Ref(name, version)


@given(st.text(alphabet=st.sampled_from("a./\\:*@ \0\n~$'\"%é"), max_size=12))
def test_a_name_that_passes_stays_below_its_folder(name):
    try:
        check_name(name)
    except InvalidName:
        return
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(name)
        assert not path.is_absolute()
        assert not path.drive
        assert ".." not in path.parts
        assert str(path).replace("\\", "/") == name


@pytest.mark.parametrize(
    "text", ["a@0", "a@-1", "a@01", "a@", "@1", "a", "", "a@1 ", "a@9" + "9" * 19]
)
def test_a_text_that_is_no_ref(text):
    with pytest.raises(BadRef):
        Ref.parse(text)
