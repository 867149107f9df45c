"""The routes of the explorer: models, the places of their paths, searches and files."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import Lock
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coherence_console.answers import BadRequest, NotThere, answer, number, param
from coherence_console.checks import Checks
from coherence_console.context import Context
from coherence_console.explorer_shapes import (
    ExplorerView,
    ModelLine,
    ModelList,
    PathMatches,
    PinnedCase,
    StatePart,
    TraceFile,
    TraceView,
    WalkedPath,
)
from coherence_console.guard import API
from coherence_console.models import Models, ModelTrouble, settings_of
from specs import catalogue
from specs.checker.chart import mermaid_chart, svg_chart
from specs.checker.errors import CheckerError
from specs.checker.itf import itf
from specs.checker.result import Path
from specs.constants import texts_of
from specs.session import (
    ForeignTrace,
    Frame,
    NoSuchPath,
    Session,
    along,
    condition,
    foreign_frame,
    frame,
    part,
    read_itf,
)

#: Traces without a model that are kept, the newest ones.
TRACES_MAX: Final = 8
#: Steps of one random walk.
WALK_MAX: Final = 1_000

T = TypeVar("T")


def routes(context: Context) -> list[Route]:
    """The routes."""
    models = Models(context)
    checks = Checks(models)
    context.at_end(checks.end)
    context.at_end(models.end)
    views = _Views(context, models, checks)
    return [
        Route(f"{API}/models", views.models),
        Route(f"{API}/explorer", views.view),
        Route(f"{API}/explorer/part", views.part),
        Route(f"{API}/explorer/walk", views.walk),
        Route(f"{API}/explorer/along", views.along),
        Route(f"{API}/explorer/file", views.file),
        Route(f"{API}/itf", views.take_itf, methods=["POST"]),
        Route(f"{API}/itf", views.show_itf, methods=["GET"]),
        *checks.routes(),
    ]


@contextmanager
def _told() -> Iterator[None]:
    """Errors of the checker as answers."""
    try:
        yield
    except CheckerError as error:
        raise ModelTrouble(error) from error


def _telling(endpoint: Callable[[Any, Request], T]) -> Callable[[Any, Request], T]:
    @wraps(endpoint)
    def told(self: Any, request: Request) -> T:
        with _told():
            return endpoint(self, request)

    return told


class _Views:
    def __init__(self, context: Context, models: Models, checks: Checks) -> None:
        self._context = context
        self._models = models
        self._checks = checks
        self._traces: OrderedDict[str, ForeignTrace] = OrderedDict()
        self._lock = Lock()

    @_telling
    def models(self, request: Request) -> Response:
        lines = [_line(name) for name in catalogue.names()]
        trouble = ""
        try:
            lines[:0] = [
                ModelLine(name, "", texts_of(source), (), named=True)
                for name, source in self._models.named().items()
            ]
        except CheckerError as error:
            trouble = str(error)
        lines.sort(key=lambda line: line.name != self._context.model and not line.named)
        return answer(ModelList(models=tuple(lines), trouble=trouble))

    @_telling
    def view(self, request: Request) -> Response:
        name, settings = self._asked(request)
        source = self._models.source(name)
        numbers, loop = _path(request), _loop(request)
        at = request.query_params.get("at", "")
        only = request.query_params.getlist("only")
        first = number(request, "from", 0)

        def shown(session: Session) -> tuple[Frame, str]:
            path, trouble = numbers, ""
            try:
                session.places(path)
                if at and at != session.digest(path):
                    trouble = (
                        "the same numbers lead elsewhere now: the model, or its order, differs"
                    )
            except NoSuchPath as error:
                trouble = str(error.args[0])
                path = path[: error.steps + 1] if path[0] < len(session.model.initial) else [0]
            kept = loop if path == numbers else None
            made = frame(session, path, loop=kept, only=only, enabled_from=first)
            return made, trouble

        made, trouble = self._models.ask(name, settings, shown)
        return answer(
            ExplorerView(
                model=name,
                settings=settings,
                constants=texts_of(source),
                frame=made,
                outcome=self._checks.outcome(source.name, settings),
                trouble=trouble,
            )
        )

    @_telling
    def part(self, request: Request) -> Response:
        numbers, names = _path(request), request.query_params.getlist("part")
        branch, text = self._ask(request, lambda session: part(session, numbers, names))
        return answer(StatePart(branch=branch, text=text))

    @_telling
    def walk(self, request: Request) -> Response:
        numbers, seed = _path(request), number(request, "seed")
        steps = min(number(request, "steps", 1), WALK_MAX)

        def walked(session: Session) -> WalkedPath:
            path = session.random_walk(numbers, steps, seed)
            return WalkedPath(path=tuple(path), digest=session.digest(path))

        return answer(self._ask(request, walked))

    @_telling
    def along(self, request: Request) -> Response:
        wanted = condition(
            param(request, "field"), param(request, "operator"), param(request, "value", "")
        )
        numbers = _path(request)
        steps = self._ask(request, lambda session: along(session, numbers, wanted))
        return answer(PathMatches(steps=tuple(steps)))

    @_telling
    def file(self, request: Request) -> Response:
        numbers, loop = _path(request), _loop(request)
        form = param(request, "format")
        if form not in FORMS:
            raise BadRequest(f"no format {form[:40]!r}", remedy=", ".join(FORMS))
        write = FORMS[form]
        text = self._ask(request, lambda session: write(session, session.path(numbers, loop)))
        return Response(text, media_type="text/plain; charset=utf-8")

    async def take_itf(self, request: Request) -> Response:
        data = await request.body()
        return await asyncio.to_thread(self._take_itf, request, data)

    @_telling
    def show_itf(self, request: Request) -> Response:
        with self._lock:
            trace = self._traces.get(param(request, "id"))
        if trace is None:
            raise NotThere
        step = number(request, "step", 0)
        shown = foreign_frame(trace, step)
        return answer(TraceView(frame=shown, step=step, steps=len(trace.states) - 1))

    def _take_itf(self, request: Request, data: bytes) -> Response:
        with _told():
            trace = read_itf(data)
            path: list[int] = []
            digest = ""
            if request.query_params.get("model"):

                def followed(session: Session) -> tuple[list[int], str]:
                    found = trace.follow(session)
                    return found, session.digest(found) if found else ""

                path, digest = self._ask(request, followed)
        key = ""
        if len(path) < len(trace.states):
            key = secrets.token_urlsafe(9)
            with self._lock:
                self._traces[key] = trace
                while len(self._traces) > TRACES_MAX:
                    self._traces.popitem(last=False)
        return answer(
            TraceFile(
                states=len(trace.states),
                path=tuple(path),
                digest=digest,
                loop=None if key else trace.loop,
                id=key,
            )
        )

    def _ask(self, request: Request, call: Callable[[Session], T]) -> T:
        """What `call` returns for the session that a request names."""
        return self._models.ask(*self._asked(request), call)

    def _asked(self, request: Request) -> tuple[str, dict[str, str]]:
        """The model that a request names, and its constants."""
        name = param(request, "model")
        given: dict[str, str] = {}
        for setting in request.query_params.getlist("set"):
            key, equals, value = setting.partition("=")
            if not equals:
                raise BadRequest(f"set={setting[:40]!r} has no value", remedy="set=caches=3")
            given[key] = value
        return name, self._models.settings(name, given)


def _path(request: Request) -> list[int]:
    """The numbers of the path of a request.  Raises `BadRequest`."""
    text = param(request, "path", "0")
    parts = text.split(".")
    if not all(each.isascii() and each.isdigit() and len(each) < 10 for each in parts):
        raise BadRequest(f"path={text[:40]!r} is not a path", remedy="numbers, such as 0.3.1")
    return [int(each) for each in parts]


def _line(name: str) -> ModelLine:
    cases = tuple(
        PinnedCase(settings_of(case), case.expect.value, case.violates, case.distinct)
        for case in catalogue.cases(name)
    )
    return ModelLine(name, catalogue.about(name), {}, cases)


def _loop(request: Request) -> int | None:
    return number(request, "loop") if "loop" in request.query_params else None


def _itf(session: Session, path: Path) -> bytes:
    return itf(path, session.slots or ("state",))


#: The forms of a path as a file.
FORMS: Final[dict[str, Callable[[Session, Path], bytes | str]]] = {
    "itf": _itf,
    "svg": lambda _, path: svg_chart(path),
    "mermaid": lambda _, path: mermaid_chart(path),
}
