"""Rows that this process saved last, for writes that need not load them.

A row that nobody else has changed between two writes of this process will probably be the same at
its third.  The transaction is then made from the row as it is known here, and goes to the server in
one round trip that takes effect only where the row there is that one, byte for byte.  Whatever it
decided holds under the row's lock as if it had been loaded there: only the time of day may differ,
so a row with timers is always loaded, and what is published is stamped by the server.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import RLock
from typing import NamedTuple

from coherence.stores.port import Stored

#: How many rows are kept.
ROWS_MAX = 256


class Recent(NamedTuple):
    """A row as this process saved it."""

    stored: Stored
    #: As it lies in the database.
    home: bytes
    #: The server's clock when it was loaded.
    at: float
    #: Nobody else had changed it since this process saved it the time before.
    undisturbed: bool = False


class RecentRows:
    """The rows that were saved last."""

    def __init__(self) -> None:
        self.lock = RLock()
        self._rows: OrderedDict[str, Recent] = OrderedDict()

    def expected(self, artifact: str) -> Recent | None:
        """The row, where it is worth while to take it for the current one."""
        found = self._rows.get(artifact)
        return found if found is not None and found.undisturbed else None

    def saved(
        self, artifact: str, loaded: Stored | None, recent: Recent, *, publishes: bool
    ) -> None:
        """A transaction that had found `loaded` has saved the row."""
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
        """It may have changed."""
        with self.lock:
            self._rows.pop(artifact, None)
