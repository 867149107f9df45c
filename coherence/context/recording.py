"""A run of an adapter's agents as a file: one JSON object a line, each an event of `events`.

``coherence simulate replay --trace FILE`` asks what the same run would have cost in another way.
The file has names, versions and sizes, and no text.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from coherence.context.events import Event, Tell
from coherence.errors import BadArgument
from message_passing.errors import EnvironmentFault


class NotRecorded(EnvironmentFault):
    """A file of events could not be written.  The run itself is not affected."""

    remedy = "give a folder that exists and has space, and run again"


class _File:
    def __init__(self, path: Path) -> None:
        self._path, self._busy = path, threading.Lock()
        self._fault: OSError | None = None
        try:
            self._stream: BinaryIO = path.open("xb")
        except FileExistsError:
            raise BadArgument(f"{path} exists", remedy="name a new file") from None
        except OSError as error:
            raise NotRecorded(f"{path}: {error.strerror}") from error

    def write(self, event: Event) -> None:
        line = msgspec.json.encode(event) + b"\n"
        with self._busy:
            try:
                self._stream.write(line)
            except OSError as error:  # no model's call fails for it: `close` reports it
                self._fault = self._fault or error

    def close(self) -> None:
        with self._busy:
            try:
                self._stream.close()
            except OSError as error:
                self._fault = self._fault or error
        if self._fault is not None:
            raise NotRecorded(f"{self._path}: {self._fault.strerror}") from self._fault


_files: tuple[_File, ...] = ()
_opening = threading.Lock()


@contextmanager
def recorded(path: Path | str) -> Iterator[None]:
    """While the block runs, the events of all agents of this process's adapters go to `path` too.

    Raises `BadArgument` if the file exists, and `NotRecorded`: at the end of the block if a part of
    the run is missing.
    """
    global _files
    file = _File(Path(path))
    with _opening:
        _files = (*_files, file)
    try:
        yield
    finally:
        with _opening:
            _files = tuple(other for other in _files if other is not file)
        file.close()


def record(event: Event) -> None:
    """Write `event` to the files that are open."""
    for file in _files:
        file.write(event)


def also(tell: Tell | None) -> Tell | None:
    """`tell`, and every file that is open; None if nothing would listen."""
    if not _files:
        return tell

    def both(event: Event) -> None:
        record(event)
        if tell is not None:
            tell(event)

    return both
