"""The guarantees of networks, by one name in code, in models and in ``specs/tla/Network.tla``."""

from __future__ import annotations

from enum import Enum


class Guarantee(Enum):
    """The guarantee of the network between two processes.

    The value is the name that the TLA+ module uses.  Each guarantee is about one ordered pair of
    processes; there are no guarantees across pairs.  No network here forges or alters a message.
    """

    #: Every message arrives exactly once, in the order sent.
    ORDERED = "Ordered"
    #: A message may be lost; the others arrive once, in the order sent.
    ORDERED_LOSSY = "OrderedLossy"
    #: Messages arrive in the order sent, each once or several times in a row.
    ORDERED_DUPLICATING = "OrderedDuplicating"
    #: Messages arrive in the order sent, each zero or more times in a row.
    ORDERED_LOSSY_DUPLICATING = "OrderedLossyDuplicating"
    #: Every message arrives exactly once, in any order.
    UNORDERED = "Unordered"
    #: A message arrives at most once, in any order.
    UNORDERED_LOSSY = "UnorderedLossy"
    #: Every message arrives at least once, and possibly again at any later time, in any order.
    UNORDERED_DUPLICATING = "UnorderedDuplicating"
    #: A message may be lost, late, repeated or overtaken.
    UNORDERED_LOSSY_DUPLICATING = "UnorderedLossyDuplicating"

    @property
    def ordered(self) -> bool:
        """Whether messages of one pair arrive in the order sent."""
        return self.value.startswith("Ordered")

    @property
    def lossy(self) -> bool:
        """Whether a message may never arrive."""
        return "Lossy" in self.value

    @property
    def duplicating(self) -> bool:
        """Whether a message may arrive more than once."""
        return "Duplicating" in self.value
