"""The pictures and the tables of README and docs show what the simulation gives today."""

import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

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


def test_the_pictures_of_savings_are_current():
    drawn = runpy.run_path(str(PICTURES / "savings.py"))["pictures"]()
    for path, text in drawn.items():
        ElementTree.fromstring(text)
        assert path.read_text(encoding="utf-8") == text, "run: python docs/pictures/savings.py"
    assert {path.name for path in drawn} == {path.name for path in PICTURES.glob("savings-*.svg")}


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
