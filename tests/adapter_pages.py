"""What an adapter's page shows first, and the plain program that its diff comes from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from pages import blocks

ROOT = Path(__file__).parents[1]


class Page(NamedTuple):
    """What a page shows first: a program, what it prints, how a plain team comes to it."""

    program: str
    prints: str
    diff: str
    plain_prints: str
    text: str


def reverted(program: str, diff: str) -> str:
    """`program` before `diff`, whose after side it must hold, each hunk once and in order."""
    before, rest = "", program
    for hunk in re.split(r"^@@\n", diff, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        assert {line[0] for line in lines} <= set(" +-"), hunk
        old = "".join(line[1:] for line in lines if line[0] != "+")
        new = "".join(line[1:] for line in lines if line[0] != "-")
        assert program.count(new) == 1, f"not in the program, or more than once:\n{new}"
        head, found, rest = rest.partition(new)
        assert found, f"out of order:\n{new}"
        before += head + old
    return before + rest


def shown(name: str) -> Page:
    """The page of the adapter `name`."""
    text = (ROOT / "docs" / "adapters" / f"{name}.md").read_text(encoding="utf-8")
    first = [block for block in blocks(text) if block.language != "sh"][:4]
    assert [block.language for block in first] == ["python", "text", "diff", "text"]
    return Page(*(block.text for block in first), text)
