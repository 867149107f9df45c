"""All current items of a workspace, for queries over all of them, such as searches.

A mirror reads the store without an agent: its items do not count as read, and no home is asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Any, TypeAlias, TypeVar

from coherence.contents import Content
from coherence.context.items import Place
from coherence.context.values import decoded, item_of
from coherence.errors import InvalidContent
from coherence.stores.port import Entry
from coherence.workspace.changes import Feed
from coherence.workspace.workspace import Workspace, site_of

#: A mirror whose contents exceed this size in total is not kept.
KEPT_BYTES = 32 * 1024 * 1024

T = TypeVar("T")

Shown: TypeAlias = Mapping[Place, dict[str, Any]]
"""Items by their labels and key."""


class Mirror:
    """The items of a workspace.

    They are kept between queries, and follow the change log, while their contents do not exceed
    `KEPT_BYTES`.  Beyond that they are read for each query.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._site = site_of(workspace)
        self._busy = threading.RLock()
        self._items: dict[Place, dict[str, Any]] = {}
        #: The sizes of their contents, each and in total.
        self._sizes: dict[str, int] = {}
        self._size_bytes = 0
        #: The changes since the items were read; None if they are not kept.
        self._feed: Feed | None = None
        self._is_too_much = False

    def ask(self, prefix: str, question: Callable[[Shown], T]) -> T:
        """The result of `question` on items that include all whose names begin with `prefix`.

        It changes nothing, and keeps no value.
        """
        with self._busy:
            if not (self._follow() or self._read_all()):
                self._read(prefix, inf)
            answer = question(self._items)
            if self._feed is None:
                self._items, self._sizes = {}, {}
            return answer

    def _follow(self) -> bool:
        """Take in the changes; whether all items are here."""
        feed, self._feed = self._feed, None  # after an interrupt in here nothing is kept
        if feed is None:
            return False
        names = {change.ref.name for change in feed.more()}
        if feed.missed:
            return False
        for name in names:
            page = self._page(name, at_most=1)  # `name` itself comes first, if it exists
            self._set(name, page[0][2] if page and page[0][0] == name else None)
        self._keep(feed)
        return True

    def _read_all(self) -> bool:
        """Read every item, to be kept; False if they are too large."""
        if self._is_too_much:
            return False
        feed = Feed(self._site.homes, "*", None)
        self._read("", KEPT_BYTES)
        self._keep(feed)
        return not self._is_too_much

    def _keep(self, feed: Feed) -> None:
        self._is_too_much = self._size_bytes > KEPT_BYTES
        if not self._is_too_much:
            self._feed = feed

    def _read(self, prefix: str, most_bytes: float) -> None:
        """Read the items under `prefix`, but stop when they exceed `most_bytes`."""
        self._items, self._sizes, self._size_bytes = {}, {}, 0
        after = ""
        while page := self._page(prefix, after=after):
            for name, _, content in page:
                self._set(name, content)
                after = name
            if self._size_bytes > most_bytes:
                return

    def _page(self, prefix: str, **which: Any) -> Sequence[tuple[str, Entry, Content]]:
        """See `Store.current`."""
        return self._site.look(self._site.store.current, prefix, **which)

    def _set(self, name: str, content: Content | None) -> None:
        at = item_of(name)
        self._size_bytes -= self._sizes.pop(name, 0)
        self._items.pop(at, None)
        if content is not None:
            with suppress(InvalidContent):  # bytes of another program: not an item
                self._items[at] = decoded(content)
                self._sizes[name] = len(content)
                self._size_bytes += len(content)
