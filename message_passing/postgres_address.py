"""Parses the address of a PostgreSQL database, and reports errors without its secrets.

libpq quotes parts that it cannot parse, and such a part may belong to a password: with an unescaped
``@`` or ``/`` it is read as a host, a port or a path.  So an ambiguous address is refused here, and
libpq's messages about an address are not repeated.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

#: How long to wait for a connection if the address does not say.
CONNECT_S: Final = 5.0
#: Defaults that an address may override.  A silently cut link is noticed within half a minute.
_DEFAULTS: Final = {
    "connect_timeout": int(CONNECT_S),
    "fallback_application_name": "artifact-coherence",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_SECRETS: Final = (
    "password",
    "sslpassword",
    "oauth_client_secret",
    "scram_client_key",
    "scram_server_key",
)
#: What an error says of an address that cannot be read, and its remedy.
UNREADABLE: Final = "the address of the PostgreSQL database cannot be read"
REMEDY: Final = (
    "postgresql://user:password@host:port/database; other characters of a user or a password than"
    " letters, digits and -._~ are written as %XX, such as %40 for @"
)
#: The part of an address between the scheme and the first slash, and the path after it.
_PARTS: Final = re.compile(r"postgres(?:ql)?://(?P<server>[^/?]*)(?P<path>/[^?]*)?", re.IGNORECASE)
_PORTS: Final = re.compile(r"[0-9]*(,[0-9]*)*")


def parse(url: str) -> dict[str, Any] | None:
    """The parameters of a connection, as libpq names them; None for an unreadable address."""
    found: dict[str, Any] | None = None
    if not _ambiguous(url):
        with suppress(psycopg.Error, UnicodeError):
            found = dict(conninfo_to_dict(url))
    # No error is raised here, so libpq's error is in the context of none.
    if found is None or not _PORTS.fullmatch(str(found.get("port") or "")):
        return None
    return {**_DEFAULTS, **found, "client_encoding": "UTF8", "autocommit": True}


def told(error: psycopg.Error, address: dict[str, Any]) -> str:
    """The text of `error`, without the secrets of the address."""
    text = str(error).strip()
    for key in _SECRETS:
        secret = address.get(key)
        if secret:
            text = text.replace(str(secret), "***")
    return text


def _ambiguous(url: str) -> bool:
    """Whether a password may have been taken for something else."""
    parts = _PARTS.match(url)
    if parts is None:
        return False
    server, path = parts["server"], parts["path"] or ""
    spaced = " " in server + path or not url.isprintable()
    return server.count("@") > 1 or "@" in path or spaced
