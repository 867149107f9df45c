"""The page of ``coherence simulate replay``."""

from __future__ import annotations

from collections.abc import Sequence

from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.figures import Comparison
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.workload import OUTSIDE, Workload
from coherence.simulate.pages.compared import priced
from coherence.simulate.pages.page import Page
from coherence.simulate.pages.said import subject
from coherence.simulate.pages.timeline import recorded


def page_of(
    name: str,
    workload: Workload,
    names: Sequence[str],
    rows: Sequence[Comparison],
    models: Sequence[PriceModel],
    prompting: Prompting,
    remarks: Sequence[str],
    command: str,
) -> Page:
    """A history or a recorded run, with the timeline of the first draw.

    `names` are those of the artifacts, as far as they are known.
    """
    strategy = subject([row for row in rows if row.strategy != "recorded"])
    calls = sum(turn.agent != OUTSIDE for turn in workload.turns)
    known = [*names, *(f"artifact {number}" for number in range(len(names), workload.artifacts))]
    return Page(
        question=f"What would {strategy} have saved in {name}, and how far is it from ideal?",
        command=command,
        facts=(
            ("team", f"{workload.agents:,} agents, {calls:,} calls, {workload.artifacts:,} files"),
            *((model.name, priced(model)) for model in models),
        ),
        comparisons=tuple(rows),
        timeline=recorded(
            workload, known, strategy, models[0], prompting, title=f"{name} under {strategy}"
        ),
        remarks=tuple(remarks),
    )
