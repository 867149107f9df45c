"""The rows that this process saved last, for writes without a load.

A row that only this process has changed between two writes will probably be unchanged at its third.
The transaction then starts from the row as saved here, and goes to the server in one round trip,
which takes effect only if the row there is equal, byte for byte.  Its decisions are valid as if the
row had been loaded under its lock.  Only the time may differ, so a row with timers is always
loaded, and the server stamps the published version.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import RLock
from typing import NamedTuple

from coherence.stores.port import Stored

#: How many rows are kept.
ROWS_MAX = 256


class Recent(NamedTuple):
    """A row that this process saved."""

    stored: Stored
    #: The stored bytes.
    home: bytes
    #: The server's clock when it was loaded.
    at: float
    #: Whether only this process had changed it since its previous save.
    undisturbed: bool = False


class RecentRows:
    """The rows that were saved last."""

    def __init__(self) -> None:
        self.lock = RLock()
        self._rows: OrderedDict[str, Recent] = OrderedDict()

    def expected(self, artifact: str) -> Recent | None:
        """The row, if it is probably the current one."""
        found = self._rows.get(artifact)
        return found if found is not None and found.undisturbed else None

    def saved(
        self, artifact: str, loaded: Stored | None, recent: Recent, *, publishes: bool
    ) -> None:
        """A transaction that had loaded `loaded` has saved the row."""
        with self.lock:
            before = self._rows.pop(artifact, None)
            if loaded is None or recent.stored.row.timers or loaded.row.timers:
                return
            if before is not None or publishes:
                same = before is not None and before.stored.revision == loaded.revision
                self._rows[artifact] = recent._replace(undisturbed=same)
                if len(self._rows) > ROWS_MAX:
                    self._rows.popitem(last=False)

    def forget(self, artifact: str) -> None:
        """Drop the row, which may have changed."""
        with self.lock:
            self._rows.pop(artifact, None)
