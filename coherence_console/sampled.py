"""The timeline of a live store: publishes exactly from its log, holds and waits as looks saw them.

The log has no line for a grant, a wait or the end of either.  So these are sampled from the looks
of the Team page's poller, while a page is open: what begins and ends between two looks is missing,
and both ends of what was seen are as late as the look.
"""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import Final

from coherence.errors import NoArchive
from coherence.stores.archive import archive_of
from coherence.stores.port import Changes, Place, Store
from coherence.workspace.overview import Overview, Standing
from coherence_console.intervals import Chart, Drawing, Ledger, Mark
from message_passing.process import Time

#: Sampled intervals, and publishes, that are kept; the oldest go first.
KEPT_MAX: Final = 20_000


class Sampled:
    """The timeline of one store since a page was first open.  From any thread."""

    def __init__(self) -> None:
        self._lock, self._reading = Lock(), Lock()
        self._drawing = Drawing()
        self._ledgers: dict[str, Ledger] = {}
        self._seen: dict[str, Standing] = {}
        self._published: deque[tuple[Time, str, str, str]] = deque(maxlen=KEPT_MAX)
        self._refused: list[tuple[Time, str, str, str]] = []
        self._place = Place(0)
        #: On the store's clock.
        self._since: Time | None = None
        self._now: Time = 0.0
        self._dropped = 0
        self._gap = False

    def look(self, seen: Overview) -> None:
        """Take in what a look at the store has found."""
        with self._lock:
            if self._since is None:
                self._since = seen.now
            self._now = max(self._now, seen.now)
            there = {each.artifact: each for each in seen.artifacts}
            for name, standing in there.items():
                if self._seen.get(name) is not standing:
                    self._take(name, standing)
            for name in self._seen.keys() - there.keys():
                self._take(name, None)
            self._seen = there
            found = self._drawing.intervals
            if len(found) > KEPT_MAX:
                dropped = KEPT_MAX // 4
                self._dropped += dropped
                del found[:dropped]

    def read(self, store: Store) -> None:
        """Read what is new in the log, and the refused writes.  Raises `StoreFault`."""
        # A look must not wait for the store: it holds up the poller of all pages.
        with self._reading:
            while True:
                changes = store.since(self._place)
                with self._lock:
                    self._take_in(changes)
                if not (changes.foreign or (changes.entries and changes.more)):
                    break
            now = store.now()
            try:
                refusals = archive_of(store).refusals()
            except NoArchive:
                refusals = []
            with self._lock:
                self._now = max(self._now, now)
                self._refused = [
                    (each.at, each.agent, each.artifact, f"{_WHY[each.kind]} @{each.current}")
                    for each in refusals
                ]

    def _take_in(self, changes: Changes) -> None:
        if changes.foreign:
            # The store went back to an earlier state, or is another one.
            self._begin_again()
            return
        self._gap |= changes.gap and self._place.seq > 0
        self._place = changes.place
        self._published += [
            (line.at, line.author, line.artifact, f"@{line.version}")
            for line in changes.entries
            if line.artifact and line.version
        ]

    def chart(self) -> tuple[Chart, Time | None]:
        """The timeline so far, on the store's clock, and since when holds and waits are sampled."""
        with self._lock:
            drawing, remarks = self._drawing, []
            intervals = list(drawing.intervals)
            for ledger in self._ledgers.values():
                intervals += ledger.under_way()
            happened = [*self._published, *self._refused]
            published = len(self._published)
            marks = [
                Mark(
                    drawing.lane(agent, artifact),
                    "published" if number < published else "refused",
                    at,
                    label,
                )
                for number, (at, agent, artifact, label) in enumerate(happened)
            ]
            if self._dropped:
                remarks.append(f"{self._dropped} sampled intervals are no longer kept")
            if self._gap:
                remarks.append("some lines of the log were removed before they were read")
            now, since = self._now, self._since
            chart = Chart(
                0.0,
                min((now, *(each.at for each in marks), *(() if since is None else (since,)))),
                now,
                tuple(drawing.lanes),
                tuple(intervals),
                tuple(marks),
                (),
                tuple(remarks),
            )
            return chart, since

    def _take(self, name: str, standing: Standing | None) -> None:
        ledger = self._ledgers.get(name)
        if ledger is None:
            if standing is None or not (standing.holder or standing.waiting):
                return
            ledger = self._ledgers[name] = Ledger(self._drawing, name, exact=False)
        ledger.seen(self._now, standing)

    def _begin_again(self) -> None:
        """Forget everything."""
        self._drawing = Drawing()
        self._ledgers.clear()
        self._seen = {}
        self._published.clear()
        self._place = Place(0)
        self._since, self._now = None, 0.0


_WHY: Final = {"conflict": "the base was not current:", "fenced": "the grant had ended:"}
