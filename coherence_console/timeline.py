"""The routes of the Timeline page: what can be shown, a window of it, one interval in full."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coherence_console.answers import BadRequest, NotThere, answer, number, param
from coherence_console.context import Context, Reader
from coherence_console.guard import API
from coherence_console.intervals import Chart, Interval, Lane
from coherence_console.recordings import Recording, Said, files_of, recording, said
from coherence_console.sampled import Sampled
from coherence_console.shapes import Shape
from coherence_console.windows import AT_MOST, moment, window
from message_passing.errors import ToolkitError
from message_passing.process import Time

#: The source that is the store.
LIVE: Final = "live"
#: Steps that one interval in full has.
STEPS_MAX: Final = 200


class SourceOf(msgspec.Struct, frozen=True):
    """A timeline that can be opened."""

    id: str
    label: str
    #: ``live`` or ``recording``.
    kind: str
    #: Why it cannot be opened, or empty.
    problem: str = ""


class Sources(Shape, frozen=True, kw_only=True):
    """The timelines, in the order of the command line; the live store is first."""

    sources: tuple[SourceOf, ...]


class Detail(Shape, frozen=True, kw_only=True):
    """One interval, with the steps and messages of its time where they were recorded."""

    interval: Interval
    lane: Lane
    steps: tuple[Said, ...] = ()
    more: int = 0


class Recorded:
    """A recording on disk, read again when its files have changed.  From any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._made: tuple[object, Recording] | None = None

    def problem(self) -> str:
        """Why it cannot be read, as far as that is cheap to tell."""
        try:
            files_of(self.path)
        except ToolkitError as error:
            return str(error)
        return ""

    def read(self) -> Recording:
        """The recording.  Raises as `coherence_console.recordings` does."""
        with self._lock:
            files = files_of(self.path)
            found = [(file, file.stat()) for file in files]
            state = [(file, stat.st_mtime_ns, stat.st_size) for file, stat in found]
            if self._made is None or self._made[0] != state:
                self._made = None
                self._made = state, recording(files)
            return self._made[1]


def routes(context: Context) -> list[Route]:
    """The routes; none without a store and recordings."""
    recorded = _named(context.traces)
    live: Callable[[], tuple[Chart, Time | None]] | None = None
    label = ""
    if context.source is not None:
        label = context.source.label
        sampled, reader = Sampled(), Reader(context.source)
        context.looks.append(sampled.look)
        context.at_end(reader.close)

        def live() -> tuple[Chart, Time | None]:
            reader.ask(sampled.read)
            return sampled.chart()

    if not recorded and live is None:
        return []

    def chart_of(name: str) -> tuple[Chart, Time | None]:
        if name == LIVE and live is not None:
            return live()
        if name not in recorded:
            raise NotThere
        return recorded[name].read().chart, None

    def sources(_: Request) -> Response:
        found = [SourceOf(LIVE, label, "live")] if live is not None else []
        for name, each in recorded.items():
            found.append(SourceOf(name, name, "recording", each.problem()))
        return answer(Sources(sources=tuple(found)))

    def part(request: Request) -> Response:
        name = request.path_params["source"]
        begin, end = _moment(request, "from"), _moment(request, "to")
        if begin is not None and end is not None and begin > end:
            raise BadRequest("the window ends before it begins")
        chart, since = chart_of(name)
        if (span := _moment(request, "span")) is not None:
            # The end of a timeline that grows.
            begin, end = chart.end - abs(span), None
        return answer(
            window(
                chart,
                begin,
                end,
                source=name,
                who=param(request, "who", "")[:200],
                hidden=frozenset(param(request, "hide", "").split(",")),
                at_most=max(1, min(AT_MOST, number(request, "max", AT_MOST))),
                live=name == LIVE and live is not None,
                sampled_since=since,
            )
        )

    def detail(request: Request) -> Response:
        name = request.path_params["source"]
        chart, _ = chart_of(name)
        wanted = int(request.path_params["id"])
        interval = next((each for each in chart.intervals if each.id == wanted), None)
        if interval is None:
            raise NotThere
        lane = chart.lanes[interval.lane]
        steps: list[Said] = []
        more = 0
        file = recorded[name].read().files.get(lane.artifact) if name in recorded else None
        if file is not None:
            begin = interval.begin
            end = chart.end if interval.end is None else interval.end
            steps, more = said(file, chart.start, lane.agent, begin, end, STEPS_MAX)
        return answer(Detail(interval=interval, lane=lane, steps=tuple(steps), more=more))

    return [
        Route(f"{API}/timeline", sources),
        Route(f"{API}/timeline/{{source}}", part),
        Route(f"{API}/timeline/{{source}}/interval/{{id:int}}", detail),
    ]


def _named(traces: tuple[Path, ...]) -> dict[str, Recorded]:
    """The recordings by names that differ."""
    found: dict[str, Recorded] = {}
    for path in traces:
        base = path.name or path.resolve().name or "recording"
        name, number = base, 2
        while name in found or name == LIVE:
            name, number = f"{base}-{number}", number + 1
        found[name] = Recorded(path)
    return found


def _moment(request: Request, name: str) -> Time | None:
    text = param(request, name, "")
    try:
        return moment(text)
    except ValueError:
        raise BadRequest(f"{name}={text[:40]!r} is not a moment") from None
