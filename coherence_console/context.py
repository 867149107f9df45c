"""The argument of every `routes` function: the things to show, and the things to end with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from operator import methodcaller
from pathlib import Path
from threading import Lock
from typing import TypeVar

from coherence.errors import StoreFault
from coherence.stores.port import Store
from coherence.workspace.overview import Overview

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """A store to look at."""

    #: Opens it, to read alone.
    open: Callable[[], Store]
    #: What a person calls it: a file's name, or host and database; never a user or a password.
    label: str
    #: The scheme of its address: ``sqlite``, ``postgresql`` or ``memory``.
    kind: str
    #: Closes what `open` has returned.
    close: Callable[[Store], None] = methodcaller("close")


class Reader:
    """An opening of a source, made by the first call and again after a failure.

    From any thread.  `Context.at_end` closes it.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._store: Store | None = None
        self._lock = Lock()
        self._ended = False

    def ask(self, call: Callable[[Store], T]) -> T:
        """What `call` returns for the store.  Raises what it raises, and `StoreFault`."""
        with self._lock:
            if self._ended:
                raise StoreFault("the console is ending")
            if self._store is None:
                self._store = self.source.open()
            store = self._store
        try:
            return call(store)
        except StoreFault:
            # It may be another file by now, or a server that was started again.
            self._forget(store)
            raise

    def close(self) -> None:
        """Close the opening; later calls raise `StoreFault`.  Idempotent."""
        with self._lock:
            self._ended = True
            store = self._store
        if store is not None:
            self._forget(store)

    def _forget(self, store: Store) -> None:
        with self._lock:
            if self._store is not store:
                return
            self._store = None
        self.source.close(store)


@dataclass(frozen=True)
class Context:
    """The things that the command line has named, and those that end with the server."""

    source: Source | None = None
    traces: tuple[Path, ...] = ()
    #: A model of `specs`, or a Python file.  Files are run, so only the command line names them.
    model: str = ""
    #: `--set` of the command line: constants of the model as text.
    constants: Mapping[str, str] = field(default_factory=dict)
    reports: Path | None = None
    #: How often the store is looked at while a page is open, at most.
    hz: float = 5.0
    #: Whether the contents of artifacts are shown.
    contents: bool = True
    #: Each is called with what a look at the store has found, after every look.  None may block.
    looks: list[Callable[[Overview], None]] = field(default_factory=list, repr=False)
    _endings: list[Callable[[], None]] = field(default_factory=list, repr=False)

    def at_end(self, ending: Callable[[], None]) -> None:
        """Call `ending` when the server stops, in the reverse order of these calls.

        Everything that a part of the console has opened or started ends this way: its streams,
        threads, processes and stores.  `ending` must return soon, and may be called twice.
        """
        self._endings.append(ending)

    def end(self) -> None:
        """Call all endings.  Idempotent."""
        while self._endings:
            with suppress(Exception):
                self._endings.pop()()
