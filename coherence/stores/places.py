"""The change log: how long a store keeps it, and whether it continues from a given place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from coherence.errors import StoreReplaced
from coherence.stores.port import Change, Changes, Place

#: How many lines are fetched at once.
LINES: Final = 1_000
#: The log keeps about this many lines; a process that is further behind confirms every copy.
LOG_LINES: Final = 10_000
#: After how many lines a database is relieved of those beyond that.
PRUNE_EVERY: Final = 256


def another_store(where: str) -> StoreReplaced:
    """The error for a store whose identity has changed since it was opened."""
    return StoreReplaced(
        f"{where} was restored from a backup of another store",
        remedy="close the workspace, and open a new one",
    )


def follow(
    place: Place, generation: int, lines: Sequence[Change], end: Callable[[], Place]
) -> Changes:
    """The answer to `since(place)`.

    `lines` are the lines from `place.seq` on, including the line at that place if it is kept;
    `generation` is the store's, and `end` returns the newest place of the log.
    """
    known = lines[0] if lines and lines[0].seq == place.seq else None
    if (
        (place.generation and place.generation != generation)
        or (place.seq and not lines)  # the log is shorter than it was
        or (known is not None and place.number and place.number != known.number)
    ):
        return Changes((), end(), False, True)
    after = lines[1:] if known is not None else lines
    if not after:
        number = known.number if known is not None else 0
        return Changes((), Place(place.seq, number, generation), False)
    # If the line at the place is gone, the following lines may be of another history.
    unproved = known is None and place.number != 0
    last = after[-1]
    return Changes(
        after,
        Place(last.seq, last.number, generation),
        unproved or after[0].seq > place.seq + 1,
    )
