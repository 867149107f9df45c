"""The examples in docs/causal.md and docs/endpoints.md run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("causal", "endpoints")
TEXTS = {page: (DOCS / f"{page}.md").read_text(encoding="utf-8") for page in PAGES}
EXAMPLES = {
    f"{page}-{number}": example
    for page, text in TEXTS.items()
    for number, example in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
}


def heading_anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_run(name: str, request: pytest.FixtureRequest) -> None:
    environment, example = dict(os.environ), EXAMPLES[name]
    if "PostgresTransport" in example:
        pytest.importorskip("psycopg")
        environment["TEAM_DATABASE"] = request.getfixturevalue("postgres_url")
    done = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, timeout=60, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")


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
