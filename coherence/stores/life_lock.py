"""A lock that the kernel drops with the process that holds it: one byte of a file beside the store.

Each opening of a store locks the byte at the offset that is its origin, a random number, so one
file of no length serves all.  The lock belongs to the open file (`F_OFD_SETLK`), not to the
process: two openings in one process are two holders, and no other descriptor that the process
closes takes the lock away, as it would take one of `lockf`.  A forked child shares the open file;
it lets go of its share at once, so that the lock ends with the parent.  Whether a byte is locked is
asked without locking it, so two that ask do not take each other for the holder.
"""

from __future__ import annotations

import os
import struct
import threading
from pathlib import Path
from typing import Final
from weakref import WeakSet

from message_passing.interrupts import free

try:
    import fcntl
except ImportError:  # Windows
    OFD = False
else:
    OFD = hasattr(fcntl, "F_OFD_SETLK")

#: A `struct flock`: type, whence, start, length, process.
_FLOCK: Final = "@hhqqi"
#: How often to open the file anew where it was replaced meanwhile.
_TRIES: Final = 3

_ALL: WeakSet[LifeLock] = WeakSet()


class LifeLock:
    """The lock of one opening of a store, on the file at `path`.

    It is taken by `take` and dropped by `close`, by the collector, or by the kernel.
    """

    def __init__(self, path: Path, origin: int) -> None:
        self._path = path
        self._origin = origin
        self._lock = threading.RLock()
        self._fd = -1
        #: Names the file that is open; empty where none is.
        self._file = ""
        #: Whether our byte is locked in it.
        self._held = False
        _ALL.add(self)

    def take(self) -> str:
        """Lock our byte, again where the file at the path is another one than before.

        What it is a lock of, for others to compare; empty where there is no such lock to be had.
        """
        with self._lock:
            if not OFD:
                return ""
            try:
                for _ in range(_TRIES):
                    if self._file and self._file == self._there():
                        break
                    self._open(os.O_CREAT)
                if not self._held:
                    self._control(fcntl.F_OFD_SETLK, fcntl.F_RDLCK, self._origin)
                    self._held = True
                return self._file
            except OSError:
                self._close()
                return ""

    def is_free(self, origin: int, file: str) -> bool | None:
        """Whether nobody holds the byte of `origin` in `file`; None where that cannot be told."""
        with self._lock:
            if not (OFD and file):
                return None
            try:
                if self._there() != file:
                    return None
                if self._file == file:
                    return self._is_free(origin)
                if self._held:
                    return None  # ours is elsewhere until it is taken again
                self._open()
                return self._is_free(origin) if self._file == file else None
            except OSError:
                return None

    @property
    def lost(self) -> bool:
        """Whether a lock that was taken is one of a file that is no longer at the path."""
        with self._lock:
            return self._held and self._there() != self._file

    def release(self) -> None:
        """Give back what an interrupted call of this thread has left behind."""
        free(self._lock)

    def close(self) -> None:
        """Let go of the lock."""
        with self._lock:
            if self._held:
                # A child that was forked behind our back may share the open file.
                self._control(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, self._origin)
            self._close()

    def _there(self) -> str:
        """Names the file that is at the path now; empty where there is none."""
        try:
            return _named(os.stat(self._path))
        except OSError:
            return ""

    def _is_free(self, origin: int) -> bool:
        answer = self._control(fcntl.F_OFD_GETLK, fcntl.F_WRLCK, origin)
        return int(struct.unpack(_FLOCK, answer)[0]) == fcntl.F_UNLCK

    def _control(self, what: int, kind: int, origin: int) -> bytes:
        wanted = struct.pack(_FLOCK, kind, os.SEEK_SET, origin, 1, 0)
        return fcntl.fcntl(self._fd, what, wanted)

    def _open(self, create: int = 0) -> None:
        self._close()
        # To be locked for reading it need not be writable, so one user's file serves another.
        self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | create, 0o666)
        self._file = _named(os.fstat(self._fd))

    def _close(self) -> None:
        fd, self._fd, self._file, self._held = self._fd, -1, "", False
        if fd >= 0:
            os.close(fd)

    def _disown(self) -> None:
        """This is a forked child: the lock is the parent's."""
        self._lock = threading.RLock()
        self._close()

    def __del__(self) -> None:
        self._close()


def _named(found: os.stat_result) -> str:
    # A number of an inode is not given out again while a process has the file open: where the name
    # is the same, the file is the one that its holder has locked.
    return f"{found.st_dev}:{found.st_ino}"


def _after_fork() -> None:
    for lock in list(_ALL):
        lock._disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
