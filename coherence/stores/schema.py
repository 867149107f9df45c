"""The SQLite file: its tables, their version, and how a file is told to be ours."""

from __future__ import annotations

import sqlite3

from coherence.errors import StoreCorrupt, StoreNewer

#: "ACOH", in the header of every file of ours.
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

#: What tells one history of a file from another.  `random() >> 1` keeps a sign bit free.
HISTORIES = """
ALTER TABLE log ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
UPDATE log SET number = 1 + ((random() >> 1) & 0x3fffffffffffffff);
ALTER TABLE member ADD COLUMN origin INTEGER NOT NULL DEFAULT 0;
DELETE FROM meta WHERE key = 'origin';
INSERT INTO meta VALUES ('generation', 1 + ((random() >> 1) & 0x3fffffffffffffff));
"""

#: MIGRATIONS[n] takes a file from schema n to n + 1; the first makes one from nothing.
MIGRATIONS: tuple[str, ...] = (CREATE, HISTORIES)
SCHEMA = len(MIGRATIONS)


def prepare(db: sqlite3.Connection) -> None:
    """Make the tables of this release, or bring older ones up to it, in one transaction.

    Raises `StoreNewer`, and `StoreCorrupt` for a database that is not ours.
    """
    if _version(db) == SCHEMA:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        # Somebody else may have done it while we waited.
        for step in range(_version(db), SCHEMA):
            for statement in MIGRATIONS[step].split(";\n"):
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _version(db: sqlite3.Connection) -> int:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    ours = db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if not ours and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreCorrupt("the database belongs to another program", remedy="name another file")
    if version > SCHEMA:
        raise StoreNewer(f"the file has schema {version}, this release knows {SCHEMA}")
    return version
