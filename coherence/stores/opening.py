"""Opens the store that a URL names.

A package brings a store of its own by an entry point of the group `coherence.stores`.  Its name is
the scheme, and it is called as `open_store` is, without `clock`: it has a clock of its own.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from coherence.errors import BadUrl, NoArchive, StoreFault
from coherence.stores.memory import MemoryStore
from coherence.stores.port import Retention, Store
from message_passing.ports import Clock

if TYPE_CHECKING:
    from coherence.stores.archive import Backup

GROUP = "coherence.stores"
_SCHEMES = ("memory", "sqlite", "postgresql", "postgres")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")


def open_store(
    url: str,
    retention: Retention | None = None,
    *,
    create: bool = True,
    readonly: bool = False,
    clock: Clock = time.monotonic,
) -> Store:
    """The store that `url` names.  Raises `BadUrl`, or `StoreFault` if it cannot be opened.

    With `create` false a missing store raises `StoreMissing`; with `readonly` nothing is written,
    and only calls that read are allowed.  `clock` is for a store that has none of its own: a store
    of several processes has.
    """
    named = _SCHEME.match(url)
    scheme = named[1].lower() if named is not None else ""
    if scheme == "memory":
        if url != "memory://":
            raise BadUrl(f"{url!r} has a path", remedy="memory:// takes no path")
        if readonly or not create:
            raise BadUrl("a store in memory is visible only to its own process")
        return MemoryStore(retention, clock=clock)
    if scheme == "sqlite":
        from coherence.stores.sqlite import SqliteStore

        return SqliteStore(file_of(url), retention, create=create, readonly=readonly)
    if scheme in ("postgresql", "postgres"):
        from coherence.stores.postgres import PostgresStore

        return PostgresStore(url, retention, create=create, readonly=readonly)
    # A fifth of the time that `import coherence` would take.
    from importlib.metadata import entry_points

    for found in entry_points(group=GROUP, name=scheme) if scheme else ():
        try:
            opener = found.load()
        except (ImportError, AttributeError) as error:
            raise StoreFault(
                f"the store of {scheme!r} cannot be loaded from {found.value}: {error}",
                remedy="install the package that brings the store, or mend its entry point",
            ) from error
        store: Store = opener(url, retention, create=create, readonly=readonly)
        return store
    # An invalid address may hold a password anywhere: only parts that cannot be one are repeated.
    path = url.strip("/ ")
    if path and path not in _SCHEMES and not set(":@\0") & set(url):
        raise BadUrl(f"{url!r} has no scheme", remedy=f"did you mean sqlite:///{quote(url)}?")
    raise BadUrl(f"no store has the scheme {scheme!r}" if scheme else "the address has no scheme")


def put_back(backup: Backup, url: str) -> None:
    """Restore a backup into the store that `url` names, and replace its content."""
    if url.startswith("sqlite:"):
        from coherence.stores.backup import put_into_file

        put_into_file(backup, file_of(url))
        return
    store = open_store(url, create=not url.startswith("memory:"))
    try:
        restore = getattr(store, "put_back", None)
        if restore is None:
            raise NoArchive(
                f"{type(store).__name__} has no put_back",
                remedy="restore the backup into sqlite:/// or postgresql://",
            )
        restore(backup)
    finally:
        store.close()


def file_of(url: str) -> str:
    """The file that ``sqlite:///relative/path`` or ``sqlite:////absolute/path`` names.

    Raises `BadUrl`.
    """
    path = unquote(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///") or not path or "\0" in path or path == ":memory:":
        meant = url.removeprefix("sqlite:").removeprefix("//")
        said = f"did you mean sqlite:///{meant}?" if meant.strip("/") and path == url else None
        raise BadUrl(f"{url!r} names no file", remedy=said)
    return path
