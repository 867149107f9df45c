"""The routes of the Team page: the whole team, its stream, and the tokens that it has saved."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coherence.errors import NoArchive
from coherence.stores.archive import archive_of
from coherence.stores.port import Store
from coherence.stores.records import Tally
from coherence.workspace.stats import Figures, Stats
from coherence_console.answers import answer
from coherence_console.context import Context, Reader
from coherence_console.guard import API
from coherence_console.poller import Poller
from coherence_console.shapes import Saved, Tokens


def routes(context: Context) -> list[Route]:
    """The routes; none without a store."""
    if context.source is None:
        return []
    poller = Poller(context.source, context.hz)
    reader = Reader(context.source)
    context.at_end(poller.close)
    context.at_end(reader.close)

    def team(_: Request) -> Response:
        return answer(poller.whole())

    async def events(_: Request) -> Response:
        return poller.channel.response()

    def tokens(_: Request) -> Response:
        rows = reader.ask(_tallies)
        if rows is None:
            return answer(Tokens(total=None, agents=()))
        stats = Stats(tuple(rows))
        return answer(
            Tokens(total=_saved(stats.total), agents=tuple(map(_saved, stats.by("agent"))))
        )

    return [
        Route(f"{API}/team", team),
        Route(f"{API}/team/events", events),
        Route(f"{API}/tokens", tokens),
    ]


def _tallies(store: Store) -> list[Tally] | None:
    """The counts of all agents; None of a store that has none."""
    try:
        return archive_of(store).tallies()
    except NoArchive:
        return None


def _saved(figures: Figures) -> Saved:
    return Saved(
        name=figures.name,
        reads=figures.reads,
        writes=figures.writes,
        conflicts=figures.conflicts,
        refetch_tokens=figures.refetch_tokens,
        served_tokens=figures.served_tokens,
        saved_tokens=figures.saved_tokens,
    )
