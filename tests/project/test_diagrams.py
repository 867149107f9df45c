"""The diagrams of the docs show the tables and the rooms of today."""

import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
DIAGRAMS = runpy.run_path(str(PICTURES / "diagrams.py"))
GRAPHS = DIAGRAMS["graphs"]()


@pytest.mark.parametrize("theme", [theme.name for theme in DIAGRAMS["THEMES"]])
@pytest.mark.parametrize("name", GRAPHS)
def test_a_diagram_shows_the_graph_of_today(name, theme):
    text = (PICTURES / f"{name}-{theme}.svg").read_text(encoding="utf-8")
    said = f"<!-- graph: {DIAGRAMS['digest'](GRAPHS[name])} -->"
    assert text.startswith(said), "run: python docs/pictures/diagrams.py"
    edges = [title.text for title in ElementTree.fromstring(text).iter() if title.text]
    assert sum("->" in edge for edge in edges) == GRAPHS[name].count("->")


def test_a_flowchart_keeps_its_boxes_and_arrows():
    graph = DIAGRAMS["flowchart"]('flowchart TD\n    a["A b"]\n    c["C"]\n    a --> c\n')
    assert '"a" [label="A b"];' in graph
    assert '"a" -> "c";' in graph
