"""The command ``coherence simulate fit``: edits drawn from a fitted model, beside the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from coherence.simulate import report
from coherence.simulate.experiments import prices as price_models
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.command import chosen_models, chosen_strategy
from coherence.simulate.experiments.figures import Comparison
from coherence.simulate.experiments.options import AsJson, Quiet
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.workload import Workload
from coherence.simulate.progress import Runs
from coherence.simulate.replay import generator as generators
from coherence.simulate.replay import pricing, saving
from coherence.simulate.replay.generator import DrawnContents, Generator
from coherence.simulate.replay.history import MEASURES, History, RealContents
from coherence.simulate.replay.teams import BY, Team, workload
from coherence.simulate.replay.words import chosen
from message_passing.commands import examples
from message_passing.console import columns, reported, terminal_width, write

EXAMPLES: Final = examples(
    "coherence simulate fit flask.history peps.history --on zod.history",
    "coherence simulate fit --on requests.history -s shipped -s adaptive",
)

STRATEGIES: Final = ("conditional_get", "lazy_delta", "shipped", "push_delta", "adaptive")

MEANING: Final = """\
[bold]Distance[/bold]: Kolmogorov's, of drawn edits from the real ones on the real texts, of their \
share of the text and of their tokens. Beyond the critical one a formal test at 1 % rejects the \
model. Multiples: of the cost above the run without artifacts, on the same accesses."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy on one history, with the real edits and with drawn ones."""

    history: str
    #: Whether the model was fitted to this history.
    is_fitted: bool
    prices: str
    strategy: str
    distance_share: float
    distance_tokens: float
    distance_critical: float
    floor_real: float
    floor_drawn: float
    append_only_real: float
    append_only_drawn: float
    offline_real: float
    offline_drawn: float
    transferred_real: float
    transferred_drawn: float

    @property
    def apart(self) -> float:
        """By how much the multiples differ at most."""
        pairs = (
            (self.floor_real, self.floor_drawn),
            (self.append_only_real, self.append_only_drawn),
            (self.offline_real, self.offline_drawn),
            (self.transferred_real, self.transferred_drawn),
        )
        return max((abs(drawn / real - 1) for real, drawn in pairs), default=0.0)


def fit(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[HISTORY]...", help="Saved histories to fit to; the shipped fit if none."
        ),
    ] = None,
    on: Annotated[
        list[Path] | None,
        typer.Option("--on", metavar="HISTORY", help="A history to judge the fit on; repeatable."),
    ] = None,
    by: Annotated[
        str, typer.Option("--by", help="Whose work an agent does: author, burst or window.")
    ] = "author",
    prices: Annotated[
        str, typer.Option("--prices", metavar="NAME|FILE", help="A price model.")
    ] = price_models.DEFAULT,
    strategy: Annotated[
        list[str] | None, typer.Option("--strategy", "-s", help="A strategy; repeatable.")
    ] = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Fit a generator of edits to histories, and judge it on others.

    Without --json the numbers of the fit are printed first, as TOML.
    """
    if not files and not on:
        raise typer.BadParameter("give a HISTORY to fit to, or --on HISTORY")
    with reported():
        team = Team(by=chosen("--by", by, BY))
        models = chosen_models([prices])
        strategies = tuple(map(chosen_strategy, strategy or STRATEGIES))
        histories = [saving.load(file) for file in files or ()]
        judged = [saving.load(file) for file in on or ()]
        made = generators.fitted(histories) if histories else generators.shipped()
        fitted_to = {history.about.name for history in histories}
        with Runs(quiet=quiet) as progress:
            rows: list[Judged] = []
            for number, history in enumerate(judged):
                progress.advance(number, len(judged))
                is_fitted = history.about.name in fitted_to
                rows += judge(history, made, team, models, strategies, is_fitted=is_fitted)
        if json:
            write(report.as_json(rows))
        else:
            parts: list[RenderableType] = [_toml(made)]
            if rows:
                parts += [_table(rows), *_distances(rows)]
            if rows and not quiet:
                parts.append(MEANING)
            width = columns(report.FILE_WIDTH)
            write(report.rendered(*parts, terminal=terminal_width() is not None, width=width))


def judge(
    history: History,
    generator: Generator,
    team: Team,
    models: Sequence[PriceModel],
    strategies: Sequence[str],
    *,
    is_fitted: bool = False,
) -> list[Judged]:
    """Play a history twice on the same accesses: with its own edits, and with drawn ones."""
    away = generators.distance(history, generator)
    real = workload(history, team, 1, RealContents(history.files, MEASURES[history.about.measure]))
    drawn = real._replace(contents=DrawnContents(history, generator, 1))

    def played(made: Workload) -> list[Comparison]:
        return pricing.priced(
            history.about.name, [made], 1, models, strategies, strategies[0], Prompting()
        )

    return [
        Judged(
            history=history.about.name,
            is_fitted=is_fitted,
            prices=a.prices,
            strategy=a.strategy,
            distance_share=away.share,
            distance_tokens=away.tokens,
            distance_critical=away.critical,
            floor_real=a.above_of_floor.value,
            floor_drawn=b.above_of_floor.value,
            append_only_real=a.above_of_append_only.value,
            append_only_drawn=b.above_of_append_only.value,
            offline_real=a.above_of_offline.value,
            offline_drawn=b.above_of_offline.value,
            transferred_real=a.transferred_of_floor.value,
            transferred_drawn=b.transferred_of_floor.value,
        )
        for a, b in zip(played(real), played(drawn), strict=True)
    ]


def _toml(made: Generator) -> str:
    numbers = ("rewrites", "mean", "exponent", "deviation", "near")
    lines = [f"{name} = {getattr(made, name):.4g}" for name in numbers]
    return "\n".join([*lines, f'source = "{made.source}"'])


def _distances(rows: Sequence[Judged]) -> list[str]:
    """How far the drawn edits of each history are from its own."""
    by_history = {row.history: row for row in rows}
    return [
        f"{escape(row.history)}{', fitted to' if row.is_fitted else ''}: distance"
        f" {row.distance_share:.3f} of the share, {row.distance_tokens:.3f} of the tokens;"
        f" critical {row.distance_critical:.3f}"
        for row in by_history.values()
    ]


def _table(rows: Sequence[Judged]) -> Table:
    made = Table(padding=(0, 0), pad_edge=False)
    made.add_column("history\n  strategy", no_wrap=True)
    titles = ("floor\nreal", "\ndrawn", "offline\nreal", "\ndrawn", "tokens\nreal", "\ndrawn")
    for title in (*titles, "apart\n%"):
        made.add_column(title, justify="right")
    last = None
    for row in rows:
        if row.history != last:
            last = row.history
            made.add_section()
            made.add_row(f"[bold]{escape(row.history)}[/bold]")
        made.add_row(
            f"  {row.strategy}",
            *(f"{value:.2f}" for value in (row.floor_real, row.floor_drawn)),
            *(f"{value:.2f}" for value in (row.offline_real, row.offline_drawn)),
            *(f"{value:.2f}" for value in (row.transferred_real, row.transferred_drawn)),
            f"{100 * row.apart:.1f}",
        )
    return made
