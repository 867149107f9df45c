"""The pictures and the tables of README and docs show what simulation and studies give today."""

import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

from coherence.simulate import catalogue, jobs

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"


def table(page: str, name: str) -> list[list[str]]:
    """The rows of a table that a comment names, without its head."""
    text = (ROOT / page).read_text(encoding="utf-8")
    (found,) = re.findall(rf"<!-- table: {name} -->\n\n((?:\|.*\n)+)", text)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()]
    return rows[2:]


def percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def test_readme_and_pictures_say_what_the_studies_found():
    pytest.importorskip("jinja2", reason="headlines are written by jinja2")
    pages = runpy.run_path(str(ROOT / "docs" / "headlines.py"))["pages"]()
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, "run: python docs/headlines.py"
    drawn = {path.name: text for path, text in pages.items() if path.suffix == ".svg"}
    for text in drawn.values():
        ElementTree.fromstring(text)
    assert set(drawn) == {path.name for path in PICTURES.glob("savings-*.svg")}


def test_no_other_page_of_the_front_types_a_figure_of_a_study():
    """Beside the part that is written: figures with intervals."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    typed = re.sub(r"<!-- headlines: .*?<!-- to here -->", "", readme, flags=re.DOTALL)
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert "±" not in typed + index


@pytest.mark.slow
def test_the_table_of_policies_is_current():
    rows = table("docs/which-policy.md", "policies")
    scenarios = [catalogue.find(row[0]) for row in rows]
    played = jobs.simulate(scenarios, ("lazy", "eager"), ("engine",)).records
    found = {(record.scenario, record.strategy): record for record in played}
    for scenario, row in zip(scenarios, rows, strict=True):
        lazy, eager = found[scenario.name, "lazy"], found[scenario.name, "eager"]
        assert row[1:] == [
            percent(scenario.write_probability),
            percent(lazy.savings_vs_refetch_mean),
            percent(eager.savings_vs_refetch_mean),
            f"{lazy.stale_reads_mean:.1f}",
            f"{eager.stale_reads_mean:.1f}",
        ]
