"""Opens the store that a URL names."""

from __future__ import annotations

import re
from urllib.parse import quote

from coherence.errors import BadUrl
from coherence.stores.memory import MemoryStore
from coherence.stores.port import Retention, Store

_SCHEMES = ("memory", "sqlite", "postgresql", "postgres")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")


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
    named = _SCHEME.match(url)
    scheme = named[1].lower() if named is not None else ""
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
    # An address that is not understood may hold a password anywhere: no more of it is repeated than
    # can be none.
    path = url.strip("/ ")
    if path and path not in _SCHEMES and not set(":@\0") & set(url):
        raise BadUrl(f"{url!r} has no scheme", remedy=f"did you mean sqlite:///{quote(url)}?")
    raise BadUrl(f"no store has the scheme {scheme!r}" if scheme else "the address has no scheme")
