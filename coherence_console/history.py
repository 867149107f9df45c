"""The routes of one artifact, with its versions, and of one agent, with its work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coherence.blame import Step
from coherence.blame import blame as origins
from coherence.contents import Content as Bytes
from coherence.contents import Kind
from coherence.delta import diff
from coherence.errors import NoArchive
from coherence.stores.archive import archive_of
from coherence.stores.port import Entry, Place, Store
from coherence.workspace.stats import Stats
from coherence_console.answers import BadRequest, NotThere, answer, number, param
from coherence_console.context import Context, Reader
from coherence_console.guard import API
from coherence_console.shapes import (
    Blame,
    BlameLine,
    Content,
    Difference,
    History,
    Refusal,
    Saved,
    VersionLine,
    Work,
    Written,
)

#: Characters of a text, and of a difference, that a page gets.
TEXT_MAX: Final = 1_000_000
#: Unchanged lines around a change.
CONTEXT: Final = 3
#: Lines of a blame.
LINES_MAX: Final = 10_000
#: Lines of the change log that an agent's work is found in.
LOG_MAX: Final = 5_000
#: Longer than any name that was ever allowed.
NAME_MAX: Final = 1_000


def routes(context: Context) -> list[Route]:
    """The routes; none without a store, and none of contents if these are not shown."""
    if context.source is None:
        return []
    views = _Views(Reader(context.source))
    context.at_end(views.reader.close)
    found = [Route(f"{API}/artifact", views.artifact), Route(f"{API}/agent", views.agent)]
    if context.contents:
        found += [
            Route(f"{API}/artifact/content", views.content),
            Route(f"{API}/artifact/diff", views.difference),
            Route(f"{API}/artifact/blame", views.blame),
        ]
    return found


@dataclass(frozen=True)
class _Views:
    reader: Reader

    def artifact(self, request: Request) -> Response:
        return answer(self.reader.ask(lambda store: _history(store, _name(request))))

    def agent(self, request: Request) -> Response:
        return answer(self.reader.ask(lambda store: _work(store, _name(request))))

    def content(self, request: Request) -> Response:
        name, version = _name(request), number(request, "version")
        entry, found = self.reader.ask(lambda store: _version(store, name, version))
        text = found if isinstance(found, str) else None
        return answer(
            Content(
                name=name,
                version=entry.version,
                kind=entry.handle.kind.value,
                size_bytes=len(entry.handle),
                text=None if text is None else text[:TEXT_MAX],
                cut=max(0, len(text or "") - TEXT_MAX),
            )
        )

    def difference(self, request: Request) -> Response:
        name, a, b = _name(request), number(request, "a"), number(request, "b")
        before = _text(self.reader.ask(lambda store: _version(store, name, a))) if a else ""
        after = _text(self.reader.ask(lambda store: _version(store, name, b)))
        delta = diff(before, after)
        added, removed = delta.counts()
        text = delta.render(before, CONTEXT) if delta.edits else ""
        return answer(
            Difference(
                name=name,
                a=a,
                b=b,
                added=added,
                removed=removed,
                text=text[:TEXT_MAX],
                cut=max(0, len(text) - TEXT_MAX),
            )
        )

    def blame(self, request: Request) -> Response:
        name, version = _name(request), number(request, "version")
        return answer(self.reader.ask(lambda store: _blame(store, name, version)))


def _name(request: Request) -> str:
    """The name that is asked for.  It need not be one that is allowed now, to be readable."""
    name = param(request, "name")
    if not name or len(name) > NAME_MAX or "\0" in name:
        raise NotThere
    return name


def _version(store: Store, name: str, version: int) -> tuple[Entry, Bytes]:
    found = store.read(name, version)
    if found is None:
        raise NotThere
    return found


def _text(found: tuple[Entry, Bytes]) -> str:
    """The text of a version, of which a deletion has none.  Raises `BadRequest`."""
    entry, content = found
    if entry.handle.kind is Kind.TOMBSTONE:
        return ""
    if not isinstance(content, str):
        raise BadRequest(f"version {entry.version} is not text")
    return content


def _history(store: Store, name: str) -> History:
    entries = store.history(name)
    if not entries:
        raise NotThere
    return History(
        name=name,
        now=store.now(),
        exists=entries[-1].handle.kind is not Kind.TOMBSTONE,
        versions=tuple(map(_line, reversed(entries))),
        refused=tuple(each for each in _refused(store, name) if each.artifact == name),
    )


def _line(entry: Entry) -> VersionLine:
    return VersionLine(
        version=entry.version,
        author=entry.author,
        at=entry.at,
        kind=entry.handle.kind.value,
        size_bytes=len(entry.handle),
        pinned=entry.pinned,
        base=entry.base,
        overwrite=entry.overwrite,
        reason=entry.reason,
    )


def _refused(store: Store, prefix: str = "") -> Iterator[Refusal]:
    """The refused writes that are kept, newest first."""
    try:
        found = archive_of(store).refusals(prefix)
    except NoArchive:
        return
    for line in reversed(found):
        yield Refusal(**{each: getattr(line, each) for each in Refusal.__struct_fields__})


def _blame(store: Store, name: str, version: int) -> Blame:
    entries = {each.version: each for each in store.history(name) if each.version <= version}
    if version not in entries:
        raise NotThere
    _text(_version(store, name, version))
    lines = origins(_steps(store, name, entries))
    return Blame(
        name=name,
        version=version,
        lines=tuple(
            BlameLine(
                text=each.line.rstrip("\n"),
                first=each.first,
                version=each.last,
                author=entries[each.last].author if each.known else "",
                at=entries[each.last].at if each.known else 0.0,
            )
            for each in lines[:LINES_MAX]
        ),
        cut=max(0, len(lines) - LINES_MAX),
    )


def _steps(store: Store, name: str, entries: dict[int, Entry]) -> Iterator[Step]:
    for version in entries:
        # One that the retention rule has removed meanwhile is like one removed before.
        if (found := store.read(name, version)) is not None:
            yield version, found[1]


def _work(store: Store, name: str) -> Work:
    written, older = _written(store, name)
    refused = tuple(each for each in _refused(store) if each.agent == name)
    days = _days(store, name)
    member = next((each for each in store.members() if each.agent == name), None)
    if not (written or refused or days or member):
        raise NotThere
    return Work(
        agent=name,
        now=store.now(),
        since=member.since if member else None,
        written=written,
        older=older,
        refused=refused,
        days=days,
    )


def _written(store: Store, agent: str) -> tuple[tuple[Written, ...], bool]:
    """The versions of `agent` in the newest lines of the log, newest first; whether older exist."""
    head = store.head().seq
    place = Place(max(0, head - LOG_MAX))
    older = place.seq > 0
    found: list[Written] = []
    while place.seq < head:
        changes = store.since(place)
        older = older or changes.gap
        found += [
            Written(each.artifact, each.version, each.at)
            for each in changes.entries
            if each.version and each.author == agent
        ]
        if changes.foreign or not changes.entries:
            break
        place = changes.place
    return tuple(reversed(found)), older


def _days(store: Store, agent: str) -> tuple[Saved, ...]:
    try:
        rows = archive_of(store).tallies()
    except NoArchive:
        return ()
    days = Stats(tuple(each for each in rows if each.agent == agent)).by("day")
    return tuple(
        Saved(
            name=each.name,
            reads=each.reads,
            writes=each.writes,
            conflicts=each.conflicts,
            refetch_tokens=each.refetch_tokens,
            served_tokens=each.served_tokens,
            saved_tokens=each.saved_tokens,
        )
        for each in days
    )
