"""Opens the store that a URL names."""

from __future__ import annotations

from urllib.parse import urlsplit

from coherence.errors import BadUrl
from coherence.stores.memory import MemoryStore
from coherence.stores.port import Retention, Store


def open_store(url: str, retention: Retention | None = None) -> Store:
    """The store that `url` names.  Raises `BadUrl`, or `StoreFault` where it cannot be opened."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise BadUrl(f"{url!r}: {error}") from error
    if scheme == "memory":
        if url != "memory://":
            raise BadUrl(f"{url!r} names something", remedy="memory:// names nothing")
        return MemoryStore(retention)
    if scheme == "sqlite":
        from coherence.stores.sqlite import SqliteStore

        return SqliteStore.open(url, retention)
    if scheme in ("postgresql", "postgres"):
        from coherence.stores.postgres import PostgresStore

        return PostgresStore.open(url, retention)
    raise BadUrl(f"{url!r} has no scheme that a store understands")
