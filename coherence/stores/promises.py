"""The checks of the conformance kit: each tests one promise of the port, and reports violations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeAlias

from coherence.contents import TOMBSTONE, Content, Limits, check_content
from coherence.messages import Inv, Version
from coherence.states import HomeAt, HomeState, Sharer
from coherence.stores.port import Entry, HomeRow, Moved, Place, Post, Store, Transaction
from coherence.stores.records import RefusedWrite, Tally
from message_passing.errors import EnvironmentFault
from message_passing.process import Time

Opener: TypeAlias = Callable[[], Store]

#: The limit for a wait that should end by itself, in seconds; only a broken store reaches it.
PATIENCE_S = 10.0


class Broken(AssertionError):
    """A promise was not kept."""


class Room:
    """One store under test, and all its openings."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._opened: list[Store] = []

    def open(self) -> Store:
        store = self._opener()
        self._opened.append(store)
        return store

    def close(self) -> None:
        for store in self._opened:
            with suppress(EnvironmentFault):
                store.close()


def expect(true: bool, seen: str) -> None:
    """Raise `Broken` with what was seen, unless it is as promised."""
    if not true:
        raise Broken(seen)


def home_of(version: Version, content: Content | None, *sharers: str) -> HomeRow:
    """The row of an artifact with that current version, or of one that was never written."""
    handle = check_content(content, Limits()) if content is not None else None
    listed = tuple(Sharer(name, 1 << 33) for name in sorted(sharers))
    at = HomeAt.S if listed else HomeAt.I
    return HomeRow(HomeState(at, version, handle, listed), (("grant", 2.5),))


def write(tx: Transaction, name: str, content: Content, author: str = "ann") -> Version:
    """Publish the next version as a workspace does."""
    stored = tx.load(name)
    version = stored.row.state.version + 1 if stored is not None else 1
    tx.save(name, home_of(version, content, author), stored.revision if stored is not None else 0)
    tx.publish(name, Entry(version, check_content(content, Limits()), author, tx.now), content)
    tx.append(name, version, author, [Post("bob", Inv(version - 1, False))])
    return version


def publish(store: Store, name: str, content: Content) -> Version:
    """Publish the next version in a transaction of its own."""
    with store.transaction(publishes=True) as tx:
        return write(tx, name, content)


def check_values(room: Room) -> None:
    """Loaded rows, contents of both kinds, history and log equal the saved ones."""
    store = room.open()
    contents: list[Content] = ["text\n\0ü🙂", b"\x00\xff" * 300, "", "x" * 5000, "x" * 5001]
    for version, content in enumerate(contents, start=1):
        expect(publish(store, "a/b.md", content) == version, "a version was not the next one")
    stored = store.row("a/b.md")
    if stored is None:
        raise Broken("a saved row is missing")
    expect(stored.row == home_of(len(contents), contents[-1], "ann"), f"the row is {stored.row}")
    expect(stored.revision == len(contents), f"the revision is {stored.revision}")
    for version, content in enumerate(contents, start=1):
        found = store.read("a/b.md", version)
        expect(found is not None and found[1] == content, f"version {version} reads {found!r:.80}")
        expect(found is not None and type(found[1]) is type(content), "text became bytes")
        expect(found is not None and found[0].author == "ann", "the author is another")
    entries = [entry.version for entry in store.history("a/b.md")]
    expect(entries == [1, 2, 3, 4, 5], f"the history has {entries}")
    expect(store.row("no") is None, "a row exists that was not saved")
    later = [entry.version for entry in store.history("a/b.md", 3)]
    expect(later == entries[2:], f"the versions from 3 on are {later}")
    expect(store.history("a/b.md", 1 << 80) == [], "there is a history of future versions")
    expect(store.history("no") == [] and store.read("no", 1) is None, "a history of nothing")
    expect(store.read("a/b.md", 6) is None, "a version exists that was not published")
    changes = store.since(Place(0))
    kept = [c for c in changes.entries if c.artifact]
    expect([c.version for c in kept] == [1, 2, 3, 4, 5], "the log lacks a version")
    expect(kept[1].posts == (Post("bob", Inv(1, False)),), f"a message reads {kept[1].posts}")


def check_names(room: Room) -> None:
    """Names with any characters are found by prefix; deleted ones only on request."""
    store = room.open()
    for name in ("a", "a b", "b%/x", "b_/x", "b'; DROP TABLE x;--", "計画"):
        publish(store, name, "text")
    expect(store.names() == sorted(store.names()), "names are not sorted")
    expect(len(store.names()) == 6, f"the names are {store.names()}")
    expect(store.names("b%") == ["b%/x"], f"b% finds {store.names('b%')}")
    expect(store.names("a") == ["a", "a b"], f"a finds {store.names('a')}")
    with store.transaction(publishes=False) as tx:
        tx.save("never written", home_of(0, None), 0)
    expect(len(store.names(deleted=True)) == 6, "an artifact that was never written has a name")


def check_current(room: Room) -> None:
    """Current contents are found in pages, sorted by name, without deleted artifacts."""
    store = room.open()
    for name in ("a/1", "a/2", "a/3", "a/4", "b", "計画"):
        for text in ("old", f"{name} now"):
            publish(store, name, text)
    with store.transaction(publishes=True) as tx:
        stored = tx.load("a/2")
        assert stored is not None
        tx.save("a/2", HomeRow(HomeState(HomeAt.I, 3, TOMBSTONE)), stored.revision)
        tx.publish("a/2", Entry(3, TOMBSTONE, "ann", tx.now), b"")
        tx.save("a/0", home_of(0, None), 0)
    first = store.current("a/", at_most=2)
    found = [(name, entry.version, content) for name, entry, content in first]
    wanted = [("a/1", 2, "a/1 now"), ("a/3", 2, "a/3 now")]
    expect(found == wanted, f"the first page is {found}, not {wanted}")
    rest = [(name, content) for name, _, content in store.current("a/", after="a/3")]
    expect(rest == [("a/4", "a/4 now")], f"the second page is {rest}")
    names = [name for name, _, _ in store.current()]
    expect(names == store.names(), f"{names} have a content, but the names are {store.names()}")


def check_provenance(room: Room) -> None:
    """A version keeps the base, the wish to overwrite, and the words of its writer."""
    store = room.open()
    handle = check_content("text", Limits())
    entries = [
        Entry(1, handle, "ann", 1.0),
        Entry(2, handle, "bob", 2.0, base=0, overwrite=True, reason="begun again: 計画"),
        Entry(3, handle, "ann", 3.0, base=1, reason="merged"),
    ]
    for entry in entries:
        with store.transaction(publishes=True) as tx:
            tx.save("a", home_of(entry.version, "text"), entry.version - 1)
            tx.publish("a", entry, "text")
    wanted = [_provenance(entry) for entry in entries]
    found = [_provenance(entry) for entry in store.history("a")]
    expect(found == wanted, f"the versions derive from {found}, not {wanted}")
    read = [store.read("a", entry.version) for entry in entries]
    found = [_provenance(kept[0]) for kept in read if kept is not None]
    expect(found == wanted, f"the versions that are read derive from {found}, not {wanted}")


def _provenance(entry: Entry) -> tuple[Version, bool, str]:
    return entry.base, entry.overwrite, entry.reason


def check_looks(room: Room) -> None:
    """Rows, revisions and newest versions of many artifacts are found at once, without changes."""
    store = room.open()
    names = ["a/1", "a/2", "b'; DROP TABLE x;--", '計画"']
    for name in names:
        publish(store, name, "old")
        publish(store, name, f"{name} now")
    with store.transaction(publishes=True) as tx:
        tx.save("a/2", HomeRow(HomeState(HomeAt.I, 3, TOMBSTONE)), 2)
        tx.publish("a/2", Entry(3, TOMBSTONE, "ann", tx.now), b"")
        tx.save("a/0", home_of(0, None), 0)
    head = store.head()
    wanted = [("a/0", 1, False), ("a/1", 2, True), ("a/2", 3, False)]
    found = store.revisions("a/")
    expect(found == wanted, f"the revisions are {found}, not {wanted}")
    everything = [name for name, _, _ in store.revisions()]
    expect(everything == sorted(["a/0", *names]), f"there are revisions of {everything}")
    asked = [*names, "a/0", "no", "a\0b"]
    rows = {name: store.row(name) for name in ("a/0", *names)}
    expect(store.rows(asked) == rows, f"the rows are {store.rows(asked)}, not {rows}")
    newest = {name: store.history(name)[-1] for name in names}
    expect(store.latest(asked) == newest, f"the newest versions are {store.latest(asked)}")
    expect(store.rows([]) == {} == store.latest([]), "there is a row without a name")
    before = store.now()
    with store.transaction(publishes=False) as tx:
        tx.load("a/1")
        expect(before <= tx.now, f"the clock went back from {before} to {tx.now}")
    expect(store.head() == head, "a look was logged")


def check_records(room: Room) -> None:
    """Records of refused writes and of calls change no row, no version, and no line of the log."""
    store = room.open()
    publish(store, "a", "text")

    def seen() -> tuple[object, ...]:
        return store.revisions(), store.rows(["a"]), store.history("a"), store.head()

    before = seen()
    store.refuse(refused("a", 1.0), 10)
    store.refuse(refused("none", 0.0), 0)
    store.tally([Tally("", "ann", "a", full=1), Tally("2026-11-29", "bob", "none", hits=1)])
    store.tally([])
    with store.transaction(publishes=False) as tx:
        tx.tally([Tally("", "ann", "a", writes=1)])
    expect(seen() == before, "a record changed what it is about")
    with store.transaction(publishes=True) as tx:
        write(tx, "a", "more")
        tx.tally([Tally("", "ann", "a", writes=1), Tally("", "bob", "a", full=1)])
    expect(len(store.history("a")) == 2, "a transaction with tallies did not take effect")


def refused(artifact: str, at: Time, attempt: str = "") -> RefusedWrite:
    """A refused write; at 0, it is stamped by the store."""
    return RefusedWrite(artifact, "ann", at, 1, 2, "conflict", "", 4, attempt)


def check_atomic(room: Room) -> None:
    """A transaction that raises has no effect on rows, history and log."""
    store = room.open()
    publish(store, "kept", "text")
    head = store.head()

    def half_done() -> None:
        with store.transaction(publishes=True) as tx:
            write(tx, "kept", "more")
            write(tx, "new", "text")
            raise Broken("on purpose")

    try:
        half_done()
    except Broken:
        pass
    else:
        raise Broken("an exception within a transaction was swallowed")
    expect(store.names() == ["kept"], f"after a rollback the names are {store.names()}")
    expect(len(store.history("kept")) == 1, "a version of a rolled back transaction exists")
    expect(store.head() == head, "a line of a rolled back transaction is in the log")
    expect(publish(store, "kept", "more") == 2, "a rolled back transaction moved the row")


def check_reads_its_own(room: Room) -> None:
    """A transaction sees its own saves and versions."""
    store = room.open()
    with store.transaction(publishes=True) as tx:
        write(tx, "a", "one")
        stored = tx.load("a")
        expect(stored is not None and stored.row.state.version == 1, "its own row is not seen")
        expect(tx.content("a", 1) == "one", "its own content is not seen")
        expect(tx.content("a", 2) is None, "it sees a version that does not exist")
        expect(tx.count() >= 1, "its own artifact is not counted")


def check_isolated(room: Room) -> None:
    """A row that has moved since its load is not replaced."""
    store = room.open()
    publish(store, "a", "one")
    for wrong in (0, 2, 7):
        try:
            with store.transaction(publishes=False) as tx:
                tx.save("a", home_of(9, "nine"), wrong)
        except Moved:
            continue
        raise Broken(f"a row at revision 1 was replaced, although {wrong} was expected")
    stored = store.row("a")
    expect(stored is not None and stored.row.state.version == 1, "a refused save took effect")
    try:
        with store.transaction(publishes=False) as tx:
            tx.save("none", home_of(1, "one"), 3)
    except Moved:
        return
    raise Broken("a missing row was replaced")


def check_concurrent(room: Room) -> None:
    """Increments by several threads are all kept, or were refused with `Moved` and repeated."""
    store = room.open()
    threads, rounds = 4, 12

    def work() -> None:
        for _ in range(rounds):
            while True:
                try:
                    with store.transaction(publishes=True) as tx:
                        stored = tx.load("n")
                        before = 0
                        if stored is not None:
                            content = tx.content("n", stored.row.state.version)
                            expect(isinstance(content, str), "a current content is missing")
                            before = int(str(content))
                        write(tx, "n", str(before + 1))
                    break
                except Moved:
                    continue

    together([work] * threads)
    found = store.read("n", threads * rounds)
    expect(found is not None and found[1] == str(threads * rounds), f"the sum is {found!r:.80}")


def check_ordered(room: Room) -> None:
    """The log has every line once, in order, without gaps, from any place on."""
    store = room.open()
    start = store.head()
    for text in "12345":
        publish(store, "a", text)
    first = start.seq + 1
    seqs = [change.seq for change in store.since(start).entries]
    expect(seqs == list(range(first, first + 5)), f"the lines are numbered {seqs}")
    changes = store.since(Place(start.seq + 3))
    expect([c.seq for c in changes.entries] == seqs[3:], "a later place gives other lines")
    expect(changes.place == store.head(), "the log ends elsewhere than it says")
    expect(changes.place.seq == first + 4, "the end of the log is not that of its last line")
    expect(not changes.gap, "a gap is reported in a log without gaps")
    end = store.since(changes.place)
    expect(not end.entries and end.place == changes.place, "there are lines after the end")
    expect(not (end.gap or end.foreign), "the end of the log leads nowhere")


def check_sessions(room: Room) -> None:
    """Session numbers grow for all agents; joins are logged; agents that left are forgotten."""
    store = room.open()
    first, second, third = store.join("ann"), store.join("bob"), store.join("ann")
    expect(0 < first < second < third, f"the sessions are {first}, {second}, {third}")
    members = [(member.agent, member.session) for member in store.members()]
    expect(members == [("ann", third), ("bob", second)], f"the members are {members}")
    joined = [change.author for change in store.since(Place(0)).entries if not change.artifact]
    expect(joined == ["ann", "bob", "ann"], f"the log says that {joined} joined")
    store.leave("ann", first)
    expect(len(store.members()) == 2, "the leave of an old session ended a newer one")
    store.leave("ann", third)
    expect([member.agent for member in store.members()] == ["bob"], "an agent that left is there")


def check_living(room: Room) -> None:
    """No live process is taken for dead; and if one is, it can revert that."""
    one, two = room.open(), room.open()
    session = one.join("ann")
    [member] = two.sessions(["ann", "bob"])
    expect((member.agent, member.session) == ("ann", session), f"the last session is {member}")
    expect(not (one.gone(member) or two.gone(member)), "an agent of a store that is open is gone")
    two.bury(member)
    one.renew()
    [member] = two.sessions(["ann"])
    expect(not two.gone(member), "an agent that was taken for dead cannot come back")
    expect([each.agent for each in two.members()] == ["ann"], "it is no longer a member")
    one.leave("ann", session)
    expect(two.sessions(["ann"]) == [], "the session of an agent that left is still known")


def check_return(room: Room) -> None:
    """A process that returns from another history does not take a name that another one now has."""
    one, two = room.open(), room.open()
    old, new = one.join("ann"), two.join("ann")
    head = one.head()
    expect(one.join("ann", beyond=old) == 0, "a name was taken from another process")
    expect(one.head() == head, "a refused join was logged")
    expect([member.session for member in one.members()] == [new], "the name has changed hands")
    expect(two.join("ann", beyond=new) > new, "the process that has a name cannot join again")
    expect(one.join("bob", beyond=old) > new, "a free name cannot be taken")


def check_clock(room: Room) -> None:
    """The store's clock does not go back from one transaction to the next."""
    store, before = room.open(), float("-inf")
    for _ in range(50):
        with store.transaction(publishes=False) as tx:
            tx.load("a")
            expect(tx.now >= before, f"the clock went back from {before} to {tx.now}")
            before = tx.now


def check_awake(room: Room) -> None:
    """A wait ends when it is woken, and returns at once if the log has already grown."""
    store = room.open()
    publish(store, "a", "one")
    _ends(lambda: store.wait(0, 10 * PATIENCE_S), lambda: None, "a wait for an existing line")
    place, done = store.head(), threading.Event()

    def wait() -> None:
        store.wait(place.seq, 10 * PATIENCE_S)
        done.set()

    def wake() -> None:
        # A wake before the beginning of the wait may be lost; the port promises no more.
        while not done.wait(0.01):
            store.wake()

    waker = threading.Thread(target=wake, daemon=True)
    waker.start()
    try:
        _ends(wait, lambda: None, "a wait that was woken")
    finally:
        done.set()


def check_released(room: Room) -> None:
    """A call interrupted anywhere releases its resources, and is atomic."""
    store = room.open()
    publish(store, "a", "0")

    def once_more() -> None:
        publish(store, "a", "more")

    for steps in range(7):
        tx = store.transaction(publishes=True).__enter__()  # and it is never left
        work: list[Callable[[], object]] = [
            partial(tx.load_all, ["b", "a"]),
            partial(tx.load, "a"),
            partial(tx.content, "a", 1),
            partial(tx.absent, "c"),
            partial(write, tx, "a", "never"),
            partial(write, tx, "b", "never"),
        ]
        for step in work[:steps]:
            step()
        store.release()
        store.release()
        _ends(once_more, lambda: None, "a transaction after a release")
        expect(publish(store, "a", "more") == 2 * steps + 3, "an open transaction took effect")
        expect(store.names() == ["a"], f"the names are {store.names()}")


def check_closed(room: Room) -> None:
    """A closed store refuses calls, and can be closed again."""
    store = room.open()
    store.close()
    store.close()
    try:
        with store.transaction(publishes=False):
            pass
    except EnvironmentFault:
        return
    raise Broken("a closed store continued")


def check_durable(room: Room) -> None:
    """Everything is kept for an opening after the last close."""
    store = room.open()
    publish(store, "a", "one")
    session, identity, head = store.join("ann"), store.identity, store.head()
    store.close()
    store = room.open()
    found = store.read("a", 1)
    expect(found is not None and found[1] == "one", "a content is lost")
    stored = store.row("a")
    expect(stored is not None and stored.row == home_of(1, "one", "ann"), "a row is lost")
    expect(store.identity == identity, "the store has another identity")
    expect(store.head() == head, "the log has lost lines")
    expect(store.join("ann") > session, "a session number was given twice")


def check_shared(room: Room) -> None:
    """Another process sees a commit at once, and its mark changes."""
    one, two = room.open(), room.open()
    expect(one.origin != two.origin, "two openings have one origin")
    expect(one.identity == two.identity, "one store has two identities")
    expect(one.hashes, "no hash proves a content from another process")
    mark = two.mark()
    publish(one, "a", "one")
    found = two.read("a", 1)
    expect(found is not None and found[1] == "one", "another process does not see a commit")
    if two.validates:
        expect(two.mark() != mark, "the mark is the same after another's commit")
    expect(two.since(Place(0)).entries[-1].origin == one.origin, "the log names another origin")
    expect(publish(two, "a", "two") == 2, "two processes count apart")


def check_history(room: Room) -> None:
    """A place of another history is distinguished from one of this history, at any log length."""
    store = room.open()
    for text in "123":
        publish(store, "a", text)
    end = store.head()
    expect(end.number != 0 and end.generation != 0, f"{end} does not identify a history")
    numbers = [change.number for change in store.since(Place(0)).entries]
    expect(len(set(numbers)) == len(numbers), "two lines carry one number")
    for place in (
        Place(end.seq - 1, numbers[-2] ^ 1, end.generation),
        Place(end.seq, end.number ^ 1, end.generation),
        Place(end.seq, end.number, end.generation ^ 1),
        Place(end.seq + 1, end.number, end.generation),
    ):
        changes = store.since(place)
        expect(changes.foreign, f"{place} is accepted as a place of this history")
        expect(not changes.entries and changes.place == end, "the place is not the log's end")


def check_marks(room: Room) -> None:
    """The mark does not change without a commit."""
    store = room.open()
    room.open()
    expect(store.mark() == store.mark(), "the mark changes by itself")


def check_heard(room: Room) -> None:
    """A wait ends when another process appends to the log."""
    one, two = room.open(), room.open()
    place = two.head()
    begun = threading.Event()

    def wait() -> None:
        begun.set()
        while two.head().seq <= place.seq:
            two.wait(place.seq, 10 * PATIENCE_S)

    def append() -> None:
        begun.wait()
        threading.Event().wait(0.05)  # or the wait is over: a store does not say when it waits
        publish(one, "a", "one")

    _ends(wait, append, "a wait for another process")


def together(works: Sequence[Callable[[], None]]) -> None:
    """Carry these out in a thread each, and raise the first error of one."""
    failures: list[BaseException] = []

    def carry_out(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=carry_out, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(6 * PATIENCE_S)
        expect(not thread.is_alive(), "a transaction never ended")
    if failures:
        raise failures[0]


def _ends(wait: Callable[[], None], meanwhile: Callable[[], None], what: str) -> None:
    def quietly() -> None:
        with suppress(EnvironmentFault):  # if the wait lasts until the store is closed
            wait()

    waiter = threading.Thread(target=quietly, daemon=True)
    waiter.start()
    meanwhile()
    waiter.join(PATIENCE_S)
    expect(not waiter.is_alive(), f"{what} did not end")


#: The promises of every store that are not about several artifacts at once, by name.
SINGLE: dict[str, Callable[[Room], None]] = {
    "values": check_values,
    "names": check_names,
    "current": check_current,
    "provenance": check_provenance,
    "looks": check_looks,
    "records": check_records,
    "atomic": check_atomic,
    "reads its own": check_reads_its_own,
    "isolated": check_isolated,
    "concurrent": check_concurrent,
    "ordered": check_ordered,
    "sessions": check_sessions,
    "living": check_living,
    "clock": check_clock,
    "awake": check_awake,
    "released": check_released,
    "closed": check_closed,
}
#: The promises of a store that outlives its process and is shared by several, by name.
EXTENDED: dict[str, Callable[[Room], None]] = {
    "return": check_return,
    "durable": check_durable,
    "shared": check_shared,
    "one history": check_history,
    "marks": check_marks,
    "heard": check_heard,
}
