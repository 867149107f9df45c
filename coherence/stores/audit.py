"""What can be said of a store by looking at it: what is damaged, what contradicts itself."""

from __future__ import annotations

from collections.abc import Iterator

from coherence.errors import InvalidName, StoreCorrupt
from coherence.invariants import well_formed
from coherence.refs import check_name
from coherence.states import HomeState
from coherence.stores.port import Store

#: How often an artifact is looked at that changes between two looks.
LOOKS = 50


def audit(store: Store) -> Iterator[str]:
    """Every row and every version that is kept, held against each other and against its hash.

    What cannot be read is listed like what is wrong.  Row and history are read one after the other:
    a complaint counts where it comes again and nothing was written in between.
    """
    try:
        names = store.names(deleted=True)
    except StoreCorrupt as error:
        yield f"the names of artifacts: {error}"
        return
    for name in names:
        try:
            check_name(name)
        except InvalidName as error:
            yield f"{name!r} is no name of an artifact: {error}"
            continue
        yield from _confirmed(store, name)
    for what, look in (("agents", store.members), ("the change log", store.head)):
        try:
            look()
        except StoreCorrupt as error:
            yield f"{what}: {error}"


def _confirmed(store: Store, name: str) -> list[str]:
    """The complaints about one artifact, which others may be writing."""
    before: tuple[int | None, list[str]] | None = None
    found: list[str] = []
    for _ in range(LOOKS):
        revision = _revision(store, name)
        found = list(_artifact(store, name))
        if not found or (revision, found) == before:
            break
        before = (revision, found)
    return found


def _revision(store: Store, name: str) -> int | None:
    try:
        stored = store.row(name)
    except StoreCorrupt:
        return None
    return stored.revision if stored is not None else None


def _artifact(store: Store, name: str) -> Iterator[str]:
    try:
        stored = store.row(name)
        listed = name in store.names(name)
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
