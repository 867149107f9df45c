"""Checks a store by reading it: finds damage and contradictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from coherence.errors import InvalidName, StoreCorrupt
from coherence.invariants import well_formed
from coherence.refs import check_name
from coherence.states import HomeState
from coherence.stores.archive import Archive
from coherence.stores.port import Entry, Store, Stored

#: How often an artifact that changes between two looks is read again.
LOOKS = 50


def audit(store: Archive) -> Iterator[str]:
    """Compares every row with every kept version, and each version with its hash.

    Unreadable data is reported too.  Row and history are read one after the other, so a complaint
    counts only if a second read repeats it and nothing was written in between.
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
            yield f"{name!r} is not a name of an artifact: {error}"
            continue
        yield from _confirmed(store, name, name in there)
    looks: tuple[tuple[str, Callable[[], object]], ...] = (
        ("agents", store.members),
        ("the change log", store.head),
        ("the refused writes", store.refusals),
        ("the tallies", store.tallies),
    )
    for what, look in looks:
        try:
            look()
        except StoreCorrupt as error:
            yield f"{what}: {error}"


def _confirmed(store: Store, name: str, listed: bool) -> list[str]:
    """The complaints about one artifact, which other processes may be writing.

    `listed` says whether the names of existing artifacts include it.
    """
    before: tuple[int | None, list[str]] | None = None
    for _ in range(LOOKS):
        look = _look(store, name, listed if before is None else None)
        if not look[1] or look == before:
            break
        before = look
    return look[1]


def _look(store: Store, name: str, listed: bool | None) -> tuple[int | None, list[str]]:
    """The revision that was found, and the complaints; if `listed` is None, it is looked up."""
    try:
        stored = store.row(name)
        if listed is None:
            listed = name in store.names(name)
        entries = store.history(name)
    except StoreCorrupt as error:
        return None, [f"{name}: {error}"]
    if stored is None:
        return None, [f"{name}: has no row"]
    return stored.revision, list(_complaints(store, name, stored, entries, listed))


def _complaints(
    store: Store, name: str, stored: Stored, entries: Sequence[Entry], listed: bool
) -> Iterator[str]:
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
    """Whether `state` can be a state of the directory's table, as far as a state alone can show."""
    try:
        return well_formed(state, ())
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return False  # its values are impossible for a home
