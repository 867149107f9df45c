"""Answers of the API: a shape as JSON, or an error by its code, message and remedy."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from coherence.errors import StoreFault, UnknownArtifact, UnknownVersion
from coherence_console.shapes import Failure, Shape
from message_passing.errors import CallerError, ToolkitError

#: JavaScript's numbers are exact below it.
EXACT: Final = 2**53
JSON: Final = "application/json"


class NotThere(CallerError):
    """Nothing is at that address.  The same answer for all that does not exist or is not shown."""

    def __init__(self) -> None:
        super().__init__("nothing is there")


class BadRequest(CallerError):
    """A parameter is missing, or is not of its form."""


def encoded(shape: Shape) -> bytes:
    """`shape` as JSON."""
    return msgspec.json.encode(shape)


def answer(shape: Shape, status: int = 200) -> Response:
    """`shape` as the answer of a route."""
    return Response(encoded(shape), status, media_type=JSON)


def failure(error: ToolkitError) -> Response:
    """`error` as an answer: 404, 400 for the caller's fault, 503 for a store's, else 500."""
    if isinstance(error, NotThere | UnknownArtifact | UnknownVersion):
        error, status = NotThere(), 404
    elif isinstance(error, CallerError):
        status = 400
    else:
        status = 503 if isinstance(error, StoreFault) else 500
    remedy = error.remedy
    error.remedy = ""
    return answer(Failure(code=error.code, message=str(error), remedy=remedy), status)


def param(request: Request, name: str, default: str | None = None) -> str:
    """A parameter of the query.  Raises `BadRequest` if it is missing and has no default."""
    found = request.query_params.get(name, default)
    if found is None:
        raise BadRequest(f"the parameter {name!r} is missing")
    return found


def number(request: Request, name: str, default: int | None = None) -> int:
    """A whole number of the query, from 0 to 2^63 - 1.  Raises `BadRequest`."""
    text = param(request, name, None if default is None else str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < 2**63):
        raise BadRequest(f"{name}={text[:40]!r} is not a whole number")
    return int(text)


def exact(value: int) -> int | str:
    """`value` as a number that JavaScript reads exactly, or as text."""
    return value if abs(value) < EXACT else str(value)


def body(request_body: bytes, kind: Any) -> Any:
    """The body of a request as `kind`.  Raises `BadRequest`."""
    try:
        return msgspec.json.decode(request_body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not of its form: {error}") from None
