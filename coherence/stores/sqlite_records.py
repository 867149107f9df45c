"""The statements on a SQLite file's refused writes and tallies."""

from __future__ import annotations

import sqlite3
from typing import Final

from coherence.stores.records import COUNTS, KEY, RefusedWrite, first_day_kept, refused_values
from message_passing.process import Time

_LINE: Final = "artifact, agent, at, base, current, kind, reason, size_bytes, attempt"
REFUSALS: Final = f"SELECT {_LINE} FROM refusal WHERE at >= ? ORDER BY seq"
REFUSE: Final = f"INSERT INTO refusal ({_LINE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FORGET: Final = "DELETE FROM refusal WHERE seq <= ?"

_COUNTS: Final = ", ".join(f'"{name}"' for name in COUNTS)
_COLUMNS: Final = f"{', '.join(KEY)}, {_COUNTS}"
_VALUES: Final = ", ".join("?" * (len(KEY) + len(COUNTS)))
_ADDED: Final = ", ".join(f'"{name}" = "{name}" + excluded."{name}"' for name in COUNTS)
_SUMS: Final = ", ".join(f'sum("{name}")' for name in COUNTS)
TALLIES: Final = f"SELECT {_COLUMNS} FROM tally WHERE day >= ? ORDER BY {', '.join(KEY)}"
#: Adds a tally to the one of its key.
ADD: Final = f"""
    INSERT INTO tally ({_COLUMNS}) VALUES ({_VALUES})
    ON CONFLICT ({", ".join(KEY)}) DO UPDATE SET {_ADDED}
"""
# The condition also separates the SELECT's own clauses from ON CONFLICT, which SQLite needs.
_FOLD: Final = f"""
    INSERT INTO tally ({_COLUMNS})
    SELECT day, agent, '', {_SUMS} FROM tally WHERE day < ? AND artifact <> '' GROUP BY day, agent
    ON CONFLICT ({", ".join(KEY)}) DO UPDATE SET {_ADDED}
"""
_FOLDED: Final = "DELETE FROM tally WHERE day < ? AND artifact <> ''"


def refuse(db: sqlite3.Cursor, line: RefusedWrite, keep: int) -> None:
    """Add a refused write, and remove all but the newest `keep`."""
    seq = db.execute(REFUSE, refused_values(line)).lastrowid or 0
    db.execute(_FORGET, (seq - keep,))


def fold(db: sqlite3.Cursor, now: Time) -> None:
    """Add up the artifacts of each agent's old days."""
    first = (first_day_kept(now),)
    db.execute(_FOLD, first)
    db.execute(_FOLDED, first)
