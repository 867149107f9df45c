"""The application: the routes of every part, the page with its files, and one form of error."""

from __future__ import annotations

import logging
import mimetypes
from collections.abc import Callable, Iterable
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final, TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from coherence.cli import installed
from coherence_console import explorer, history, reports, team, timeline
from coherence_console.answers import NotThere, answer, failure
from coherence_console.context import Context
from coherence_console.guard import API, EXCHANGE, Guard
from coherence_console.shapes import About, Has, Token
from message_passing.errors import Defect, ToolkitError

log = logging.getLogger(__name__)

Part: TypeAlias = Callable[[Context], list[Route]]
"""The routes of one part of the console, below `/api`.

An endpoint that is a plain function runs in a thread and may block; it returns `answers.answer`,
and raises errors of the tree, which become answers.
"""

PARTS: Final[tuple[Part, ...]] = (
    team.routes,
    history.routes,
    timeline.routes,
    explorer.routes,
    reports.routes,
)


def application(context: Context, hosts: Iterable[str], token: str, code: str) -> Guard:
    """The whole application.

    `hosts` are the values of ``Host`` that name it; `code` is given for the token once.
    """
    about = About(
        release=installed(),
        label=context.source.label if context.source else "",
        kind=context.source.kind if context.source else "",
        has=Has(
            team=context.source is not None,
            timeline=context.source is not None or bool(context.traces),
            explorer=True,
            reports=context.reports is not None,
        ),
        contents=context.contents,
        model=context.model,
    )

    def console(_: Request) -> Response:
        return answer(about)

    def exchanged(_: Request) -> Response:
        return answer(Token(token=token))

    routes: list[BaseRoute] = [Route(f"{API}/console", console), Route(EXCHANGE, exchanged)]
    for part in PARTS:
        routes += part(context)
    routes += [
        Route(f"{API}/{{rest:path}}", _nothing),
        *_static(),
        # Every other path is a view of the page, which reads the path itself.
        Route("/{rest:path}", _file(files(__package__) / "static" / "index.html")),
    ]
    return Guard(
        Starlette(
            routes=routes,
            exception_handlers={
                ToolkitError: _told,
                HTTPException: _not_there,
                Exception: _defect,
            },
        ),
        hosts,
        token,
        code,
    )


def _static() -> list[Route]:
    """A route for each file that is there: a path of a request never becomes one of the disk."""
    return [
        Route(f"/static/{path}", _file(found))
        for path, found in _below(files(__package__) / "static")
    ] + [Route("/static/{rest:path}", _nothing)]


def _below(folder: Traversable, prefix: str = "") -> Iterable[tuple[str, Traversable]]:
    for found in folder.iterdir():
        path = prefix + found.name
        if found.is_dir():
            yield from _below(found, f"{path}/")
        else:
            yield path, found


def _file(found: Traversable) -> Callable[[Request], Response]:
    """The route of a file, which is read when it is asked for."""
    kind = mimetypes.guess_type(found.name)[0] or "text/plain"

    def endpoint(request: Request) -> Response:
        data = found.read_bytes()
        tag = f'"{sha256(data).hexdigest()[:32]}"'
        # The browser asks each time, and gets the file only if another release has another one.
        headers = {"cache-control": "no-cache", "etag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=kind, headers=headers)

    return endpoint


def _nothing(_: Request) -> Response:
    raise NotThere


def _told(_: Request, error: Any) -> Response:
    return failure(error)


def _not_there(_: Request, error: Any) -> Response:
    return failure(NotThere()) if error.status_code in (404, 405) else failure(ToolkitError(error))


def _defect(request: Request, error: Any) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return failure(Defect("the console failed; its terminal says where"))
