"""The items of a framework's store as artifacts, alone or with a wrapped store without versions.

The workspace judges and orders writes.  The wrapped store receives published items, and provides
what the workspace lacks: an index, a time to live, filters.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from coherence.conflict import Conflict
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
from coherence.view import View
from coherence.workspace.transaction import NAMES_MAX
from coherence.workspace.workspace import Workspace
from coherence.workspace.writing import WAIT_S

Labels: TypeAlias = tuple[str, ...]

Place: TypeAlias = tuple[Labels, str]
"""The labels of an item, and its key."""

Value: TypeAlias = Mapping[str, Any]

Put: TypeAlias = Callable[[str, Value | None], Any]
"""Makes the operation that gives an item's value, None if deleted, to the wrapped store."""

Told: TypeAlias = tuple[Version, Content | None]
"""A version of an item and its value, for the wrapped store; 0 if the workspace has none."""


class Items:
    """The items of one store.

    `home` is the workspace that holds them, or its URL.  Raises `BadArgument`, and as `Workspace`
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
            raise BadArgument(f"{home!r} is not a workspace", remedy="a Workspace, or its URL")
        self.workspace = Workspace(home) if isinstance(home, str) else home
        self.dates = Dates(self.workspace)
        self._on_conflict: OnConflict = on_conflict
        #: Whether a put over an item that its caller has not read is refused.
        self.is_strict = unread == "raise"
        # Several processes may run one program, so an agent's name is unique to this store object.
        self._suffix = "" if home == "memory://" else "." + secrets.token_hex(3)
        self._busy = threading.RLock()
        #: Item -> how many of its puts are under way, and how many began since it last had none.
        self._under_way: dict[str, tuple[int, int]] = {}
        #: Where awaited calls run.
        self.aside = Aside(self.workspace)
        self._desks: dict[str, Desk] = {}
        #: The agents of the blocks that run.
        self._in_blocks: set[str] = set()
        self._readers: WeakKeyDictionary[Any, Reader] = WeakKeyDictionary()

    def close(self) -> None:
        """End the threads of awaited calls."""
        self.aside.close()

    def desk(self, name: str, run: object = None) -> Desk:
        """The desk of the agent of that name, for `run` if that is given: see `Desk.during`.

        Raises `InvalidName`, `WorkspaceClosed`.
        """
        desk = self._desks.get(name) or self._desks.setdefault(name, Desk(self.workspace, name))
        return desk.during(run)

    def desk_of(self, path: Sequence[str], run: object = None) -> Desk:
        """The desk of the agent that the framework identifies by `path`, in this process."""
        return self.desk("/".join(map(quoted, path)) + self._suffix, run)

    @contextmanager
    def spare_desk(self, desk: Desk, run: object = None) -> Iterator[Desk]:
        """The desk of an agent beside that of `desk`, which no other block uses meanwhile.

        Its name has a number of its own, ``planner+1``.
        """
        with self._busy:
            name = next(n for i in count(1) if (n := f"{desk.name}+{i}") not in self._in_blocks)
            self._in_blocks.add(name)
        try:
            yield self.desk(name, run)
        finally:
            self._in_blocks.discard(name)

    def taking_over(
        self, who: Reader, names: Iterable[str], get: Callable[[str], Any]
    ) -> Steps[None]:
        """Take over items that only the wrapped store holds so far; `get` makes its operation."""
        unknown = yield Here(lambda _: [n for n in names if self.workspace.row(n) is None])
        if unknown:
            found = yield Beside([get(name) for name in unknown])
            values = [getattr(item, "value", None) for item in found]
            nobody = Reader(who.desk, alone=True)
            yield Here(
                lambda _: [
                    self.settle(nobody, name, nobody.get(name), value)
                    for name, value in zip(unknown, values, strict=True)
                ]
            )

    def known(self, task: Hashable) -> Reader | None:
        """The reader of `task`, if it has asked before."""
        return self._readers.get(task) if task is not None else None

    def reader(self, task: Hashable, made: Callable[[], Reader]) -> Reader:
        """The reader of `task`, kept only while the task lives."""
        return self.known(task) or self._readers.setdefault(task, made())

    def settle(
        self, who: Reader, name: str, view: View | None, beside: Value | None
    ) -> View | None:
        """The current state of an item: `view` in the workspace and `beside` in the wrapped store.

        The wrapped store may have expired items, or items older than the workspace; an item that
        was deleted in the workspace stays deleted.
        """
        with suppress(Conflict):  # another agent was faster
            if view is not None and beside is None:
                if name in self._under_way:  # the wrapped store may lag behind
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
        """Publish `content`, or delete if it is None; return the wrapped store's update.

        `travels` is a version that the caller received without reading it; 0 for none.  Raises as
        `Reader.put` does.
        """
        unread = travels if self.is_strict else None
        try:
            ref, made = who.put(name, content, self._on_conflict, wait_s, unread)
        except UnknownArtifact:  # nothing to delete, except in the wrapped store
            return (0, None) if self.workspace.row(name) is None else None
        return ref.version, made

    def putting(
        self,
        who: Reader,
        puts: Mapping[str, Content | None],
        travels: Mapping[str, Version],
        told: dict[str, Told],
    ) -> Steps[None]:
        """Publish `puts` as one, and note in `told` the updates of the wrapped store.

        Up to `NAMES_MAX` puts are all or nothing.  More are published in several transactions, and
        those that are certain to be refused come first, so that nothing is written.
        """
        names = list(puts)
        if len(names) > NAMES_MAX:
            given = {name: (puts[name], travels[name]) for name in names}
            lost = yield Here(lambda _: self.lost_ones(who, given))
            names.sort(key=lambda name: name not in lost)
        for first in range(0, len(names), NAMES_MAX):
            several = names[first : first + NAMES_MAX]
            given = {name: (puts[name], travels[name]) for name in several}
            told.update((yield Here(partial(self._put_all, who, given))))

    def _put_all(
        self,
        who: Reader,
        puts: Mapping[str, tuple[Content | None, Version]],
        wait_s: float | None,
    ) -> dict[str, Told]:
        """Publish these in one transaction; for the values of `puts` see `put`."""
        if len(puts) == 1:
            [(name, (content, travels))] = puts.items()
            made = self.put(who, name, content, travels, wait_s)
            return {} if made is None else {name: made}
        contents = {name: content for name, (content, _) in puts.items()}
        unread = {name: travels if self.is_strict else None for name, (_, travels) in puts.items()}
        done = who.put_all(contents, self._on_conflict, wait_s, unread)
        told = {name: (ref.version, content) for name, (ref, content) in done.items()}
        for name in contents.keys() - done:  # nothing to delete, except in the wrapped store
            if self.workspace.row(name) is None:
                told[name] = (0, None)
        return told

    def lost_ones(
        self, who: Reader, puts: Mapping[str, tuple[Content | None, Version]]
    ) -> set[str]:
        """The puts that have lost before they begin; for the values of `puts` see `put`.

        Raises as a put does for an invalid name or content.
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
        """While the block runs, the wrapped store may lag behind for `names`.

        The yielded function says whether other calls have put an item in the meantime.
        """
        began: dict[str, int] = {}
        with self._busy:
            for name in set(names):
                active, puts = self._under_way.get(name, (0, 0))
                began[name] = puts + 1
                self._under_way[name] = active + 1, puts + 1
        try:
            yield lambda name: self._under_way[name] != (1, began[name])
        finally:
            with self._busy:
                for name in began:
                    active, puts = self._under_way.pop(name)
                    if active > 1:
                        self._under_way[name] = active - 1, puts

    def telling(
        self, desk: Desk, told: Mapping[str, Told], put: Put, raced: Callable[[str], bool]
    ) -> Steps[None]:
        """Update the wrapped store, which ends current even under concurrent updates.

        An outdated version is left to the writer of the newer one.
        """
        due = yield Here(lambda _: {n: told[n] for n in told if self._is_current(n, told[n])})
        while due:
            values = {n: None if made is None else decoded(made) for n, (_, made) in due.items()}
            yield Beside([put(name, value) for name, value in values.items()])
            # This update may have overtaken another one.
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
