"""The content of a store in memory, for a backup: with hashes, and wall clock times."""

from __future__ import annotations

import time
from sys import maxsize

from msgspec.structs import replace

from coherence.contents import TOMBSTONE, Content, Handle, Kind, Limits, check_content
from coherence.messages import Version
from coherence.stores.archive import Image
from coherence.stores.chance import draw
from coherence.stores.codec import pack_row, to_bytes
from coherence.stores.memory_tables import Tables
from coherence.stores.port import Change, Entry, HomeRow, Stored
from coherence.stores.records import refused_values, storable, tally_values
from message_passing.process import Time

_ANY = Limits(content_bytes=maxsize)


def image(tables: Tables, now: Time) -> Image:
    """Everything in a store at that time, whatever happens to its tables later.

    The store is private to the process, so its backup gets a new identity.
    """
    since = time.time() - now  # noqa: TID251 - the origin of a monotonic clock
    rows, log = dict(tables.rows), list(tables.log)
    history = {name: dict(kept) for name, kept in tables.history.items()}
    return Image(
        "",
        0,
        (_artifact(name, stored, history.get(name, {}), since) for name, stored in rows.items()),
        (
            _version(name, entry, content, since)
            for name, kept in history.items()
            for entry, content in kept.values()
        ),
        (_line(line, since) for line in log),
        [refused_values(replace(line, at=line.at + since)) for line in tables.refusals],
        [tally_values(row) for row in tables.tallies.values()],
    )


def _artifact(
    name: str, stored: Stored, kept: dict[Version, tuple[Entry, Content]], since: float
) -> tuple[str, int, int, int, bytes]:
    row = stored.row
    state, content = row.state, kept.get(row.state.version)
    if content is not None:
        state = replace(state, content=_handle(*content))
    timers = tuple((timer, at + since) for timer, at in row.timers)
    return name, stored.revision, state.version, row.exists, pack_row(HomeRow(state, timers))


def _version(
    name: str, entry: Entry, content: Content, since: float
) -> tuple[str, int, str, int, bytes, str, float, int, int, int, str, int, bytes]:
    handle = _handle(entry, content)
    what = (str(handle.kind), handle.size_bytes, handle.digest)
    how = (entry.base, entry.overwrite, storable(entry.reason))
    at = entry.at + since
    return name, entry.version, *what, entry.author, at, entry.pinned, *how, 1, to_bytes(content)


def _line(line: Change, since: float) -> tuple[int, int, int, str, int, str, float, bytes]:
    at = line.at + since
    # Messages are for caches that are gone.
    return line.seq, draw(), line.origin, line.artifact, line.version, line.author, at, b""


def _handle(entry: Entry, content: Content) -> Handle:
    return TOMBSTONE if entry.handle.kind is Kind.TOMBSTONE else check_content(content, _ANY)
