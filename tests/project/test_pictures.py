"""The pictures of README and docs show what the simulation gives today."""

import runpy
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"


def test_the_pictures_of_savings_are_current():
    drawn = runpy.run_path(str(PICTURES / "savings.py"))["pictures"]()
    for path, text in drawn.items():
        ElementTree.fromstring(text)
        assert path.read_text(encoding="utf-8") == text, "run: python docs/pictures/savings.py"
    assert {path.name for path in drawn} == {path.name for path in PICTURES.glob("savings-*.svg")}
