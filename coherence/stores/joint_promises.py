"""The checks of the conformance kit on several artifacts at once.

The judge of concurrent transactions is the log, which is in the order in which they took effect:
each content names the versions that its transaction had found, and these must have been current.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from coherence.contents import TOMBSTONE, Content
from coherence.messages import Version
from coherence.states import HomeAt, HomeState
from coherence.stores import promises
from coherence.stores.port import Cut, Entry, HomeRow, Moved, Place, Store, Transaction
from coherence.stores.promises import Room, expect, home_of, publish, together, write
from message_passing.errors import EnvironmentFault

#: How long a transaction is kept open for another one that may be waiting for it, in seconds.
OPEN_S = 0.05
ROUNDS: Final = 2
LOOKS: Final = 12
#: How often a transaction is run again.
MOVES: Final = 1_000


def check_cut(room: Room) -> None:
    """A cut has rows, versions, contents and place of one moment; what is held is left out."""
    store = room.open()
    _furnish(store)
    names = ["計画", "no", "a/2", "a/1", "a/0", "a/3", "x\0", "a/1"]
    seen, place = store.cut(names)
    expect(list(seen) == names[:-1], f"the cut has {list(seen)}")
    expect(place == store.head(), f"the place is {place}, and the log ends at {store.head()}")
    expect(not store.since(place).entries, "there are lines after the cut")
    rows, newest = store.rows(names), store.latest(names)
    contents: dict[str, Content] = {"a/1": "a/1 now", "a/3": b"\x00\xff", "計画": ""}
    for name, each in seen.items():
        wanted = Cut(rows.get(name), newest.get(name), contents.get(name))
        expect(each == wanted, f"{name!r} is {each}, not {wanted}")
        expect(each.exists == (name in contents), f"{name!r} exists: {each.exists}")
    _check_held(store, seen["a/1"])
    expect(store.cut([]) == ({}, place), "a cut of nothing is not empty")
    listed = {name: newest[name] for name in ("a/1", "a/3")}
    expect(store.listing("a/") == (listed, place), f"a/ lists {store.listing('a/')}")
    expect(list(store.listing()[0]) == sorted(contents), f"it lists {store.listing()[0]}")
    expect(store.listing("b%") == ({}, place), "a prefix without names lists some")
    _check_one_moment(store, room.open())
    store.close()
    for look in (partial(store.cut, ["a/1"]), store.listing):
        try:
            look()
        except EnvironmentFault:
            continue
        raise promises.Broken("a closed store continued")


def _furnish(store: Store) -> None:
    """Artifacts that exist, one that is deleted, and one that was never written."""
    publish(store, "a/1", "old")
    publish(store, "a/1", "a/1 now")
    publish(store, "a/2", "text")
    publish(store, "a/3", b"\x00\xff")
    publish(store, "計画", "")
    with store.transaction(publishes=True) as tx:
        tx.load_all(["a/0", "a/2"])
        tx.save("a/2", HomeRow(HomeState(HomeAt.I, 2, TOMBSTONE)), 1)
        tx.publish("a/2", Entry(2, TOMBSTONE, "ann", tx.now), b"")
        tx.save("a/0", home_of(0, None), 0)


def _check_held(store: Store, known: Cut) -> None:
    assert known.entry is not None
    version, digest = known.entry.version, known.entry.handle.digest
    for held, comes in (
        ((version, digest), False),
        ((version - 1, digest), True),
        ((version, digest + b"?"), True),
        ((1 << 62, None), True),
    ):
        seen = store.cut(["a/3", "a/1"], {"a/1": held, "no": held})[0]
        wanted = known if comes else known._replace(content=None)
        expect(seen["a/1"] == wanted, f"to who holds {held}, it is {seen['a/1']}")
        expect(seen["a/3"].content == b"\x00\xff", "another content was left out")


def _check_one_moment(store: Store, other: Store) -> None:
    """Two artifacts that change together, and alone, while they are looked at."""
    names, start = ("m/a", "m/b"), store.head()
    looks: list[tuple[Place, dict[str, Version]]] = []

    def both(tx: Transaction) -> None:
        tx.load_all(names)
        for name in names:
            write(tx, name, str(_version(tx, name) + 1))

    turns = threading.Semaphore(0)

    def change() -> None:
        for _ in range(LOOKS):
            if turns.acquire(timeout=promises.PATIENCE_S):
                _run(store, both)

    def look() -> None:
        for _ in range(LOOKS):
            turns.release(2)
            seen, place = other.cut(names)
            for name, each in seen.items():
                wanted = str(each.version) if each.version else None
                expect(each.content == wanted, f"{name}@{each.version} reads {each.content!r}")
            looks.append((place, {name: each.version for name, each in seen.items()}))
            listed, place = other.listing("m/")
            looks.append((place, {name: entry.version for name, entry in listed.items()}))

    together([change, change, look])
    for place, versions in looks:
        at = dict.fromkeys(names, 0)
        lines = [line for line in store.since(start).entries if line.seq <= place.seq]
        at.update((line.artifact, line.version) for line in lines)
        found = {name: versions.get(name, 0) for name in names}
        expect(found == at, f"at {place} the versions are {at}, and a look found {found}")


def check_loaded_only(room: Room) -> None:
    """A row that a transaction only loaded is current when it takes effect."""
    one, two = room.open(), room.open()
    publish(one, "a", "")
    publish(one, "b", "")

    def by_one(tx: Transaction) -> None:
        tx.load("a")
        tx.load("b")

    for load in (lambda tx: tx.load_all(["b", "a"]), by_one):
        for _ in range(ROUNDS):
            _cross(one, two, load, ("b", "a"))
    together(
        [
            partial(_derive, store, written, found, times=6)
            for store in (one, two)
            for written, found in (("a", "b"), ("b", "a"))
        ]
    )
    _judge(one)


def check_absent(room: Room) -> None:
    """An artifact that a transaction found to be missing is so when it takes effect."""
    one, two = room.open(), room.open()
    _furnish(one)
    for name in ("a/0", "a/1", "a/2"):
        try:
            with one.transaction(publishes=False) as tx:
                tx.absent(name)
        except Moved:
            continue
        raise promises.Broken(f"{name}, which has a row, counts as absent")
    with one.transaction(publishes=True) as tx:
        tx.load_all(["n/1", "n/2", "a/1"])
        for name in ("n/1", "n/3", "n/1"):
            tx.absent(name)
            expect(tx.load(name) is None, f"{name} is absent and has a row")
        expect(tx.count() >= 5, f"{tx.count()} artifacts are counted, and there are 5")
        write(tx, "n/2", "n/1@0 n/3@0")
    for number in range(ROUNDS):
        a, b = f"x/{number}", f"y/{number}"

        def load(tx: Transaction, a: str = a, b: str = b) -> None:
            tx.load_all([a, b])
            if tx.load(a) is None:
                tx.absent(a)

        _cross(one, two, load, (b, a))
    pairs = [(f"p/{number}", f"q/{number}") for number in range(6)]
    works = [partial(_derive, one, a, b) for a, b in pairs]
    together([*works, *(partial(_derive, two, b, a) for a, b in pairs)])
    _judge(one)


def check_many_in_one_order(room: Room) -> None:
    """Transactions that load the same rows in any order end, and each has its effect."""
    one, two = room.open(), room.open()
    names = [f"m/{number}" for number in range(5)]
    for name in names[1:]:
        publish(one, name, "")
    with one.transaction(publishes=False) as tx:
        tx.load_all([])
        tx.load_all([*reversed(names), names[2], "no", "x\0"])
        for name in names:
            expect(tx.load(name) == one.row(name), f"{name} is {tx.load(name)}")
        expect(tx.load("no") is None, "a row that is missing was loaded")
    rounds = 6

    def work(store: Store, order: list[str]) -> None:
        for _ in range(rounds):
            _run(store, partial(_write_all, order))

    orders = [names, names[::-1], names[2:] + names[:2], names[3:] + names[:3]]
    together([partial(work, store, o) for store, o in zip((one, two) * 2, orders, strict=True)])
    for name in names:
        found = one.row(name)
        version = found.row.state.version if found is not None else 0
        wanted = rounds * len(orders) + (name != names[0])
        expect(version == wanted, f"{name} has {version} versions, not {wanted}")


def _write_all(names: list[str], tx: Transaction) -> None:
    tx.load_all(names)
    for name in names:
        write(tx, name, "")


def _cross(
    one: Store, two: Store, load: Callable[[Transaction], None], names: tuple[str, str]
) -> None:
    """A transaction writes the first name and has found the second, which another one writes."""
    first, second = names
    done = threading.Event()

    def other() -> None:
        _derive(two, second, first)
        done.set()

    thread = threading.Thread(target=other, daemon=True)

    def work(tx: Transaction) -> None:
        load(tx)
        text = f"{second}@{_version(tx, second)}"
        if not done.is_set():
            if thread.ident is None:
                thread.start()
            done.wait(OPEN_S)  # or it waits for this transaction: a store does not say
        write(tx, first, text)

    _run(one, work)
    thread.join(promises.PATIENCE_S)
    expect(not thread.is_alive(), "a transaction never ended")


def _derive(store: Store, written: str, found: str, times: int = 1) -> None:
    """Write one artifact; its content names the version of the other one."""

    def work(tx: Transaction) -> None:
        tx.load_all([written, found])
        if tx.load(found) is None:
            tx.absent(found)
        write(tx, written, f"{found}@{_version(tx, found)}")

    for _ in range(times):
        _run(store, work)


def _run(store: Store, work: Callable[[Transaction], None]) -> None:
    """`work` in a transaction, until no row has moved."""
    for _ in range(MOVES):
        try:
            with store.transaction(publishes=True) as tx:
                work(tx)
            return
        except Moved:
            continue
    raise promises.Broken(f"the rows moved {MOVES} times")


def _version(tx: Transaction, name: str) -> Version:
    stored = tx.load(name)
    return stored.row.state.version if stored is not None else 0


def _judge(store: Store) -> None:
    """Each content in the log names versions that were current when it was published."""
    current: dict[str, Version] = {}
    for line in store.since(Place(0)).entries:
        kept = store.read(line.artifact, line.version)
        text = kept[1] if kept is not None else ""
        for found in str(text).split() if "@" in str(text) else ():
            name = found.partition("@")[0]
            seen = f"{name}@{current.get(name, 0)}"
            expect(found == seen, f"{line.artifact} derives from {found}, and {seen} was current")
        current[line.artifact] = line.version


#: The promises of every store on several artifacts at once, by name.
JOINT: dict[str, Callable[[Room], None]] = {
    "cut": check_cut,
    "loaded only": check_loaded_only,
    "absent": check_absent,
    "many in one order": check_many_in_one_order,
}
