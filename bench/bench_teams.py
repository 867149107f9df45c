"""The three framework teams, counted as they run: the bill in each way, and what the model says.

    python bench/bench_teams.py [--framework langgraph]... [--scenario development]...
                                [--prices claude-opus-5]... [--seeds 1] [--json] [--examples]

A scenario's recorded actions are played by real agents with scripted models (`framework_teams`);
every prompt is priced by the prefix that the provider would find (`team_bills`).  *marked*: the
harness sets a mark before what does not stay; *unmarked*: at the prompt's end alone, as a harness
does that knows nothing of notices.  ``--examples`` prices the teams of ``examples/`` instead, as
they are, and with models that heed what they are told.  Figures are tokens, not seconds; where
agents act at once, their order may change them by a few percent.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
from framework_teams import FRAMEWORKS, played
from rich.console import Console
from rich.table import Table
from team_bills import PREDICTED, billed, predicted

from coherence.runtime import token_counts
from coherence.simulate import catalogue
from coherence.simulate.experiments.prices import find
from coherence.tokens import installed


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row for each framework, scenario, seed, way, price model and place of the mark."""
    for scenario in map(catalogue.find, options.scenario):
        for seed in range(scenario.first_seed, scenario.first_seed + options.seeds):
            for framework in options.framework:
                for way in PREDICTED:
                    run = played(framework, scenario, seed, on_change=way)
                    calls = [call for each in run.calls.values() for call in each]
                    for prices in (p for name in options.prices for p in find(name)):
                        for marks in (True, False):
                            paid = billed(run, way, prices, marks=marks)
                            model = predicted(run, way, prices, marks=marks)
                            seen = predicted(run, way, prices, marks=marks, all_seen=False)
                            yield {
                                "framework": framework,
                                "scenario": scenario.name,
                                "seed": seed,
                                "way": way,
                                "prices": prices.name,
                                "marked": marks,
                                "calls": len(calls),
                                "trips": sum(call.is_trip for call in calls),
                                "transferred": run.transferred,
                                "prompt": paid.prompt_tokens,
                                "cached": paid.cached_tokens,
                                "bill": round(paid.bill),
                                "model_trips": model.trips,
                                "model_bill": round(model.bill),
                                "seen_trips": seen.trips,
                                "seen_bill": round(seen.bill),
                                "stale": run.stale,
                                "false_unchanged": run.false_unchanged,
                            }


def examples(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row for each team of ``examples/``, kind of model, and way."""
    from example_teams import EXAMPLES

    for name, play in EXAMPLES.items():
        for heeds in (False, True):
            for way in PREDICTED:
                run = play(heeds, way)
                for prices in (p for each in options.prices for p in find(each)):
                    marked, unmarked = (
                        billed(run, way, prices, marks=marks) for marks in (True, False)
                    )
                    yield {
                        "team": name,
                        "heeds": heeds,
                        "way": way,
                        "prices": prices.name,
                        "calls": sum(map(len, run.calls.values())),
                        "prompt": marked.prompt_tokens,
                        "cached": marked.cached_tokens,
                        "bill": round(marked.bill),
                        "unmarked_bill": round(unmarked.bill),
                    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--framework", action="append", choices=list(FRAMEWORKS))
    parser.add_argument("--scenario", action="append")
    parser.add_argument("--prices", action="append")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--examples", action="store_true", help="price the teams of examples/")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    options = parser.parse_args()
    options.framework = options.framework or list(FRAMEWORKS)
    options.scenario = options.scenario or ["development", "churn"]
    options.prices = options.prices or ["claude-opus-5"]
    token_counts.BURST_S = 1e9  # type: ignore[misc]  # every text is counted exactly
    found = []
    for row in examples(options) if options.examples else rows(options):
        found.append(row)
        if row.get("stale") or row.get("false_unchanged"):
            raise SystemExit(f"an agent was told something false: {row}")
    if options.json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    elif options.examples:
        table = Table(*found[0], title=installed().label)
        for row in found:
            table.add_row(*map(str, row.values()))
        Console(width=130).print(table)
    else:
        _print(found)


def _print(found: list[dict[str, Any]]) -> None:
    names = "framework", "scenario", "way", "trips", "transferred k", "prompts k", "cached"
    table = Table(*names, "bill k", "unmarked k", "model k", "error", title=installed().label)
    for row, unmarked in zip(found[::2], found[1::2], strict=True):
        table.add_row(
            row["framework"],
            row["scenario"],
            row["way"],
            str(row["trips"]),
            f"{row['transferred'] / 1000:.0f}",
            f"{row['prompt'] / 1000:,.0f}",
            f"{row['cached'] / row['prompt']:.0%}",
            f"{row['bill'] / 1000:,.0f}",
            f"{unmarked['bill'] / 1000:,.0f}",
            f"{row['seen_bill'] / 1000:,.0f}",
            f"{row['seen_bill'] / row['bill'] - 1:+.1%}",
        )
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
