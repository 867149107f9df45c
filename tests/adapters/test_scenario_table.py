"""The table in the docs names the scenarios that there are, and how each framework plays them."""

import re
from pathlib import Path

import pytest
from scenarios import SCENARIOS

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "adapters" / "scenarios.md").read_text(encoding="utf-8")
HEAD, _, *ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|")
]


#: Adapters whose tools are those of a file system: their models name no versions.
OF_FILES = {"agent-framework", "deepagents", "openai-agents"}
#: What serves clients of others: a server, hooks.
SERVERS = {"guard", "mcp"}


def test_every_scenario_is_there_once_in_order():
    assert [name for name, *_ in ROWS] == list(SCENARIOS)
    assert len(SCENARIOS) == 12


def test_every_framework_has_a_column():
    pages = {page.stem for page in (HERE.parents[1] / "docs" / "adapters").glob("*.md")}
    assert {name.lower() for name in HEAD[1:]} == pages - {
        "index",
        "scenarios",
    } - OF_FILES - SERVERS


@pytest.mark.parametrize("framework", HEAD[1:])
def test_a_framework_plays_what_its_column_says(framework, request):
    """Each plays the whole list; in which ways is seen of those that this run has collected."""
    column = HEAD.index(framework)
    told = {
        f"{name}" if how == "agents" else f"{how}-{name}"
        for name, *cells in ROWS
        for how in cells[column - 1].split(", ")
    }
    module = f"test_{framework.lower()}_scenarios.py"
    text = (HERE / framework.lower() / module).read_text(encoding="utf-8")
    assert "(SCENARIOS.values(), ids=SCENARIOS)" in text.replace('"scenario", ', "")
    played = {
        item.callspec.id
        for item in request.session.items
        if item.path.name == module and item.originalname == "test_scenario"
    }
    assert played <= told


def test_the_tests_that_the_page_names_are_there():
    texts = "".join(path.read_text(encoding="utf-8") for path in HERE.rglob("*.py"))
    named = re.findall(r"`(test_\w+)`", PAGE)
    assert named
    assert [name for name in named if f"def {name}(" not in texts] == []
