"""The connections of one opening of a SQLite file, and what its transactions share.

One connection writes, one reads, and one only queries ``PRAGMA data_version``, which changes when
another connection commits.  The query must be outside any transaction, or it would answer as of
the transaction's start; so the writing connection is queried only when it is idle.

Each connection has one cursor.  A statement that an interrupt has left unfinished would keep the
connection at its start; the cursor's next statement ends it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import RLock
from time import monotonic
from typing import Any, Final

from coherence.errors import StoreBusy, StoreCorrupt, StoreFault
from coherence.stores.chance import draw
from coherence.stores.port import Place, Retention
from coherence.stores.schema import prepare
from coherence.stores.sqlite_faults import fault, faults, unreadable
from coherence.stores.sqlite_file import TRIES, SqliteFile
from message_passing.interrupts import free, owned
from message_passing.process import Time

#: How long one attempt to begin a transaction waits for another process.
TURN_S: Final = 0.25
#: More than a connection can count of other connections' commits.
COMMITS_MAX: Final = 1 << 32


class SqliteConnections:
    """The three connections on the file at `path`, each with the lock under which it is used.

    Raises `StoreMissing`, `StoreLinked`, `StoreNewer`, `StoreCorrupt`.
    """

    def __init__(
        self,
        path: Path,
        retention: Retention,
        clock: Callable[[], Time],
        *,
        create: bool,
        readonly: bool,
    ) -> None:
        self.path = path
        self.retention = retention
        self.clock = clock
        self.readonly = readonly
        #: As `Store.origin`; 0 for an opening that only reads.
        self.origin = 0 if readonly else draw()
        #: As `Store.last`.
        self.last = Place(0)
        #: The loopback port that ends this process's wait, 0 without one.
        self.port = 0
        #: Held for a whole transaction, and by the thread that uses the writing connection.
        self.lock = RLock()
        self.reading = RLock()
        self.glancing = RLock()
        #: Whether a thread is in a transaction: then only the third connection can be queried.
        self.writing = False
        #: Whether the writing connection syncs its commits to the disk.
        self.durable = True
        #: Distinguishes the marks of one set of connections from those of the next.
        self.reopenings = 0
        self.file = SqliteFile(path, create=create, readonly=readonly)
        try:
            with faults():
                self._connect()
                self.identity = self.meta("identity")
                self.file.settle()
        except BaseException:
            self.file.close()
            raise

    def _connect(self) -> None:
        self.file.prepare()
        write = self.file.connect()
        self.writer = write.cursor()
        if self.readonly:
            self.file.require_schema(write)
        else:
            self.file.write_ahead(write)
            prepare(write)
            self.writer.execute(f"PRAGMA busy_timeout = {TURN_S * 1000:.0f}")
        self.reader = self.file.connect().cursor()
        self.glass = self.file.connect().cursor()

    def connect_again(self) -> None:
        """Other processes now write to a file that was read at rest: open it as they do."""
        with self.lock, self.reading, self.glancing, faults():
            self.file.require()
            self.file.disconnect()
            self._connect()
            self.file.settle()
            self.reopenings += COMMITS_MAX

    def query(self, sql: str, *values: object) -> list[Any]:
        """The rows of one statement that only reads."""
        file = self.file
        if monotonic() >= file.look_at:
            file.look()
        for attempt in range(TRIES):
            try:
                with self.reading:
                    file.require()
                    rows = self.reader.execute(sql, values).fetchall()
                    if not self.readonly or not file.disturbed():
                        return rows
            except sqlite3.Error as error:
                file.require()
                if not file.lean or attempt == TRIES - 1:
                    raise fault(error) from error
            except UnicodeDecodeError as error:
                raise unreadable(error) from error
            self.connect_again()
        raise StoreBusy(f"{self.path} was written to during every read")

    def meta(self, key: str) -> str:
        """What the file has under `key` in its table `meta`."""
        rows = self.query("SELECT value FROM meta WHERE key = ?", key)
        if not rows:
            raise StoreCorrupt(f"the file has no {key}")
        return str(rows[0][0])

    def roll_back(self) -> None:
        """End a transaction without effect, for the thread that holds the lock."""
        db = self.writer.connection
        with suppress(sqlite3.Error):
            if db.in_transaction:
                db.rollback()
        self.writing = False

    def release(self) -> None:
        """Release what an interrupted call of this thread has left."""
        if owned(self.lock):
            self.roll_back()
        free(self.lock, self.reading, self.glancing)

    def close(self) -> None:
        """Close everything; later calls raise `StoreFault`."""
        with self.lock, self.reading, self.glancing:
            self.file.close()
            self.file.give_up(StoreFault("the store is closed"))
