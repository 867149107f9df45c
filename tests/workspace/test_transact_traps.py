"""Three traps of transactions on several homes, each with and without its mend.

1. What does not exist has no row to lock, so two transactions could both build on its absence.
2. The lock that stands for absence comes after the locks of rows.  Who holds it and then locks a
   row that has appeared meanwhile waits for one that waits for it.
3. A transaction is sent again when its answer is lost.  It stands, but what it read has moved
   since: to judge the reads again tells the caller that it was refused.

Without the mend each of these tests sees the harm, so it would notice that the mend is gone.
"""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from coherence import Conflicts, OutcomeUnknown, Ref, StoreFault, Workspace
from coherence.joint import joint
from coherence.runtime import homes
from coherence.stores.faulty import Faulty
from coherence.stores.memory import MemoryStore
from coherence.stores.sqlite import SqliteStore

MENDED = pytest.mark.parametrize("mended", [True, False], ids=["mended", "not mended"])


# 1. Absence.


class Halting:
    """A store whose first transaction on several homes halts once it has loaded its rows."""

    def __init__(self, store):
        self.store, self.halt = store, None

    def __getattr__(self, name):
        return getattr(self.store, name)

    def transaction(self, *, publishes):
        return Steps(self, self.store.transaction(publishes=publishes))


class Steps:
    def __init__(self, outer, inner):
        self._outer, self._inner = outer, inner

    def __enter__(self):
        self._tx = self._inner.__enter__()
        return self

    def __exit__(self, *error):
        return self._inner.__exit__(*error)

    def load_all(self, names):
        self._tx.load_all(names)
        if (halt := self._outer.halt) is not None and len(names) > 1:
            self._outer.halt = None
            halt()

    def __getattr__(self, name):
        return getattr(self._tx, name)


@MENDED
def test_two_do_not_both_build_on_an_absence(postgres_url, monkeypatch, mended):
    from coherence.stores.postgres import PostgresStore
    from coherence.stores.postgres_transaction import PostgresTransaction

    if not mended:
        keep = PostgresTransaction._keep_absent
        monkeypatch.setattr(PostgresTransaction, "absent", lambda self, name: None)
        monkeypatch.setattr(PostgresTransaction, "_keep_absent", lambda self, _: one(self, keep))

    def one(transaction, keep):
        rows, transaction._rows = transaction._rows, {}
        keep(transaction, [])
        transaction._rows = rows

    store = Halting(PostgresStore(postgres_url))
    with Workspace(store) as here, Workspace(postgres_url) as there:
        ann, bob = here.agent("ann"), there.agent("bob")

        def second():
            with bob.transaction(["x", "y"]) as tx:
                tx.write("y", "there is no x")

        def meanwhile():
            thread = threading.Thread(target=second)
            thread.start()
            thread.join(60)
            assert not thread.is_alive()

        def first():
            with ann.transaction(["x", "y"]) as tx:
                tx.write("x", "there is no y")
                store.halt = meanwhile

        with suppress(Conflicts):
            first()
        assert bob.list() == (["y"] if mended else ["x", "y"])  # without the mend: write skew


# 2. The order of locks.


WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND application_name = 'first'
"""


@MENDED
def test_the_lock_of_absence_does_not_tangle_with_those_of_rows(
    postgres, postgres_url, monkeypatch, mended
):
    """The first finds x under the lock of absence; the second has x, and waits for that lock."""
    from coherence.stores.port import Moved
    from coherence.stores.postgres import PostgresStore
    from coherence.stores.postgres_transaction import LOCK, PostgresTransaction

    if not mended:
        keep = PostgresTransaction._keep_absent

        def load_again(self, missing):
            """What seems obvious: lock the row that has appeared."""
            try:
                keep(self, missing)
            except Moved:
                self.trip((LOCK, ("x",)))
                raise

        monkeypatch.setattr(PostgresTransaction, "_keep_absent", load_again)
    before = deadlocks(postgres)
    stores = [Halting(PostgresStore(f"{postgres_url}&application_name={n}")) for n in NAMES]
    with Workspace(stores[0]) as here, Workspace(stores[1]) as there:
        ann, bob, cid = here.agent("ann"), there.agent("bob"), there.agent("cid")
        loaded, faults = threading.Event(), []

        def second():
            with cid.transaction(["x", "z"]) as tx:
                tx.write("x", "2")
                stores[1].halt = until_the_first_waits

        def until_the_first_waits():
            loaded.set()
            while not postgres.run(WAITING)[0][0]:
                pass

        def meanwhile():
            bob.write("x", "1")
            thread.start()
            assert loaded.wait(60)

        def first():
            with ann.transaction(["x", "y"]) as tx:
                tx.write("y", "there is no x")
                stores[0].halt = meanwhile

        thread = threading.Thread(target=carefully, args=(second, faults), daemon=True)
        carefully(first, faults)
        thread.join(60)
        assert not thread.is_alive()
        assert len(faults) == (1 if mended else len(faults))
        if mended:
            assert isinstance(faults[0], Conflicts)
            assert ann.read("x").text == "2"
    assert (deadlocks(postgres) - before > 0) is not mended


NAMES = ("first", "second")


def carefully(work, faults):
    try:
        work()
    except (Conflicts, StoreFault) as error:
        faults.append(error)


@pytest.mark.slow
def test_absence_under_load(postgres, postgres_url):
    """6 agents of 6 workspaces look for names while others make them, round after round."""
    agents, rounds, faults = 6, 5, []
    start, before = threading.Barrier(agents), deadlocks(postgres)
    rooms = [Workspace(postgres_url) for _ in range(agents)]

    def work(number):
        """Makes one name, having looked for two others: some are there already, some are not."""
        agent = rooms[number].agent(f"w{number}")
        for turn in range(rounds):
            mine = [f"r{turn}/{(number + i) % agents}" for i in range(3)]
            start.wait(60)
            done = False
            while not done:
                found = []
                carefully(lambda mine=mine: make(agent, mine), found)
                done = not found
                faults.extend(error for error in found if not isinstance(error, Conflicts))

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(agents)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert not any(thread.is_alive() for thread in threads)
    assert len(rooms[0].names()) == rounds * agents
    for room in rooms:
        room.close()
    assert not faults
    assert deadlocks(postgres) == before


def make(agent, names):
    with agent.transaction(names) as tx:
        tx.write(names[0], agent.name)


OPEN = """
    SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


def deadlocks(postgres):
    """How many the server has broken up.  A connection tells at the latest when it has ended."""
    while postgres.run(OPEN)[0][0]:
        pass
    [(count,)] = postgres.run("SELECT sum(deadlocks) FROM pg_stat_database")
    return count


# 3. Sent again.


class Lossy(Faulty):
    """Loses the answer of the next transaction that takes effect, and calls `then`."""

    then = None

    def moment(self):
        if self.then is not None and self.effected and self.effected[-1] == self.moments + 1:
            then, self.then = self.then, None
            then()
            raise OutcomeUnknown("the answer is lost")
        super().moment()


@MENDED
@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres"])
def test_what_is_sent_again_is_told_the_truth(kind, tmp_path, request, monkeypatch, mended):
    if kind == "postgres":
        from coherence.stores.postgres import PostgresStore

        store = PostgresStore(request.getfixturevalue("postgres_url"))
    else:
        store = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "a.db")
    if not mended:
        # Any refusal counts, whatever was made before.
        naive = lambda writer, written, read: joint(writer, (), [*written, *read])  # noqa: E731
        monkeypatch.setattr(homes, "joint", naive)
    lossy = Lossy(store)
    with Workspace(store) as there, Workspace(lossy) as here:
        ann, bob = there.agent("ann"), here.agent("bob")
        ann.write("x", "1")

        def transaction():
            with bob.transaction() as tx:
                text = tx.read("x").text
                tx.write("y", f"from x={text}"), tx.write("z", "too")
                lossy.effected.clear()
                lossy.then = lambda: ann.write("x", "2", overwrite=True)
            return tx.refs

        if mended:
            assert transaction() == {"y": Ref("y", 1), "z": Ref("z", 1)}
        else:
            with pytest.raises(Conflicts):  # it stands, and the caller is told otherwise
                transaction()
        assert lossy.then is None
        assert ann.read("y").text == "from x=1"
        assert [len(ann.history(name)) for name in "xyz"] == [2, 1, 1]
