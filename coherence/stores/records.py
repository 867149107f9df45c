"""Records beside the history: refused writes, and counts of what agents have read and written.

No decision of a protocol depends on them.  `Store` says how they are written, and `Archive` how
they are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, Literal, LiteralString

from msgspec.structs import astuple, replace

from coherence.errors import StoreCorrupt
from coherence.messages import Version
from message_passing.process import Address, Time, Value

#: After this many days, `Archive.tidy` adds up the tallies of an agent's artifacts.
TALLY_DAYS: Final = 90
DAY_S: Final = 86_400.0


class RefusedWrite(Value, frozen=True, gc=False, tag=True, array_like=True):
    """A write that was refused: it changed nothing, and its content was not published."""

    artifact: str
    #: The agent whose write it was.
    agent: Address
    #: When it was refused, on the store's clock; a store replaces 0 by the present time.
    at: Time
    #: The version that the write derived from, 0 for none.
    base: Version
    #: The version that was current.
    current: Version
    #: Whether the base was not current, or the agent's grant had ended.
    kind: Literal["conflict", "fenced"]
    #: The writer's words, as in `Entry.reason`.
    reason: str
    #: The size of the refused content.
    size_bytes: int
    #: A bounded difference from the base to the refused content; empty if none was recorded.
    attempt: str


class Tally(Value, frozen=True, gc=False, tag=True, array_like=True):
    """What one agent did with one artifact on one day, in counts.

    `full`, `unchanged`, `delta` and `hits` count reads by their answers: the whole text, a notice
    that it is unchanged, the changes, and the agent's own copy.
    """

    #: As in ``2026-11-29``, UTC of the store's clock; a store replaces an empty one by today.
    day: str
    agent: Address
    #: Empty in a sum over the artifacts of an old day.
    artifact: str
    full: int = 0
    unchanged: int = 0
    delta: int = 0
    hits: int = 0
    #: The tokens of the answers to these reads.
    served_tokens: int = 0
    #: The tokens that the whole text would have cost at each of these reads.
    refetch_tokens: int = 0
    #: Writes that made a version, and writes whose content was the current one already.
    writes: int = 0
    same: int = 0
    #: Writes that were refused.
    conflicts: int = 0
    #: Reads whose tokens were counted by a tokenizer, not estimated.
    exact: int = 0


#: The fields that identify a tally, and those that are added up.
KEY: Final[tuple[LiteralString, ...]] = ("day", "agent", "artifact")
COUNTS: Final[tuple[LiteralString, ...]] = (
    *("full", "unchanged", "delta", "hits", "served_tokens", "refetch_tokens"),
    *("writes", "same", "conflicts", "exact"),
)
_TALLY: Final = (str,) * len(KEY) + (int,) * len(COUNTS)
_REFUSED: Final = (str, str, float, int, int, str, str, int, str)

Key = tuple[str, Address, str]


def key_of(row: Tally) -> Key:
    """The fields that identify a tally."""
    return row.day, row.agent, row.artifact


def added(one: Tally, other: Tally) -> Tally:
    """The sum of two tallies of one key."""
    return replace(one, **{name: getattr(one, name) + getattr(other, name) for name in COUNTS})


def dated(rows: Iterable[Tally], now: Time) -> list[Tally]:
    """`rows`, each with its day, in the order in which stores lock them."""
    found = [row if row.day else replace(row, day=day_of(now)) for row in rows]
    return sorted(found, key=key_of) if len(found) > 1 else found


def day_of(now: Time) -> str:
    """The day, in UTC, of a time in seconds since the epoch."""
    return datetime.fromtimestamp(now, UTC).date().isoformat()


def is_day(text: str) -> bool:
    """Whether `text` is a day in the form of `day_of`."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def first_day_kept(now: Time) -> str:
    """The first day whose tallies keep their artifacts."""
    return day_of(now - TALLY_DAYS * DAY_S)


def storable(text: str) -> str:
    """`text` without the characters that a store cannot hold, which others replace."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode(errors="replace").decode().replace("\0", "\N{SYMBOL FOR NULL}")


def tally_values(row: Tally) -> tuple[Any, ...]:
    """The columns of a tally: `KEY`, then `COUNTS`."""
    return astuple(row)


def tally_of(row: Sequence[Any]) -> Tally:
    """The tally in a row of its columns.  Raises `StoreCorrupt`."""
    if tuple(map(type, row)) != _TALLY:
        raise StoreCorrupt("the tallies are damaged: their columns are not of their types")
    found = Tally(*row)
    if not is_day(found.day):
        raise StoreCorrupt(f"the tallies are damaged: {found.day!r} is not a day")
    if min(row[len(KEY) :]) < 0:
        raise StoreCorrupt(f"the tallies are damaged: a count of {found.agent!r} is negative")
    return found


def refused_values(line: RefusedWrite) -> tuple[Any, ...]:
    """The columns of a refused write, in the order of its fields."""
    values = astuple(line)
    return (*values[:6], storable(line.reason), line.size_bytes, storable(line.attempt))


def refused_of(row: Sequence[Any]) -> RefusedWrite:
    """The refused write in a row of its columns.  Raises `StoreCorrupt`."""
    if tuple(map(type, row)) != _REFUSED:
        raise StoreCorrupt("the refused writes are damaged: their columns are not of their types")
    if row[5] not in ("conflict", "fenced"):
        raise StoreCorrupt(f"the refused writes are damaged: one is of kind {row[5]!r}")
    return RefusedWrite(*row)
