"""Numbers that no restore can give out a second time: drawn at random, never counted.

A store that is put back from a backup goes on counting from where the backup was made.  What must
differ between the history that is lost and the one that follows therefore comes from here.
"""

from __future__ import annotations

from secrets import randbits
from typing import Final

from messaging.process import Time

#: Session numbers begin to count here, in seconds since the epoch: 1 January 2025.
SESSIONS_SINCE_S: Final = 1_735_689_600
#: The low bits of a session number, drawn at random; the others are seconds.
SESSION_RANDOM_BITS: Final = 8


def draw() -> int:
    """A number above 0 that a signed column of 64 bits holds."""
    return randbits(62) + 1


def next_session(last: int, now: Time) -> int:
    """A session number above `last`; `now` is the store's clock, in seconds since the epoch."""
    by_clock = max(0, int(now) - SESSIONS_SINCE_S) << SESSION_RANDOM_BITS
    return max(last + 1, by_clock) + randbits(SESSION_RANDOM_BITS)
