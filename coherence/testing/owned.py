"""Work beside the calls of a workspace, done by the test that owns its time."""

from __future__ import annotations

from collections.abc import Sequence

from message_passing.background import Worker
from message_passing.interrupts import Lock


class Owned:
    """A background that has no threads: the run does the work of its workers."""

    locks: Sequence[Lock] = ()

    def need(self, worker: Worker) -> None:
        """See `Background.need`."""

    def is_running(self, worker: Worker) -> bool:
        """See `Background.is_running`."""
        return False
