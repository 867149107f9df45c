"""Writes what the README says of the studies, from their results, and draws its picture.

    python docs/headlines.py

`make studies` ends with it.  The part of the README between the two marks is never typed.
"""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from coherence.simulate.studies.rows import Figures, of_csv
from coherence.simulate.studies.study import Study
from coherence.simulate.studies.writing import written

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "simulations" / "results"
README = ROOT / "README.md"
_PART = re.compile(r"(<!-- headlines: [^\n]* -->\n).*?(<!-- to here -->)", re.DOTALL)

TEXT = """
{% set all = rows | where(strategy="adaptive") %}
{% set planning = all | one(scenario="planning") %}
{% macro vs(table, scenario, field) %}{{ table | one(scenario=scenario, strategy="adaptive") | pct(field) }}{% endmacro %}

An agent gets what has changed as a difference: when it asks, or unasked in its next prompt, if [a
rule](docs/experiments.md#the-adaptive-rule) finds that cheaper than a round trip. The rule saves:

- **Tokens.** Against a conditional GET, which you could write in an afternoon, {{ planning | pct("saved_transferred") }}
  of what is transferred in the paper's planning scenario. The paper's
  {{ "%.0f" | format(100 * (figures | where(scenario="planning", strategy="lazy", field="savings_mean") | first).ours) }} % are
  against a broadcast of every text to every agent in every step; its protocol with whole texts saves
  {{ rows | one(scenario="planning", strategy="lazy") | pct("saved_transferred") }} here.
- **Money.** {{ planning | pct("saved_bill") }} of the whole bill, at the prices of {{ planning.prices }} with prompt caching,
  where differences that an agent must ask for save
  {{ get | one(scenario="planning", strategy="lazy_delta") | pct("saved_bill") }};
  {{ all | least("saved_bill") | pct("saved_bill") }} to {{ all | most("saved_bill") | pct("saved_bill") }} in
  {{ all | length }} scenarios. What is added to the bill is {{ planning | times("above_of_floor") }} times the least that any
  schedule could add in planning, and {{ all | most("above_of_floor") | times("above_of_floor") }} times at most.
- **Not for you** where almost every call uses a small text that has just changed: against a slot at the prompt's tail the rule
  {{ tail | one(scenario="write-heavy", strategy="adaptive") | effect("saved_bill") }} in write-heavy. Nor without a prompt
  cache, where the rule {{ uncached | one(scenario="planning", strategy="adaptive") | effect("saved_bill") }} even in planning.
  [More such cases](simulations/results/8-when-not.md).

<picture>
  <source media="(prefers-color-scheme: dark)" srcset="docs/pictures/savings-dark.svg">
  <img src="docs/pictures/savings-light.svg" alt="Tokens and bill of four scenarios by four strategies, as shares of what a conditional GET costs. The table below and the studies have the figures.">
</picture>

| saved by the adaptive rule against | planning: tokens | bill | write-heavy: tokens | bill |
|---|---|---|---|---|
{% for name, table in (("every text in every prompt", broadcast), ("the whole text at each access", refetch), ("a conditional GET", get), ("a slot at the prompt's tail", tail), ("a slot in its prefix", prefix), ("`read(have)` at each access", ask)) %}
| {{ name }} | {{ vs(table, "planning", "saved_transferred") }} | {{ vs(table, "planning", "saved_bill") }} | {{ vs(table, "write-heavy", "saved_transferred") }} | {{ vs(table, "write-heavy", "saved_bill") }} |
{% endfor %}

A minus is a loss, ± half a 95 % interval of ten paired runs. Stale reads a run:
{{ "%.1f" | format(planning.stale_reads_mean) }} in planning, {{ "%.1f" | format((all | one(scenario="write-heavy")).stale_reads_mean) }}
in write-heavy, and none in a workspace in memory or on SQLite. [The studies](docs/studies.md) have five price models, git histories, and
what each figure means.
"""  # noqa: E501


def figures(study: str, name: str) -> list[Figures]:
    """The rows of a study's results."""
    return of_csv((RESULTS / study / f"{name}.csv").read_text(encoding="utf-8"))


def headlines() -> str:
    """What the README says of the studies."""
    tables = {
        name: figures("2-strong-baselines", name)
        for name in ("broadcast", "refetch", "get", "tail", "prefix", "ask")
    }
    tables |= {
        "figures": figures("1-the-paper", "figures"),
        "rows": figures("3-the-references", "rows"),
        "uncached": figures("8-when-not", "uncached"),
    }
    return written(Study("README.md", TEXT, {}), tables).strip("\n")


def pages() -> dict[Path, str]:
    """Every file that depends on the results, with the text that it should have."""
    text = README.read_text(encoding="utf-8")
    made, count = _PART.subn(lambda part: f"{part[1]}\n{headlines()}\n\n{part[2]}", text)
    assert count == 1, "README.md has no place for the headlines"
    draw = runpy.run_path(str(ROOT / "docs" / "pictures" / "savings.py"))["pictures"]
    return {README: made, **draw()}


if __name__ == "__main__":
    for path, made in pages().items():
        path.write_text(made, encoding="utf-8")
