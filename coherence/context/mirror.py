"""All that a workspace holds now, as a framework has it: for questions that look at all of it.

A mirror reads the store past every agent: nobody has read what is in it, and no home hears of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import inf
from typing import Any, Generic, TypeAlias, TypeVar

from coherence.contents import Content
from coherence.context.values import decoded, item_of
from coherence.errors import InvalidContent
from coherence.workspace.changes import Feed
from coherence.workspace.workspace import Workspace

#: A mirror of contents that are longer than this together is not kept.
KEPT_BYTES = 32 * 1024 * 1024

S = TypeVar("S")
T = TypeVar("T")

Put: TypeAlias = Callable[[S, tuple[tuple[str, ...], str], dict[str, Any] | None], None]
"""Gives a mirror an item's place and value; None where there is none any more."""


class Mirror(Generic[S]):
    """The items of a workspace.  `empty` makes a mirror that holds none.

    It is kept from one question to the next, and follows the change log, while its contents are no
    longer than `KEPT_BYTES`.  Beyond that it is made for each question and dropped.
    """

    def __init__(self, workspace: Workspace, empty: Callable[[], S], put: Put[S]) -> None:
        self._workspace, self._empty, self._put = workspace, empty, put
        self._turn = threading.RLock()
        self._kept: tuple[S, Feed] | None = None
        self._is_too_much = False
        #: Of what is in the mirror.
        self._sizes: dict[str, int] = {}
        self._size_bytes = 0

    @property
    def names(self) -> Iterable[str]:
        """The items that are in the mirror, for a question that looks at no values."""
        return self._sizes

    def ask(self, prefix: str, question: Callable[[S], T]) -> T:
        """What `question` finds in a mirror of all whose names begin with `prefix`, or of more."""
        with self._turn:
            mirror = self._followed()
            if mirror is None and not self._is_too_much:
                mirror = self._whole()
            if mirror is None:
                mirror = self._read(prefix, inf)
                assert mirror is not None
            return question(mirror)

    def _followed(self) -> S | None:
        """What was kept, with all changes since; None where that cannot be told."""
        kept, self._kept = self._kept, None  # an interrupt in here leaves none
        if kept is None:
            return None
        mirror, feed = kept
        names = {change.ref.name for change in feed.more()}
        if feed.missed:
            return None
        for name in names:
            row = self._workspace.row(name)
            version = row.row.state.version if row is not None and row.row.exists else 0
            found = self._workspace._look(self._workspace._store.read, name, version)
            self._set(mirror, name, found[1] if found is not None else None)
        self._keep(mirror, feed)
        return mirror

    def _whole(self) -> S | None:
        """A mirror of everything, to be kept; None where that is too much."""
        feed = Feed(self._workspace._exchange, "*", None)
        mirror = self._read("", KEPT_BYTES)
        if mirror is not None:
            self._keep(mirror, feed)
        self._is_too_much = mirror is None
        return mirror

    def _keep(self, mirror: S, feed: Feed) -> None:
        self._is_too_much = self._size_bytes > KEPT_BYTES
        self._kept = (mirror, feed) if not self._is_too_much else None

    def _read(self, prefix: str, most_bytes: float) -> S | None:
        """A mirror of what is under `prefix`; None where that is too long."""
        self._sizes, self._size_bytes = {}, 0
        mirror, after = self._empty(), ""
        current = self._workspace._store.current
        while page := self._workspace._look(current, prefix, after=after):
            for name, _, content in page:
                self._set(mirror, name, content)
                after = name
            if self._size_bytes > most_bytes:
                return None
        return mirror

    def _set(self, mirror: S, name: str, content: Content | None) -> None:
        self._size_bytes -= self._sizes.pop(name, 0)
        value = None
        with suppress(InvalidContent):  # bytes of somebody else: not an item
            if content is not None:
                value = decoded(content)
                self._sizes[name] = len(content)
                self._size_bytes += len(content)
        self._put(mirror, item_of(name), value)
