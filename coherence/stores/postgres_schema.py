"""The PostgreSQL tables, their version, and the check that they belong to this package.

They live in the first schema of the connection's search path, so one database holds as many
workspaces as it has schemas: ``postgresql://host/team?options=-csearch_path%3Dproject``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, LiteralString, TypeAlias

import psycopg

from coherence.errors import StoreCorrupt, StoreMissing, StoreNewer, StoreOlder
from coherence.stores.chance import draw

CREATE: LiteralString = """
-- One row.  Its lock orders the change log: it is taken last, and for the shortest time.
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

#: Distinguishes histories of the tables, and live processes from dead ones.  A number of 62 bits,
#: above 0.
_DRAWN: LiteralString = "1 + (random() * ((1::bigint << 31) - 1))::bigint * (1::bigint << 31)"
HISTORIES: LiteralString = f"""
ALTER TABLE coherence_log ADD COLUMN number bigint NOT NULL DEFAULT 0;
UPDATE coherence_log SET number = {_DRAWN} + (random() * 2147483647)::bigint;
ALTER TABLE coherence_member ADD COLUMN origin bigint NOT NULL DEFAULT 0;
ALTER TABLE coherence_member ADD COLUMN life text NOT NULL DEFAULT '';
ALTER TABLE coherence_member ADD COLUMN until double precision NOT NULL DEFAULT 0;
ALTER TABLE coherence_member ADD COLUMN ended double precision NOT NULL DEFAULT 0;
UPDATE coherence_member SET until = extract(epoch FROM clock_timestamp()) + 300;
ALTER TABLE coherence_meta ADD COLUMN generation bigint NOT NULL DEFAULT 0;
ALTER TABLE coherence_meta ADD COLUMN timeline text NOT NULL DEFAULT '';
ALTER TABLE coherence_meta ADD COLUMN policies text NOT NULL DEFAULT '';
UPDATE coherence_meta SET generation = {_DRAWN} + (random() * 2147483647)::bigint;
"""

#: Each version says from which it derives, and refused writes and counts of calls have tables.
RECORDS: LiteralString = """
ALTER TABLE coherence_history ADD COLUMN base bigint NOT NULL DEFAULT 0;
ALTER TABLE coherence_history ADD COLUMN overwrite boolean NOT NULL DEFAULT false;
ALTER TABLE coherence_history ADD COLUMN reason text NOT NULL DEFAULT '';
CREATE TABLE coherence_refusal (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    artifact text COLLATE "C" NOT NULL,
    agent text COLLATE "C" NOT NULL,
    at double precision NOT NULL,
    base bigint NOT NULL,
    current bigint NOT NULL,
    kind text NOT NULL,
    reason text NOT NULL,
    size_bytes bigint NOT NULL,
    attempt text NOT NULL
);
CREATE TABLE coherence_tally (
    day text COLLATE "C" NOT NULL,
    agent text COLLATE "C" NOT NULL,
    artifact text COLLATE "C" NOT NULL,
    "full" bigint NOT NULL,
    unchanged bigint NOT NULL,
    delta bigint NOT NULL,
    hits bigint NOT NULL,
    served_tokens bigint NOT NULL,
    refetch_tokens bigint NOT NULL,
    writes bigint NOT NULL,
    same bigint NOT NULL,
    conflicts bigint NOT NULL,
    exact bigint NOT NULL,
    PRIMARY KEY (day, agent, artifact)
);
"""

#: A step from one schema to the next: statements, or a function of the connection within the
#: transaction, for the structs in `home` and `posts`, as in `coherence.stores.schema`.
Migration: TypeAlias = LiteralString | Callable[[psycopg.Connection[Any]], None]

#: MIGRATIONS[n] takes a database from schema n to n + 1; the first creates the tables.
MIGRATIONS: tuple[Migration, ...] = (CREATE, HISTORIES, RECORDS)
SCHEMA = len(MIGRATIONS)

_SETTINGS: LiteralString = """
    SELECT set_config('lock_timeout', %(lock)s, false),
           set_config('idle_in_transaction_session_timeout', %(stopped)s, false),
           set_config('default_transaction_read_only', %(readonly)s, false),
           set_config('synchronous_commit', coalesce(
               nullif(current_setting('synchronous_commit'), 'off'), 'on'), false)
"""
# A server that was promoted, or recovered to a point in time, continues in a new timeline.  A
# server in recovery has no timeline yet.
_TIMELINE: LiteralString = """
    SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), timeline FROM coherence_meta
    WHERE NOT pg_is_in_recovery()
"""
_NEXT_TIMELINE: LiteralString = """
    UPDATE coherence_meta
    SET generation = CASE timeline WHEN '' THEN generation ELSE %(generation)s END,
        timeline = %(timeline)s
    WHERE timeline <> %(timeline)s
"""

#: Held while tables are created, so that of two processes that start together only one does it.
_LOCK = 0x41434F48


def prepare(conn: psycopg.Connection[Any], *, create: bool, readonly: bool) -> None:
    """Create the tables of this release, or upgrade older ones, in one transaction.

    Raises `StoreNewer`, `StoreMissing` if there are no tables and `create` is false, `StoreOlder`
    if older tables must not be changed, and `StoreCorrupt` for tables of another program.
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
    if not found and (readonly or not create):
        raise StoreMissing("the database holds no workspace", remedy="check the address")
    if readonly:
        raise StoreOlder(f"the database has schema {found}, this release reads {SCHEMA}")
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        # Another process may have done it during the wait.
        for step in MIGRATIONS[_version(conn) :]:
            if isinstance(step, str):
                conn.execute(step)
            else:
                step(conn)
        conn.execute("UPDATE coherence_meta SET schema_version = %s", (SCHEMA,))


def require_schema(found: int) -> None:
    """Raise if an open database now has another schema."""
    if found > SCHEMA:
        raise _newer(found)
    if found != SCHEMA:
        raise StoreOlder(
            f"the database was restored to schema {found}, this release writes {SCHEMA}",
            remedy="open it again, which upgrades it",
        )


def settle(
    conn: psycopg.Connection[Any], lock_s: float, stopped_s: float, *, readonly: bool
) -> None:
    """Set how long a connection may wait for a lock, and hold one while its process is stopped."""
    settings = {
        "lock": f"{lock_s * 1000:.0f}ms",
        "stopped": f"{stopped_s * 1000:.0f}ms",
        "readonly": "on" if readonly else "off",
    }
    conn.execute(_SETTINGS, settings)


def note_timeline(conn: psycopg.Connection[Any]) -> None:
    """Draw a new generation if the server is in another timeline than the tables say.

    The last commits of the other timeline may be lost in this one.  Nothing changes if the server
    does not report its timeline, or the role may not read or store it.
    """
    with suppress(psycopg.Error):
        found = conn.execute(_TIMELINE).fetchone()
        if found is not None and found[0] != found[1]:
            conn.execute(_NEXT_TIMELINE, {"timeline": found[0], "generation": draw()})


def _version(conn: psycopg.Connection[Any]) -> int:
    # From the catalogue's rows, since name resolution may not see a table that was created during
    # the wait.
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
        raise _newer(version)
    return version


def _newer(found: int) -> StoreNewer:
    return StoreNewer(f"the database has schema {found}, this release knows {SCHEMA}")
