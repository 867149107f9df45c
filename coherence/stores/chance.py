"""Random numbers, which a restored store cannot give out a second time.

A restored store continues to count from the time of the backup.  Therefore numbers that must differ
between the lost history and the new one come from here.
"""

from __future__ import annotations

from functools import partial
from secrets import SystemRandom, randbits
from typing import Final

from message_passing.process import Time

#: The origin of session numbers, in seconds since the epoch: 1 January 2025.
SESSIONS_SINCE_S: Final = 1_735_689_600
#: A session number is a time in units of 1/1024 s, with random bits below it. 47 bits in all last
#: until 2093, and leave 16 for `coherence.messages.SERIAL_BITS`.
TICKS_A_SECOND: Final = 1_024
SESSION_RANDOM_BITS: Final = 6


#: Draws a number above 0 that a signed column of 64 bits holds.
draw: Final = partial(SystemRandom().randint, 1, 1 << 62)


def next_session(last: int, now: Time) -> int:
    """A session number above `last`; `now` is the store's clock, in seconds since the epoch.

    The later of two sessions has the larger number, even if a restore in between has made `last`
    forget the first.
    """
    ticks = int((now - SESSIONS_SINCE_S) * TICKS_A_SECOND)
    return max(last + 1, ticks << SESSION_RANDOM_BITS) + randbits(SESSION_RANDOM_BITS)
