"""Addresses of endpoints: ``tcp://host:port`` and ``unix:///path``."""

from __future__ import annotations

from typing import TypeAlias

from causal.transports.port import NoRoute
from message_passing.process import Address

Route: TypeAlias = tuple[str, int] | str
"""A host and port, or the path of a Unix socket."""


def parsed(url: str, of: Address = "") -> Route:
    """A host and port, or the path of a Unix socket: the address of the endpoint `of`.

    Raises `NoRoute`, which does not repeat the address: an address that is meant for another
    program may contain a password.
    """
    kind, _, rest = url.partition("://")
    if kind == "unix" and rest and "\0" not in rest:
        return rest
    if kind == "tcp":
        host, _, port = rest.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if _is_host(host) and port.isascii() and port.isdecimal() and int(port) < 1 << 16:
            return host, int(port)
    raise NoRoute(
        f"the address of {of!r}, {len(url)} characters long, is neither a host's nor a socket's",
        remedy="tcp://host:port or unix:///path",
    )


def _is_host(host: str) -> bool:
    """Whether a name service can be asked for it; a user and a password do not belong there."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return bool(host) and not any(each in "@/?#\0" or each.isspace() for each in host)
