"""Checks every request before a route sees it.

The console listens on the loopback interface, which other users of the machine and every page of
the browser reach too.  So a request must name our own host and port (a name that was rebound to
127.0.0.1 is another host), must not come from a page of another origin (another port is one), and
must carry the token, except for the page itself, which holds nothing.  The token travels as
``Authorization: Bearer``.  A browser adds a cookie by itself, to all ports of a host; it never adds
this header, so no other page can forge a request.

A pure ASGI application, since wrapping middleware would hold back streams.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Final

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coherence_console.shapes import Failure

URL_MAX: Final = 32 << 10
BODY_MAX: Final = 5 << 20
METHODS: Final = ("GET", "HEAD", "POST", "DELETE")
#: Paths below it need the token.
API: Final = "/api"
#: Here a code, which works once, is given for the token.
EXCHANGE: Final = f"{API}/token"

#: Scripts and styles are files of ours; text never becomes markup or code.
CSP: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "frame-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
#: Of every answer that does not have the header itself.
HEADERS: Final = {
    b"content-security-policy": CSP.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class _Refused(Exception):
    """A request that no route may see."""

    def __init__(self, status: int, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.failure = Failure(code=code, message=message, remedy=remedy)


class Guard:
    """Passes requests to `app` that come from a page of ours or from a program with the token.

    `hosts` are the values of ``Host`` that name us, such as ``127.0.0.1:8080``.  `code` stands for
    the token in one request, to `EXCHANGE`.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], token: str, code: str = "") -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._bearer = f"Bearer {token}".encode()
        self._code = f"Bearer {code}".encode() if code else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        started = False
        size = 0

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                given = {name.lower() for name, _ in message["headers"]}
                more = [(name, text) for name, text in HEADERS.items() if name not in given]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        async def receiving() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > BODY_MAX:
                raise _too_large()
            return message

        try:
            self._check(scope)
            await self._app(scope, receiving, sending)
        except _Refused as refused:
            if not started:
                await _refuse(refused, scope["method"], sending)

    def _check(self, scope: Scope) -> None:
        """Raises `_Refused`."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)

        def one(name: bytes, default: bytes) -> str:
            values = headers.get(name, [default])
            # Of several, another reader of the request may choose another one.
            return values[0].decode("latin-1") if len(values) == 1 else "several"

        if one(b"host", b"") not in self._hosts:
            raise _Refused(
                403,
                "foreign-host",
                "the request names another host or port",
                f"use the address that the command printed, {min(self._hosts)}",
            )
        origin = one(b"origin", b"")
        if origin and origin.removeprefix("http://") not in self._hosts:
            raise _Refused(403, "foreign-origin", "the request comes from another page")
        if one(b"sec-fetch-site", b"none") not in ("same-origin", "none"):
            raise _Refused(
                403,
                "foreign-site",
                "the request comes from another page",
                "type or paste the address into the address bar",
            )
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > URL_MAX:
            raise _Refused(414, "url-too-long", f"the URL is longer than {URL_MAX} bytes")
        if scope["method"] not in METHODS:
            raise _Refused(405, "method", f"the method {scope['method'][:20]!r} is not known")
        if (scope["path"] + "/").startswith(f"{API}/"):
            given = one(b"authorization", b"").encode("latin-1")
            if not (self._is_code(scope["path"], given) or self._is_token(given)):
                raise _Refused(
                    401,
                    "token",
                    "the token is missing or wrong",
                    "open the URL that the command printed, with all that follows the #",
                )
        length = one(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > BODY_MAX:
            raise _too_large()

    def _is_token(self, given: bytes) -> bool:
        return hmac.compare_digest(given, self._bearer)

    def _is_code(self, path: str, given: bytes) -> bool:
        if not self._code or path != EXCHANGE or not hmac.compare_digest(given, self._code):
            return False
        self._code = b""
        return True


def _too_large() -> _Refused:
    return _Refused(413, "body-too-large", f"the body is larger than {BODY_MAX} bytes")


async def _refuse(refused: _Refused, method: str, send: Send) -> None:
    text = msgspec.json.encode(refused.failure)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(text)).encode()),
        (b"connection", b"close"),
    ]
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else text})
