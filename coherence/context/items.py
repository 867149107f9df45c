"""The items of a framework's store as artifacts, beside a store that knows no versions, or alone.

The workspace judges and orders; the store beside it is told what was published, and keeps what only
it can: an index, a time to live, filters.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from coherence.contents import Content, check_content
from coherence.context.desk import Desk
from coherence.context.reader import (
    Dates,
    OnConflict,
    OnUnread,
    Reader,
    check_on_conflict,
    check_unread,
)
from coherence.context.steps import Aside, Beside, Here, Steps
from coherence.context.values import decoded, encoded, quoted
from coherence.errors import BadArgument, UnknownArtifact
from coherence.messages import Version
from coherence.refs import check_name
from coherence.workspace.conflict import Conflict
from coherence.workspace.view import View
from coherence.workspace.workspace import Workspace
from coherence.workspace.writing import WAIT_S

Labels: TypeAlias = tuple[str, ...]

Place: TypeAlias = tuple[Labels, str]
"""The labels that an item is under, and its key."""

Value: TypeAlias = Mapping[str, Any]

Put: TypeAlias = Callable[[str, Value | None], Any]
"""The operation that tells the store beside an item's value, None where it is deleted."""

Told: TypeAlias = tuple[Version, Content | None]
"""A version of an item and what it holds, for the store beside; 0 where it was never ours."""


class Items:
    """The items of one store.

    `home` is the workspace that they are in, or its URL.  Raises `BadArgument`, and as `Workspace`
    does.
    """

    def __init__(
        self,
        home: Workspace | str,
        on_conflict: OnConflict = "raise",
        unread: OnUnread = "replace",
    ) -> None:
        check_on_conflict(on_conflict)
        check_unread(unread, on_conflict)
        if not isinstance(home, Workspace | str):
            raise BadArgument(f"{home!r} is no workspace", remedy="a Workspace, or its URL")
        self.workspace = Workspace(home) if isinstance(home, str) else home
        self.dates = Dates(self.workspace)
        self._on_conflict: OnConflict = on_conflict
        #: Whether a put over an item that its caller has not read is refused.
        self.is_strict = unread == "raise"
        # Several processes run one program: an agent is a task's of this store, not of every store.
        self._suffix = "" if home == "memory://" else "." + secrets.token_hex(3)
        self._turn = threading.RLock()
        #: Item -> how many puts of it are under way, and how many were since there was none.
        self._under_way: dict[str, tuple[int, int]] = {}
        #: Where awaited calls run.
        self.aside = Aside(self.workspace)
        self._desks: dict[str, Desk] = {}
        self._readers: WeakKeyDictionary[Any, Reader] = WeakKeyDictionary()

    def close(self) -> None:
        """No more awaited calls: their threads end."""
        self.aside.close()

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
                if name in self._under_way:  # it has not heard of it yet
                    return view
                who.put(name, None, "raise")
            elif view is None and beside is not None and self.workspace.row(name) is None:
                who.put(name, encoded(beside), "raise")
            else:
                return view
        return who.get(name)

    def put(
        self,
        who: Reader,
        name: str,
        content: Content | None,
        travels: Version,
        wait_s: float | None = WAIT_S,
    ) -> Told | None:
        """Publish `content`, or delete the item where it is None; what to tell the store beside.

        `travels` is the version that the caller was handed, though it has not read it; 0 for none.
        Raises as `Reader.put` does.
        """
        unread = travels if self.is_strict else None
        try:
            ref, made = who.put(name, content, self._on_conflict, wait_s, unread)
        except UnknownArtifact:  # nothing to delete, unless what was never ours
            return (0, None) if self.workspace.row(name) is None else None
        return ref.version, made

    def lost_ones(
        self, who: Reader, puts: Mapping[str, tuple[Content | None, Version]]
    ) -> set[str]:
        """Which of these puts lost before they begin; `puts` has contents and see `put`.

        Raises as a put does for a name or a content that cannot be.
        """
        lost: set[str] = set()
        for name, (content, travels) in puts.items():
            if content is not None:
                check_content(content, self.workspace.limits)
            row = self.workspace.row(check_name(name))
            base = who.base(name, travels if self.is_strict else None)
            current = row.row.state.version if row is not None and row.row.exists else 0
            if self._on_conflict != "overwrite" and base is not None and base != current:
                lost.add(name)
        return lost

    @contextmanager
    def under_way(self, names: Iterable[str]) -> Iterator[Callable[[str], bool]]:
        """While the block runs the store beside may lag behind with these.

        What it gives says whether others have put an item in the meantime.
        """
        began: dict[str, int] = {}
        with self._turn:
            for name in set(names):
                active, puts = self._under_way.get(name, (0, 0))
                began[name] = puts + 1
                self._under_way[name] = active + 1, puts + 1
        try:
            yield lambda name: self._under_way[name] != (1, began[name])
        finally:
            with self._turn:
                for name in began:
                    active, puts = self._under_way.pop(name)
                    if active > 1:
                        self._under_way[name] = active - 1, puts

    def telling(
        self, desk: Desk, told: Mapping[str, Told], put: Put, raced: Callable[[str], bool]
    ) -> Steps[None]:
        """Tell the store beside, which ends with what is current however many tell it at once.

        A version that is out of date is left to the writer of the newer one.
        """
        due = yield Here(lambda _: {n: told[n] for n in told if self._is_current(n, told[n])})
        while due:
            values = {n: None if made is None else decoded(made) for n, (_, made) in due.items()}
            yield Beside([put(name, value) for name, value in values.items()])
            # Another's may have been overtaken by ours.
            late = {name: due[name] for name in due if raced(name)}
            due = (yield Here(partial(self._newer, desk, late))) if late else {}

    def _is_current(self, name: str, told: Told) -> bool:
        row = self.workspace.row(name)
        return (row.row.state.version if row is not None else 0) == told[0]

    def _newer(self, desk: Desk, told: Mapping[str, Told], _: float | None) -> dict[str, Told]:
        newer: dict[str, Told] = {}
        for name in told:
            if not self._is_current(name, told[name]):
                view = Reader(desk, alone=True).get(name)
                row = self.workspace.row(name)
                there = row.row.state.version if row is not None else 0
                newer[name] = (there, None) if view is None else (view.ref.version, view.content)
        return newer
