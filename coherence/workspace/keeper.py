"""Renews the leases of live drafts, so that a long thought does not cost a writer its grant.

One thread for a workspace, there while drafts are.  A process that dies or is stopped renews
nothing, so its grant ends with its lease; a draft that is held for longer than it may be is not
renewed either, so nobody waits for ever for a call that hangs.
"""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import NamedTuple

from coherence.workspace.effects import Grant
from coherence.workspace.requester import Requester
from messaging.errors import ToolkitError

log = logging.getLogger("coherence.workspace")

#: A lease is renewed when this much of it has passed.
RENEW_AT = 1 / 3


class _Draft(NamedTuple):
    requester: Requester
    grant: Grant
    every_s: float
    next_at: float
    until: float


class Keeper:
    """The drafts that are live in one workspace."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._drafts: dict[tuple[str, str], _Draft] = {}
        self._running = False

    def hold(self, requester: Requester, grant: Grant, lease_s: float, hold_s: float) -> None:
        """Renew this grant from now on, for at most `hold_s`."""
        now = monotonic()
        every_s = lease_s * RENEW_AT
        draft = _Draft(requester, grant, every_s, now + every_s, now + hold_s)
        with self._changed:
            self._drafts[requester.caches.address, grant.artifact] = draft
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="coherence-keeper", daemon=True).start()
            self._changed.notify()

    def let_go(self, requester: Requester, artifact: str) -> None:
        """Renew it no longer."""
        with self._changed:
            self._drafts.pop((requester.caches.address, artifact), None)
            self._changed.notify()

    def close(self) -> None:
        """Renew nothing any more."""
        with self._changed:
            self._drafts.clear()
            self._changed.notify()

    def _run(self) -> None:
        while (draft := self._next()) is not None:
            try:
                live = draft.requester.renew(draft.grant)
            except ToolkitError as error:
                log.warning("the lease of %r was not renewed: %s", draft.grant.artifact, error)
                live = True
            key = (draft.requester.caches.address, draft.grant.artifact)
            with self._changed:
                if self._drafts.get(key) is draft:
                    if live:
                        self._drafts[key] = draft._replace(next_at=monotonic() + draft.every_s)
                    else:
                        del self._drafts[key]

    def _next(self) -> _Draft | None:
        """Block until a lease is to be renewed; which, or None where there is no draft left."""
        with self._changed:
            while self._drafts:
                now = monotonic()
                for key in [key for key, d in self._drafts.items() if d.next_at > d.until]:
                    del self._drafts[key]
                if not self._drafts:
                    break
                first = min(self._drafts.values(), key=lambda draft: draft.next_at)
                if first.next_at <= now:
                    return first
                self._changed.wait(first.next_at - now)
            self._running = False
            return None
