"""The SQLite file: its tables, their version, and the check that it belongs to this package."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeAlias

from coherence.errors import StoreCorrupt, StoreMissing, StoreNewer, StoreOlder

#: "ACOH", in the header of every file of this package.
APPLICATION_ID = 0x41434F48

CREATE = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE artifact (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    alive INTEGER NOT NULL,
    home BLOB NOT NULL
);
-- slot is artifact << 32 | version.  body is whole, or a difference to the next version's.
CREATE TABLE history (
    slot INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    digest BLOB NOT NULL,
    author TEXT NOT NULL,
    at REAL NOT NULL,
    pinned INTEGER NOT NULL,
    whole INTEGER NOT NULL,
    body BLOB NOT NULL
);
-- seq has no holes: lines are only ever taken from the far end.
CREATE TABLE log (
    seq INTEGER PRIMARY KEY,
    origin INTEGER NOT NULL,
    artifact TEXT NOT NULL,
    version INTEGER NOT NULL,
    author TEXT NOT NULL,
    at REAL NOT NULL,
    posts BLOB NOT NULL
);
CREATE TABLE member (
    agent TEXT PRIMARY KEY,
    session INTEGER NOT NULL,
    since REAL NOT NULL
) WITHOUT ROWID;
-- Loopback ports on which processes wait to hear of new lines in the log.
CREATE TABLE bell (port INTEGER PRIMARY KEY, until REAL NOT NULL);
INSERT INTO meta VALUES ('identity', lower(hex(randomblob(8))));
INSERT INTO meta VALUES ('session', 0);
INSERT INTO meta VALUES ('origin', 0);
"""

#: Distinguishes histories of a file, and live processes from dead ones.  `random() >> 1` keeps a
#: sign bit free.
HISTORIES = """
ALTER TABLE log ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
UPDATE log SET number = 1 + ((random() >> 1) & 0x3fffffffffffffff);
ALTER TABLE member ADD COLUMN origin INTEGER NOT NULL DEFAULT 0;
ALTER TABLE member ADD COLUMN life TEXT NOT NULL DEFAULT '';
ALTER TABLE member ADD COLUMN until REAL NOT NULL DEFAULT 0;
ALTER TABLE member ADD COLUMN ended REAL NOT NULL DEFAULT 0;
UPDATE member SET until = strftime('%s', 'now') + 86400;
DELETE FROM meta WHERE key = 'origin';
INSERT INTO meta VALUES ('generation', 1 + ((random() >> 1) & 0x3fffffffffffffff));
"""

#: Each version says from which it derives, and refused writes and counts of calls have tables.
#: History is copied, since a column after `body` is read through the whole body.
RECORDS = """
CREATE TABLE history_3 (
    slot INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    digest BLOB NOT NULL,
    author TEXT NOT NULL,
    at REAL NOT NULL,
    pinned INTEGER NOT NULL,
    base INTEGER NOT NULL,
    overwrite INTEGER NOT NULL,
    reason TEXT NOT NULL,
    whole INTEGER NOT NULL,
    body BLOB NOT NULL
);
INSERT INTO history_3
    SELECT slot, kind, size_bytes, digest, author, at, pinned, 0, 0, '', whole, body FROM history;
DROP TABLE history;
ALTER TABLE history_3 RENAME TO history;
CREATE TABLE refusal (
    seq INTEGER PRIMARY KEY,
    artifact TEXT NOT NULL,
    agent TEXT NOT NULL,
    at REAL NOT NULL,
    base INTEGER NOT NULL,
    current INTEGER NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    attempt TEXT NOT NULL
);
CREATE TABLE tally (
    day TEXT NOT NULL,
    agent TEXT NOT NULL,
    artifact TEXT NOT NULL,
    "full" INTEGER NOT NULL,
    unchanged INTEGER NOT NULL,
    delta INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    served_tokens INTEGER NOT NULL,
    refetch_tokens INTEGER NOT NULL,
    writes INTEGER NOT NULL,
    same INTEGER NOT NULL,
    conflicts INTEGER NOT NULL,
    exact INTEGER NOT NULL,
    PRIMARY KEY (day, agent, artifact)
) WITHOUT ROWID;
"""

#: In one statement, since another process may be creating the tables.
_STAMP = """
    SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master)
    FROM pragma_user_version, pragma_application_id
"""

#: A step from one schema to the next: statements, or a function of the file's connection within the
#: transaction.  A row's `home` and a line's `posts` are structs in msgpack, which no statement can
#: change: see "Changing what a store keeps" in CONTRIBUTING.md.
Migration: TypeAlias = str | Callable[[sqlite3.Connection], None]

#: MIGRATIONS[n] takes a file from schema n to n + 1; the first creates the tables.
MIGRATIONS: tuple[Migration, ...] = (CREATE, HISTORIES, RECORDS)


def prepare(db: sqlite3.Connection) -> None:
    """Create the tables of this release, or upgrade older ones, in one transaction.

    Raises `StoreNewer`, and `StoreCorrupt` for a database of another program.
    """
    if schema_of(db) == len(MIGRATIONS):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it during the wait.
        for step in MIGRATIONS[schema_of(db) :]:
            if isinstance(step, str):
                for statement in step.split(";\n"):
                    db.execute(statement)
            else:
                step(db)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def require(db: sqlite3.Connection | sqlite3.Cursor) -> None:
    """Raise if the tables are not those of this release."""
    found = schema_of(db)
    if not found:
        raise StoreMissing("the file holds no workspace", remedy="check the path")
    if found < len(MIGRATIONS):
        raise StoreOlder(f"the file has schema {found}, this release reads {len(MIGRATIONS)}")


def require_schema(found: int) -> None:
    """Raise if an open file now has another schema; `found` is its ``user_version``."""
    if found > len(MIGRATIONS):
        raise _newer(found)
    if found != len(MIGRATIONS):
        raise StoreOlder(
            f"the file was restored to schema {found}, this release writes {len(MIGRATIONS)}",
            remedy="open it again, which upgrades it",
        )


def schema_of(db: sqlite3.Connection | sqlite3.Cursor) -> int:
    """The schema of the file, 0 if it is empty.  Raises `StoreNewer` and `StoreCorrupt`."""
    version, application, tables = db.execute(_STAMP).fetchone()
    if application != APPLICATION_ID:
        if version or application or tables:
            raise StoreCorrupt(
                "the database belongs to another program, or its stamp is damaged",
                remedy="name another file, or restore a backup",
            )
        return 0
    if version > len(MIGRATIONS):
        raise _newer(version)
    if version < 1:
        raise StoreCorrupt(f"the file's stamp is damaged: it names schema {version}")
    return int(version)


def _newer(found: int) -> StoreNewer:
    return StoreNewer(f"the file has schema {found}, this release knows {len(MIGRATIONS)}")
