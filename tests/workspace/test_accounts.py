"""Reads and writes are counted, once, and the counts reach the store."""

import asyncio
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import date

import pytest

from coherence import AsyncWorkspace, BadArgument, Conflict, Workspace
from coherence.errors import OutcomeUnknown, StoreFault
from coherence.runtime import account, token_counts
from coherence.runtime import accounts as module
from coherence.runtime.keeper import Keeper
from coherence.stores.faulty import Faulty
from coherence.stores.memory import MemoryStore
from coherence.stores.records import COUNTS, Tally
from coherence.stores.sqlite import SqliteStore
from coherence.view import View
from coherence.workspace.agent import account_of
from coherence.workspace.stats import Figures, Stats
from coherence.workspace.workspace import site_of

TEXT = "one more line\n" * 40


class Words:
    """A tokenizer of words, and the texts that it has counted."""

    label = "exact: words"

    def __init__(self):
        self.counted = []

    def count(self, text):
        self.counted.append(text)
        return len(text.split())


@pytest.fixture(autouse=True)
def no_tokenizer(monkeypatch):
    """Whatever is installed here."""
    monkeypatch.setattr(token_counts, "_installed", lambda: View.counter)


@pytest.fixture
def words(monkeypatch):
    made = Words()
    monkeypatch.setattr(View, "counter", made)
    return made


def accounts_of(workspace):
    return site_of(workspace).homes.accounts


def line(workspace, agent):
    return next(line for line in workspace.stats().by("agent") if line.name == agent)


def test_every_kind_of_read_and_write_is_counted(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", TEXT)
    have = bob.read("plan.md").ref
    bob.read("plan.md")
    assert bob.read("plan.md", have).for_prompt().startswith("[")
    ann.write("plan.md", TEXT)
    with ann.edit("plan.md") as draft:
        draft.text += "the end\n"
    delta = bob.read("plan.md", have)
    with pytest.raises(Conflict):
        bob.write("plan.md", "mine", expect=1)
    for workspace in rooms.opened:
        workspace.stats()  # each sends what it has counted
    stats = rooms.opened[0].stats()
    one, two = {each.name: each for each in stats.by("agent")}.values()
    assert (two.name, two.writes, two.same, two.conflicts, two.reads) == ("ann", 2, 1, 0, 0)
    assert (one.full, one.hits, one.unchanged, one.delta, one.conflicts) == (1, 1, 1, 1, 1)
    whole, later = -(-len(TEXT) // 4), -(-len(TEXT + "the end\n") // 4)
    assert one.refetch_tokens == 3 * whole + later
    assert one.served_tokens == 2 * whole + 10 + delta.cost_tokens
    assert one.exact == 0
    assert [each.name for each in stats.by("artifact")] == ["plan.md"]
    assert stats.total.refetch_tokens == one.refetch_tokens
    assert stats.total.saved_tokens == one.refetch_tokens - one.served_tokens > 0


def test_hits_count_the_text_that_was_hit():
    with Workspace() as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        for length, hits in ((40, 3), (400, 2)):
            ann.write("plan.md", "x" * length)
            for _ in range(1 + hits):
                bob.read("plan.md")
        found = line(workspace, "bob")
        assert (found.full, found.hits) == (2, 5)
        assert found.served_tokens == found.refetch_tokens == 4 * 10 + 3 * 100
        assert workspace.metrics()["hits"] == 5


def test_a_day_and_a_form_that_are_no_such_are_refused():
    with Workspace() as workspace:
        workspace.agent("ann").write("plan.md", TEXT)
        assert workspace.stats(date(2001, 1, 1)).total.writes == 1
        assert workspace.stats("9999-01-01").rows == ()
        with pytest.raises(BadArgument, match="not a day"):
            workspace.stats("yesterday")
        with pytest.raises(BadArgument, match="by 'hour'"):
            workspace.stats().by("hour")


def test_sums_are_ordered_and_safe_without_reads():
    rows = (
        Tally("2026-11-29", "b", "x", full=1, served_tokens=5, refetch_tokens=5),
        Tally("2026-11-28", "a", "x", delta=1, served_tokens=5, refetch_tokens=50, exact=1),
        Tally("2026-11-28", "a", "y", writes=1),
    )
    stats = Stats(rows)
    assert [each.name for each in stats.by("agent")] == ["a", "b"]
    assert [each.name for each in stats.by("day")] == ["2026-11-28", "2026-11-29"]
    assert (stats.by("artifact")[1].saved, Figures("").saved) == (0.0, 0.0)
    assert stats.total.as_dict()["saved"] == round(45 / 55, 4)
    assert set(COUNTS) < stats.total.as_dict().keys()


# On their way.


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Driven:
    """Has the keeper's work done when the test says so."""

    locks = ()

    def __init__(self):
        self.keepers = []

    def need(self, worker):
        if isinstance(worker, Keeper) and worker not in self.keepers:
            self.keepers.append(worker)

    def is_running(self, worker):
        return False

    def work(self):
        for keeper in self.keepers:
            while not keeper.inbox.empty():
                keeper.work_within()


@pytest.fixture(params=["memory", "sqlite"])
def begun(request, tmp_path):
    """A workspace that the test drives, its store, its clock, its keeper, and an agent."""
    clock, background = Clock(), Driven()
    sqlite = request.param == "sqlite"
    store = Faulty(SqliteStore(tmp_path / "t.db") if sqlite else MemoryStore())
    with Workspace(store, clock=clock, background=background) as workspace:
        ann = workspace.agent("ann")
        ann.write("plan.md", TEXT)
        yield workspace, store, clock, background, ann


def kept(store):
    return {(row.agent, row.artifact): row for row in store.store.tallies()}


def test_counts_travel_with_the_next_write_after_a_second(begun):
    _, store, clock, background, ann = begun
    ann.write("plan.md", "two")
    background.work()
    clock.now += module.EVERY_S
    ann.write("plan.md", "three")
    background.work()  # collects
    assert not kept(store)
    ann.write("plan.md", "four")
    assert kept(store)["ann", "plan.md"].writes == 3


def test_counts_do_not_wait_for_a_write_beyond_a_minute(begun):
    workspace, store, clock, background, _ = begun
    bob, sid = workspace.agent("bob"), workspace.agent("sid")
    for reader, seconds in ((bob, module.EVERY_S), (sid, module.WAIT_S + 1.0)):
        assert not kept(store)
        clock.now += seconds
        reader.read("plan.md")  # asks the store
        background.work()
    assert kept(store)["ann", "plan.md"].writes == 1
    assert not accounts_of(workspace).rows


def test_an_agent_that_leaves_sends_the_counts_and_may_come_back(begun):
    workspace, store, _, _, ann = begun
    ann.read("plan.md")
    ann.leave()
    assert kept(store)["ann", "plan.md"].hits == 1
    again = workspace.agent("ann")
    again.read("plan.md")
    assert line(workspace, "ann").reads == 2
    assert workspace.metrics()["writes"] == 1


@pytest.mark.parametrize("make", [StoreFault, OutcomeUnknown])
def test_a_failure_at_any_moment_counts_nothing_twice(begun, make):
    workspace, store, _, _, ann = begun

    def fail() -> BaseException:
        if store.moments in store.effected or make is OutcomeUnknown:
            unknown.append(store.moments)
            return OutcomeUnknown("the disk is gone")
        return StoreFault("the disk is full")

    store.make = fail
    at, fails = 0, True
    while fails:
        at, unknown, before = at + 1, [], workspace.stats().total
        ann.read("plan.md")
        accounts_of(workspace).collect()
        store.at = store.moments + at
        with suppress(StoreFault):
            ann.write("plan.md", f"text {at}", overwrite=True)  # carries the counts
        fails, store.at = store.moments >= store.at, 0
        accounts_of(workspace).carries = True
        reads = workspace.stats().total.reads - before.reads
        assert reads <= 1
        assert reads == 1 or unknown
    assert at > 10


@pytest.mark.parametrize("make", [StoreFault, OutcomeUnknown])
def test_a_flush_that_fails_keeps_its_counts_and_an_unknown_one_does_not(begun, make):
    workspace, store, _, _, ann = begun
    store.make = lambda: make("the disk is gone")
    accounts_of(workspace).collect()
    store.at = store.moments + 1
    with pytest.raises(make):
        workspace.stats()
    ann.read("plan.md")
    found = line(workspace, "ann")
    assert (found.hits, found.writes) == (1, make is StoreFault)


def test_a_write_does_not_fail_for_ever_because_of_counts(begun, monkeypatch):
    workspace, store, clock, background, ann = begun
    accounts_of(workspace).collect()

    def refuse(rows):
        raise StoreFault("no permission")

    monkeypatch.setattr(accounts_of(workspace), "send", refuse)
    real, tried = accounts_of(workspace).take, []
    monkeypatch.setattr(accounts_of(workspace), "take", lambda *n: tried.append(n) or real(*n))
    store.at, store.make = store.moments + 6, lambda: StoreFault("no permission")
    with pytest.raises(StoreFault):
        ann.write("plan.md", "two")
    for text in ("three", "four"):
        clock.now += module.EVERY_S
        background.work()
        ann.write("plan.md", text)
    assert tried.count(()) == 1, "one write carried counts"
    monkeypatch.undo()
    assert line(workspace, "ann").writes == 3


def test_rows_are_bounded(begun, monkeypatch):
    workspace, *_, ann = begun
    workspace.stats()
    monkeypatch.setattr(module, "ROWS_MAX", 3)
    for number in range(9):
        ann.write(f"a{number}", "text")
    accounts_of(workspace).collect()
    assert len(accounts_of(workspace).rows) <= 4
    by = {each.name: each.writes for each in workspace.stats().by("artifact")}
    assert by.pop("") == 6
    assert sum(by.values()) == 4


def test_contents_that_wait_are_bounded(begun, monkeypatch):
    workspace, _, _, background, ann = begun
    monkeypatch.setattr(account, "HELD_BYTES", 2 * len(TEXT))
    bob = workspace.agent("bob")
    for _ in range(3):
        bob.read("plan.md", have="plan.md@1")
    assert account_of(ann).events
    background.work()
    assert not account_of(ann).events


def test_hits_keep_a_copy_in_memory_once(begun):
    workspace, *_, ann = begun
    caches = site_of(workspace).homes._caches
    ann.write("other", "o" * 1000)
    ann.read("plan.md")
    caches.holdings.used.clear()
    caches.holdings.limit_bytes = caches.holdings.bytes - 1
    caches.make_room()
    assert "plan.md" in ann._states
    assert "other" not in ann._states
    caches.holdings.limit_bytes = caches.holdings.bytes - 1
    caches.make_room()
    assert "plan.md" not in ann._states
    assert line(workspace, "ann").hits == 1


# Texts beside the answers.


def test_an_answer_that_no_model_sees_is_not_counted():
    with Workspace() as workspace:
        ann = workspace.agent("ann")
        ann.write("plan.md", TEXT)
        account_of(ann).unseen(ann.read("plan.md"))
        account_of(ann).told("plan.md", "x" * 40)
        account_of(ann).told("no name\0", "x" * 4)
        found = {each.name: each for each in workspace.stats().by("artifact")}
        assert (found["plan.md"].reads, found["plan.md"].served_tokens) == (0, 10)
        assert (found[""].served_tokens, found["plan.md"].saved) == (1, 0.0)
        assert workspace.metrics()["hits"] == 1


def test_a_read_that_was_sent_before_it_is_taken_back_leaves_no_negative_count():
    with Workspace() as workspace:
        ann = workspace.agent("ann")
        ann.write("plan.md", TEXT)
        view = ann.read("plan.md")
        workspace.stats()
        account_of(ann).unseen(view)
        assert line(workspace, "ann").hits == 1


# Tokenizers.


def test_a_tokenizer_counts_each_version_once(words):
    with Workspace() as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        ann.write("plan.md", TEXT)
        have = bob.read("plan.md").ref
        bob.read("plan.md")
        ann.read("plan.md")
        bob.read("plan.md", have)
        stats = workspace.stats()
        assert words.counted.count(TEXT) == 1
        assert stats.total.exact == stats.total.reads == 4
        assert stats.total.refetch_tokens == 4 * len(TEXT.split())


def test_a_tokenizer_is_loaded_only_for_what_was_read(monkeypatch):
    loaded = []
    monkeypatch.setattr(token_counts, "_installed", lambda: loaded.append(1) or View.counter)
    with Workspace() as workspace:
        with workspace.agent("ann") as ann:
            ann.write("plan.md", TEXT)
            ann.write("plan.md", TEXT + "more\n")
        assert not loaded  # a vocabulary takes 0.2 s, more than a hook's whole call
        with workspace.agent("bob") as bob:
            bob.read("plan.md")
        assert loaded


def test_json_is_counted_as_its_text_and_other_bytes_are_estimated(words):
    with Workspace() as workspace:
        ann = workspace.agent("ann")
        for name, content in (("json", b'{"a": 1}'), ("image", b"\xff" * 40)):
            ann.write(name, content)
            ann.read(name)
        by = {each.name: each for each in workspace.stats().by("artifact")}
        assert (by["json"].served_tokens, by["json"].exact) == (2, 1)
        assert (by["image"].served_tokens, by["image"].exact) == (10, 0)


def test_a_tokenizer_has_a_budget_and_the_rest_is_estimated(monkeypatch):
    clock = Clock()

    class Slow(Words):
        def count(self, text):
            clock.now += 0.1
            return 7

    monkeypatch.setattr(View, "counter", Slow())
    with Workspace(clock=clock) as workspace:
        ann = workspace.agent("ann")
        for number in range(9):
            ann.write(f"a{number}", f"{number}" * 2000)
            ann.read(f"a{number}")
        stats = workspace.stats()
        assert 0 < stats.total.exact < 9
        assert {row.refetch_tokens for row in stats.rows if row.exact} == {7}
        assert {row.refetch_tokens for row in stats.rows if not row.exact} == {500}
        ann.write("later", "z" * 2000)
        clock.now += 100.0
        ann.read("later")
        assert workspace.stats().total.exact > stats.total.exact


def test_a_tokenizer_that_fails_is_told_and_replaced(monkeypatch, caplog):
    class Broken(Words):
        def count(self, text):
            raise ValueError("no vocabulary")

    monkeypatch.setattr(View, "counter", Broken())
    with Workspace() as workspace:
        ann = workspace.agent("ann")
        ann.write("plan.md", "x" * 40)
        ann.read("plan.md")
        assert workspace.stats().total.served_tokens == 10
    assert "tokens are estimated" in caplog.text


# Several threads, tasks and processes.


def test_no_hit_is_lost_between_threads_and_the_keeper():
    with Workspace() as workspace:
        agents = [workspace.agent(f"a{number}") for number in range(4)]
        agents[0].write("plan.md", TEXT)
        done = threading.Event()

        def collect():
            while not done.is_set():
                accounts_of(workspace).collect()

        def read(agent):
            for _ in range(3_000):
                agent.read("plan.md")

        collector = threading.Thread(target=collect)
        readers = [threading.Thread(target=read, args=(agent,)) for agent in agents]
        for thread in (collector, *readers):
            thread.start()
        for thread in readers:
            thread.join()
        done.set()
        collector.join()
        assert workspace.stats().total.reads == 12_000
        assert sum(workspace.metrics()[name] for name in ("hits", "fulls")) == 12_000


def test_tasks_have_the_same_stats():
    async def main():
        async with AsyncWorkspace() as workspace:
            ann = await workspace.agent("ann")
            await ann.write("plan.md", TEXT)
            await ann.read("plan.md")
            return (await workspace.stats()).total

    total = asyncio.run(main())
    assert (total.hits, total.writes) == (1, 1)


KILLED = """
import os, signal, sys
from coherence import Workspace
from coherence.workspace.workspace import site_of
workspace = Workspace(sys.argv[1])
ann = workspace.agent("ann")
ann.write("plan.md", "one")
site_of(workspace).homes.accounts.collect()
ann.write("plan.md", "two")  # carries the first
ann.write("plan.md", "three")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_killed_process_loses_what_it_had_not_sent(tmp_path):
    url = f"sqlite:///{tmp_path}/t.db"
    done = subprocess.run([sys.executable, "-c", KILLED, url], check=False)
    assert done.returncode == -signal.SIGKILL
    with Workspace(url) as workspace:
        assert line(workspace, "ann").writes == 1


FORKED = """
import os, sys
from coherence import Workspace
workspace = Workspace(sys.argv[1])
ann = workspace.agent("ann")
ann.write("plan.md", "one")
if not os.fork():
    workspace.close()
    sys.exit(0)
os.wait()
workspace.close()
"""


@pytest.mark.slow
def test_a_child_does_not_send_what_its_parent_has_counted(tmp_path):
    url = f"sqlite:///{tmp_path}/t.db"
    subprocess.run([sys.executable, "-c", FORKED, url], check=True, timeout=60)
    with Workspace(url) as workspace:
        assert line(workspace, "ann").writes == 1
