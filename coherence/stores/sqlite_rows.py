"""The reading statements of the SQLite file, and the decoding of their rows.

Every row is verified.  A file may be damaged without a checksum of SQLite to detect it, so columns
are checked before use; a wrong column raises `StoreCorrupt`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from coherence.contents import Content, Handle, Kind
from coherence.errors import StoreCorrupt
from coherence.messages import Version
from coherence.stores.codec import restored, unpack_posts
from coherence.stores.membership import COLUMNS as MEMBER_COLUMNS
from coherence.stores.membership import member_of
from coherence.stores.port import Change, Entry, Member, Place

VERSION_BITS: Final = 32
LOW: Final = (1 << VERSION_BITS) - 1

# Each returns the name in the table, since the index that found it may be damaged.
_VERSION_COLUMNS: Final = (
    "slot, kind, size_bytes, digest, author, at, pinned, base, overwrite, reason"
)
HISTORY: Final = f"""
    SELECT proved.name, {_VERSION_COLUMNS}
    FROM artifact AS found JOIN artifact AS proved ON proved.id = found.id
    CROSS JOIN history ON slot >= found.id << {VERSION_BITS} | ?
                      AND slot <= found.id << {VERSION_BITS} | {LOW}
    WHERE found.name = ? ORDER BY slot
"""
#: A version and those after it, up to the first that is whole.
BODY: Final = f"""
    WITH start AS (
        SELECT proved.name AS name, found.id << {VERSION_BITS} AS base
        FROM artifact AS found JOIN artifact AS proved ON proved.id = found.id
        WHERE found.name = ?
    ), wanted AS (SELECT name, base | ? AS first FROM start)
    SELECT name, {_VERSION_COLUMNS}, whole, body
    FROM wanted CROSS JOIN history ON slot >= first AND slot <= ifnull(
        (SELECT slot FROM history WHERE slot >= first AND whole ORDER BY slot LIMIT 1), first)
    ORDER BY slot
"""
_GENERATION: Final = "(SELECT value FROM meta WHERE key = 'generation')"
SINCE: Final = f"""
    SELECT {_GENERATION}, seq, number, origin, artifact, version, author, at, posts
    FROM (SELECT 1) LEFT JOIN log ON seq >= ? ORDER BY seq LIMIT ?
"""
HEAD: Final = f"""
    SELECT ifnull(seq, 0), ifnull(number, 0), {_GENERATION}
    FROM (SELECT 1) LEFT JOIN log ON seq = (SELECT max(seq) FROM log)
"""
#: The end of the log, and what tells whether the file is still the one that was opened.
_STAMP: Final = f"""
    ifnull((SELECT max(seq) FROM log), 0),
    ifnull((SELECT number FROM log ORDER BY seq DESC LIMIT 1), 0), {_GENERATION},
    (SELECT value FROM meta WHERE key = 'identity'), (SELECT user_version FROM pragma_user_version)
"""
#: Artifacts by name, which are given in an array in JSON, each with a version and the digest that
#: are held.  `whole` is NULL without a current version, and `body` also if that is held.
CUT: Final = f"""
    SELECT {_STAMP}, asked, proved.id, proved.revision, proved.version, proved.home, proved.name,
           {_VERSION_COLUMNS}, whole, iif(proved.version = held AND hex(digest) = proof, NULL, body)
    FROM (SELECT 1) LEFT JOIN (
        SELECT json_extract(value, '$[0]') AS asked, json_extract(value, '$[1]') AS held,
               upper(json_extract(value, '$[2]')) AS proof FROM json_each(?)
    ) LEFT JOIN artifact AS found ON found.name = asked
    LEFT JOIN artifact AS proved ON proved.id = found.id
    LEFT JOIN history ON slot = proved.id << {VERSION_BITS} | proved.version
"""
LISTING: Final = f"""
    SELECT {_STAMP}, there.name, {_VERSION_COLUMNS}
    FROM (SELECT 1) LEFT JOIN (
        SELECT id, name, version FROM artifact WHERE name >= ? AND name < ? AND alive
    ) AS there LEFT JOIN history ON slot = there.id << {VERSION_BITS} | there.version
    ORDER BY there.name
"""
MEMBERS: Final = f"SELECT {MEMBER_COLUMNS} FROM member"
#: A blob is greater than any text, so a blob serves as an open end.
NAMES: Final = """
    SELECT name FROM artifact WHERE name >= ? AND name < ? AND (alive OR (? AND version))
    ORDER BY name
"""
#: The current version is always whole.
CURRENT: Final = f"""
    SELECT name, {_VERSION_COLUMNS}, whole, body
    FROM artifact JOIN history ON slot = id << {VERSION_BITS} | version
    WHERE name >= ? AND name < ? AND name > ? AND alive ORDER BY name LIMIT ?
"""
#: Artifacts by their names, which are given as an array in JSON.
_NAMED: Final = """
    artifact AS found CROSS JOIN artifact AS proved ON proved.id = found.id
    WHERE found.name IN (SELECT value FROM json_each(?))
"""
ROWS: Final = f"""
    SELECT found.name, proved.id, proved.revision, proved.version, proved.home, proved.name
    FROM {_NAMED}
"""
LATEST: Final = f"""
    SELECT named, proved, {_VERSION_COLUMNS} FROM (
        SELECT found.name AS named, proved.name AS proved,
               proved.id << {VERSION_BITS} | proved.version AS newest FROM {_NAMED}
    ) CROSS JOIN history ON slot = newest
"""
#: One text in JSON, and in no order, since the rows of many artifacts are costly one by one.
ALL_REVISIONS: Final = """
    SELECT json_group_array(
        json_array(name, revision, iif(alive, json('true'), json('false')))) FROM artifact
"""
REVISIONS: Final = f"{ALL_REVISIONS} WHERE name >= ? AND name < ?"
_ENTRY: Final = (str, int, str, int, bytes, str, float, int, int, int, str)
_COLUMNS: Final = len(_ENTRY)
_BODY: Final = (int, bytes)
_STAMPED: Final = (int, int, int, str, int)
#: How many columns of `CUT` and `LISTING` come before those of an artifact.
STAMP: Final = len(_STAMPED)
_LINE: Final = (int, int, int, int, str, int, str, float, bytes)
_decode_revisions: Final = msgspec.json.Decoder(list[tuple[str, int, bool]]).decode
_LAST: Final = "\U0010ffff"
_SURROGATES: Final = (0xD800, 0xE000)


def shaped(
    row: Sequence[Any], types: tuple[type, ...], what: str, artifact: str = ""
) -> Sequence[Any]:
    """`row`, if its columns have these types; `what` and the artifact are for the error."""
    if tuple(map(type, row)) != types:
        said = f"{what} of {artifact!r}" if artifact else what
        raise StoreCorrupt(f"{said} is damaged: its columns are not of their types")
    return row


def entry(row: Sequence[Any], artifact: str) -> Entry:
    """A line of `HISTORY`, or the start of one of `BODY`."""
    name, slot, kind, size_bytes, digest, author, at, pinned, base, overwrite, reason = shaped(
        row[:_COLUMNS], _ENTRY, "the history", artifact
    )
    prove(name, artifact)
    try:
        handle = Handle(Kind(kind), size_bytes, digest)
    except ValueError as error:
        raise StoreCorrupt(f"the history of {artifact!r} is damaged: {error}") from error
    return Entry(slot & LOW, handle, author, at, bool(pinned), base, bool(overwrite), reason)


def content(rows: Sequence[Any], artifact: str, version: Version) -> tuple[Entry, Content] | None:
    """The version in rows of `BODY`, or None if it is not kept."""
    if not rows:
        return None
    first = entry(rows[0], artifact)
    if first.version != version:
        return None
    name = f"{artifact}@{version}"
    chain = ((row[1], *shaped(row[_COLUMNS:], _BODY, name)) for row in rows)
    return first, restored(first.handle, chain, name)


def current(row: Sequence[Any]) -> tuple[str, Entry, Content]:
    """A line of `CURRENT`."""
    name = shaped(row[:1], (str,), "a name")[0]
    found = content([row], name, entry(row, name).version)
    assert found is not None
    return name, *found


def revisions(text: str) -> list[tuple[str, int, bool]]:
    """The result of `REVISIONS`, sorted."""
    try:
        return sorted(_decode_revisions(text))
    except msgspec.MsgspecError as error:
        raise StoreCorrupt(f"the list of artifacts is damaged: {error}") from error


def stamp_of(row: Sequence[Any]) -> tuple[Place, str, int]:
    """The place, the file's identity and its schema in a row of `CUT` or `LISTING`."""
    *place, identity, schema = shaped(row[:STAMP], _STAMPED, "the file's stamp")
    return Place(*place), identity, schema


def change(row: Sequence[Any]) -> Change:
    """The change in a row of `SINCE`."""
    _, seq, number, origin, artifact, version, author, at, posts = shaped(
        row, _LINE, "the change log"
    )
    return Change(seq, number, origin, artifact, version, author, at, unpack_posts(posts))


def head_of(row: Sequence[Any]) -> Place:
    """The place in a row of `HEAD`."""
    return Place(*shaped(row, (int, int, int), "the end of the change log"))


def member(row: Sequence[Any]) -> Member:
    """A line of `MEMBERS`."""
    kinds = (str, int, float, int, str, float, float)
    return member_of(shaped(row, kinds, "the list of members"))


def end_of(prefix: str) -> str | bytes:
    """The first text after all that begin with `prefix`; a blob if none exists."""
    kept = prefix.rstrip(_LAST)
    if not kept:
        return b""
    after = ord(kept[-1]) + 1
    low, high = _SURROGATES
    return kept[:-1] + chr(high if low <= after < high else after)


def prove(name: str, artifact: str) -> None:
    """Raise if the index of names has led to another artifact."""
    if name != artifact:
        raise StoreCorrupt(f"the index of names leads from {artifact!r} to another artifact")
