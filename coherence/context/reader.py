"""The versions that one task has read, as the bases of its puts.

Frameworks with a store of items have no versions in their calls: a task gets, works, and puts.  The
base of a put is the version that this task has read; `OnConflict` decides what happens to a put
that lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TypeAlias, get_args

from coherence.conflict import Conflict, Conflicts
from coherence.contents import Content
from coherence.context.desk import Desk
from coherence.context.events import Event, Tell, was_published, was_read, was_refused
from coherence.context.sight import Sights
from coherence.context.values import decoded, encoded
from coherence.delta import merge
from coherence.errors import BadArgument, UnknownArtifact
from coherence.messages import Version
from coherence.refs import Ref, check_name
from coherence.view import View
from coherence.workspace.workspace import Workspace
from coherence.workspace.writing import WAIT_S
from message_passing.errors import CallerError
from message_passing.interrupts import tried
from message_passing.process import Time

#: The fate of a put that lost: it is refused with `Conflict`; or merged if the two changed
#: different fields or lines, and refused otherwise; or it replaces the unseen version.
OnConflict: TypeAlias = Literal["raise", "merge", "overwrite"]

#: The fate of a put over an item that its caller has not read: it replaces the item, as a plain
#: store's put does; or it is refused with `Unread`.
OnUnread: TypeAlias = Literal["replace", "raise"]


def check_on_conflict(given: object) -> None:
    """Raises `BadArgument` if it is not an `OnConflict`."""
    if given not in get_args(OnConflict):
        raise BadArgument(f"on_conflict is {given!r}", remedy="raise, merge or overwrite")


def check_unread(given: object, on_conflict: OnConflict) -> None:
    """Raises `BadArgument` if it is not an `OnUnread`, or contradicts `on_conflict`."""
    if given not in get_args(OnUnread):
        raise BadArgument(f"unread is {given!r}", remedy="replace or raise")
    if given == "raise" and on_conflict == "overwrite":
        raise BadArgument(
            'on_conflict="overwrite" replaces an unread version, unread="raise" refuses that',
            remedy='on_conflict="raise" or "merge" beside unread="raise"',
        )


#: How often several puts as one are merged with what overtook them, before they are refused.
MERGES = 16


class Unread(CallerError):
    """A put over an existing item that its caller has not read.  Nothing was changed."""

    remedy = "get the item before putting it; item.ref is its version, for a later task"

    def __init__(self, name: str, current: Ref, author: str = "") -> None:
        by = f" by {author}" if author else ""
        super().__init__(f"{name!r} exists and was not read; current is {current}{by}")
        #: The version that is current now, and its author if that is known.
        self.current, self.author = current, author


class Reader:
    """One task of the agent at `desk`; each call holds the desk.

    With `alone` it serves one call, and no later call uses what it has seen.
    """

    def __init__(self, desk: Desk, tell: Tell | None = None, *, alone: bool = False) -> None:
        with desk.agent() as agent:
            self._agent = agent
        self.desk, self.tell, self._busy = desk, tell, desk.busy
        #: The versions that each part of the task has read or written.
        self.sights = Sights(alone=alone)

    def get(self, name: str) -> View | None:
        """The current version, or None if it does not exist.  Raises as `Agent.read` does."""
        with self._busy:
            try:
                view = self._agent.read(name)
            except UnknownArtifact:
                self.sights.part().shown(name, 0)
                return None
            return self._took(name, view)

    def at_once(self, name: str) -> View | None:
        """As `get`, for event loops; None if that would ask the store, or wait for a thread.

        None too if the check of a file is refused: a development server guards its loop.
        """
        return tried(self._busy, self._hit, name)

    def _hit(self, name: str) -> View | None:
        try:
            view = self._agent.cached(name)
        except Exception:  # a thread asks again; an error that is ours is raised there
            return None
        return None if view is None else self._took(name, view)

    def _took(self, name: str, view: View) -> View:
        self.sights.part().shown(name, view.ref.version)
        if self.tell is not None:  # a hit is worth the guard
            self.tell(was_read(view, self._agent.name))
        return view

    def get_version(self, ref: Ref) -> View:
        """The version that `ref` names.  Raises `UnknownArtifact`, `UnknownVersion`."""
        with self._busy:
            view = self._agent.read(ref.name, version=ref.version)
            self.sights.part().shown(ref.name, ref.version)
            return view

    def base(self, name: str, unread: Version | None = None) -> Version | None:
        """The version that a put by the caller derives from, None for any; see `put`."""
        seen = self.sights.part().base(name)
        if seen is not None:
            return seen
        # Otherwise a put derives from the version that other parts of its task have read.
        return self.sights.latest.get(name) if unread is None else unread

    def put(
        self,
        name: str,
        content: Content | None,
        on_conflict: OnConflict,
        wait_s: float | None = WAIT_S,
        unread: Version | None = None,
    ) -> tuple[Ref, Content | None]:
        """Publish `content`, or delete if it is None; return the published content, merged if so.

        If the caller has not read the item, `unread` is the base of the put, 0 for none; if None,
        the put replaces any version.  Raises as `Agent.write` and `Agent.delete` do, and `Unread`.
        """
        with self._busy:
            part = self.sights.part()
            base = None if on_conflict == "overwrite" else self.base(name, unread)
            is_unread = unread == 0 and part.base(name) is None
            merges = on_conflict == "merge" and base is not None and not is_unread
            published = content

            def merge(conflict: Conflict) -> Content | None:
                nonlocal published
                taken = both(conflict)
                if taken is not None:
                    self._note(was_refused, conflict)
                    published = taken
                return taken

            try:
                if content is None:
                    ref = self._agent.delete(
                        name, expect=base, overwrite=base is None, wait_s=wait_s
                    )
                    part.wrote(name, 0)
                else:
                    ref = self._agent.write(
                        name,
                        content,
                        expect=base,
                        overwrite=base is None,
                        merge=merge if merges else base is not None and harmless,
                        wait_s=wait_s,
                    )
                    part.wrote(name, ref.version)
            except Conflict as conflict:
                self._note(was_refused, conflict)
                if is_unread:
                    raise Unread(name, conflict.current, conflict.author) from conflict
                part.refused.add(name)
                raise
            self._note(was_published, ref, published)
            return ref, published

    def put_all(
        self,
        puts: Mapping[str, Content | None],
        on_conflict: OnConflict,
        wait_s: float | None = WAIT_S,
        unread: Mapping[str, Version | None] = {},
    ) -> dict[str, tuple[Ref, Content | None]]:
        """As `put`, several as one: all or nothing, in one transaction.

        A deletion of what does not exist is left out of the result.  Raises as `put` does, with
        `Conflicts` for a `Conflict`, which names all that have moved.
        """
        with self._busy:
            part, given = self.sights.part(), dict(puts)
            strict = {name for name in given if unread.get(name) == 0 and part.base(name) is None}
            bases = {
                name: None if on_conflict == "overwrite" else self.base(name, unread.get(name))
                for name in given
            }
            for left in reversed(range(MERGES)):
                try:
                    refs = self._publish(given, bases, wait_s)
                    break
                except UnknownArtifact:  # another agent has deleted one meanwhile
                    if not left:
                        raise
                except Conflicts as conflicts:
                    moved = conflicts.conflicts
                    for conflict in moved.values():
                        self._note(was_refused, conflict)
                    for name in strict & moved.keys():
                        raise Unread(name, moved[name].current, moved[name].author) from conflicts
                    merges = both if on_conflict == "merge" else harmless
                    made = {name: merges(c) if left else None for name, c in moved.items()}
                    if None in made.values():
                        part.refused.update(moved)
                        raise
                    given |= made
                    bases |= {name: c.current.version for name, c in moved.items()}
            for name, ref in refs.items():
                part.wrote(name, 0 if given[name] is None else ref.version)
                self._note(was_published, ref, given[name])
            return {name: (ref, given[name]) for name, ref in refs.items()}

    def _publish(
        self,
        given: Mapping[str, Content | None],
        bases: Mapping[str, Version | None],
        wait_s: float | None,
    ) -> Mapping[str, Ref]:
        """One transaction with these contents, and the deletions of what exists."""
        row = self.desk.workspace.row
        with self._agent.transaction(wait_s=wait_s) as tx:
            for name, content in given.items():
                base = bases[name]
                if content is not None:
                    tx.write(name, content, expect=base, overwrite=base is None)
                elif (there := row(check_name(name))) is not None and there.row.exists:
                    tx.delete(name, expect=base, overwrite=base is None)
        return tx.refs or {}

    def _note(self, event: Callable[..., Event], *what: object) -> None:
        if self.tell is not None:
            self.tell(event(*what, self._agent.name))


def harmless(conflict: Conflict) -> Content | None:
    """The refused content if it loses nothing, since the current content is its base again.

    For ``Agent.write(merge=harmless)``.  Two equal contents may lose something: both writers may
    have added one to the same number.
    """
    there = conflict.theirs
    return conflict.yours if there is not None and there == conflict.base else None


def both(conflict: Conflict) -> Content | None:
    """The content with both changes; None if both changed one field, or the same lines."""
    base, yours, theirs = conflict.base, conflict.yours, conflict.theirs
    if isinstance(yours, str) or isinstance(theirs, str) or not (yours and theirs):
        return conflict.merge()
    if base is None and conflict.base_version:
        return None
    return merged(base or b"", yours, theirs)


def merged(base: Content, yours: Content, theirs: Content) -> Content | None:
    """The value with both changes; None if both changed one field differently.

    Texts of one field are merged by lines.  An empty `base` means no value.  Raises
    `InvalidContent`.
    """
    was, mine, now = (decoded(content or b"{}") for content in (base, yours, theirs))
    made = {field: now[field] for field in now if field not in _differing(was, mine)}
    for field in _differing(was, mine):
        old, my, their = (value.get(field, ...) for value in (was, mine, now))
        if their not in (old, my):
            lines = isinstance(old, str) and isinstance(my, str) and isinstance(their, str)
            both = merge(old, my, their) if lines else None
            if both is None:
                return None
            made[field] = both
        elif field in mine:
            made[field] = my
    return encoded(made)


def _differing(was: Mapping[str, Any], now: Mapping[str, Any]) -> set[str]:
    return {f for f in {**was, **now} if now.get(f, ...) != was.get(f, ...)}


class Dates:
    """When versions were made.  Answers are cached, since they do not change."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        # A workspace in memory uses a clock without an epoch, every other a wall clock.
        timeless = workspace.identity.startswith("memory-")
        self._epoch = time.time() - time.monotonic() if timeless else 0.0  # noqa: TID251 - shown
        #: (artifact, version) -> when the artifact's first version was made, and this one.
        self.of = lru_cache(maxsize=65_536)(self._of)
        #: Artifact -> when the oldest version kept at the first question was made.
        self._created = lru_cache(maxsize=65_536)(self._first)

    def _of(self, name: str, version: Version) -> tuple[datetime, datetime]:
        try:
            made = self._workspace.history(name, version)[0]  # the next kept version
        except UnknownArtifact:  # the store went back to an earlier state
            made = self._workspace.history(name)[-1]
        return self._created(name), self._date(made.at)

    def _first(self, name: str) -> datetime:
        return self._date(self._workspace.history(name)[0].at)

    def _date(self, at: Time) -> datetime:
        return datetime.fromtimestamp(at + self._epoch, UTC)
