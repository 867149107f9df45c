"""The file of a SQLite store: how it is opened, and whether it is still the one at its path.

What SQLite has open is an inode.  A file that is removed, or replaced by another, goes on to take
commits which nobody else will ever see, so the path is compared with the inode before a commit is
acknowledged.  A second hard link is a second path: SQLite keeps a write-ahead log beside each, and
the two would not know of each other.  (A bind mount of the file alone is a second path too, and
cannot be told from the first.)
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
from coherence.stores.sqlite_transaction import BUSY_S

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]
_OFD_SETLK: Any = getattr(fcntl, "F_OFD_SETLK", None)

#: The write-ahead log is cut back to this.
WAL_BYTES: Final = 16 << 20
#: The bytes that SQLite locks to read a file, beyond the end of any; and how a header says WAL.
_SHARED: Final = (0x40000002, 510)
_WAL_FORMAT: Final = b"\2\2"
_FORMAT_AT: Final = 18
#: Longer than any file system's clock ticks.
TICK_NS: Final = 2_000_000_000
#: How often a lock is tried for that another process is about to give back.
_TURN_S: Final = 0.01
_GONE = (FileNotFoundError, NotADirectoryError)
_UNSETTLED = (0, 0)

Inode = tuple[int, int]


class SqliteFile:
    """The file at `path`, and what has been opened of it.

    Raises `StoreMissing`, `StoreLinked`.
    """

    def __init__(self, path: Path, *, create: bool, readonly: bool) -> None:
        self.path = str(path.absolute())
        self._uri = path.absolute().as_uri()
        self._readonly = readonly
        self._open: list[sqlite3.Connection] = []
        self._rest: Rest | None = None
        #: When the folder last changed, and which it is, where the files were looked at since.
        self._settled = _UNSETTLED
        self._log_of_others = False
        #: What has become of the file; every later look says the same.
        self.gone: StoreFault | None = None
        if create and not readonly:
            folder = path.absolute().parent
            if not folder.is_dir():
                raise StoreMissing(f"there is no folder {folder}", remedy="make the folder first")
            if not os.path.exists(self.path):
                # By a connection of its own, so that what is open is what is looked at below.
                self._connection("rwc").close()
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise self._missing(error) from None
        if not stat.S_ISREG(found.st_mode):
            raise StoreMissing(f"{self.path} is no file", remedy="check the path")
        if found.st_nlink > 1:
            raise StoreLinked(
                f"{self.path} is one of {found.st_nlink} names of one file (hard links)"
            )
        # Links are followed once: SQLite keeps the log beside the file that they lead to.
        self._target = os.path.realpath(self.path)
        self._beside = (f"{self._target}-wal", f"{self._target}-shm")
        self._folder = os.path.dirname(self.path)
        #: What must be found at each path.
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
        """One more connection."""
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
        """Have a connection that writes append to a log."""
        (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreFault(
                f"{self.path} cannot have a write-ahead log", remedy="choose a disk of this machine"
            )
        db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        db.execute("PRAGMA synchronous = FULL")

    def require_schema(self, db: sqlite3.Connection) -> None:
        """Raise where a connection that only reads cannot, or must not."""
        try:
            require(db)
        except sqlite3.Error as error:
            raise self.fault(error) from error

    def fault(self, error: sqlite3.Error) -> StoreFault:
        """What SQLite's error means, where it is the first that was asked of a connection."""
        found = fault(error)
        if self.lean and isinstance(found, StoreMissing | StoreReadOnly):
            return StoreReadOnly(
                f"{self.path} cannot be read without writing beside it: {error}",
                remedy="open it once as a user who may write there",
            )
        return found

    def settle(self) -> None:
        """All connections are there: see to it that they are of what is at the path.

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
        """Whether nothing may be written, not even beside the file."""
        return self._rest is not None

    @property
    def rests(self) -> bool:
        """Whether it is read as a file that nobody writes."""
        return self._rest is not None and self._rest.lasts

    def disturbed(self) -> bool:
        """Whether somebody writes by now: what was read of a file at rest may be anything."""
        return self._rest is not None and self._rest.ended()

    def glance(self) -> None:
        """As `look`, at the cost of one call of the system where nothing has happened.

        As long as a folder is the same one and nothing in it came, went or changed its name,
        neither did these files.  Nobody can set back the time at which that last happened.
        """
        try:
            folder = os.stat(self._folder)
        except OSError:
            self.look()
        else:
            if (folder.st_ctime_ns, folder.st_ino) != self._settled:
                self.look()

    def look(self) -> None:
        """Raise `StoreMissing` or `StoreReplaced` where what is open is not what is at the path."""
        if self.gone is not None:
            raise self.gone.with_traceback(None)
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
        # The clock of a file system ticks: within one tick two changes have the same time.
        rested_ns = time.time_ns() - folder.st_ctime_ns
        if os.name == "posix" and rested_ns > TICK_NS and self.path == self._target:
            self._settled = (folder.st_ctime_ns, folder.st_ino)

    # Closing.

    def disconnect(self) -> None:
        """Close all connections; others may be made."""
        for db in self._open:
            if self._log_of_others:
                _close_without_log(db)
            else:
                db.close()
        self._open.clear()

    def close(self) -> None:
        """Let go of everything."""
        with suppress(StoreFault):
            self.look()
        self.disconnect()
        # Last: a descriptor that is closed takes SQLite's locks on the file with it.
        if self._rest is not None:
            self._rest.close()


class Rest:
    """A file that is read where nothing may be written, not even beside it.

    In WAL mode SQLite reads a file only with the log and its index beside it, and makes both where
    they are missing.  Without permission for that, a file that nobody has open could not be read.
    Read as immutable it can be, but SQLite then neither locks nor looks: it is right only as long
    as nobody writes.

    That is proved by SQLite's own lock for readers, which is held here.  A process that opens the
    file makes the log's index before it writes, and cannot remove it while that lock is held.  So
    where there is no index after something was read, nobody has written before it was.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._file = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
        #: Whether the file may be read as immutable, until `ended` says otherwise.
        self.lasts = False

    def begin(self) -> None:
        """Find out whether somebody writes.  Raises `StoreBusy`."""
        self.lasts = False
        if _OFD_SETLK is None:
            return  # SQLite says what it cannot do
        waited_s = 0.0
        while not self._lock(fcntl.F_RDLCK):
            if waited_s >= BUSY_S:
                raise StoreBusy(f"{self._target} is locked by another process")
            Event().wait(_TURN_S)
            waited_s += _TURN_S
        if os.pread(self._file, len(_WAL_FORMAT), _FORMAT_AT) == _WAL_FORMAT:
            self.lasts = not self._in_use()
        else:
            self._lock(fcntl.F_UNLCK)  # SQLite locks it itself, whenever it reads

    def ended(self) -> bool:
        """Whether it was at rest, and is not any more."""
        return self.lasts and self._in_use()

    def _in_use(self) -> bool:
        """Whether the log holds anything, or has an index."""
        log, index = (_stat(self._target + end) for end in ("-wal", "-shm"))
        return (log is not None and log.st_size > 0) or index is not None

    def _lock(self, kind: int) -> bool:
        """Of the open file, not of the process: SQLite's own locks come and go beside it."""
        wanted = struct.pack("hhqqi4x", kind, os.SEEK_SET, *_SHARED, 0)
        try:
            fcntl.fcntl(self._file, _OFD_SETLK, wanted)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._file)


def _close_without_log(db: sqlite3.Connection) -> None:
    """Close a connection so that it leaves alone the log at the path, which is another's.

    The last connection to go would write its own log into the file, and remove the other one.
    """
    if sys.version_info >= (3, 12):
        db.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
        db.close()
    else:
        # There is no way to say so: it must stay open until the process ends, and beyond.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(db))


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _inode(found: os.stat_result) -> Inode:
    return found.st_dev, found.st_ino
