"""Opens the store that a URL names."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from coherence.errors import BadUrl
from coherence.stores.memory import MemoryStore
from coherence.stores.port import Retention, Store

_SCHEMES = ("memory", "sqlite", "postgresql", "postgres")


def open_store(
    url: str,
    retention: Retention | None = None,
    *,
    create: bool = True,
    readonly: bool = False,
) -> Store:
    """The store that `url` names.  Raises `BadUrl`, or `StoreFault` where it cannot be opened.

    With `create` false one that is not there is `StoreMissing`; with `readonly` nothing is written,
    and only what looks may be called.
    """
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        # What the error says of it may quote a password.
        raise BadUrl(f"{_safe(url)!r} is no address") from None
    if scheme == "memory":
        if url != "memory://":
            raise BadUrl(f"{url!r} names something", remedy="memory:// names nothing")
        if readonly or not create:
            raise BadUrl("a store in memory is seen by its own process alone")
        return MemoryStore(retention)
    if scheme == "sqlite":
        from coherence.stores.sqlite import SqliteStore

        return SqliteStore.open(url, retention, create=create, readonly=readonly)
    if scheme in ("postgresql", "postgres"):
        from coherence.stores.postgres import PostgresStore

        return PostgresStore.open(url, retention, create=create, readonly=readonly)
    path = url.strip("/ ")
    if ":" not in url and "\0" not in url and path and path not in _SCHEMES:
        raise BadUrl(f"{url!r} has no scheme", remedy=f"did you mean sqlite:///{quote(url)}?")
    raise BadUrl(f"{_safe(url)!r} has no scheme that a store understands")


def _safe(url: str) -> str:
    """`url` without what may be a user and a password."""
    return re.sub("//.*@", "//...@", url, flags=re.DOTALL)
