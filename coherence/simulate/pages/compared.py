"""The page of ``coherence simulate compare``."""

from __future__ import annotations

from collections.abc import Iterator

from coherence.simulate import report
from coherence.simulate.experiments.compare import Compared, Plan
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.workload import of_scenario
from coherence.simulate.pages.page import Page
from coherence.simulate.pages.said import subject
from coherence.simulate.pages.timeline import recorded


def page_of(plan: Plan, outcome: Compared, command: str) -> Page:
    """What is compared, and the timeline of the first run of the first scenario."""
    rows = tuple(outcome.comparisons)
    names = list(dict.fromkeys(row.scenario for row in rows))
    name = subject(rows)
    scenario = next(each for each in plan.scenarios if each.name == names[0])
    workload = of_scenario(scenario, scenario.first_seed, plan.cuts)
    where = names[0] if len(names) == 1 else f"{len(names)} scenarios"
    return Page(
        question=f"What does {name} save in {where}, and how far is it from the least possible?",
        command=command,
        facts=tuple(_facts(plan, names)),
        comparisons=rows,
        timeline=recorded(
            workload,
            [artifact.name for artifact in scenario.artifacts],
            name,
            plan.prices[0],
            plan.prompting,
            title=f"One run of {scenario.name} under {name}, seed {scenario.first_seed}",
        ),
        remarks=tuple(_remarks(plan, outcome)),
    )


def _facts(plan: Plan, names: list[str]) -> Iterator[tuple[str, str]]:
    for scenario in plan.scenarios:
        if scenario.name in names:
            yield scenario.name, report.parameters(scenario).replace("\n", "; ")
    for prices in plan.prices:
        yield prices.name, priced(prices)
    if plan.cuts:
        yield "contexts", f"lost before a call with a chance of {plan.cuts:g}"


def priced(prices: PriceModel) -> str:
    """A price model in a line."""
    dated = f", {prices.date}" if prices.date else ""
    return (
        f"cached {prices.cached:g}, write {prices.write:g}, output {prices.output:g} of the input"
        f" price; found in {prices.match}; {prices.source}{dated}"
    )


def _remarks(plan: Plan, outcome: Compared) -> Iterator[str]:
    if outcome.is_partial:
        yield "The comparison was interrupted: the scenarios here are those that were complete."
    if not plan.cuts:
        yield "No context is lost in these runs: sessions without a cut are the worst case."
    if not all(row.is_linear for row in outcome.comparisons):
        yield "The references are approximate: a price depends on the length of a prompt."
    if any(prices.step_tokens > 1 for prices in plan.prices):
        yield "The references are approximate: a prefix is found in steps."
