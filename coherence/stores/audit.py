"""What can be said of a store by looking at it: what is damaged, what contradicts itself."""

from __future__ import annotations

from collections.abc import Iterator

from coherence.errors import InvalidName, StoreCorrupt
from coherence.invariants import well_formed
from coherence.refs import check_name
from coherence.states import HomeState
from coherence.stores.port import Store


def audit(store: Store) -> Iterator[str]:
    """Every row and every version that is kept, held against each other and against its hash.

    What cannot be read is listed like what is wrong.  Row and history are read one after the other:
    in a store that is in use, a complaint about the newest version counts only where it comes
    again.
    """
    try:
        names, there = store.names(deleted=True), set(store.names())
    except StoreCorrupt as error:
        yield f"the names of artifacts: {error}"
        return
    for name in names:
        try:
            check_name(name)
        except InvalidName as error:
            yield f"{name!r} is no name of an artifact: {error}"
            continue
        yield from _artifact(store, name, name in there)
    for what, look in (("agents", store.members), ("the change log", store.head)):
        try:
            look()
        except StoreCorrupt as error:
            yield f"{what}: {error}"


def _artifact(store: Store, name: str, listed: bool) -> Iterator[str]:
    try:
        stored = store.row(name)
        entries = store.history(name)
    except StoreCorrupt as error:
        yield f"{name}: {error}"
        return
    if stored is None:
        yield f"{name}: has no row"
        return
    home = stored.row.state
    if not is_home(home):
        yield f"{name}: its directory entry is not well formed"
    if stored.row.exists != listed:
        yield f"{name}: it is listed as {'there' if listed else 'deleted'}, and is not"
    newest = entries[-1] if entries else None
    if newest is None or newest.version < home.version:
        yield f"{name}: its current version {home.version} is not in its history"
    for entry in entries:
        ref = f"{name}@{entry.version}"
        if entry.version > home.version:
            yield f"{ref}: the row knows of no version after {home.version}"
        if entry.version == home.version and entry.handle != home.content:
            yield f"{ref}: the row and the history hold different contents"
        try:
            if store.read(name, entry.version) is None:
                yield f"{ref}: its content is missing"
        except StoreCorrupt as error:
            yield f"{ref}: {error}"


def is_home(state: HomeState) -> bool:
    """Whether `state` is one that the directory's table can lead to, as far as it alone can say."""
    try:
        return well_formed(state, ())
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return False  # of values that no home has
