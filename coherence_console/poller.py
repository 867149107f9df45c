"""Looks at a store for all pages at once: one thread, and only while a page listens.

The store is read and never waited for, so no agent notices.  A look costs the price of a mark where
nothing has moved; otherwise only the rows that moved are read (`coherence.workspace.overview`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event as Flag
from threading import Lock, Thread
from time import monotonic
from typing import Final

from coherence.stores.port import Store
from coherence.stores.records import RefusedWrite
from coherence.workspace.overview import Observer, Overview, Standing
from coherence_console.channel import Channel, Event
from coherence_console.context import Reader, Source
from coherence_console.shapes import Failure, Joined, Refusal, Shape, TeamMoved, TeamWhole
from message_passing.errors import ToolkitError

#: Refused writes that a page gets, the newest.
REFUSED_MAX: Final = 50
#: After a failure of the store, the next look.
FAILED_S: Final = 1.0


class Poller:
    """The team as of the last look, and a channel of what has changed.

    The channel's events are `team` (`TeamWhole`), `moved` (`TeamMoved`) and `trouble` (`Failure`).
    The numbers of looks order them: a page ignores a `moved` that is not newer than its `team`.
    """

    def __init__(
        self, source: Source, hz: float, looks: Sequence[Callable[[Overview], None]] = ()
    ) -> None:
        self._looks = looks
        self.channel = Channel(self._first, first=self._begin, last=self._pause)
        self._reader = Reader(source)
        self._period_s = 1 / hz
        self._lock = Lock()
        self._observer: Observer | None = None
        self._store: Store | None = None
        self._generation = 0
        self._seen: dict[str, Standing] = {}
        self._last = Overview(0.0, (), ())
        self._refused: tuple[Refusal, ...] = ()
        self._look = 0
        #: The last look has failed; pages get the whole after the next one that does not.
        self._failed = False
        self._stop: Flag | None = None
        self._thread: Thread | None = None

    def look(self) -> None:
        """Look at the store, and tell all pages what has moved.  Raises `StoreFault`."""
        with self._lock:
            moved = self._moved()
            if moved is not None:
                self.channel.send(Event("moved", moved))

    def whole(self) -> TeamWhole:
        """The team now.  Raises `StoreFault`."""
        return self._whole(alone=False)

    def _whole(self, *, alone: bool) -> TeamWhole:
        with self._lock:
            moved = self._moved()
            if moved is not None and not alone:
                # What this look finds is news to the pages that listen already.
                self.channel.send(Event("moved", moved))
            return TeamWhole(
                look=self._look,
                now=self._last.now,
                agents=_joined(self._last),
                artifacts=self._last.artifacts,
                refused=self._refused,
            )

    def close(self) -> None:
        """End the streams, the thread and the opening of the store.  Idempotent."""
        self.channel.end()
        self._pause()
        if self._thread is not None:
            self._thread.join()
        self._reader.close()

    def _begin(self) -> None:
        self._stop = Flag()
        self._thread = Thread(
            target=self._run, args=(self._stop,), name="coherence console: team", daemon=True
        )
        self._thread.start()

    def _pause(self) -> None:
        if self._stop is not None:
            self._stop.set()

    def _run(self, stop: Flag) -> None:
        began = monotonic()
        while True:
            pause_s = FAILED_S if self._failed else self._period_s
            if stop.wait(max(0.0, began + pause_s - monotonic())):
                return
            began = monotonic()
            try:
                if self._failed:
                    self._whole(alone=True)
                    self._failed = False
                    self.channel.again()
                else:
                    self.look()
            except ToolkitError as error:
                self._failed = True
                self.channel.send(_trouble(error))

    def _first(self) -> Event:
        try:
            return Event("team", self._whole(alone=self.channel.listeners == 1))
        except ToolkitError as error:
            # The page has nothing yet: the next look that succeeds sends everything.
            self._failed = True
            return _trouble(error)

    def _moved(self) -> TeamMoved | None:
        """Look; what differs from the last look, or None."""
        refused = self._reader.ask(self._observe)
        assert self._observer is not None
        seen = self._observer.seen
        for take in self._looks:
            take(seen)
        before, self._last = self._last, seen
        if before.artifacts is seen.artifacts and before.agents == seen.agents:
            return None
        standings = {each.artifact: each for each in seen.artifacts}
        moved = tuple(each for name, each in standings.items() if self._seen.get(name) is not each)
        gone = tuple(name for name in self._seen if name not in standings)
        self._seen = standings
        agents = _joined(seen) if before.agents != seen.agents else None
        told = tuple(map(_refusal, refused[-REFUSED_MAX:]))
        differs, self._refused = told != self._refused, told
        if not (moved or gone or differs) and agents is None:
            return None
        self._look += 1
        return TeamMoved(
            look=self._look,
            now=seen.now,
            artifacts=moved,
            gone=gone,
            agents=agents,
            refused=told if differs else None,
        )

    def _observe(self, store: Store) -> list[RefusedWrite]:
        generation = store.head().generation
        if self._observer is None or store is not self._store or generation != self._generation:
            # A store that was restored counts its revisions a second time.
            self._observer, self._store, self._generation = Observer(store), store, generation
        observer, self._observer = self._observer, None
        observer.look()
        # One whose look has failed in the middle is not asked again.
        self._observer = observer
        return list(observer.refused())


def _joined(seen: Overview) -> tuple[Joined, ...]:
    return tuple(Joined(each.agent, each.since) for each in seen.agents)


def _refusal(line: RefusedWrite) -> Refusal:
    return Refusal(**{name: getattr(line, name) for name in Refusal.__struct_fields__})


def _trouble(error: ToolkitError) -> Event:
    remedy, error.remedy = error.remedy, ""
    shape: Shape = Failure(code=error.code, message=str(error), remedy=remedy)
    return Event("trouble", shape)
