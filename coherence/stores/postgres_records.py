"""The statements on refused writes and tallies in PostgreSQL."""

from __future__ import annotations

from typing import Final, LiteralString

from coherence.stores.postgres_wire import Statement
from coherence.stores.records import COUNTS, KEY, TALLY_DAYS

_CLOCK: Final[LiteralString] = "extract(epoch FROM clock_timestamp())::float8"
_TODAY: Final[LiteralString] = "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
_FIRST: Final[LiteralString] = f"""
    to_char(clock_timestamp() AT TIME ZONE 'UTC' - interval '{TALLY_DAYS} days', 'YYYY-MM-DD')
"""
LINE: Final[LiteralString] = "artifact, agent, at, base, current, kind, reason, size_bytes, attempt"
COLUMNS: Final[LiteralString] = ", ".join(f'"{name}"' for name in (*KEY, *COUNTS))
_KEY: Final[LiteralString] = ", ".join(KEY)
_ADDED: Final[LiteralString] = ", ".join(
    f'"{name}" = coherence_tally."{name}" + excluded."{name}"' for name in COUNTS
)
_SUMS: Final[LiteralString] = ", ".join(f'sum("{name}")::bigint' for name in COUNTS)
_PLACES: Final[LiteralString] = ", ".join(
    f"${place}::bigint" for place, _ in enumerate(COUNTS, len(KEY) + 1)
)

#: Adds a tally to the one of its key; an empty day is the present one.
ADD = Statement(
    "ADD",
    f"""
    INSERT INTO coherence_tally ({COLUMNS})
    VALUES (coalesce(nullif($1, ''), {_TODAY}), $2, $3, {_PLACES})
    ON CONFLICT ({_KEY}) DO UPDATE SET {_ADDED}
    """,
)
#: Adds up the artifacts of each agent's old days.
FOLD = Statement(
    "FOLD",
    f"""
    WITH old AS (
        DELETE FROM coherence_tally WHERE day < {_FIRST} AND artifact <> '' RETURNING *
    )
    INSERT INTO coherence_tally ({COLUMNS})
    SELECT day, agent, '', {_SUMS} FROM old GROUP BY day, agent ORDER BY day, agent
    ON CONFLICT ({_KEY}) DO UPDATE SET {_ADDED}
    """,
)
TALLIES = Statement(
    "TALLIES",
    f"SELECT {COLUMNS} FROM coherence_tally WHERE day >= $1 ORDER BY {_KEY}",
)
REFUSE = Statement(
    "REFUSE",
    f"""
    INSERT INTO coherence_refusal ({LINE})
    VALUES ($1, $2, coalesce(nullif($3::float8, 0), {_CLOCK}), $4::bigint, $5::bigint, $6, $7,
            $8::bigint, $9)
    """,
)
#: Removes all refused writes but the newest $1.
FORGET = Statement(
    "FORGET",
    """
    DELETE FROM coherence_refusal WHERE seq <= (
        SELECT seq FROM coherence_refusal ORDER BY seq DESC OFFSET $1::bigint LIMIT 1
    )
    """,
)
REFUSALS = Statement(
    "REFUSALS",
    f"""
    SELECT {LINE} FROM coherence_refusal
    WHERE starts_with(artifact, $1) AND at >= $2::float8 ORDER BY seq
    """,
)
#: The commit does not wait for the disk: a crash of the server may lose it.
RELAXED = Statement("RELAXED", "SELECT set_config('synchronous_commit', 'off', true)")
