"""What docs/causal.md and docs/endpoints.md name exists."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("causal", "endpoints")
TEXTS = {page: (DOCS / f"{page}.md").read_text(encoding="utf-8") for page in PAGES}


def heading_anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_the_modules_it_names_exist(page: str) -> None:
    named = re.findall(r"`((?:causal|specs|tests)/[\w/]+\.py)`", TEXTS[page])
    assert named
    assert [name for name in named if not (DOCS.parent / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_its_links_lead_to_headings(page: str) -> None:
    links = re.findall(r"\]\(([\w-]+)\.md(?:#([\w-]+))?\)", TEXTS[page])
    assert links
    for target, anchor in links:
        text = (DOCS / f"{target}.md").read_text(encoding="utf-8")
        assert not anchor or anchor in heading_anchors(text), f"{target}.md#{anchor}"
