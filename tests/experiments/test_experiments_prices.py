"""Price models: those that are shipped, those of a file, and what is refused."""

import pytest

from coherence.simulate.errors import InvalidPrices, UnknownPrices
from coherence.simulate.experiments import prices
from coherence.simulate.experiments.prices import DEFAULT, parse

GOOD = """
[mine]
cached = 0.1
write = 1.25
output = 5
match = "breakpoints"
breakpoints = 4
look_back_blocks = 20
source = "my contract"
date = 2026-11-01
"""


def test_shipped_models_have_a_source_and_are_plausible():
    shipped = prices.shipped()
    assert DEFAULT in shipped
    assert {"none", "gpt-5-5", "deepseek-v4-1-flash"} <= set(shipped)
    for name, model in shipped.items():
        assert model.name == name
        assert model.input == 1
        assert model.cached <= 1 <= model.write <= model.output
        assert model.date or "without a date" in model.source or name == "none"


def test_the_five_models_of_the_headline_are_shipped():
    found = {(m.cached, m.write, m.output) for m in prices.shipped().values()}
    assert found >= {(0.1, 1.25, 5), (0.1, 2, 5), (0.05, 1.25, 5), (0.025, 1.25, 5), (0.02, 1, 4)}


def test_a_file_is_found_like_a_name(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    (model,) = prices.find(str(path))
    assert model == parse(GOOD, "text")["mine"]
    assert (model.kept(10), model.shown_once) == (2.25, 1.0)


def test_where_no_mark_can_stand_a_tail_is_a_write():
    text = GOOD.replace('"breakpoints"\nbreakpoints = 4\nlook_back_blocks = 20', '"steps"')
    assert parse(text, "text")["mine"].shown_once == 1.25


FAULTS = {
    "a missing field": ("output = 5", "", "mine.output: missing"),
    "an unknown key": ("output = 5", "output = 5\noutputs = 5", "did you mean 'output'?"),
    "a negative price": ("cached = 0.1", "cached = -0.1", "mine.cached: should be greater"),
    "not a number": ("cached = 0.1", 'cached = "0.1"', "mine.cached: should be a valid number"),
    "not finite": ("cached = 0.1", "cached = inf", "mine.cached: should be a finite number"),
    "no number at all": ("cached = 0.1", "cached = nan", "mine.cached: should be a finite number"),
    "a yes for a number": ("cached = 0.1", "cached = true", "mine.cached: should be a valid"),
    "half a token": ("date", "minimum_tokens = 0.5\ndate", "mine.minimum_tokens: should be"),
    "a text for a date": ("2026-11-01", '"2026-11-01"', "mine.date: should be a valid date"),
    "nothing paid": ("cached = 0.1\nwrite = 1.25", "cached = 0\nwrite = 0", "cannot both be 0"),
    "a table in a table": ("[mine]", "[mine.sub]", "mine.sub: unknown key"),
    "a list of tables": ("[mine]", "[[mine]]", "mine: outside a table"),
    "no lifetime": ("date", "lifetime_s = 0\ndate", "mine.lifetime_s: should be greater than 0"),
    "an unknown match": ('"breakpoints"', '"prefix"', "mine.match: should be 'steps' or"),
    "marks without a number": ("breakpoints = 4", "", "needs breakpoints and look_back_blocks"),
    "marks where there are none": ('"breakpoints"', '"steps"', "belong to match = 'breakpoints'"),
    "half a tier": ("date", "above_tokens = 9\ndate", "above_tokens and above_factor belong"),
    "a key outside a table": ("[mine]", "mine = 1\n[other]", "mine: outside a table"),
    "a name within the table": ("date", 'name = "x"\ndate', "the table's name is the name"),
    "not TOML": ("[mine]", "[mine", "not a TOML file"),
    "an empty file": (GOOD, "", "has no price model"),
}


@pytest.mark.parametrize(("old", "new", "said"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named_with_file_and_key(old, new, said):
    assert old in GOOD
    with pytest.raises(InvalidPrices) as caught:
        parse(GOOD.replace(old, new, 1), "mine.toml")
    assert str(caught.value).startswith("mine.toml: ")
    assert said in str(caught.value)
    assert caught.value.remedy


def test_every_fault_is_named_at_once():
    with pytest.raises(InvalidPrices) as caught:
        parse("[a]\ncached = -1\n[b]\nwrite = 1", "two.toml")
    text = str(caught.value)
    assert "a.cached" in text
    assert "a.output: missing" in text
    assert "b.cached: missing" in text


def test_what_cannot_be_read_is_named(tmp_path):
    big = tmp_path / "big.toml"
    big.write_bytes(b"#" * (prices.FILE_BYTES_MAX + 1))
    for name, said in {
        "claude-opus5": "did you mean 'claude-opus-5'",
        "": "cannot be read",
        str(tmp_path): "cannot be read: Is a directory",
        str(tmp_path / "none.toml"): "no such price model or file",
        "a\0b": "cannot be read",
        "x" * 5_000: "cannot be read",
        str(big): "larger than",
    }.items():
        with pytest.raises(UnknownPrices, match=said) as caught:
            prices.find(name)
        assert "--prices list" in caught.value.remedy


@pytest.mark.parametrize("content", [b"\xff", b"\x00\x01", b"\x89PNG\r\n\x1a\n", b"[mine"])
def test_a_binary_file_is_refused(content, tmp_path):
    path = tmp_path / "bytes.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidPrices, match=r"bytes.toml: not a TOML file"):
        prices.find(str(path))


def test_the_mark_that_some_editors_write_first_is_read_over(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    (model,) = prices.find(str(path))
    assert model.name == "mine"
