"""A history as arrays: one row for each transaction, each read and each write.

Files are read one after another, and each list of tokens is compared with the longest of its name
as it comes, so that only the longest is kept: the size of what is kept is that of the writes, and
not that of the reads.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from specs.histories.lines import VERSION_MAX, BadHistory, heading, rows

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]

#: Called with the number of bytes that were read.
OnBytes: TypeAlias = Callable[[int], object]

#: The outcomes of a transaction.
OK, FAIL, INFO = range(3)
OUTCOMES: Final = {"ok": OK, "fail": FAIL, "info": INFO}
WORDS: Final = {number: word for word, number in OUTCOMES.items()}
#: Numbers of digests: that of a deletion, and one that is not known.
DELETED, UNKNOWN = range(2)
#: How many lines are read between two calls of `OnBytes`.
LINES: Final = 1 << 14


def _ints() -> array[int]:
    return array("q")


def _floats() -> array[float]:
    return array("d")


@dataclass(slots=True)
class Rows:
    """Reads or writes: their transactions, names, and places in the order of versions.

    A place is a version, or a number of tokens; it is -1 where only the store knows it.
    """

    txn: array[int] = field(default_factory=_ints)
    name: array[int] = field(default_factory=_ints)
    place: array[int] = field(default_factory=_ints)
    digest: array[int] = field(default_factory=_ints)

    def add(self, txn: int, name: int, place: int, digest: int = UNKNOWN) -> None:
        """Add one row."""
        self.txn.append(txn)
        self.name.append(name)
        self.place.append(place)
        self.digest.append(digest)

    def columns(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Transactions, names, places and digests, as arrays."""
        return ints(self.txn), ints(self.name), ints(self.place), ints(self.digest)


@dataclass(slots=True)
class History:
    """What the clients have observed."""

    values: str
    ids: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    clocks: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    agents: dict[str, int] = field(default_factory=dict)
    digests: dict[str | None, int] = field(default_factory=lambda: {None: DELETED, "": UNKNOWN})

    # One item for each transaction.  `begin` is earlier than the call if its values may be old.
    begin: array[float] = field(default_factory=_floats)
    end: array[float] = field(default_factory=_floats)
    outcome: array[int] = field(default_factory=lambda: array("b"))
    file: array[int] = field(default_factory=_ints)
    line: array[int] = field(default_factory=_ints)
    agent: array[int] = field(default_factory=_ints)
    call: dict[int, str] = field(default_factory=dict)

    reads: Rows = field(default_factory=Rows)
    writes: Rows = field(default_factory=Rows)
    #: Reads of versions that need not have been current.
    past: Rows = field(default_factory=Rows)

    # Of contents that testify: the longest of each name, those that contradict it, who wrote each
    # token, and the tokens after which their transaction appended another one to the same name.
    orders: list[list[str]] = field(default_factory=list)
    forks: list[tuple[int, int, list[str]]] = field(default_factory=list)
    writers: dict[str, int] = field(default_factory=dict)
    inner: set[tuple[int, str]] = field(default_factory=set)

    def clock_of(self) -> Ints:
        """The clock of each transaction."""
        numbers = {clock: number for number, clock in enumerate(dict.fromkeys(self.clocks))}
        return ints([numbers[clock] for clock in self.clocks])[ints(self.file)]

    def where(self, txn: int) -> str:
        """The file and the line at which a transaction begins."""
        if self.file[txn] < 0:
            return ""
        return f"{self.files[self.file[txn]].name}:{self.line[txn]}"


def ints(values: Any) -> Ints:
    """`values` as an array, without a copy of an `array`."""
    return np.asarray(values, np.int64)


def read(paths: Iterable[Path], on_bytes: OnBytes | None = None) -> History:
    """The history of these files.

    Raises `NoHistory`, and `BadHistory`, which names the file and the line, also for files without
    any transaction.
    """
    paths = list(paths)
    headings = [heading(path) for path in paths]
    kinds = sorted({found.values for found in headings})
    if len(kinds) > 1:
        raise BadHistory(
            f"the files have {' and '.join(kinds)}", remedy="judge them in two calls, one each"
        )
    history = History(kinds[0] if kinds else "appends")
    reader = _Reader(history, on_bytes)
    for path, head in zip(paths, headings, strict=True):
        reader.read(path, head.clock)
    if not history.ids:
        raise BadHistory(
            "no file has a transaction: that would prove nothing",
            remedy="name the files that the clients wrote",
        )
    return history


class _Reader:
    """Fills a history from files."""

    def __init__(self, history: History, on_bytes: OnBytes | None) -> None:
        self._history = history
        self._on_bytes = on_bytes
        self._bytes = 0
        self._known: set[str] = set()
        self._names: dict[str, int] = {}
        self._take_reads = self._versions_read
        self._take_writes = self._versions_written
        if history.values == "appends":
            self._take_reads, self._take_writes = self._contents_read, self._tokens_written

    def read(self, path: Path, clock: str) -> None:
        """Read one file."""
        history, number = self._history, len(self._history.files)
        history.files.append(path)
        history.clocks.append(clock)
        #: Transactions that have no outcome yet, and what they were to write.
        begun: dict[str, tuple[int, Any]] = {}
        for at, size, line in rows(path, history.values):
            self._bytes += size
            if self._on_bytes is not None and not at % LINES:
                self._on_bytes(self._bytes)
            try:
                if line.type == "invoke":
                    begun[line.i] = (self._begin(line, number, at), line.w)
                else:
                    self._end(line, *begun.pop(line.i))
            except KeyError as error:
                raise BadHistory(
                    f"{path}, line {at}: {line.i!r} ends here and has not begun"
                ) from error
            except _Wrong as error:
                raise BadHistory(f"{path}, line {at}: {error}") from error
        for txn, written in begun.values():
            try:
                self._take_writes(txn, written or {})
            except _Wrong as error:
                raise BadHistory(f"{path}, line {history.line[txn]}: {error}") from error

    def _begin(self, line: Any, file: int, at: int) -> int:
        if line.i in self._known:
            raise _Wrong(f"{line.i!r} has begun before")
        self._known.add(line.i)
        history, txn = self._history, len(self._history.ids)
        history.ids.append(line.i)
        history.begin.append(line.t if line.stale_s == 0 else _older(line.t, line.stale_s))
        history.end.append(inf)
        history.outcome.append(INFO)
        history.file.append(file)
        history.line.append(at)
        who = line.agent and f"{file} {line.agent}"
        history.agent.append(history.agents.setdefault(who, len(history.agents)) if who else -1)
        if line.call:
            history.call[txn] = line.call
        return txn

    def _end(self, line: Any, txn: int, announced: Any) -> None:
        history = self._history
        if line.t < history.begin[txn]:
            raise _Wrong(f"{line.i!r} ends at {line.t}, before it began")
        history.outcome[txn] = OUTCOMES[line.type]
        history.end[txn] = line.t
        self._take_reads(txn, line)
        written = announced if line.w is None else line.w
        if written:
            self._take_writes(txn, written)

    def _name(self, name: str) -> int:
        number = self._names.get(name)
        if number is None:
            number = self._names[name] = len(self._history.names)
            self._history.names.append(name)
            self._history.orders.append([])
        return number

    # Contents that testify.

    def _contents_read(self, txn: int, line: Any) -> None:
        history = self._history
        for text, seen in line.r.items():
            name, count = self._name(text), len(seen)
            longest = history.orders[name]
            if count <= len(longest):
                fits = longest[:count] == seen
            else:
                fits = seen[: len(longest)] == longest
                if fits:
                    history.orders[name] = seen
            if fits:
                history.reads.add(txn, name, count)
            else:
                history.forks.append((txn, name, seen))

    def _tokens_written(self, txn: int, written: Any) -> None:
        history = self._history
        if isinstance(written, list):
            own = history.ids[txn]
            self._wrote(own, txn)
            for text in dict.fromkeys(written):
                history.writes.add(txn, self._name(text), -1)
            return
        for text, tokens in written.items():
            name = self._name(text)
            for token in tokens:
                self._wrote(token, txn)
            if tokens:
                history.writes.add(txn, name, -1)
            history.inner.update((name, token) for token in tokens[:-1])

    def _wrote(self, token: str, txn: int) -> None:
        if self._history.writers.setdefault(token, txn) != txn:
            raise _Wrong(f"the token {token!r} is of another transaction, too")

    # Versions as the store reports them.

    def _versions_read(self, txn: int, line: Any) -> None:
        for into, found in (self._history.reads, line.r), (self._history.past, line.h):
            for text, (version, digest) in found.items():
                into.add(txn, self._name(text), _checked(version), self._digest(digest))

    def _versions_written(self, txn: int, written: Any) -> None:
        for text, made in written.items():
            version, digest = made if isinstance(made, tuple) else (-1, made)
            place = _checked(version) if version != -1 else -1
            self._history.writes.add(txn, self._name(text), place, self._digest(digest))

    def _digest(self, digest: str | None) -> int:
        return self._history.digests.setdefault(digest, len(self._history.digests))


class _Wrong(Exception):
    """A line contradicts the lines before it."""


def _checked(version: int) -> int:
    if not 0 <= version <= VERSION_MAX:
        raise _Wrong(f"{version} is not a version")
    return version


def _older(t: float, stale_s: float | None) -> float:
    if stale_s is None:
        return -inf
    if stale_s < 0:
        raise _Wrong(f"stale_s is {stale_s}")
    return t - stale_s
