"""A lock that the kernel drops when its process ends: one byte of a file beside the store.

Each opening of a store locks the byte at the offset that is its origin, a random number, so one
empty file serves all processes.  The lock belongs to the open file (`F_OFD_SETLK`), not to the
process: two openings in one process are two holders, and closing another descriptor does not drop
the lock, as it would drop a `lockf` lock.  A forked child shares the open file; it closes its share
at once, so that the lock ends with the parent.  The query for a locked byte does not lock it, so
two concurrent queries do not take each other for the holder.
"""

from __future__ import annotations

import os
import struct
import threading
from pathlib import Path
from typing import Final

from message_passing import forks
from message_passing.interrupts import free

try:
    import fcntl
except ImportError:  # Windows
    OFD = False
else:
    OFD = hasattr(fcntl, "F_OFD_SETLK")

#: The fields of a `struct flock`: `l_type`, `l_whence`, `l_start`, `l_len`, `l_pid`.
_FLOCK: Final = "@hhqqi"
#: How often to open the file again after it was replaced.
_TRIES: Final = 3


class LifeLock:
    """The lock of one opening of a store, on the file at `path`.

    It is taken by `take` and dropped by `close`, by the collector, or by the kernel.
    """

    def __init__(self, path: Path, origin: int) -> None:
        self._path = path
        self._origin = origin
        self._lock = threading.RLock()
        self._fd = -1
        #: Identifies the open file; empty if none is open.
        self._file = ""
        #: Whether this opening's byte is locked in it.
        self._held = False
        forks.in_children(self._disown)

    def take(self) -> str:
        """Lock this opening's byte, and again if the file at the path has been replaced.

        Returns the identity of the locked file, for others to compare; empty if locks are
        unavailable.
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
        """Whether the byte of `origin` in `file` is not locked; None if that cannot be known."""
        with self._lock:
            if not (OFD and file):
                return None
            try:
                if self._there() != file:
                    return None
                if self._file == file:
                    return self._is_free(origin)
                if self._held:
                    return None  # this lock is in another file until it is taken again
                self._open()
                return self._is_free(origin) if self._file == file else None
            except OSError:
                return None

    @property
    def lost(self) -> bool:
        """Whether the lock is in a file that is no longer at the path."""
        with self._lock:
            return self._held and self._there() != self._file

    def release(self) -> None:
        """Release the resources that an interrupted call of this thread has left."""
        free(self._lock)

    def close(self) -> None:
        """Release the lock."""
        with self._lock:
            if self._held:
                # A child forked without Python's hooks may share the open file.
                self._control(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, self._origin)
            self._close()

    def _there(self) -> str:
        """Identifies the file at the path now; empty if it is missing."""
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
        # A read lock needs no write permission, so one user's file serves another user.
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
    # The number of an inode is not reused while a process has the file open: if the identity is
    # equal, the file is the one that its holder has locked.
    return f"{found.st_dev}:{found.st_ino}"
