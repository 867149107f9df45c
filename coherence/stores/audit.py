"""What can be said of a store by looking at it: what is damaged, what contradicts itself."""

from __future__ import annotations

from collections.abc import Iterator

from coherence.errors import StoreCorrupt
from coherence.invariants import well_formed
from coherence.stores.port import Store


def audit(store: Store) -> Iterator[str]:
    """Every row and every version that is kept, held against each other and against its hash.

    Row and history are read one after the other: in a store that is in use, a complaint about the
    newest version counts only where it comes again.
    """
    for name in store.names(deleted=True):
        try:
            stored = store.row(name)
            entries = store.history(name)
        except StoreCorrupt as error:
            yield f"{name}: {error}"
            continue
        if stored is None:
            yield f"{name}: has no row"
            continue
        home = stored.row.state
        if not well_formed(home, ()):
            yield f"{name}: its directory entry is not well formed"
        newest = entries[-1] if entries else None
        if newest is None or newest.version < home.version:
            yield f"{name}: its current version {home.version} is not in its history"
        for entry in entries:
            ref = f"{name}@{entry.version}"
            if entry.version == home.version and entry.handle != home.content:
                yield f"{ref}: the row and the history hold different contents"
            try:
                if store.read(name, entry.version) is None:
                    yield f"{ref}: its content is missing"
            except StoreCorrupt as error:
                yield f"{ref}: {error}"
