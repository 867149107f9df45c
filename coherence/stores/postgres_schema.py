"""The PostgreSQL tables, their version, and how a database is told to be ours.

They live in the first schema of the connection's search path, so one database holds as many
workspaces as it has schemas: ``postgresql://host/team?options=-csearch_path%3Dproject``.
"""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg

from coherence.errors import StoreCorrupt, StoreMissing, StoreNewer

CREATE: LiteralString = """
-- One row.  Whoever holds it orders the change log: it is taken last, and for the shortest time.
CREATE TABLE coherence_meta (
    sole boolean PRIMARY KEY DEFAULT true CHECK (sole),
    schema_version integer NOT NULL,
    identity text NOT NULL DEFAULT left(replace(gen_random_uuid()::text, '-', ''), 16),
    head bigint NOT NULL DEFAULT 0,
    sessions bigint NOT NULL DEFAULT 0,
    artifacts bigint NOT NULL DEFAULT 0
);
CREATE TABLE coherence_artifact (
    name text COLLATE "C" PRIMARY KEY,
    revision bigint NOT NULL,
    version bigint NOT NULL,
    alive boolean NOT NULL,
    home bytea NOT NULL
);
-- body is whole, or a difference to the next version's.
CREATE TABLE coherence_history (
    artifact text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    kind text NOT NULL,
    size_bytes bigint NOT NULL,
    digest bytea NOT NULL,
    author text NOT NULL,
    at double precision NOT NULL,
    pinned boolean NOT NULL,
    whole boolean NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (artifact, version)
);
-- seq has no holes: lines are only ever taken from the far end.
CREATE TABLE coherence_log (
    seq bigint PRIMARY KEY,
    origin bigint NOT NULL,
    artifact text NOT NULL,
    version bigint NOT NULL,
    author text NOT NULL,
    at double precision NOT NULL,
    posts bytea NOT NULL
);
CREATE TABLE coherence_member (
    agent text COLLATE "C" PRIMARY KEY,
    session bigint NOT NULL,
    since double precision NOT NULL
);
INSERT INTO coherence_meta (schema_version) VALUES (0);
"""

#: What tells one history of the tables from another.  A number of 62 bits, above 0.
_DRAWN: LiteralString = "1 + (random() * ((1::bigint << 31) - 1))::bigint * (1::bigint << 31)"
HISTORIES: LiteralString = f"""
ALTER TABLE coherence_log ADD COLUMN number bigint NOT NULL DEFAULT 0;
UPDATE coherence_log SET number = {_DRAWN} + (random() * 2147483647)::bigint;
ALTER TABLE coherence_member ADD COLUMN origin bigint NOT NULL DEFAULT 0;
ALTER TABLE coherence_meta ADD COLUMN generation bigint NOT NULL DEFAULT 0;
UPDATE coherence_meta SET generation = {_DRAWN} + (random() * 2147483647)::bigint;
"""

#: MIGRATIONS[n] takes a database from schema n to n + 1; the first makes one from nothing.
MIGRATIONS: tuple[LiteralString, ...] = (CREATE, HISTORIES)
SCHEMA = len(MIGRATIONS)

#: Held while tables are made, so that two processes that start together do not both make them.
_LOCK = 0x41434F48


def prepare(conn: psycopg.Connection[Any], *, create: bool) -> None:
    """Make the tables of this release, or bring older ones up to it, in one transaction.

    Raises `StoreNewer`, `StoreMissing` where there are none and none are to be made, and
    `StoreCorrupt` for tables that are not ours.
    """
    encoding = conn.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreMissing(
            f"the database's encoding is {encoding}, and names need UTF8",
            remedy="createdb --encoding=UTF8 --template=template0",
        )
    found = _version(conn)
    if found == SCHEMA:
        return
    if not create:
        raise StoreMissing(
            "the database holds no workspace of this release", remedy="check the address"
        )
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        # Somebody else may have done it while we waited.
        for step in range(_version(conn), SCHEMA):
            conn.execute(MIGRATIONS[step])
        conn.execute("UPDATE coherence_meta SET schema_version = %s", (SCHEMA,))


def _version(conn: psycopg.Connection[Any]) -> int:
    # Asked of the catalogue's rows: what resolves names may not have heard yet of a table that was
    # made while we waited.
    there = conn.execute(
        "SELECT FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'coherence_meta'"
    )
    if there.fetchone() is None:
        return 0
    try:
        row = conn.execute("SELECT schema_version FROM coherence_meta").fetchone()
    except psycopg.errors.UndefinedColumn as error:
        raise StoreCorrupt(
            "the tables belong to another program", remedy="name another schema or database"
        ) from error
    if row is None:
        raise StoreCorrupt("the workspace's tables have lost their stamp")
    version = int(row[0])
    if version > SCHEMA:
        raise StoreNewer(f"the database has schema {version}, this release knows {SCHEMA}")
    return version
