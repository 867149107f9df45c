"""The items of a framework's store as artifacts, beside a store that knows no versions, or alone.

The workspace judges and orders; the store beside it is told what was published, and keeps what only
it can: an index, a time to live, filters.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from coherence.contents import Content
from coherence.context.desk import Desk
from coherence.context.reader import Dates, OnConflict, Reader, check_on_conflict
from coherence.context.values import decoded, encoded, item_of, quoted
from coherence.errors import BadArgument, InvalidContent, UnknownArtifact
from coherence.refs import Ref
from coherence.workspace.conflict import Conflict
from coherence.workspace.view import View
from coherence.workspace.workspace import Workspace

Labels: TypeAlias = tuple[str, ...]

Place: TypeAlias = tuple[Labels, str]
"""The labels that an item is under, and its key."""

Value: TypeAlias = Mapping[str, Any]

PassOn: TypeAlias = Callable[[Value | None], object]
"""Tells the store beside an item's value, None where it is deleted."""


class Items:
    """The items of one store.

    `home` is the workspace that they are in, or its URL.  Raises `BadArgument`, and as `Workspace`
    does.
    """

    def __init__(self, home: Workspace | str, on_conflict: OnConflict = "raise") -> None:
        check_on_conflict(on_conflict)
        if not isinstance(home, Workspace | str):
            raise BadArgument(f"{home!r} is no workspace", remedy="a Workspace, or its URL")
        self.workspace = Workspace(home) if isinstance(home, str) else home
        self.dates = Dates(self.workspace)
        self._on_conflict: OnConflict = on_conflict
        # Several processes run one program: an agent is a task's of this store, not of every store.
        self._suffix = "" if home == "memory://" else "." + secrets.token_hex(3)
        self._turn = threading.RLock()
        self._desks: dict[str, Desk] = {}
        self._readers: WeakKeyDictionary[Any, Reader] = WeakKeyDictionary()

    def desk(self, name: str, run: object = None) -> Desk:
        """Where the agent of that name works, for `run` if that is given: see `Desk.during`.

        Raises `InvalidName`, `WorkspaceClosed`.
        """
        desk = self._desks.get(name) or self._desks.setdefault(name, Desk(self.workspace, name))
        return desk.during(run)

    def desk_of(self, path: Sequence[str], run: object = None) -> Desk:
        """The desk of whom the framework knows by `path`, in this process."""
        return self.desk("/".join(map(quoted, path)) + self._suffix, run)

    def known(self, task: Hashable) -> Reader | None:
        """What `task` has read, where it has asked before."""
        return self._readers.get(task) if task is not None else None

    def reader(self, task: Hashable, made: Callable[[], Reader]) -> Reader:
        """What `task` has read, for as long as somebody else keeps it."""
        return self.known(task) or self._readers.setdefault(task, made())

    def settle(
        self, who: Reader, name: str, view: View | None, beside: Value | None
    ) -> View | None:
        """What there is, where the store beside has `beside` and we have `view`.

        That store lets items expire, and may have held some before we came; what it holds of those
        that were deleted since does not count.
        """
        with suppress(Conflict):  # somebody else was faster
            if view is not None and beside is None:
                who.put(name, None, "raise")
            elif view is None and beside is not None and self.workspace.row(name) is None:
                who.put(name, encoded(beside), "raise")
            else:
                return view
        return who.get(name)

    def values(self, desk: Desk, labels: Labels = ()) -> Iterator[tuple[Place, Value]]:
        """Every item of the workspace under `labels`, unnoticed: no task has read it then."""
        unseen = Reader(desk)
        for name in self.workspace.names("".join(quoted(label) + "/" for label in labels)):
            with suppress(InvalidContent):  # bytes of somebody else: not an item
                if view := unseen.get(name):
                    yield item_of(name), decoded(view.content)

    def put(self, who: Reader, name: str, value: Value | None, pass_on: PassOn | None) -> None:
        """Publish `value`, or delete the item where it is None.  Raises as `Reader.put` does."""
        given = None if value is None else encoded(value)
        try:
            ref, content = who.put(name, given, self._on_conflict)
        except UnknownArtifact:  # nothing to delete, unless what was never ours
            if pass_on is not None and self.workspace.row(name) is None:
                pass_on(None)
        else:
            self.published(ref, content, pass_on)

    def published(self, ref: Ref, content: Content | None, pass_on: PassOn | None) -> None:
        """Tell the store beside, unless there is a newer version, whose writer tells it."""
        if pass_on is None:
            return
        value = None if content is None else decoded(content)
        with self._turn:
            row = self.workspace.row(ref.name)
            if row is not None and row.row.state.version == ref.version:
                pass_on(value)
