"""Backups: any store written to one SQLite file, and such a file restored into a store.

A backup is a store: ``sqlite:///backup.db`` opens it.  It shows one moment, even under concurrent
writes, and holds everything except the agents: it has no members, grants, waiting agents or copies.
It keeps the identity, which refs carry; its generation is drawn again, so that after any restore a
running process meets another history.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from errno import EDQUOT, ENOSPC
from os import PathLike
from pathlib import Path
from secrets import randbits
from typing import Any

from coherence.directory import PUSH
from coherence.errors import (
    BadArgument,
    PathTaken,
    StoreCorrupt,
    StoreFault,
    StoreFull,
    StoreMissing,
)
from coherence.states import HomeAt, HomeState
from coherence.stores.archive import Backup, Image, Progress, archive_of
from coherence.stores.bell import ring
from coherence.stores.chance import draw
from coherence.stores.codec import pack_row, unpack_row
from coherence.stores.port import HomeRow, Store
from coherence.stores.schema import prepare, schema_of
from coherence.stores.sqlite_copy import copy_file, copy_pages
from coherence.stores.sqlite_faults import faults
from coherence.stores.sqlite_file import SqliteFile
from coherence.stores.sqlite_records import ADD, REFUSALS, REFUSE, TALLIES
from coherence.stores.sqlite_rows import LOW, VERSION_BITS

#: How many rows are rewritten at once.
ROWS = 500
_ENDS = ("", "-journal", "-wal", "-shm")


def back_up(
    store: Store,
    target: str | PathLike[str],
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write a backup of `store` to the file `target`, all or nothing.

    Raises `PathTaken` if the file exists; with `force` it is replaced, unless it is a store in use.
    Raises `NoArchive`.
    """
    archive, target = archive_of(store), Path(target).absolute()
    store.head()  # raises if the store is closed or missing
    path: Path | None = getattr(store, "path", None)
    _require_room_for(target, path, force)
    temporary = target.with_name(f".{target.name}.{draw():x}")
    try:
        with faults(), closing(_created(temporary)) as db:
            if path is not None:
                shutil.copymode(path, temporary)
            archive.dump(db, progress)
            with transaction(db):
                _settle(db, made=_now())
            db.execute("PRAGMA journal_mode = DELETE")
        _sync(temporary)
        if force:
            os.replace(temporary, target)
        else:
            _name(temporary, target)
        _sync(target.parent)
    except OSError as error:
        raise _file_fault(error, target) from error
    finally:
        for end in _ENDS:
            with suppress(OSError):
                os.unlink(f"{temporary}{end}")


@contextmanager
def unpacked(source: str | PathLike[str]) -> Iterator[Backup]:
    """The backup in the file `source`, ready to be restored.

    Raises `StoreMissing`, and `StoreCorrupt` for a damaged backup.
    """
    # A temporary database of SQLite, which disappears with its connection.
    with faults(), closing(sqlite3.connect("", isolation_level=None)) as db:
        copy_file(Path(source), db)
        if not schema_of(db):
            raise StoreMissing(f"{source} holds no workspace", remedy="check the path")
        (wrong,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if wrong != "ok":
            raise StoreCorrupt(f"the backup is damaged: {wrong}", remedy="restore another one")
        prepare(db)
        made = db.execute("SELECT value FROM meta WHERE key = 'made'").fetchone()
        (artifacts,) = db.execute("SELECT count(*) FROM artifact WHERE alive").fetchone()
        (versions,) = db.execute("SELECT count(*) FROM history").fetchone()
        with transaction(db):
            _settle(db, made=None)
        yield Backup(os.fspath(source), db, float(made[0]) if made else 0.0, artifacts, versions)


def put_into_file(backup: Backup, path: str | PathLike[str]) -> None:
    """Restore a backup into the SQLite file at `path`, in one transaction.

    Processes that have it open meet another history.  Raises `StoreCorrupt` if the file cannot take
    a store.
    """
    with faults():
        file = SqliteFile(Path(path), create=True, readonly=False)
        try:
            if os.path.samefile(file.path, backup.source):
                raise BadArgument("the backup and the store are the same file")
            db = file.connect()
            ports = _bells(db) if _schema_of_target(db, file.path) else []
            file.write_ahead(db)
            file.settle()
            backup.db.executemany("INSERT INTO bell VALUES (?, ?)", ports)
            (size,) = db.execute("PRAGMA page_size").fetchone()
            if (size,) != backup.db.execute("PRAGMA page_size").fetchone():
                backup.db.execute(f"PRAGMA page_size = {size}")
                backup.db.execute("VACUUM")
            copy_pages(backup.db, db, pages=-1)
            file.look()
        finally:
            file.close()
    ring(port for port, _ in ports)


def image_of(backup: Backup) -> Image:
    """The content of a backup."""
    db = backup.db
    meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
    return Image(
        str(meta["identity"]),
        int(meta["session"]),
        db.execute("SELECT name, revision, version, alive, home FROM artifact"),
        db.execute(
            f"SELECT name, slot & {LOW}, kind, size_bytes, digest, author, at, pinned, base,"
            " overwrite, reason, whole, body"
            f" FROM history JOIN artifact ON id = slot >> {VERSION_BITS} ORDER BY slot"
        ),
        db.execute(
            "SELECT seq, number, origin, artifact, version, author, at, posts FROM log ORDER BY seq"
        ),
        db.execute(REFUSALS, (0.0,)),
        db.execute(TALLIES, ("",)),
    )


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Makes the changes of the block atomic."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def vacated(row: HomeRow) -> HomeRow:
    """A home without copies, grant, queue and pending acknowledgements.

    Its epochs continue from a random number, so that no draft of the lost history is taken for a
    draft of this one.
    """
    state = row.state
    return HomeRow(
        HomeState(
            HomeAt.I,
            state.version,
            state.content,
            epoch=state.epoch + 1 + randbits(32),
            verdicts=state.verdicts,
        ),
        tuple(timer for timer in row.timers if timer[0] == PUSH),
    )


def _settle(db: sqlite3.Connection, *, made: float | None) -> None:
    """Turn a copy into a backup, or into a store to restore."""
    db.execute("DELETE FROM member")
    db.execute("DELETE FROM bell")
    db.execute("DELETE FROM meta WHERE key = 'made'")
    db.execute("UPDATE meta SET value = ? WHERE key = 'generation'", (draw(),))
    if made is not None:
        db.execute("INSERT INTO meta VALUES ('made', ?)", (made,))
    last = 0
    while rows := db.execute(
        "SELECT id, home FROM artifact WHERE id > ? ORDER BY id LIMIT ?", (last, ROWS)
    ).fetchall():
        for last, home in rows:
            # A damaged row is kept unchanged: the rest of it may be the only remains.
            with suppress(StoreCorrupt, OverflowError):
                empty = pack_row(vacated(unpack_row(home)))
                db.execute("UPDATE artifact SET home = ? WHERE id = ?", (empty, last))


def fill(db: sqlite3.Connection, image: Image) -> None:
    """Write an image into an empty database of SQLite, for `Archive.dump`."""
    prepare(db)
    with transaction(db):
        _fill(db, image)


def _fill(db: sqlite3.Connection, image: Image) -> None:
    if image.identity:
        db.execute("UPDATE meta SET value = ? WHERE key = 'identity'", (image.identity,))
    db.execute("UPDATE meta SET value = ? WHERE key = 'session'", (image.sessions,))
    bases: dict[str, int] = {}
    for key, (name, revision, version, alive, home) in enumerate(image.artifacts, 1):
        bases[name] = key << VERSION_BITS
        db.execute(
            "INSERT INTO artifact (id, name, revision, version, alive, home)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (key, name, revision, version, alive, home),
        )
    for name, version, *rest in image.versions:
        if version > LOW:
            raise StoreFault(f"{name}@{version} exceeds the version numbers of a backup")
        db.execute(
            "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (bases[name] | version, *rest),
        )
    for line in image.lines:
        db.execute(
            "INSERT INTO log (seq, number, origin, artifact, version, author, at, posts)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            line,
        )
    db.executemany(REFUSE, image.refusals)
    db.executemany(ADD, image.tallies)


def _schema_of_target(db: sqlite3.Connection, path: str) -> int:
    remedy = f"end all processes that use {path}, remove it with its -wal and -shm, and try again"
    try:
        with faults():
            return schema_of(db)
    except StoreCorrupt as error:
        raise StoreCorrupt(f"{path} is not a store: {error.args[0]}", remedy=remedy) from error


def _bells(db: sqlite3.Connection) -> list[Any]:
    """The ports of processes that have the file open, to notify them of the restore."""
    with suppress(sqlite3.Error):
        return db.execute("SELECT port, until FROM bell").fetchall()
    return []


# Files.


def _require_room_for(target: Path, path: Path | None, force: bool) -> None:
    if not target.parent.is_dir():
        raise StoreMissing(f"there is no folder {target.parent}", remedy="make the folder first")
    if path is not None and target.exists() and target.samefile(path):
        raise PathTaken(f"{target} is the store itself")
    if not force and os.path.lexists(target):
        raise PathTaken(f"there is a file {target}", remedy="name another, or --force")
    for end in _ENDS[1:]:
        # SQLite would take that file for a part of the backup.
        if os.path.lexists(f"{target}{end}"):
            raise PathTaken(f"there is a file {target}{end}", remedy="its store may be in use")


def _created(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")  # the whole file is synced at the end
    return db


def _name(temporary: Path, target: Path) -> None:
    """Give the file its name, unless another file has it by now."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise PathTaken(f"there is a file {target}", remedy="name another, or --force") from None
    except OSError:  # a file system without links
        os.rename(temporary, target)


def _sync(path: Path) -> None:
    if path.is_dir() and os.name != "posix":
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _file_fault(error: OSError, target: Path) -> StoreFault:
    text = f"{error.filename or target}: {error.strerror or error}"
    if error.errno in (ENOSPC, EDQUOT):
        return StoreFull(text, remedy="free some room on the disk")
    return StoreFault(text, remedy="check the folder and its permissions")


def _now() -> float:
    return time.time()  # noqa: TID251 - for people to read
