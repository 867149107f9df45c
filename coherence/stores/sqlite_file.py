"""The file of a SQLite store: opens it, and checks that it is still the one at its path.

SQLite has an inode open.  A file that was removed or replaced would still accept commits, which no
other process would see, so the path is compared with the inode before a commit is acknowledged.  A
second hard link is a second path: SQLite would keep two separate write-ahead logs.  (A bind mount
of the file alone is a second path too, and cannot be distinguished from the first.)
"""

from __future__ import annotations

import ctypes
import errno
import os
import sqlite3
import stat
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, Final

from coherence.errors import (
    StoreBusy,
    StoreFault,
    StoreLinked,
    StoreMissing,
    StoreReadOnly,
    StoreReplaced,
)
from coherence.stores.schema import require
from coherence.stores.sqlite_faults import fault

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]
_OFD_SETLK: Any = getattr(fcntl, "F_OFD_SETLK", None)

#: How long to wait for another process's transaction.
BUSY_S: Final = 30.0
#: How often a file is read again after other processes have written to it.
TRIES: Final = 3
#: How often a process that does not write checks that the file still exists.
LOOK_S: Final = 1.0
#: The write-ahead log is truncated to this size.
WAL_BYTES: Final = 16 << 20
#: The bytes that SQLite locks to read a file, beyond the end of any; and the header's WAL mark.
_SHARED: Final = (0x40000002, 510)
_WAL_FORMAT: Final = b"\2\2"
_FORMAT_AT: Final = 18
#: Longer than a tick of any file system's clock.
TICK_NS: Final = 2_000_000_000
#: How often to try a lock that another process is about to release.
_TURN_S: Final = 0.01
_GONE = (FileNotFoundError, NotADirectoryError)
_UNSETTLED = (0, 0)

Inode = tuple[int, int]


class SqliteFile:
    """The file at `path`, and the connections and descriptors on it.

    Raises `StoreMissing`, `StoreLinked`.
    """

    def __init__(self, path: Path, *, create: bool, readonly: bool) -> None:
        self.path = str(path.absolute())
        self._uri = path.absolute().as_uri()
        self._readonly = readonly
        self._open: list[sqlite3.Connection] = []
        self._rest: Rest | None = None
        #: The folder's identity and last change, if the files were checked since.
        self._settled = _UNSETTLED
        self._log_of_others = False
        #: The error of the file, once there is one, or that it is closed; every look raises it.
        self.gone: StoreFault | None = None
        #: When the next look is due, on this process's clock: at once after one that failed.
        self.look_at = 0.0
        if create and not readonly:
            folder = path.absolute().parent
            if not folder.is_dir():
                raise StoreMissing(f"there is no folder {folder}", remedy="make the folder first")
            if not os.path.exists(self.path):
                # By a separate connection, so that the file opened later is the one checked below.
                self._connection("rwc").close()
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise self._missing(error) from None
        if not stat.S_ISREG(found.st_mode):
            raise StoreMissing(f"{self.path} is not a file", remedy="check the path")
        if found.st_nlink > 1:
            raise StoreLinked(
                f"{self.path} is one of {found.st_nlink} names of one file (hard links)"
            )
        # Links are resolved once: SQLite keeps the log beside their target.
        self._target = os.path.realpath(self.path)
        self._beside = (f"{self._target}-wal", f"{self._target}-shm")
        self._folder = os.path.dirname(self.path)
        #: The expected file at each path.
        self._inodes = [(self.path, _inode(found))]

    def _missing(self, error: OSError) -> StoreFault:
        if isinstance(error, _GONE):
            return StoreMissing(f"there is no file {self.path}", remedy="check the path")
        return StoreMissing(f"{self.path}: {error.strerror}", remedy="check its permissions")

    # Opening.

    def prepare(self) -> None:
        """Called before connections are made, and before they are made again."""
        if self._readonly and not self._writable:
            try:
                if self._rest is None:
                    self._rest = Rest(self._target)
                self._rest.begin()
            except OSError as error:
                raise self._missing(error) from None

    def connect(self) -> sqlite3.Connection:
        """Open one more connection."""
        mode = "rw"
        if self._readonly:
            mode = "ro"
            if self._rest is not None:
                mode += "&immutable=1" if self._rest.lasts else "&readonly_shm=1"
        db = self._connection(mode)
        self._open.append(db)
        return db

    def _connection(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self._uri}?mode={mode}",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )

    def write_ahead(self, db: sqlite3.Connection) -> None:
        """Switch a writing connection to the write-ahead log.

        If two connections switch a new file at once, SQLite refuses one of them without a wait,
        since each would wait for the other.
        """
        until = monotonic() + BUSY_S
        while True:
            try:
                (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > until:
                    raise
            Event().wait(_TURN_S)
        if mode != "wal":
            raise StoreFault(
                f"{self.path} cannot have a write-ahead log", remedy="choose a disk of this machine"
            )
        db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        db.execute("PRAGMA synchronous = FULL")

    def require_schema(self, db: sqlite3.Connection) -> None:
        """Raise if a read-only connection cannot, or must not, read the schema."""
        try:
            require(db)
        except sqlite3.Error as error:
            raise self.fault(error) from error

    def fault(self, error: sqlite3.Error) -> StoreFault:
        """The typed error for an error of the first query on a connection."""
        found = fault(error)
        if self.lean and isinstance(found, StoreMissing | StoreReadOnly):
            return StoreReadOnly(
                f"{self.path} cannot be read without writing beside it: {error}",
                remedy="open it once as a user with write permission there",
            )
        return found

    def settle(self) -> None:
        """Check, after all connections are open, that they are on the file at the path.

        Raises `StoreReplaced`.
        """
        beside = () if self.rests else self._beside
        found = [(path, there) for path in beside if (there := _stat(path)) is not None]
        self._inodes = [self._inodes[0], *((path, _inode(there)) for path, there in found)]
        self.look()

    @property
    def _writable(self) -> bool:
        effective = os.access in os.supports_effective_ids
        return all(
            os.access(path, os.W_OK, effective_ids=effective)
            for path in (self._target, os.path.dirname(self._target))
        )

    # Looking.

    @property
    def lean(self) -> bool:
        """Whether nothing can be written, not even beside the file."""
        return self._rest is not None

    @property
    def rests(self) -> bool:
        """Whether the file is read as one without writers."""
        return self._rest is not None and self._rest.lasts

    def disturbed(self) -> bool:
        """Whether a process now writes: data read from a file at rest may then be wrong."""
        return self._rest is not None and self._rest.ended()

    def glance(self) -> None:
        """As `look`, at the cost of one system call if nothing has changed.

        While the folder is the same and no entry in it was added, removed or renamed, these files
        are unchanged.  The change time of a folder cannot be set back.
        """
        try:
            folder = os.stat(self._folder)
        except OSError:
            self.look()
        else:
            if (folder.st_ctime_ns, folder.st_ino) != self._settled:
                self.look()

    def look(self) -> None:
        """Raise `StoreMissing` or `StoreReplaced` if the open file is not the one at the path."""
        self.look_at = 0.0
        self.require()
        self._settled = _UNSETTLED
        try:
            folder = os.stat(self._folder)
            for path, inode in self._inodes:
                if _inode(os.stat(path)) != inode:
                    self._log_of_others = path != self.path
                    self.gone = StoreReplaced(f"{path} was replaced while it was open")
                    raise self.gone
        except _GONE as error:
            kind = StoreReplaced if error.filename in self._beside else StoreMissing
            self.gone = kind(
                f"{error.filename} was removed while it was open", remedy=StoreReplaced.remedy
            )
            raise self.gone from None
        except OSError as error:
            raise StoreFault(
                f"{error.filename}: {error.strerror}", remedy="check the disk and its permissions"
            ) from error
        self.look_at = monotonic() + LOOK_S
        # A file system's clock has ticks: two changes within one tick have the same time.
        rested_ns = time.time_ns() - folder.st_ctime_ns
        if os.name == "posix" and rested_ns > TICK_NS and self.path == self._target:
            self._settled = (folder.st_ctime_ns, folder.st_ino)

    def require(self) -> None:
        """Raise if an earlier look has failed, or the file is closed."""
        if self.gone is not None:
            raise self.gone.with_traceback(None)

    def give_up(self, fault: StoreFault) -> None:
        """Make every later call raise `fault`."""
        self.gone, self.look_at = fault, 0.0

    # Closing.

    def disconnect(self) -> None:
        """Close all connections; new ones may be opened."""
        for db in self._open:
            if self._log_of_others:
                _close_without_log(db)
            else:
                db.close()
        self._open.clear()

    def close(self) -> None:
        """Close everything."""
        with suppress(StoreFault):
            self.look()
        self.disconnect()
        # Last: closing a descriptor drops SQLite's locks on the file.
        if self._rest is not None:
            self._rest.close()


class Rest:
    """Reads a file when nothing can be written, not even beside it.

    In WAL mode SQLite reads a file only with the log and its index beside it, and creates both if
    they are missing.  Without that permission, a file that no process has open could not be read.
    It can be read as immutable, but SQLite then neither locks nor checks, so the data is valid only
    while no process writes.

    SQLite's own lock for readers, which is held here, proves that.  A process that opens the file
    creates the log's index before it writes, and cannot remove it while that lock is held.  So if
    there is no index after a read, no process has written before it.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._file = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
        #: Whether the file may be read as immutable, until `ended` is true.
        self.lasts = False

    def begin(self) -> None:
        """Find out whether a process writes.  Raises `StoreBusy`."""
        self.lasts = False
        if _OFD_SETLK is None:
            return  # SQLite reports the error
        waited_s = 0.0
        while not self._lock(fcntl.F_RDLCK):
            if waited_s >= BUSY_S:
                raise StoreBusy(f"{self._target} is locked by another process")
            Event().wait(_TURN_S)
            waited_s += _TURN_S
        if os.pread(self._file, len(_WAL_FORMAT), _FORMAT_AT) == _WAL_FORMAT:
            self.lasts = not self._in_use()
        else:
            self._lock(fcntl.F_UNLCK)  # SQLite takes this lock itself for each read

    def ended(self) -> bool:
        """Whether it was at rest, and no longer is."""
        return self.lasts and self._in_use()

    def _in_use(self) -> bool:
        """Whether the log holds anything, or has an index."""
        log, index = (_stat(self._target + end) for end in ("-wal", "-shm"))
        return (log is not None and log.st_size > 0) or index is not None

    def _lock(self, kind: int) -> bool:
        """Lock the open file, not the process, so that SQLite's locks do not affect it."""
        wanted = struct.pack("hhqqi4x", kind, os.SEEK_SET, *_SHARED, 0)
        try:
            fcntl.fcntl(self._file, _OFD_SETLK, wanted)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def close(self) -> None:
        """Release the lock."""
        os.close(self._file)


def _close_without_log(db: sqlite3.Connection) -> None:
    """Close a connection without touching the log at the path, which belongs to another file.

    Otherwise the last connection would write its log into the file, and remove the other log.
    """
    if sys.version_info >= (3, 12):
        db.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
        db.close()
    else:
        # SQLite has no call for it: the connection must stay open until the process ends.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(db))


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _inode(found: os.stat_result) -> Inode:
    return found.st_dev, found.st_ino
