"""What an endpoint has promised, on disk before any other process hears of it.

A journal holds a snapshot and the events since; replaying them through the pure step gives the
state again.  An endpoint writes the events of one round of its loop, forces them to disk, and only
then sends the packets that they caused.  So an endpoint that restarts with its journal has lost
neither a message that its application sent nor one that it acknowledged.  A message is finished
when its application asks for the next one; unfinished messages are delivered again.

An append is on disk whole or not at all: :mod:`causal.records` has the bytes, and says what is
damage.  A file in the earlier form is read, and written in today's form when something is appended.

A journal belongs to one `Journal` of one process, by a lock on the file; forked children drop their
share of it.  The file can be read by its user only.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from causal.records import (
    MARK_BYTES,
    Contents,
    DamagedJournal,
    NewerJournal,
    header,
    marked,
    read,
    record,
)
from message_passing.errors import CallerError, EnvironmentFault
from message_passing.forks import in_children
from message_passing.process import Address, Value


class Began(Value, frozen=True, gc=False, tag=True, array_like=True):
    """The journal's endpoint and incarnation, and the machine that replays its entries."""

    name: Address
    team: tuple[Address, ...]
    incarnation: bytes
    machine: str = "hybrid"


class Rested(Value, frozen=True, gc=False, tag=True, array_like=True):
    """A machine's snapshot at one moment, and the delivered messages that are not finished.

    The snapshot is read as plain data, since only its machine knows its form.
    """

    state: Any
    inbox: tuple[tuple[Address, int, bytes], ...]


class Sent(Value, frozen=True, gc=False, tag=True, array_like=True):
    """The application sent a message."""

    dst: Address
    payload: bytes


class Got(Value, frozen=True, gc=False, tag=True, array_like=True):
    """A packet arrived and was taken.  It is read as plain data, as a snapshot is."""

    src: Address
    packet: Any


class Down(Value, frozen=True, gc=False, tag=True, array_like=True):
    """A peer was excluded."""

    peer: Address


class Admitted(Value, frozen=True, gc=False, tag=True, array_like=True):
    """A process was taken into the team."""

    peer: Address
    address: str


class Left(Value, frozen=True, gc=False, tag=True, array_like=True):
    """The application asked to leave the team."""

    at_once: bool


class Dealt(Value, frozen=True, gc=False, tag=True, array_like=True):
    """The application has finished the oldest delivered message."""


Entry: TypeAlias = Began | Rested | Sent | Got | Down | Admitted | Left | Dealt

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Entry]).decode
_decode_earlier = msgspec.msgpack.Decoder(Entry).decode


class JournalInUse(CallerError):
    """Another process has the journal open."""

    remedy = "one endpoint, one journal"


class WrongJournal(CallerError):
    """The journal belongs to another endpoint or another team."""

    remedy = "a team may grow at its end; an endpoint keeps its name and its machine"


class JournalFault(EnvironmentFault):
    """The disk refused or failed.  Nothing of the append is in the journal."""

    remedy = "make room or mend the disk, then open the endpoint again with its journal"


class OutcomeUnknown(JournalFault):
    """The disk failed, and what was being appended may be in the journal or not."""

    remedy = "mend the disk, then open the endpoint again; the ids that it gives next tell"


class Journal:
    """A file of entries.  With `sync=False` the system decides when they reach the disk."""

    def __init__(self, path: str | Path, *, sync: bool = True) -> None:
        # Neither a change of the folder nor a link may lead a later replacement elsewhere.
        self.path = Path(os.path.realpath(path))
        self.sync = sync
        #: The length of what was read or appended.  The file may be longer for a torn tail.
        self.size = 0
        self._is_ragged = False
        self._mark = b""
        #: The entries of a file that is not in today's form; it is replaced at the next append.
        self._earlier: list[Entry] = []
        self._file: FileIO | None = None
        self._fresh: FileIO | None = None
        # The lock belongs to the open file, which a child shares, and must end with its parent.
        in_children(self.close)

    def open(self) -> list[Entry]:
        """Lock the file and read it.  Nothing is written before the first append.

        Raises `JournalInUse`, `DamagedJournal`, `NewerJournal`, or `EnvironmentFault` if the file
        is not accessible.
        """
        if self._file is not None:
            raise JournalInUse(f"{self.path} is open here already")
        try:
            while (file := self._locked()) is None:
                pass
            file.seek(0)
            data = file.readall()
            found = read(data)
            entries = _entries(found)
        except OSError as error:
            self.close()
            raise EnvironmentFault(f"{self.path}: {error.strerror}") from error
        except (DamagedJournal, NewerJournal) as error:
            self.close()
            raise type(error)(f"{self.path}: {error.args[0]}") from error
        except BaseException:
            self.close()
            raise
        self.size, self._mark = found.end, found.mark
        self._is_ragged = found.end < len(data)
        self._earlier = [] if found.mark else entries
        return entries

    def append(self, entries: Iterable[Entry]) -> None:
        """Write the entries and force them to disk, all or none.

        Raises `JournalFault`, and `OutcomeUnknown` if they cannot be removed from the file either.
        """
        file, batch = self._opened(), list(entries)
        if not self._mark:
            if batch or self._earlier:
                self.replace([*self._earlier, *batch])
            return
        if not batch:
            return
        data = record(self._mark, self.size, _encode(batch))
        try:
            if self._is_ragged:
                self._cut(file)
            self._is_ragged = True
            _write(file, data)
            if self.sync:
                os.fsync(file)
        except OSError as error:
            raise self._withdrawn(file, error) from error
        self._is_ragged = False
        self.size += len(data)

    def replace(self, entries: Iterable[Entry]) -> None:
        """Replace all entries by `entries`; a crash leaves either the old or the new file.

        Raises `JournalFault`.  Raises `OutcomeUnknown` and closes the journal if it is not known
        which of the two files a crash would leave.
        """
        old = self._opened()
        mark = marked(os.urandom(MARK_BYTES))
        data = header(mark)
        data += record(mark, len(data), _encode(list(entries)))
        path = self.path.with_name(self.path.name + ".new")
        try:
            with suppress(FileNotFoundError):
                os.unlink(path)
            self._fresh = file = _private(path, os.O_EXCL)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write(file, data)
            os.fsync(file)
            os.replace(path, self.path)
            self._file, self._fresh = file, None
        except OSError as error:
            _close(self._fresh)
            with suppress(OSError):
                os.unlink(path)
            raise JournalFault(f"{path}: {error.strerror}") from error
        except BaseException:
            # Appends would go to a file that may have lost its path.
            self.close()
            raise
        _close(old)
        self.size, self._mark, self._earlier, self._is_ragged = len(data), mark, [], False
        try:
            _sync_folder(self.path.parent)
        except OSError as error:
            self.close()
            raise OutcomeUnknown(f"{self.path.parent}: {error.strerror}") from error

    def close(self) -> None:
        """Close the file and release the lock.  A second call does nothing."""
        _close(self._file)
        _close(self._fresh)
        self._file = self._fresh = None

    def _locked(self) -> FileIO | None:
        """Open the file and lock it.  None if the path has another file meanwhile."""
        self._file = file = _private(self.path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JournalInUse(f"{self.path} is open elsewhere") from error
        # Its owner may have replaced it between our two calls, and closed it.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(self.path)):
                return file
        self.close()
        return None

    def _cut(self, file: FileIO) -> None:
        """Remove what stands after `size`, before anything else is written there."""
        file.truncate(self.size)
        if self.sync:
            os.fsync(file)
        self._is_ragged = False

    def _withdrawn(self, file: FileIO, error: OSError) -> JournalFault:
        """The error to raise, after an attempt to remove what was written in part."""
        text = f"{self.path}: {error.strerror}"
        try:
            self._cut(file)
        except OSError:
            return OutcomeUnknown(text)
        return JournalFault(text)

    def _opened(self) -> FileIO:
        if self._file is None:
            raise EnvironmentFault(f"{self.path} is not open")
        return self._file


def _entries(found: Contents) -> list[Entry]:
    try:
        if not found.mark:
            return [_decode_earlier(body) for body in found.bodies]
        return [entry for body in found.bodies for entry in _decode(body)]
    except msgspec.MsgspecError as error:
        # Its check is right, so it is as it was written.
        raise NewerJournal(f"it holds an entry that is unknown here: {error}") from error


def _private(path: Path, flags: int = 0) -> FileIO:
    """Open a file to read and to append, as its user's only if it is new."""
    return open(
        path, "a+b", buffering=0, opener=lambda name, more: os.open(name, more | flags, 0o600)
    )


def _write(file: FileIO, data: bytes) -> None:
    """Write all of `data`, past short writes."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _close(file: FileIO | None) -> None:
    if file is not None:
        # Nothing is left to be written, and after an error the file is closed as well.
        with suppress(OSError):
            file.close()


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
