"""Addresses of endpoints: ``tcp://host:port`` and ``unix:///path``."""

from __future__ import annotations

from typing import TypeAlias

from causal.transports.port import NoRoute

Route: TypeAlias = tuple[str, int] | str
"""A host and port, or the path of a Unix socket."""


def parsed(url: str) -> Route:
    """A host and port, or the path of a Unix socket.  Raises `NoRoute`."""
    kind, _, rest = url.partition("://")
    host, _, port = rest.rpartition(":")
    if kind == "unix" and rest:
        return rest
    if kind == "tcp" and host and port.isdecimal() and int(port) < 1 << 16:
        return host.strip("[]"), int(port)
    raise NoRoute(f"{url!r} is not an address", remedy="tcp://host:port or unix:///path")
