"""From a repository to a history: versions of text files, their sizes, lines and names.

Binary files, links, submodules and large files are left out and counted: a file that becomes one of
them ends there.  A rename keeps the file, and a change of its mode alone is not a version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from coherence.delta import split
from coherence.simulate.replay.counting import LineCounter
from coherence.simulate.replay.errors import EmptyHistory
from coherence.simulate.replay.git import MainCommit, RawChange, Repository
from coherence.simulate.replay.history import (
    CODES_MAX,
    About,
    FileChange,
    History,
    LeftOut,
    Revision,
    Tracked,
    Weights,
    code,
)
from coherence.simulate.replay.naming import Name, Places, kind_of_text, names

TEXT_BYTES_MAX: Final = 256 * 1024
"""A larger text is left out: no prompt shows it whole."""

_BINARY_BYTES: Final = 8_000
"""Where a NUL makes a text binary, as git has it."""

_FILES: Final = ("100644", "100755", "100664")


def read(
    repository: Repository,
    counter: LineCounter,
    *,
    revision: str = "HEAD",
    since_s: int | None = None,
    until_s: int | None = None,
    paths: Sequence[str] = (),
    name: str,
    command: str,
    advance: Callable[[int, int], None] = lambda done, asked: None,
) -> History:
    """Read the mainline up to `revision`, as far as it lies between two times.

    `advance` gets the number of texts read and the number of all.  Raises `UnknownRevision`,
    `UnknownPath`, `EmptyHistory` and `GitFailed`.
    """
    tip = repository.commit(revision)
    repository.check_paths(tip, paths)
    mainline = repository.mainline(tip)
    chosen = _between(mainline, since_s, until_s)
    if not chosen:
        raise EmptyHistory(f"{repository.folder}: no commit in that time")
    commits = {commit.name: commit for commit in chosen}
    parent = chosen[0].parent
    there = repository.tree(parent, paths) if parent else []
    changed = list(repository.changes(chosen, paths))
    texts = _Texts(repository, there, changed, advance)
    made = _Reading(counter, texts)
    made.begin(there)
    authors: dict[bytes, int] = {}
    revisions = []
    for commit_name, entries in changed:
        commit = commits[commit_name]
        changes = tuple(made.changes(entries))
        if changes:
            author = authors.setdefault(commit.author, len(authors))
            revisions.append(Revision(commit.time_s, author, changes))
    if not revisions:
        raise EmptyHistory(f"{repository.folder}: no commit changes a text")
    tip_s = mainline[-1].time_s
    about = About(
        name=name,
        commit=tip,
        date=datetime.fromtimestamp(tip_s, UTC).date().isoformat(),
        command=command,
        measure=counter.measure.name,
        commits=len(revisions),
        authors=len(authors),
        files=len(made.files),
        versions=sum(len(file.sizes) for file in made.files),
        left_out=LeftOut(**texts.left_out),
    )
    return History(about, made.files, made.paths, revisions)


def _between(
    mainline: Sequence[MainCommit], since_s: int | None, until_s: int | None
) -> list[MainCommit]:
    """The commits from the first one at or after `since_s` up to the last one before `until_s`."""
    first, end = 0, len(mainline)
    if since_s is not None:
        first = next((i for i in range(end) if mainline[i].time_s >= since_s), end)
    if until_s is not None:
        end = next((i + 1 for i in range(end - 1, -1, -1) if mainline[i].time_s < until_s), 0)
    return list(mainline[first:end])


class _Texts:
    """The texts of blobs, read in the order in which they are asked for."""

    def __init__(
        self,
        repository: Repository,
        there: Sequence[RawChange],
        changed: Sequence[tuple[str, Sequence[RawChange]]],
        advance: Callable[[int, int], None],
    ) -> None:
        self.left_out = {"binary": 0, "large": 0, "links": 0, "submodules": 0}
        order = [
            entry.new_blob
            for entries in (there, *(entries for _, entries in changed))
            for entry in entries
            if _is_read(entry)
        ]
        sizes = repository.sizes(dict.fromkeys(order))
        self._large = {name for name, size in sizes.items() if size > TEXT_BYTES_MAX}
        wanted = [name for name in order if name not in self._large]
        self._asked = len(wanted)
        self._done = 0
        self._advance = advance
        self._contents = zip(wanted, repository.blobs(wanted), strict=True)

    def read(self, entry: RawChange) -> str | None:
        """The text that an entry leaves, or None if it has no text or is left out."""
        if entry.status == "D":
            return None
        if entry.new_mode not in _FILES:
            self.left_out["submodules" if entry.new_mode == "160000" else "links"] += 1
            return None
        if entry.new_blob in self._large:
            self.left_out["large"] += 1
            return None
        name, content = next(self._contents)
        assert name == entry.new_blob
        self._done += 1
        if self._done % 256 == 0:
            self._advance(self._done, self._asked)
        if b"\0" in content[:_BINARY_BYTES]:
            self.left_out["binary"] += 1
            return None
        try:
            return content.decode()
        except UnicodeDecodeError:
            return content.decode("latin-1")


def _is_read(entry: RawChange) -> bool:
    return entry.status != "D" and entry.new_mode in _FILES and entry.new_blob != entry.old_blob


class _Lines(dict[str, str]):
    """The lines of one file, with the codes that stand for them."""

    def __init__(self, file: Tracked, kind: str, counter: LineCounter) -> None:
        super().__init__()
        self._file, self._counter = file, counter
        self.kind = kind
        #: What each line names, by its code.
        self.naming: dict[str, tuple[Name, ...]] = {}

    def __missing__(self, line: str) -> str:
        if len(self) >= CODES_MAX:
            raise EmptyHistory("a file has too many different lines", remedy="choose --paths")
        file, counter = self._file, self._counter
        made = self[line] = code(len(self))
        file.added.append(counter.added(line))
        file.removed.append(counter.removed(line))
        named = names(self.kind, line)
        if named:
            self.naming[made] = named
        return made

    def coded(self, text: str) -> str:
        """The codes of a text's lines."""
        return "".join(map(self.__getitem__, split(text)))

    def named(self, codes: str) -> tuple[Name, ...]:
        """What the lines name, in their order."""
        if not self.naming:
            return ()
        there = set(codes)
        found = [names for line, names in self.naming.items() if line in there]
        return tuple(dict.fromkeys(name for names in found for name in names))


def coded(file: Tracked, counter: LineCounter) -> Callable[[str], str]:
    """What makes codes of the texts of `file`, whose lines it weighs as they appear."""
    return _Lines(file, "", counter).coded


class _Reading:
    """The files so far, by number and by path."""

    def __init__(self, counter: LineCounter, texts: _Texts) -> None:
        self.files: list[Tracked] = []
        self.paths: dict[int, bytes] = {}
        self._counter, self._texts = counter, texts
        self._at: dict[bytes, int] = {}
        self._lines: list[_Lines] = []
        self._names: list[tuple[Name, ...]] = []
        self._places = Places()

    def begin(self, there: Iterable[RawChange]) -> None:
        """The files that are there at first."""
        for entry in there:
            text = self._texts.read(entry)
            if text is not None:
                file = self._new(entry.path, 1)
                self.paths[file] = entry.path
                self._add(file, text)
        for file in self.paths:  # now that all of them have a place
            self.files[file].named = [self._resolved(file)]

    def changes(self, entries: Sequence[RawChange]) -> Iterator[FileChange]:
        """Yield what a commit changes."""
        # A path that one file leaves may be taken by another file of the same commit.
        moved = {e.path: self._at.pop(e.old_path, None) for e in entries if e.status == "R"}
        for entry in entries:
            if entry.status == "D":
                yield from self._end(self._at.pop(entry.path, None))
        for entry in entries:
            if entry.status == "D":
                continue
            file = moved[entry.path] if entry.status == "R" else self._at.get(entry.path)
            if entry.status == "R" and file is not None:
                self._places.remove(file)
                self._places.add(file, entry.path)
                self._at[entry.path] = file
            if entry.new_blob == entry.old_blob and entry.new_mode in _FILES:
                if entry.status == "R" and file is not None:
                    yield FileChange(file, None, entry.path)
                continue
            text = self._texts.read(entry)
            if text is None:
                yield from self._end(self._at.pop(entry.path, None))
                continue
            if file is None:
                file = self._new(entry.path, 0)
                self._places.add(file, entry.path)
            version = self._add(file, text)
            yield FileChange(file, version, entry.path)

    def _new(self, path: bytes, first: int) -> int:
        file = len(self.files)
        tracked = Tracked(first, [], [], Weights(), Weights(), [])
        if first == 0:
            tracked.sizes.append(0)
            tracked.codes.append("")
            tracked.named.append(())
        self.files.append(tracked)
        self._at[path] = file
        self._lines.append(_Lines(tracked, kind_of_text(path), self._counter))
        self._names.append(())
        if first:
            self._places.add(file, path)
        return file

    def _add(self, file: int, text: str) -> int:
        """Add a version; return its number."""
        tracked, lines = self.files[file], self._lines[file]
        codes = lines.coded(text)
        tracked.sizes.append(self._counter.text(text))
        tracked.codes.append(codes)
        named = lines.named(codes)
        if tracked.named and named == self._names[file]:
            tracked.named.append(tracked.named[-1])
        elif len(tracked.named) or not tracked.first:
            self._names[file] = named
            tracked.named.append(self._resolved(file))
        else:
            self._names[file] = named
        return tracked.first + len(tracked.sizes) - 1

    def _resolved(self, file: int) -> tuple[int, ...]:
        return self._places.resolve(file, self._names[file])

    def _end(self, file: int | None) -> Iterator[FileChange]:
        if file is None:
            return
        tracked = self.files[file]
        self._places.remove(file)
        tracked.sizes.append(0)
        tracked.codes.append("")
        tracked.named.append(())
        yield FileChange(file, tracked.first + len(tracked.sizes) - 1, None)
