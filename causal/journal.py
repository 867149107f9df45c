"""What an endpoint has promised, on disk before any other process hears of it.

A journal holds a snapshot and the events since; replaying them through the pure step gives the
state again.  An endpoint writes the events of one round of its loop, forces them to disk, and only
then sends the packets that they caused.  So an endpoint that restarts with its journal has lost
neither a message that its application sent nor one that it acknowledged.  A message is finished
when its application asks for the next one; unfinished messages are delivered again.

A record is its length, the CRC-32 of its body, and the body.  If the last record is cut short, no
process has seen its effects, and it is dropped.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Final, TypeAlias
from zlib import crc32

import msgspec

from message_passing.errors import CallerError, EnvironmentFault
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
_decode = msgspec.msgpack.Decoder(Entry).decode
_HEAD: Final = 8


class JournalInUse(CallerError):
    """Another process has the journal open."""

    remedy = "one endpoint, one journal"


class WrongJournal(CallerError):
    """The journal belongs to another endpoint or another team."""

    remedy = "a team may grow at its end; an endpoint keeps its name and its machine"


class DamagedJournal(EnvironmentFault):
    """A record before the last one is damaged: the records after it cannot be trusted."""

    remedy = "restore the file, or join again under a new name"


class Journal:
    """A file of entries.  With `sync=False` the system decides when they reach the disk."""

    def __init__(self, path: str | Path, *, sync: bool = True) -> None:
        self.path = Path(path)
        self.sync = sync
        self.size = 0
        self._file: IO[bytes] | None = None

    def open(self) -> list[Entry]:
        """Lock the file and read it.

        Raises `JournalInUse`, `DamagedJournal`, or `EnvironmentFault` if the file is not
        accessible.
        """
        try:
            self._file = file = open(self.path, "a+b")  # noqa: SIM115 - closed by `close`
        except OSError as error:
            raise EnvironmentFault(f"{self.path}: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise JournalInUse(f"{self.path} is open elsewhere") from error
        file.seek(0)
        data = file.read()
        try:
            entries, good = _read(data)
        except DamagedJournal:
            self.close()
            raise
        if good < len(data):
            file.truncate(good)
        self.size = good
        return entries

    def append(self, entries: Iterable[Entry]) -> None:
        """Write the entries and force them to disk."""
        file = self._opened()
        data = b"".join(_record(entry) for entry in entries)
        try:
            file.write(data)
            file.flush()
            if self.sync:
                os.fsync(file.fileno())
        except OSError as error:
            raise EnvironmentFault(f"{self.path}: {error.strerror}") from error
        self.size += len(data)

    def replace(self, entries: Iterable[Entry]) -> None:
        """Replace all entries by `entries`; a crash leaves either the old or the new file."""
        self._opened()
        fresh = self.path.with_name(self.path.name + ".new")
        data = b"".join(_record(entry) for entry in entries)
        try:
            file = open(fresh, "w+b")  # noqa: SIM115 - it becomes the journal's file
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.replace(fresh, self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        except OSError as error:
            raise EnvironmentFault(f"{fresh}: {error.strerror}") from error
        self.close()
        self._file, self.size = file, len(data)

    def close(self) -> None:
        """Close the file and release the lock.  A second call does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            raise EnvironmentFault(f"{self.path} is not open")
        return self._file


def _record(entry: Entry) -> bytes:
    body = _encode(entry)
    return len(body).to_bytes(4, "big") + crc32(body).to_bytes(4, "big") + body


def _read(data: bytes) -> tuple[list[Entry], int]:
    """The entries, and the offset at which the last whole entry ends."""
    entries: list[Entry] = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        end = at + _HEAD + size
        body = data[at + _HEAD : end]
        if end > len(data):
            break
        if not body or crc32(body).to_bytes(4, "big") != data[at + 4 : at + _HEAD]:
            # Zeros or noise up to the end: an unfinished write.
            if end == len(data) or not any(data[at:]):
                break
            raise DamagedJournal(f"a record of {size} bytes at {at} is damaged")
        try:
            entries.append(_decode(body))
        except msgspec.MsgspecError as error:
            raise DamagedJournal(f"a record at {at} is not a journal entry: {error}") from error
        at = end
    return entries, at
