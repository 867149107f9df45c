"""Agents of yours under every order of their workspace calls: `explore`, `replay`.

For tests: nothing in production imports this package.
"""

from coherence.stores.faulty import Crash, Faulty
from coherence.testing.assertions import assert_no_lost_update, assert_no_waiters
from coherence.testing.clocks import VirtualClock
from coherence.testing.errors import (
    BadToken,
    Deadlock,
    LostUpdate,
    Nondeterminism,
    NotSerial,
    StaleDecision,
    Stuck,
)
from coherence.testing.exploring import explore, replay
from coherence.testing.result import ExplorationVerdict, Found, Result
from coherence.testing.team import ExploredTeam

__all__ = [
    "BadToken",
    "Crash",
    "Deadlock",
    "ExplorationVerdict",
    "ExploredTeam",
    "Faulty",
    "Found",
    "LostUpdate",
    "Nondeterminism",
    "NotSerial",
    "Result",
    "StaleDecision",
    "Stuck",
    "VirtualClock",
    "assert_no_lost_update",
    "assert_no_waiters",
    "explore",
    "replay",
]
