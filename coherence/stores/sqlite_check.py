"""Checks a SQLite file: its pages and indexes, and values that a store cannot write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from coherence.errors import StoreCorrupt, StoreFault
from coherence.stores.schema import prepare
from coherence.stores.sqlite_connections import SqliteConnections
from coherence.stores.sqlite_rows import VERSION_BITS, shaped
from coherence.stores.sqlite_transaction import LOAD, stored

#: Each query finds damage, as text that continues its key.
CHECKS: Final = {
    "SQLite: ": "PRAGMA integrity_check",
    "a version without an artifact: ": f"""
        SELECT slot FROM history WHERE slot >> {VERSION_BITS} NOT IN (SELECT id FROM artifact)""",
    "the change log has holes: ": """
        SELECT count(*) || ' lines from ' || min(seq) || ' to ' || max(seq) FROM log
        HAVING count(*) != max(seq) - min(seq) + 1""",
}
#: The artifacts that were never written, by their columns: lists of names omit them.
UNLISTED: Final = "SELECT name FROM artifact NOT INDEXED WHERE NOT (alive OR version)"


_COLUMNS: Final = """
    SELECT m.name, c.name, c.type, c.pk FROM sqlite_master AS m, pragma_table_info(m.name) AS c
    WHERE m.type = 'table' ORDER BY m.name, c.cid
"""


def contradictions(connections: SqliteConnections) -> Iterator[str]:
    """The damage that SQLite finds, and values in the tables that a store cannot write."""
    yield from _tables(connections)
    for what, sql in CHECKS.items():
        try:
            for (found,) in connections.query(sql):
                if found != "ok":
                    yield f"{what}{found}"
        except StoreFault as error:
            connections.file.require()
            yield f"{what}{error}"
    try:
        unlisted = [shaped(row, (str,), "a name")[0] for row in connections.query(UNLISTED)]
    except StoreFault as error:
        connections.file.require()
        unlisted = []
        yield f"the list of artifacts: {error}"
    for name in unlisted:
        try:
            for row in connections.query(LOAD, name):
                stored(row, name)
        except StoreCorrupt as error:
            yield f"{name}: {error}"


def _tables(connections: SqliteConnections) -> Iterator[str]:
    """The differences of the tables from those of this release."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        prepare(db)
        wanted = set(db.execute(_COLUMNS).fetchall())
    try:
        found = set(connections.query(_COLUMNS))
    except StoreFault as error:
        connections.file.require()
        yield f"the tables: {error}"
        return
    for table, column, *_ in sorted(wanted - found):
        yield f"the tables: {table} has no column {column} as it should be"
