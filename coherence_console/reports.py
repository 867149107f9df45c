"""The routes of the Reports page: results listed, opened, and two of them side by side.

A page of results is not a page of ours.  It is shown in a frame that may run nothing and load
nothing, under a policy of its own; a frame cannot send the token's header, so it gets a ticket
that is good for one request.
"""

from __future__ import annotations

from asyncio import to_thread
from collections import OrderedDict
from secrets import token_urlsafe
from threading import Lock
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coherence_console.answers import NotThere, answer, body, param
from coherence_console.context import Context
from coherence_console.guard import API
from coherence_console.report_files import Comparison, Folder, Result, Rows, compared, figures_of
from coherence_console.report_files import table as table_of
from coherence_console.shapes import Shape

#: Outside of `API`: no token comes with it.
OPENED: Final = "/report"
TICKETS_MAX: Final = 64
#: Styles and pictures within the page; no script, no form, no request, no link to elsewhere.
CSP: Final = "; ".join(
    (
        "sandbox",
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "font-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    )
)


class Results(Shape, frozen=True, kw_only=True):
    """The results in the folder, the newest first."""

    results: tuple[Result, ...]
    #: Files that are not listed.
    more: int


class Table(Shape, frozen=True, kw_only=True):
    """The figures of one file."""

    name: str
    figures: Rows


class Compared(Shape, frozen=True, kw_only=True):
    """The figures of two files side by side."""

    a: str
    b: str
    comparison: Comparison


class Wanted(msgspec.Struct, frozen=True):
    """The page to be opened."""

    name: str


class Opened(Shape, frozen=True, kw_only=True):
    """Where the page can be had, once."""

    url: str


class _Tickets:
    """Each opens one page once; the oldest of too many are forgotten."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, str] = OrderedDict()
        self._lock = Lock()

    def give(self, name: str) -> str:
        ticket = token_urlsafe(24)
        with self._lock:
            self._names[ticket] = name
            while len(self._names) > TICKETS_MAX:
                self._names.popitem(last=False)
        return ticket

    def take(self, ticket: str) -> str | None:
        with self._lock:
            return self._names.pop(ticket, None)


def routes(context: Context) -> list[Route]:
    """The routes; none without a folder of results."""
    if context.reports is None:
        return []
    folder, tickets = Folder(context.reports), _Tickets()

    def content(name: str, kind: str) -> bytes:
        found = folder.read(name, kind)
        if found is None:
            raise NotThere
        return found

    def listing(_: Request) -> Response:
        results, more = folder.listing()
        return answer(Results(results=tuple(results), more=more))

    def figures(request: Request) -> Response:
        name = param(request, "name")
        rows = figures_of(name, content(name, "figures"))
        return answer(Table(name=name, figures=table_of(rows)))

    def comparison(request: Request) -> Response:
        a, b = param(request, "a"), param(request, "b")
        of_a = figures_of(a, content(a, "figures"))
        of_b = figures_of(b, content(b, "figures"))
        return answer(Compared(a=a, b=b, comparison=compared(of_a, of_b)))

    async def opening(request: Request) -> Response:
        wanted = body(await request.body(), Wanted)
        if not await to_thread(folder.has, wanted.name, "page"):
            raise NotThere
        return answer(Opened(url=f"{OPENED}/{tickets.give(wanted.name)}"))

    def opened(request: Request) -> Response:
        name = tickets.take(request.path_params["ticket"])
        if name is None:
            raise NotThere
        return Response(
            content(name, "page"),
            media_type="text/html; charset=utf-8",
            headers={"content-security-policy": CSP},
        )

    return [
        Route(f"{API}/reports", listing),
        Route(f"{API}/reports/figures", figures),
        Route(f"{API}/reports/comparison", comparison),
        Route(f"{API}/reports/opened", opening, methods=["POST"]),
        Route(f"{OPENED}/{{ticket}}", opened),
    ]
