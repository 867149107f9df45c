"""The checks of the conformance kit for a store that is an archive, as in `promises`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from coherence.contents import Limits, check_content
from coherence.stores.archive import archive_of
from coherence.stores.promises import Broken, Room, expect, publish, refused
from coherence.stores.records import Tally, is_day
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


def check_refusals(room: Room) -> None:
    """The newest refused writes are kept, oldest first, and are found by name and time."""
    store = archive_of(room.open())
    before = store.now()
    store.refuse(refused("a", 0.0), 9)
    [stamped] = store.refusals()
    expect(before <= stamped.at <= store.now(), f"a refused write is stamped {stamped.at}")
    later = stamped.at + 60
    lines = [refused(name, later + number) for number, name in enumerate(("a/1", "b", "a/2"))]
    for line in lines:
        store.refuse(line, 9)
    expect(store.refusals() == [stamped, *lines], f"the refused writes are {store.refusals()}")
    expect(store.refusals("a/") == [lines[0], lines[2]], f"those of a/ are {store.refusals('a/')}")
    found = store.refusals(since=later + 1)
    expect(found == lines[1:], f"those since the second are {found}")
    store.refuse(refused("b", later + 3, "-計画\n+\0\n"), 2)
    kept = store.refusals()
    expect([line.at for line in kept] == [later + 2, later + 3], f"the newest two are {kept}")
    expect(kept[1].attempt.startswith("-計画\n+"), f"an attempt reads {kept[1].attempt!r}")
    store.refuse(refused("b", later + 4), 0)
    expect(store.refusals() == [], "refused writes are kept although none should be")


def check_tallies(room: Room) -> None:
    """Tallies of one day, agent and artifact are added up, as a part of their transaction."""
    store = archive_of(room.open())
    for day in ("2026-11-28", "2026-11-29", "2026-11-28"):
        store.tally([Tally(day, "ann", "b", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)])
    with store.transaction(publishes=False) as tx:
        tx.tally([Tally("2026-11-29", "ann", "a", full=1), Tally("2026-11-29", "ann", "a", full=2)])
    with suppress(Broken), store.transaction(publishes=False) as tx:
        tx.tally([Tally("2026-11-29", "ann", "a", full=100)])
        raise Broken("on purpose")
    second = [
        Tally("2026-11-29", "ann", "a", full=3),
        Tally("2026-11-29", "ann", "b", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
    ]
    wanted = [Tally("2026-11-28", "ann", "b", 2, 4, 6, 8, 10, 12, 14, 16, 18, 20), *second]
    found = store.tallies()
    expect(found == wanted, f"the tallies are {found}, not {wanted}")
    found = store.tallies("2026-11-29")
    expect(found == second, f"those since the second day are {found}")


def check_days(room: Room) -> None:
    """A tally without a day is of the present one; those of old days lose their artifacts."""
    store = archive_of(room.open())
    old, older = "2001-02-04", "2001-02-03"
    store.tally([Tally("", "ann", name, hits=1) for name in ("a", "b", "b")])
    for _ in range(2):
        for day in (old, older):
            store.tally([Tally(day, name, "a", hits=1) for name in ("ann", "bob")])
            store.tally([Tally(day, "ann", "b", hits=2)])
        store.tidy()
    *folded, a, b = store.tallies()
    expect(is_day(a.day) and a.day > old, f"today is {a.day}")
    today = [Tally(a.day, "ann", "a", hits=1), Tally(a.day, "ann", "b", hits=2)]
    expect([a, b] == today, f"the tallies of today are {a} and {b}")
    wanted = [
        Tally(day, agent, "", hits=hits)
        for day in (older, old)
        for agent, hits in (("ann", 6), ("bob", 2))
    ]
    expect(folded == wanted, f"the tallies of old days are {folded}, not {wanted}")


def check_dump(room: Room) -> None:
    """A dump is a store with the names, versions, contents and records of this one."""
    store = archive_of(room.open())
    for name in ("a/b.md", "計画"):
        for content in ("one\n" * 300, "one\n" * 299 + "two", b"\x00\xff"):
            publish(store, name, content)
        store.refuse(refused(name, store.now(), "-one\n"), 9)
    store.tally([Tally("", agent, "a/b.md", hits=1) for agent in ("ann", "bob")])
    with TemporaryDirectory() as folder:
        file = Path(folder, "dump.db")
        with closing(sqlite3.connect(file, isolation_level=None)) as db:
            store.dump(db)
        with closing(SqliteStore(file)) as copy:
            expect(copy.names() == store.names(), f"the dump has the names {copy.names()}")
            expect(copy.tallies() == store.tallies(), f"it has the tallies {copy.tallies()}")
            tried = [(line.artifact, line.attempt) for line in copy.refusals()]
            wanted = [(line.artifact, line.attempt) for line in store.refusals()]
            expect(tried == wanted, f"it has the refused writes {copy.refusals()}")
            for name in store.names():
                for version in (1, 2, 3):
                    kept, found = store.read(name, version), copy.read(name, version)
                    same = kept and found and kept[1] == found[1]
                    expect(bool(same), f"{name}@{version} reads {found!r:.80} in the dump")


#: The promises of an archive, by name.
ARCHIVE: dict[str, Callable[[Room], None]] = {
    "pins": check_pins,
    "tidy": check_tidy,
    "undamaged": check_undamaged,
    "refusals": check_refusals,
    "tallies": check_tallies,
    "days": check_days,
    "dump": check_dump,
}
