"""The routes of the Team page: the whole team, its stream, and the tokens that it has saved."""

from __future__ import annotations

from threading import Lock
from time import monotonic
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coherence.errors import NoArchive
from coherence.stores.archive import archive_of
from coherence.stores.port import Store
from coherence.workspace.stats import Figures, Stats
from coherence_console.answers import answer
from coherence_console.context import Context, Reader
from coherence_console.guard import API
from coherence_console.poller import Poller
from coherence_console.shapes import Saved, Tokens

#: A sum of a hundred thousand tallies takes half a second of CPU time.
SUM_S: Final = 20.0


def routes(context: Context) -> list[Route]:
    """The routes; none without a store."""
    if context.source is None:
        return []
    poller = Poller(context.source, context.hz, context.looks)
    reader = Reader(context.source)
    context.at_end(poller.close)
    context.at_end(reader.close)

    def team(_: Request) -> Response:
        return answer(poller.whole())

    async def events(_: Request) -> Response:
        return poller.channel.response()

    summed = _Summed(reader)

    def tokens(_: Request) -> Response:
        return answer(summed.now())

    return [
        Route(f"{API}/team", team),
        Route(f"{API}/team/events", events),
        Route(f"{API}/tokens", tokens),
    ]


class _Summed:
    """The sums of all tallies, of which there may be many: made at most every `SUM_S`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = Lock()
        self._made: float | None = None
        self._last = Tokens(total=None, agents=())

    def now(self) -> Tokens:
        with self._lock:
            if self._made is None or monotonic() >= self._made + SUM_S:
                self._last = self._reader.ask(_sums)
                self._made = monotonic()
            return self._last


def _sums(store: Store) -> Tokens:
    try:
        rows = archive_of(store).tallies()
    except NoArchive:
        return Tokens(total=None, agents=())
    stats = Stats(tuple(rows))
    return Tokens(total=_saved(stats.total), agents=tuple(map(_saved, stats.by("agent"))))


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
