"""The commands that show versions and go back to one: log, show, diff, blame, restore."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, NamedTuple

import typer
from rich.cells import cell_len
from rich.text import Text

from coherence.blame import Origin, Step
from coherence.blame import blame as origins
from coherence.cli_options import TEAM, Json, Url, looking, read, told
from coherence.cli_text import (
    FILE_WIDTH,
    NAME_MIN,
    QUIET,
    TROUBLE,
    WAITING,
    Cell,
    cut,
    fitted,
    moment,
    print_json,
    print_parts,
    ref_of,
    when,
)
from coherence.contents import Content, Kind
from coherence.delta import diff as difference
from coherence.errors import BadRef, UnknownArtifact, UnknownVersion
from coherence.refs import check_name
from coherence.stores.archive import archive_of
from coherence.stores.opening import open_store
from coherence.stores.port import Entry, Store
from coherence.stores.records import RefusedWrite
from coherence.workspace.overview import literal_prefix
from coherence.workspace.workspace import Workspace
from message_passing.console import columns, reported, say, write

#: Lines of a refused attempt that the log shows.
ATTEMPT_LINES: Final = 12

Since = Annotated[str, typer.Option(help="Not before: 30min, 2h, 7d ago, or a date and time.")]
Until = Annotated[str, typer.Option(help="Not after, in the same form.")]


class _Chosen(NamedTuple):
    """What `log` selects, beside the names."""

    agent: str
    since: float
    until: float

    def admits(self, agent: str, at: float) -> bool:
        return self.agent in ("", agent) and self.since <= at <= self.until


def log(
    name: Annotated[
        str, typer.Argument(help="One artifact, or a pattern such as 'docs/*'; all by default.")
    ] = "*",
    url: Url = TEAM,
    agent: Annotated[str, typer.Option("--agent", "-a", help="Only of this author.")] = "",
    since: Since = "",
    until: Until = "",
    newest: Annotated[
        int, typer.Option("-n", "--newest", min=0, help="Only the newest so many; 0: all.")
    ] = 0,
    stat: Annotated[
        bool, typer.Option("--stat", help="Lines that each version adds and removes.")
    ] = False,
    refused: Annotated[
        bool, typer.Option("--refused", help="Writes that were refused, and what they tried.")
    ] = False,
    json: Json = False,
) -> None:
    """The versions that are kept: author, time, size, derivation."""
    with looking(url) as store:
        now = store.now()
        chosen = _Chosen(
            agent, moment(since, now) if since else 0.0, moment(until, now) if until else now
        )
        if refused:
            _log_refused(store, name, chosen, newest, json=json)
            return
        found = [
            (each, entry)
            for each in _named(store, name)
            for entry in store.history(each)
            if chosen.admits(entry.author, entry.at)
        ]
        found.sort(key=lambda pair: (pair[1].at, pair[0], pair[1].version))
        found = found[-newest:] if newest else found
        counts = [_stat(store, *pair) for pair in found] if stat else []
    if json:
        versions = [
            _version(each, entry)
            | ({"added": counts[i][0], "removed": counts[i][1]} if stat else {})
            for i, (each, entry) in enumerate(found)
        ]
        print_json(now=now, versions=versions)
        return
    rows: list[list[Cell]] = [
        [
            when(entry.at),
            ref_of(each, entry.version),
            entry.author,
            "deleted" if entry.handle.kind is Kind.TOMBSTONE else f"{len(entry.handle):,}",
            _changed(*counts[i]) if stat else "",
            _note(entry),
        ]
        for i, (each, entry) in enumerate(found)
    ]
    headings = ("written", "version", "by", "bytes", "lines", "notes")
    if rows:
        print_parts(
            fitted(headings, rows, names=("version", "by", "notes"), right=("bytes", "lines"))
        )


def _named(store: Store, pattern: str) -> list[str]:
    """The artifacts of that name or pattern, deleted ones too.  Raises `UnknownArtifact`."""
    if not set("*?[") & set(pattern):
        check_name(pattern)
    names = store.names(literal_prefix(pattern), deleted=True)
    found = [name for name in names if name == pattern or fnmatchcase(name, pattern)]
    if pattern != "*" and not found:
        raise UnknownArtifact.named(pattern)
    return found


def _version(name: str, entry: Entry) -> dict[str, Any]:
    return {
        "artifact": name,
        "version": entry.version,
        "author": entry.author,
        "at": entry.at,
        "kind": entry.handle.kind,
        "size_bytes": len(entry.handle),
        "pinned": entry.pinned,
        "base": entry.base,
        "overwrite": entry.overwrite,
        "reason": entry.reason,
    }


def _note(entry: Entry) -> Text:
    """How the version was derived, and the writer's words."""
    before = entry.version - 1
    notes = Text()
    if entry.overwrite and entry.base < before:
        seen = f", had seen @{entry.base}" if entry.base else ""
        notes.append(f"overwrote @{before}{seen}", style=TROUBLE)
    elif 0 < entry.base < before:
        notes.append(f"from @{entry.base}", style=WAITING)
    for text in ("pinned" if entry.pinned else "", " ".join(entry.reason.split())):
        if text:
            notes.append("; " if notes else "").append(text)
    return notes


def _stat(store: Store, name: str, entry: Entry) -> tuple[int | None, int | None]:
    """The lines that a version adds and removes; None if that cannot be told."""
    new = store.read(name, entry.version)
    old = store.read(name, entry.version - 1) if entry.version > 1 else None
    if new is None or (old is None and entry.version > 1):
        return None, None
    before, after = "" if old is None else _text(old[1]), _text(new[1])
    if before is None or after is None:
        return None, None
    return difference(before, after).counts()


def _text(content: Content | None) -> str | None:
    """The text of a content, of which a deletion has none."""
    if content is None or content == b"":
        return ""
    return content if isinstance(content, str) else None


def _changed(added: int | None, removed: int | None) -> str:
    return "" if added is None else f"+{added} -{removed}"


def _log_refused(store: Store, pattern: str, chosen: _Chosen, newest: int, *, json: bool) -> None:
    found = [
        line
        for line in archive_of(store).refusals(literal_prefix(pattern))
        if fnmatchcase(line.artifact, pattern) and chosen.admits(line.agent, line.at)
    ]
    found = found[-newest:] if newest else found
    if json:
        print_json(now=store.now(), refused=[_refused(line) for line in found])
        return
    for line in found:
        print_parts(_refused_line(line), *_attempted(line))
    if not found:
        say("No refused writes are kept; Limits(refusals=N) of the writers keeps them.")


def _refused_line(line: RefusedWrite) -> Text:
    what = "its grant had ended" if line.kind == "fenced" else "conflict"
    base = f"from @{line.base}" if line.base else "from nothing"
    end = f"{what}: {base}, current @{line.current}"
    by = f"{when(line.at)}  {{}}  {line.agent}  "
    room = columns(FILE_WIDTH) - cell_len(by) - cell_len(end) + 2
    return Text(by.format(cut(line.artifact, max(room, NAME_MIN)))).append(end, style=TROUBLE)


def _attempted(line: RefusedWrite) -> Iterator[Text]:
    """The writer's words, and the beginning of the difference that it tried."""
    lines = line.attempt.splitlines()
    shown = [line.reason] if line.reason else []
    shown += lines[:ATTEMPT_LINES]
    shown += [f"... {len(lines) - ATTEMPT_LINES} more lines"] * (len(lines) > ATTEMPT_LINES)
    return (Text(f"    {text}", style=QUIET) for text in shown)


def _refused(line: RefusedWrite) -> dict[str, Any]:
    return {name: getattr(line, name) for name in line.__struct_fields__}


def show(
    ref: Annotated[str, typer.Argument(help="plan.md, or plan.md@3.")], url: Url = TEAM
) -> None:
    """The content of an artifact, unchanged."""
    with looking(url) as store:
        content = read(store, ref)[2]
        data = content.encode() if isinstance(content, str) else content
        sys.stdout.buffer.write(data)
        sys.stdout.flush()


def diff(
    old: Annotated[str, typer.Argument(help="Such as plan.md@3.")],
    new: Annotated[str, typer.Argument(help="The current version by default.")] = "",
    url: Url = TEAM,
    context: Annotated[
        int, typer.Option("--context", "-U", min=0, help="Unchanged lines around a change.")
    ] = 3,
    stat: Annotated[bool, typer.Option("--stat", help="Only the numbers of lines.")] = False,
    json: Json = False,
) -> None:
    """The difference between two versions, as a unified diff."""
    with looking(url) as store:
        if not new and "@" not in old:
            raise BadRef(
                f"{old!r} names no version to begin with",
                remedy=f"diff {old}@1 compares version 1 with the current one, "
                f"diff {old}@1 {old}@2 two versions; `log {old}` lists them",
            )
        (name, first, before), (other, last, after) = (
            read(store, ref) for ref in (old, new or old.rpartition("@")[0])
        )
        if not (isinstance(before, str) and isinstance(after, str)):
            raise BadRef("one of the two is not text")
    delta = difference(before, after)
    added, removed = delta.counts()
    refs = ref_of(name, first.version), ref_of(other, last.version)
    if json:
        text = delta.render(before, context)
        print_json(old=refs[0], new=refs[1], added=added, removed=removed, diff=text)
    elif stat:
        say(f"{refs[0]} to {refs[1]}: +{added} -{removed}")
    elif delta.edits:
        heads = (
            f"{mark} {ref}\t{entry.author} {when(entry.at)}"
            for mark, ref, entry in (("---", refs[0], first), ("+++", refs[1], last))
        )
        _print_diff("\n".join(heads) + "\n" + delta.render(before, context))


_DIFF_STYLES: Final = {"+": "green", "-": "red", "@": "cyan"}


def _print_diff(text: str) -> None:
    """Write a diff, unchanged in a file; coloured on a terminal."""
    if not sys.stdout.isatty():
        write(text)
        return
    for line in text.splitlines():
        style = "bold" if line.startswith(("--- ", "+++ ")) else _DIFF_STYLES.get(line[:1], "")
        print_parts(Text(line, style=style))


def blame(
    ref: Annotated[str, typer.Argument(help="plan.md, or plan.md@3.")],
    url: Url = TEAM,
    json: Json = False,
) -> None:
    """Each line of a text: the version that brought it, author and time.

    Where older versions are no longer kept, or one in between is not, the version is a range.
    """
    with looking(url) as store:
        name, last, content = read(store, ref)
        if not isinstance(content, str):
            raise BadRef(f"{ref_of(name, last.version)} is not text")
        kept = [entry for entry in store.history(name) if entry.version <= last.version]
        lines = origins(_steps(store, name, kept))
    entries = {entry.version: entry for entry in kept}
    if json:
        shown = [_origin(number, line, entries) for number, line in enumerate(lines, 1)]
        print_json(artifact=name, version=last.version, lines=shown)
        return
    rows = [_blamed(number, line, entries) for number, line in enumerate(lines, 1)]
    if rows:
        table = fitted(
            ("version", "by", "written", "line", "text"),
            rows,
            names=("by",),
            right=("line",),
            folded="text",
        )
        print_parts(table)
    for version in sorted({line.last for line in lines if not line.known}):
        first = min(line.first for line in lines if line.last == version)
        print_parts(Text(f"before @{version}: not kept from @{first} on", style=QUIET))


def _steps(store: Store, name: str, kept: Iterable[Entry]) -> Iterator[Step]:
    for entry in kept:
        found = store.read(name, entry.version)
        if found is None:
            raise UnknownVersion(f"{ref_of(name, entry.version)} is not kept")
        yield entry.version, found[1]


def _origin(number: int, line: Origin, entries: dict[int, Entry]) -> dict[str, Any]:
    by = entries[line.last] if line.known else None
    return {
        "line": number,
        "text": line.line,
        "version": line.last,
        "known": line.known,
        "author": by.author if by else None,
        "at": by.at if by else None,
        "reason": by.reason if by else None,
    }


def _blamed(number: int, line: Origin, entries: dict[int, Entry]) -> list[Cell]:
    text = line.line.rstrip("\n")
    if not line.known:
        return [Text(f"<=@{line.last}", style=QUIET), "", "", str(number), text]
    entry = entries[line.last]
    return [f"@{line.last}", entry.author, when(entry.at), str(number), text]


def restore(
    ref: Annotated[str, typer.Argument(help="The version to go back to, such as plan.md@3.")],
    url: Url = TEAM,
    agent: Annotated[str, typer.Option(help="The author of the new version.")] = "restore",
    reason: Annotated[str, typer.Option(help="Kept in the history.")] = "",
) -> None:
    """Publish an old version again, derived from the current one."""
    with (
        reported(told),
        Workspace(open_store(url, create=False)) as workspace,
        workspace.agent(agent) as author,
    ):
        made = author.restore(ref, reason=reason)
    say(f"{made} has the content of {ref}.")
