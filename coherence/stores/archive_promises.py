"""The checks of the conformance kit for a store that is an archive, as in `promises`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from coherence.contents import Limits, check_content
from coherence.stores.archive import archive_of
from coherence.stores.promises import Broken, Room, expect, publish
from coherence.stores.sqlite import SqliteStore


def check_pins(room: Room) -> None:
    """A pinned version can be read after any number of later versions."""
    store = archive_of(room.open())
    text = "".join(f"line {number}\n" for number in range(200))
    publish(store, "a", text)
    expect(store.pin("a", 1, True), "an existing version cannot be pinned")
    expect(not store.pin("a", 9, True), "a missing version was pinned")
    for number in range(80):
        publish(store, "a", text + f"more {number}\n")
    found = store.read("a", 1)
    expect(found is not None and found[1] == text, "a pinned version is lost")
    for entry in store.history("a"):
        there = store.read("a", entry.version)
        if there is None:
            raise Broken(f"version {entry.version} is in the history and cannot be read")
        expect(check_content(there[1], Limits()) == entry.handle, "an old version has changed")


def check_tidy(room: Room) -> None:
    """Upkeep counts the versions that it removes, and keeps the current and the pinned ones."""
    store = archive_of(room.open())
    for number in range(80):
        publish(store, "a", f"text {number}")
    oldest = store.history("a")[0].version
    store.pin("a", oldest, True)
    before = len(store.history("a"))
    removed = store.tidy()
    kept = [entry.version for entry in store.history("a")]
    expect(len(kept) == before - removed, f"of {before} versions {removed} were removed: {kept}")
    expect(kept[-1] == 80, "the current version was removed")
    expect(oldest in kept, "a pinned version was removed")


def check_undamaged(room: Room) -> None:
    """No damage is found in a store that nothing has damaged."""
    store = archive_of(room.open())
    for text in "123":
        publish(store, "a/b.md", text)
    found = list(store.check())
    expect(found == [], f"check() finds {found}")


def check_dump(room: Room) -> None:
    """A dump is a store with the names, versions and contents of this one."""
    store = archive_of(room.open())
    for name in ("a/b.md", "計画"):
        for content in ("one\n" * 300, "one\n" * 299 + "two", b"\x00\xff"):
            publish(store, name, content)
    with TemporaryDirectory() as folder:
        file = Path(folder, "dump.db")
        with closing(sqlite3.connect(file, isolation_level=None)) as db:
            store.dump(db)
        with closing(SqliteStore(file)) as copy:
            expect(copy.names() == store.names(), f"the dump has the names {copy.names()}")
            for name in store.names():
                for version in (1, 2, 3):
                    wanted, found = store.read(name, version), copy.read(name, version)
                    same = wanted and found and wanted[1] == found[1]
                    expect(bool(same), f"{name}@{version} reads {found!r:.80} in the dump")


#: The promises of an archive, by name.
ARCHIVE: dict[str, Callable[[Room], None]] = {
    "pins": check_pins,
    "tidy": check_tidy,
    "undamaged": check_undamaged,
    "dump": check_dump,
}
