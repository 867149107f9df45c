"""The command ``coherence simulate replay``: what a history or a recorded run would have cost."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer
from rich.console import RenderableType
from rich.markup import escape

from coherence.simulate import report
from coherence.simulate.errors import UnknownChoice
from coherence.simulate.experiments import prices as price_models
from coherence.simulate.experiments import tables
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.command import chosen_models, chosen_strategy
from coherence.simulate.experiments.figures import Comparison
from coherence.simulate.experiments.options import Against, AsJson, Html, Quiet, Strategies
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.workload import OUTSIDE, Workload
from coherence.simulate.pages import saving as pages
from coherence.simulate.pages.replayed import page_of
from coherence.simulate.pages.said import command_line, plain
from coherence.simulate.progress import Runs
from coherence.simulate.replay import pricing, saving, traces
from coherence.simulate.replay.counting import TOKENS, counter
from coherence.simulate.replay.git import Repository
from coherence.simulate.replay.history import MEASURES, About, History, RealContents
from coherence.simulate.replay.reading import read
from coherence.simulate.replay.recorded import Run
from coherence.simulate.replay.teams import BY, READERS, Team, workload
from coherence.simulate.replay.words import chosen
from message_passing.commands import examples
from message_passing.console import columns, reported, terminal_width, write

EXAMPLES: Final = examples(
    "coherence simulate replay --git . --by window --agents 4",
    "coherence simulate replay --git ../flask --since 2020-01-01 --save flask.history",
    "coherence simulate replay --trace run.jsonl",
    "coherence simulate replay flask.history --prices gpt-5-6-sol -s shipped -s adaptive",
)

MEANING: Final = """\
[bold]Floor[/bold]: all accesses known, texts and differences kept or shown once, no trips; \
[bold]append-only[/bold]: kept only; [bold]offline choice[/bold]: the better of telling every \
change and being asked. They are approximate: real differences need be neither monotone nor \
subadditive. Reads are not in a history; they are a model (docs/replay.md)."""


MEANING_TRACE: Final = """\
Floor, append-only and offline choice: as of `coherence simulate compare`. The recorded way's own \
bill is that of its prompts. Differences that the run did not send are drawn from the edit model; \
what an agent used without asking is not in a recording."""


class _Source(NamedTuple):
    """A workload for each seed, and what a reader must know of them."""

    name: str
    workloads: list[Workload]
    about: str
    meaning: str
    #: The names of the artifacts, as far as they are known.
    files: Sequence[str] = ()
    #: What was recorded, if the source is a recording.
    runs: Sequence[Run] = ()


def replay(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A history that --save has written."),
    ] = None,
    git: Annotated[
        Path | None, typer.Option("--git", metavar="REPO", help="A clone, bare or not.")
    ] = None,
    trace: Annotated[
        list[Path] | None,
        typer.Option(
            "--trace",
            metavar="FILE|FOLDER",
            help="Events of an adapter, or the recordings of a workspace; repeatable.",
        ),
    ] = None,
    size_tokens: Annotated[
        int,
        typer.Option(
            "--size-tokens", min=1, max=2**31, help="Of each text of a workspace's recording."
        ),
    ] = 1_000,
    at: Annotated[
        str, typer.Option("--at", metavar="REV", help="The newest commit of the history.")
    ] = "HEAD",
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="Such as 2020-01-31, in UTC.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help="Without that day.")
    ] = None,
    paths: Annotated[
        list[str] | None,
        typer.Option("--paths", metavar="PATH", help="As git has them, such as docs; repeatable."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The history's name; the folder's if not given.")
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(
            "--tokens", help="exact or estimate; exact where a tokenizer is installed if not given."
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help="Write the history, without any text."),
    ] = None,
    by: Annotated[
        str, typer.Option("--by", help="Whose work an agent does: author, burst or window.")
    ] = "author",
    agents: Annotated[int, typer.Option("--agents", min=1, max=1_000)] = 4,
    reads: Annotated[
        int, typer.Option("--reads", min=0, max=100, help="Files read for each that is written.")
    ] = 2,
    readers: Annotated[
        list[str] | None,
        typer.Option("--readers", help=f"Which files: {', '.join(READERS)}; repeatable. All."),
    ] = None,
    bulk: Annotated[
        int,
        typer.Option("--bulk", min=1, help="A commit of more files is the work of a program."),
    ] = 20,
    pause: Annotated[
        float, typer.Option("--pause", min=0, help="Minutes without a commit that end a burst.")
    ] = 30.0,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, max=1_000, help="Draws of what is read, from seed 1.")
    ] = 1,
    cuts: Annotated[
        float,
        typer.Option("--cuts", min=0, max=1, help="Chance that a context is lost before a call."),
    ] = 0.025,
    prices: Annotated[
        list[str] | None,
        typer.Option(
            "--prices",
            metavar="NAME|FILE",
            help=f"Price models, as of `coherence simulate compare`. {price_models.DEFAULT} if not"
            " given.",
        ),
    ] = None,
    strategy: Strategies = None,
    against: Against = "conditional_get",
    step_s: Annotated[
        float,
        typer.Option("--step-s", min=0, help="Seconds that a commit lasts: prefixes expire."),
    ] = 0.0,
    html: Html = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Replay real work: what each way to keep agents informed would have cost.

    A git history becomes a workload, with its real texts and differences. Nothing in the
    repository is changed, and no server is asked.

    Exit codes: 0 fine, 2 wrong request, 3 git failed or the file cannot be written.
    """
    if sum(source is not None for source in (file, git, trace)) != 1:
        raise typer.BadParameter("give one of FILE, --git and --trace")
    if git is None and (since or until or paths or name or tokens or at != "HEAD"):
        raise typer.BadParameter("--at, --since, --until, --paths, --name, --tokens go with --git")
    if trace and save:
        raise typer.BadParameter("--save keeps a history, not a recording")
    for option, value in (("--step-s", step_s), ("--pause", pause), ("--cuts", cuts)):
        if not isfinite(value):
            raise typer.BadParameter(f"{option} takes a finite number")
    with reported():
        team = Team(
            by=chosen("--by", by, BY),
            agents=agents,
            reads=reads,
            readers=tuple(chosen("--readers", word, READERS) for word in readers or READERS),
            bulk=bulk,
            pause_s=round(60 * pause),
            cuts=cuts,
        )
        models = chosen_models(prices or [price_models.DEFAULT])
        strategies = tuple(map(chosen_strategy, dict.fromkeys(strategy or ())))
        against = chosen_strategy(against)
        prompting = Prompting(step_s=step_s)
        if html is not None:
            pages.require()
        with Runs(quiet=quiet) as progress:
            if trace:
                source = _of_trace(trace, size_tokens, seeds)
                prompting = source.runs[0].prompting(prompting)
            else:
                if git is not None:
                    history = _history(git, at, since, until, paths or [], name, tokens)
                else:
                    assert file is not None
                    history = saving.load(file)
                if save is not None:
                    saving.save(history, save)
                source = _of_history(history, team, seeds)
            rows = pricing.priced(
                source.name,
                source.workloads,
                1,
                models,
                strategies or pricing.DEFAULT_STRATEGIES,
                against,
                prompting,
                progress.advance,
                source.runs,
            )
        if html is not None:
            remarks = [plain(source.about), plain(source.meaning)]
            first, command = source.workloads[0], command_line(context)
            pages.save(
                page_of(
                    source.name, first, source.files, rows, models, prompting, remarks, command
                ),
                html,
            )
        if json:
            write(report.as_json(rows))
        else:
            _print(_shown(source, models, rows, quiet))


def _of_history(history: History, team: Team, seeds: int) -> _Source:
    contents = RealContents(history.files, MEASURES[history.about.measure])
    made = [workload(history, team, seed, contents) for seed in range(1, seeds + 1)]
    return _Source(history.about.name, made, _said(history.about), MEANING, _paths(history))


def _paths(history: History) -> list[str]:
    """The path of each file, the first that it has."""
    found = {
        change.file: change.path.decode(errors="replace")
        for revision in reversed(history.revisions)
        for change in revision.changes
        if change.path is not None
    }
    return [found.get(number, f"file {number}") for number in range(len(history.files))]


def _of_trace(paths: Sequence[Path], size_tokens: int, seeds: int) -> _Source:
    runs = [traces.load(paths, size_tokens=size_tokens, seed=s) for s in range(1, seeds + 1)]
    run = runs[0]
    about = f"[bold]{escape(run.name)}[/bold], as recorded: {run.transferred:,} tokens transferred"
    if run.prompts:
        trips = sum(prompt.is_trip for prompt in run.prompts)
        tokens = sum(prompt.tokens for prompt in run.prompts)
        about += f", {len(run.prompts):,} prompts of {tokens:,} tokens, {trips:,} of them trips"
    else:
        about += f"; prompts are not in it, and each text is taken to have {size_tokens:,} tokens"
    made = [each.workload for each in runs]
    return _Source(run.name, made, f"{about}.", MEANING_TRACE, run.artifacts, runs)


def _history(
    folder: Path,
    at: str,
    since: str | None,
    until: str | None,
    paths: Sequence[str],
    name: str | None,
    tokens: str | None,
) -> History:
    counted = None if tokens is None else chosen("--tokens", tokens, TOKENS)
    repository = Repository(folder)
    commit = repository.commit(at)
    counts = counter(counted)
    named = name or folder.resolve().name.removesuffix(".git") or "history"
    return read(
        repository,
        counts,
        revision=commit,
        since_s=_seconds("--since", since),
        until_s=_seconds("--until", until),
        paths=paths,
        name=named,
        command=_command(named, commit, since, until, paths, counts.measure.units_per_token == 1),
    )


def _command(
    name: str,
    commit: str,
    since: str | None,
    until: str | None,
    paths: Sequence[str],
    is_exact: bool,
) -> str:
    """The command that makes the history again, from a clone of that name."""
    words = ["coherence", "simulate", "replay", "--git", name, "--at", commit]
    for option, value in (("--since", since), ("--until", until)):
        words += [option, value] if value else []
    for path in paths:
        words += ["--paths", path]
    words += ["--name", name, "--tokens", "exact" if is_exact else "estimate"]
    return shlex.join([*words, "--save", f"{name}.history"])


def _seconds(option: str, date: str | None) -> int | None:
    """A date as seconds since 1970: in UTC, unless it names another zone."""
    if date is None:
        return None
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        raise UnknownChoice(
            f"{option} {date!r}: not a date", remedy="write it as 2020-01-31, or 2020-01-31T12:00"
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _said(about: About) -> str:
    """Where a history is from, in a sentence or two."""
    left = about.left_out
    without = [
        f"{count:,} {what}"
        for count, what in (
            (left.binary, "binary"),
            (left.large, "large"),
            (left.links, "links"),
            (left.submodules, "submodules"),
        )
        if count
    ]
    return (
        f"[bold]{escape(about.name)}[/bold]: {about.commits:,} commits of the mainline to"
        f" {about.commit[:12]} ({about.date}), {about.authors:,} authors, {about.files:,} files,"
        f" {about.versions:,} versions. Tokens: {about.measure}."
        + (f" Left out: {', '.join(without)}." if without else "")
    )


def _shown(
    source: _Source, models: Sequence[PriceModel], rows: Sequence[Comparison], quiet: bool
) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for prices in models:
        mine = [row for row in rows if row.prices == prices.name]
        remarks: Sequence[str] = [] if quiet else list(tables.remarks(prices, mine))
        parts += [tables.transferred(mine), tables.priced(mine), *remarks]
    if quiet:
        return parts
    first = source.workloads[0]
    calls = sum(turn.agent != OUTSIDE for turn in first.turns)
    team = f"[bold]Team[/bold]: {first.agents:,} agents, {calls:,} calls."
    return [*parts, source.about, team, source.meaning]


def _print(parts: Sequence[RenderableType]) -> None:
    width = columns(report.FILE_WIDTH)
    write(report.rendered(*parts, terminal=terminal_width() is not None, width=width))
