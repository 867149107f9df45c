"""Stores that URLs name in a test: on its time, empty at first, and gone after it."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from coherence.errors import BadArgument
from coherence.stores.opening import file_of, open_store
from coherence.stores.port import Retention, Store
from coherence.stores.sqlite import SqliteStore
from message_passing.errors import ToolkitError
from message_passing.interrupts import insist
from message_passing.ports import Clock
from message_passing.process import Time

if TYPE_CHECKING:
    from coherence.testing.scratch_schema import ScratchSchema

#: How far the time of a store may be from that of its test: servers count in microseconds.
ROUNDED_S = 1e-3


class ScratchStores:
    """Opens the stores that URLs name, on a clock.

    What the URL names outside is neither read nor changed.  A SQLite file is one of a temporary
    folder, and the tables in PostgreSQL are in a schema of their own.  Every opening of such a URL
    finds the same store, until `begin` makes all of them empty.
    """

    def __init__(self, clock: Clock = float) -> None:
        self._clock = clock
        self._files: dict[Path, Path] = {}
        #: By URL, of which several may name one place.
        self._schemas: dict[str, ScratchSchema] = {}
        #: The schemas that have been used since the last `begin`.
        self._used: set[ScratchSchema] = set()
        #: Where the files are, and what removes it if `close` is not called.
        self._folder = ""
        self._ends: weakref.finalize[..., ScratchStores] | None = None
        #: Why a store that was asked for is not there.
        self.fault: ToolkitError | None = None

    def now(self) -> Time:
        """The time of the stores, in seconds."""
        return self._clock()

    def begin(self, clock: Clock) -> None:
        """From now on each store is empty again, and on `clock`."""
        self._clock, self.fault = clock, None
        self._forget()

    def open(self, url: str, retention: Retention | None = None) -> Store:
        """The store that `url` names.  Raises `BadUrl`, `StoreFault`."""
        try:
            return self._opened(url, retention)
        except ToolkitError as error:
            self.fault = error
            raise

    def _opened(self, url: str, retention: Retention | None) -> Store:
        scheme = url.partition(":")[0].lower()
        if scheme == "sqlite":
            return SqliteStore(self._file(Path(file_of(url)).absolute()), retention, clock=self.now)
        if scheme in ("postgresql", "postgres"):
            schema = self._schema(url)
            if schema not in self._used:
                schema.empty()
                self._used.add(schema)
            return schema.open(self.now, retention)
        return open_store(url, retention, clock=self.now)

    def _file(self, path: Path) -> Path:
        if path not in self._files:
            if not self._files:
                # Named before it is made: an interrupt may come in between.
                self._folder = os.path.join(tempfile.gettempdir(), f"coherence-{token_hex(8)}")
                remove = partial(shutil.rmtree, self._folder, ignore_errors=True)
                self._ends = weakref.finalize(self, remove)
                os.mkdir(self._folder, mode=0o700)
            self._files[path] = Path(self._folder) / f"{len(self._files)}.db"
        return self._files[path]

    def _schema(self, url: str) -> ScratchSchema:
        if url not in self._schemas:
            import coherence.stores.postgres  # noqa: F401 - says what to install, if need be
            from coherence.testing.scratch_schema import ScratchSchema, reach

            reached = reach(url)
            known = (each for each in self._schemas.values() if each.place == reached.place)
            if (schema := next(known, None)) is not None:
                reached.conn.close()
            self._schemas[url] = schema or ScratchSchema(url, reached)
        return self._schemas[url]

    def _forget(self) -> None:
        self._files.clear()
        self._used.clear()
        if (interrupt := insist(self._remove_files)) is not None:
            raise interrupt

    def _remove_files(self) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""
        if self._ends is not None:
            self._ends.detach()

    def close(self) -> None:
        """Remove what the stores have left."""
        self._forget()
        while self._schemas:
            self._schemas.popitem()[1].close()


def require_url(store: object) -> None:
    """Raise `BadArgument` for what is not a URL."""
    if not isinstance(store, str):
        raise BadArgument(
            f"store is {store!r}",
            remedy="a URL, such as sqlite:///team.db; team.open in the program takes a store",
        )


def keeps_time(store: Store, now: Time) -> bool:
    """Whether the time of the store is `now`, so that leases there end on the time of the test."""
    return abs(store.now() - now) < ROUNDED_S
