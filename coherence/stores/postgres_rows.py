"""The decoding of rows from PostgreSQL's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coherence.contents import Content, Handle, Kind
from coherence.errors import StoreCorrupt
from coherence.messages import Version
from coherence.stores.codec import cut_of, restored, unpack_row
from coherence.stores.port import Cut, Entry, Stored
from coherence.stores.postgres_schema import require_schema
from coherence.stores.postgres_wire import Rows


def current(locked: Rows) -> tuple[int | None, bytes, float]:
    """Revision, stored row and clock of `LOCK`.  Raises `StoreNewer`, `StoreOlder`."""
    if not locked:
        raise StoreCorrupt("the workspace's tables have lost their stamp")
    revision, home, now, schema = locked[0]
    require_schema(schema)
    return revision, home, now


def entry(row: Sequence[Any]) -> Entry:
    """The entry in a row of `HISTORY` or `BODY`.  Raises `StoreCorrupt`."""
    version, kind, size_bytes, digest, author, at, pinned, base, overwrite, reason = row[:10]
    try:
        handle = Handle(Kind(kind), size_bytes, digest)
    except ValueError as error:
        raise StoreCorrupt(f"a line of the history is damaged: {error}") from error
    return Entry(version, handle, author, at, pinned, base, overwrite, reason)


def restore(rows: Sequence[Any], artifact: str, version: Version) -> tuple[Entry, Content] | None:
    """The version in rows of `BODY`, or None if it is not kept.  Raises `StoreCorrupt`."""
    if not rows or rows[0][0] != version:
        return None
    found = entry(rows[0])
    chain = ((number, whole, body) for number, *_, whole, body in rows)
    return found, restored(found.handle, chain, f"{artifact}@{version}")


def cut(row: Sequence[Any]) -> Cut:
    """An artifact that has a row, from `asked` on in a row of `CUT`.  Raises `StoreCorrupt`."""
    (name, revision, home), kept = row[:3], row[3:]
    found = Stored(unpack_row(home), revision)
    if kept[0] is None:
        return cut_of(name, found, None)
    if kept[-1] is None:
        return cut_of(name, found, (entry(kept), None))
    return cut_of(name, found, restore([kept], name, kept[0]))
