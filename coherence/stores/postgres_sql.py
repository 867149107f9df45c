"""The statements of the PostgreSQL store.

Each names the type of every value whose type the server would not infer as it is sent.
"""

from __future__ import annotations

from typing import Final, LiteralString

from coherence.stores.postgres_schema import SCHEMA
from coherence.stores.postgres_wire import Statement

BEGIN = Statement("BEGIN", "BEGIN ISOLATION LEVEL READ COMMITTED")
COMMIT = Statement("COMMIT", "COMMIT")
ROLLBACK = Statement("ROLLBACK", "ROLLBACK")
CLOCK: Final[LiteralString] = "extract(epoch FROM clock_timestamp())::float8"
NOW = Statement("NOW", f"SELECT {CLOCK}")
#: The names that are given as an array in JSON.
_NAMED: Final[LiteralString] = "ANY (ARRAY(SELECT json_array_elements_text($1::text::json)))"
ROW = Statement("ROW", "SELECT revision, home FROM coherence_artifact WHERE name = $1")
# The clock is read again after the lock is taken, since the wait may have been long.  A newer
# release may have changed the tables since they were opened.
LOCK = Statement(
    "LOCK",
    f"""
    WITH locked AS (
        SELECT revision, home FROM coherence_artifact WHERE name = $1 FOR UPDATE
    )
    SELECT locked.*, {CLOCK}, schema_version FROM coherence_meta LEFT JOIN locked ON true
    """,
)
# As LOCK, for any number of rows, which are sorted before they are locked.
LOCK_ALL = Statement(
    "LOCK_ALL",
    f"""
    WITH locked AS (
        SELECT revision, home, name FROM coherence_artifact WHERE name = {_NAMED}
        ORDER BY name FOR UPDATE
    )
    SELECT revision, home, {CLOCK}, schema_version, name
    FROM coherence_meta LEFT JOIN locked ON true
    """,
)
# The lock on coherence_meta comes first.  A transaction that holds it would wait for a row that is
# being made by one that waits for it.
INSERT = Statement(
    "INSERT",
    """
    WITH counted AS (UPDATE coherence_meta SET artifacts = artifacts + 1 RETURNING 1)
    INSERT INTO coherence_artifact (revision, version, alive, home, name)
    SELECT $1::bigint, $2::bigint, $3::boolean, $4::bytea, $5 FROM counted
    """,
)
UPDATE = Statement(
    "UPDATE",
    """
    UPDATE coherence_artifact
    SET revision = $1::bigint, version = $2::bigint, alive = $3::boolean, home = $4::bytea
    WHERE name = $5
    """,
)
# Divides by zero if the row is not the expected one, so that nothing that follows is done.
UPDATE_EXPECTED = Statement(
    "UPDATE_EXPECTED",
    f"""
    WITH saved AS (
        UPDATE coherence_artifact
        SET revision = $1::bigint, version = $2::bigint, alive = $3::boolean, home = $4::bytea
        WHERE name = $5 AND revision = $6::bigint AND home = $7::bytea RETURNING 1
    )
    SELECT 1 / count(*), {CLOCK} FROM saved
    """,
)
PUBLISH = Statement(
    "PUBLISH",
    f"""
    INSERT INTO coherence_history
        (artifact, version, kind, size_bytes, digest, author, at, pinned, base, overwrite, reason,
         whole, body)
    VALUES ($1, $2::bigint, $3, $4::bigint, $5::bytea, $6, coalesce($7::float8, {CLOCK}),
            $8::boolean, $9::bigint, $10::boolean, $11, true, $12::bytea)
    """,
)
SPLICE = Statement(
    "SPLICE",
    """
    UPDATE coherence_history SET whole = false, body = $1::bytea
    WHERE artifact = $2 AND version = $3::bigint AND whole AND NOT pinned
    """,
)
PIN = Statement(
    "PIN",
    """
    UPDATE coherence_history SET pinned = $1::boolean, whole = true, body = $2::bytea
    WHERE artifact = $3 AND version = $4::bigint
    """,
)
#: Removes the versions beyond the retention rule, by the numbers that a writer knows.
PRUNE = Statement(
    "PRUNE",
    "DELETE FROM coherence_history WHERE artifact = $1 AND version <= $2::bigint AND NOT pinned",
)
#: The same by age; the version $2 is the current one.
PRUNE_AGED = Statement(
    "PRUNE_AGED",
    f"""
    DELETE FROM coherence_history WHERE artifact = $1 AND NOT pinned
    AND version <= (SELECT max(version) FROM coherence_history WHERE artifact = $1
                    AND version < $2::bigint AND at < {CLOCK} - $3::float8)
    """,
)
TIDY = Statement(
    "TIDY",
    """
    DELETE FROM coherence_history AS h USING coherence_artifact AS a
    WHERE h.artifact = a.name AND NOT h.pinned AND h.version < a.version
    AND h.version <= a.version - $1::bigint RETURNING 1
    """,
)
TIDY_AGED = Statement(
    "TIDY_AGED",
    f"""
    DELETE FROM coherence_history AS h USING (
        SELECT old.artifact, max(old.version) AS version
        FROM coherence_history AS old JOIN coherence_artifact AS a ON a.name = old.artifact
        WHERE old.version < a.version AND old.at < {CLOCK} - $1::float8 GROUP BY old.artifact
    ) AS aged
    WHERE h.artifact = aged.artifact AND h.version <= aged.version AND NOT h.pinned RETURNING 1
    """,
)
# Divides by zero if the tables have another schema now.
APPEND = Statement(
    "APPEND",
    f"""
    WITH next AS (UPDATE coherence_meta SET head = head + 1 RETURNING head, schema_version)
    INSERT INTO coherence_log (seq, number, origin, artifact, version, author, at, posts)
    SELECT head / (schema_version = {SCHEMA})::int, $1::bigint, $2::bigint, $3, $4::bigint, $5,
           coalesce($6::float8, {CLOCK}), $7::bytea
    FROM next RETURNING seq
    """,
)
# Locked, so that two transactions that each make an artifact do not both take the last place, and
# that no other transaction makes one that this transaction found to be missing.
COUNT = Statement("COUNT", "SELECT artifacts FROM coherence_meta FOR UPDATE")
FOUNDED = Statement("FOUNDED", f"SELECT name FROM coherence_artifact WHERE name = {_NAMED}")
SESSIONS = Statement(
    "SESSIONS",
    f"""
    WITH locked AS (SELECT sessions FROM coherence_meta FOR UPDATE)
    SELECT sessions, {CLOCK} FROM locked
    """,
)
THEIRS = Statement(
    "THEIRS",
    """
    SELECT 1 FROM coherence_member
    WHERE agent = $1 AND session > $2::bigint AND origin <> $3::bigint
    """,
)
JOIN = Statement(
    "JOIN",
    f"""
    WITH next AS (UPDATE coherence_meta SET sessions = $1::bigint RETURNING sessions)
    INSERT INTO coherence_member (agent, session, since, origin, life, until)
    SELECT $2, sessions, {CLOCK}, $3::bigint, $4, {CLOCK} + $5::float8 FROM next
    ON CONFLICT (agent) DO UPDATE
    SET session = excluded.session, since = excluded.since, origin = excluded.origin,
        life = excluded.life, until = excluded.until, ended = 0
    """,
)
_ENTRY: Final[LiteralString] = (
    "version, kind, size_bytes, digest, author, at, pinned, base, overwrite, reason"
)
HISTORY = Statement(
    "HISTORY",
    f"""
    SELECT {_ENTRY} FROM coherence_history
    WHERE artifact = $1 AND version >= $2::bigint ORDER BY version
    """,
)
#: A version and those after it, up to the first that is whole.
BODY = Statement(
    "BODY",
    f"""
    SELECT {_ENTRY}, whole, body
    FROM coherence_history WHERE artifact = $1 AND version >= $2::bigint
    AND version <= (SELECT coalesce(min(version), $2::bigint) FROM coherence_history
                    WHERE artifact = $1 AND version >= $2::bigint AND whole)
    ORDER BY version
    """,
)
#: The current version, if it is no longer than $2.  It is always whole.
ALONG = Statement(
    "ALONG",
    f"""
    SELECT {_ENTRY}, whole, body FROM coherence_history
    WHERE artifact = $1 AND size_bytes <= $2::bigint AND whole
    AND version = (SELECT version FROM coherence_artifact WHERE name = $1)
    """,
)

# The statements of the store itself, each a separate transaction.

LEAVE = Statement("LEAVE", "DELETE FROM coherence_member WHERE agent = $1 AND session = $2::bigint")
#: Every message to another process is a line of the log.
MARK = Statement("MARK", "SELECT head, generation FROM coherence_meta")
# LATERAL: a plain join would scan the lines from the first on and sort them each time.
SINCE = Statement(
    "SINCE",
    """
    SELECT generation, schema_version, lines.* FROM coherence_meta LEFT JOIN LATERAL (
        SELECT seq, number, origin, artifact, version, author, at, posts FROM coherence_log
        WHERE seq >= $1::bigint ORDER BY seq LIMIT $2::bigint
    ) AS lines ON true ORDER BY seq
    """,
)
VERSION = Statement("VERSION", "SELECT schema_version FROM coherence_meta")
IDENTITY = Statement("IDENTITY", "SELECT identity FROM coherence_meta")
_PLACE: Final[LiteralString] = "coalesce(seq, 0), coalesce(number, 0), generation"
# LIMIT: without statistics the planner expects many rows, and compiles the statement for them.
_END: Final[LiteralString] = """
    (SELECT * FROM coherence_meta LIMIT 1) AS meta LEFT JOIN LATERAL (
        SELECT seq, number FROM coherence_log WHERE seq = head LIMIT 1
    ) AS line ON true
"""
HEAD = Statement("HEAD", f"SELECT {_PLACE} FROM {_END}")
FORGET_LINES = Statement("FORGET_LINES", "DELETE FROM coherence_log WHERE seq <= $1::bigint")
#: Artifacts by name, which are given in an array in JSON, each with a version and the digest that
#: are held.  `version` is NULL without a current version, and `body` also if that is held.
# LATERAL: one look into each index, whatever the planner knows of the tables.
CUT = Statement(
    "CUT",
    f"""
    SELECT {_PLACE}, identity, schema_version, asked, revision, home, {_ENTRY}, whole,
           CASE WHEN version = held AND encode(digest, 'hex') = proof THEN NULL ELSE body END
    FROM {_END} LEFT JOIN LATERAL (
        SELECT value ->> 0 AS asked, (value ->> 1)::bigint AS held, value ->> 2 AS proof
        FROM json_array_elements($1::text::json)
    ) AS wanted ON true LEFT JOIN LATERAL (
        SELECT revision, version AS current, home FROM coherence_artifact
        WHERE name = asked LIMIT 1
    ) AS there ON true LEFT JOIN LATERAL (
        SELECT {_ENTRY}, whole, body FROM coherence_history
        WHERE artifact = asked AND version = current LIMIT 1
    ) AS newest ON true
    """,
)
LISTING = Statement(
    "LISTING",
    f"""
    SELECT {_PLACE}, identity, schema_version, name, {_ENTRY}
    FROM {_END} LEFT JOIN LATERAL (
        SELECT name, version AS current FROM coherence_artifact
        WHERE name >= $1 AND starts_with(name, $1) AND alive
    ) AS there ON true LEFT JOIN LATERAL (
        SELECT {_ENTRY} FROM coherence_history
        WHERE artifact = name AND version = current LIMIT 1
    ) AS newest ON true ORDER BY name
    """,
)
#: The current version is always whole.
CURRENT = Statement(
    "CURRENT",
    f"""
    SELECT name, {_ENTRY}, whole, body
    FROM (SELECT name, version FROM coherence_artifact
          WHERE name >= $1 AND starts_with(name, $1) AND name > $2 AND alive
          ORDER BY name LIMIT $3::bigint) AS there
    JOIN coherence_history USING (version) WHERE artifact = name ORDER BY name
    """,
)
ROWS = Statement(
    "ROWS", f"SELECT name, revision, home FROM coherence_artifact WHERE name = {_NAMED}"
)
LATEST = Statement(
    "LATEST",
    f"""
    SELECT name, {_ENTRY}
    FROM (SELECT name, version FROM coherence_artifact WHERE name = {_NAMED}) AS there
    JOIN coherence_history USING (version) WHERE artifact = name
    """,
)
REVISIONS = Statement(
    "REVISIONS",
    """
    SELECT name, revision, alive FROM coherence_artifact
    WHERE name >= $1 AND starts_with(name, $1) ORDER BY name
    """,
)
NAMES = Statement(
    "NAMES",
    """
    SELECT name FROM coherence_artifact
    WHERE name >= $1 AND starts_with(name, $1) AND (alive OR ($2::boolean AND version > 0))
    ORDER BY name
    """,
)
