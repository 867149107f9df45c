"""What the agents of one process have observed, line by line in a file, for a judge.

The line before a call is in the file before the call asks the store, and the line after it before
the call returns, so that a process that is killed leaves a call without an outcome, and no call is
missing.  Lines reach the operating system and are not flushed to the disk.  The form is that of
``python -m specs histories``: versions and digests, as the store reports them.
"""

from __future__ import annotations

import logging
import os
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary, finalize

import msgspec

from coherence.contents import TOMBSTONE, Content, Kind, digest
from coherence.errors import PathTaken
from coherence.messages import Version
from coherence.refs import Ref
from coherence.view import Cached, View
from message_passing.clocks import name_of
from message_passing.errors import EnvironmentFault
from message_passing.ports import Clock

log = logging.getLogger("coherence.workspace")

Mark: TypeAlias = str | None
"""A digest as a file has it: hexadecimal, null for a deletion, and empty if it is not known."""

SUFFIX = ".ndjson"


class Unobserved(EnvironmentFault):
    """A call could not be observed, so it was not made."""

    remedy = "make room for the file of observations, or open the workspace without observe="


class Observations:
    """The file of one workspace in one process.

    `path` is a folder, in which the file gets a name of its own, or the path of a new file that
    ends in ``.ndjson``.  The file is closed with the last object that can write to it, so that no
    call of another thread writes to a file that has taken its number.  Raises `PathTaken`,
    `Unobserved`.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Clock) -> None:
        self._clock = clock
        self._client = f"{os.getpid()}-{token_hex(4)}"
        self.path = Path(path)
        if self.path.suffix != SUFFIX:
            self.path /= self._client + SUFFIX
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)
        except FileExistsError as error:
            raise PathTaken(f"there is a file {self.path}", remedy="name a folder") from error
        except OSError as error:
            raise Unobserved(f"{self.path}: {error.strerror or error}") from error
        finalize(self, os.close, self._file)
        self._numbers = count(1)
        self._encode = msgspec.json.Encoder().encode
        self._fault: OSError | None = None
        #: The digests of views, which are made once.
        self._marks: WeakKeyDictionary[Cached, Mark] = WeakKeyDictionary()
        head = {"history": 1, "values": "versions", "clock": name_of(clock)}
        self._write({**head, "client": self._client})
        self._require()

    def now(self) -> float:
        """The seconds of this workspace's clock."""
        return self._clock()

    def begin(
        self, call: str, written: dict[str, Mark], begun: float | None = None, **more: Any
    ) -> str:
        """Write the line before a call, and return its name.  Raises `Unobserved`."""
        name = f"{self._client}-{next(self._numbers)}"
        at = self._clock() if begun is None else begun
        line = {"type": "invoke", "t": at, "i": name, "call": call}
        if written:
            line["w"] = written
        self._write(line | more)
        self._require()
        return name

    def end(
        self,
        name: str,
        outcome: str,
        *,
        read: dict[str, tuple[Version, Mark]] | None = None,
        past: dict[str, tuple[Version, Mark]] | None = None,
        written: dict[str, tuple[Version, Mark]] | None = None,
    ) -> None:
        """Write the line after a call.  If that fails, the call counts as of unknown outcome."""
        line: dict[str, Any] = {"type": outcome, "t": self._clock(), "i": name}
        for key, found in ("r", read), ("h", past), ("w", written):
            if found:
                line[key] = found
        self._write(line)

    def mark(self, view: Cached) -> Mark:
        """The digest of the content that was read."""
        if not isinstance(view, View):
            return None
        found = self._marks.get(view)
        if found is None:
            found = self._marks[view] = mark_of(view.content)
        return found

    def _write(self, line: dict[str, Any]) -> None:
        data = self._encode(line) + b"\n"
        try:
            written = os.write(self._file, data)
            if written < len(data):
                raise OSError(f"{written} of {len(data)} bytes were written")
        except OSError as error:
            if self._fault is None:
                log.warning("%s: %s", self.path, error)
            self._fault = error

    def _require(self) -> None:
        if self._fault is not None:
            raise Unobserved(f"{self.path}: {self._fault.strerror or self._fault}")


def mark_of(content: object) -> Mark:
    """The digest of a content; unknown if it cannot be stored."""
    try:
        if isinstance(content, str):
            return digest(Kind.TEXT, content.encode()).hex()
        if isinstance(content, bytes):
            return digest(Kind.BYTES, content).hex()
    except UnicodeEncodeError:
        pass
    return ""


def mark_in(ref: Ref, content: Content | None = None) -> Mark:
    """The digest that a ref has, or else that of `content`."""
    if not ref.version or ref.digest == TOMBSTONE.digest:
        return None
    return ref.digest.hex() if ref.digest else mark_of(content)
