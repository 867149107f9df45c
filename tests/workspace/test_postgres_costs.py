"""What the PostgreSQL store costs in round trips and statements, counted on the way to it."""

from __future__ import annotations

import threading

import pytest
from postgres_link import Link

from coherence import Lazy, Workspace
from coherence.messages import Replacement
from coherence.runtime import follower
from coherence.stores import postgres_connections, postgres_ear
from coherence.stores.postgres_transaction import ALONG_BYTES_MAX

PATIENCE_S = 90
#: No copy is asked for again because its time is over.
LONG = Lazy(validity=3600.0)


@pytest.fixture
def link(postgres_url):
    made = Link(postgres_url)
    yield made
    made.close()


def settle(store, log, seq=0):
    """Return when the workspace of `store` listens, and has read all that it has heard of.

    This line is read too.

    Its listening connection has its lock then, and has said so; it does that again each minute.
    """
    ear = store._connections.ear
    patience = threading.Event()
    while store._connections.life._keep_at == 0:
        assert not patience.wait(0.001)
    while not ear.heard or ear.heard != ear._answered or log._place.seq < seq:
        assert not patience.wait(0.001)


def settled(agent, writer):
    """Return when the agent's process has read all that the writer's has written."""
    settle(agent._homes.store, agent._follower, writer._homes.store.head().seq)


#: What the threads that listen ask, and nobody waits for.
LISTENING = {"SINCE", "RING", "MEET", "HOLD", "FREE", "RENEW", "MEMBERS"}


def trips(link, call):
    """The statements of each round trip that `call` waits for."""
    return [trip for trip in link.during(call) if not LISTENING & set(trip)]


@pytest.fixture
def agents(link, postgres_url):
    """A reader whose trips are counted, and a writer elsewhere."""
    with Workspace(link.url, policy=LONG) as near, Workspace(postgres_url, policy=LONG) as far:
        reader, writer = near.agent("reader"), far.agent("writer")
        writer.write("warm.md", "up")
        for number in range(3):  # every statement is prepared
            reader.write("warm.md", str(number), overwrite=True)
        reader.read("warm.md")
        settle(near._site.store, near._site.follower)
        yield reader, writer


def test_a_write_is_two_round_trips(link, agents):
    reader, _ = agents
    reader.write("plan.md", "one")
    seen = trips(link, lambda: reader.write("plan.md", "two"))
    assert seen == [["BEGIN", "LOCK"], ["UPDATE", "PUBLISH", "APPEND", "COMMIT"]]


def test_a_write_to_what_nobody_else_touches_is_one_round_trip(link, agents, monkeypatch):
    # The machine may pause for as long as it likes.
    monkeypatch.setattr(postgres_connections, "QUIET_S", PATIENCE_S)
    reader, _ = agents
    for text in "123":
        reader.write("plan.md", text)
    for text in "456":
        seen = trips(link, lambda text=text: reader.write("plan.md", text))
        assert seen == [["BEGIN", "UPDATE_EXPECTED", "PUBLISH", "APPEND", "COMMIT"]]


def test_a_write_to_a_full_history_lets_go_of_one_version(link, agents, monkeypatch):
    monkeypatch.setattr(postgres_connections, "QUIET_S", PATIENCE_S)
    reader, _ = agents
    for number in range(70):
        reader.write("plan.md", str(number))
    seen = trips(link, lambda: reader.write("plan.md", "more"))
    assert seen == [["BEGIN", "UPDATE_EXPECTED", "PUBLISH", "PRUNE", "APPEND", "COMMIT"]]


def test_the_first_write_of_an_artifact_is_three_round_trips(link, agents):
    reader, _ = agents
    seen = trips(link, lambda: reader.write("plan.md", "one"))
    assert seen == [
        ["BEGIN", "LOCK"],
        ["COUNT"],
        ["INSERT", "PUBLISH", "APPEND", "COMMIT"],
    ]


def test_a_miss_is_two_round_trips(link, agents):
    reader, writer = agents
    writer.write("plan.md", "one")
    settled(reader, writer)
    seen = trips(link, lambda: reader.read("plan.md"))
    # The writer's process hears that its copy is no longer the only one.
    assert seen == [["BEGIN", "LOCK", "ALONG"], ["UPDATE", "APPEND", "COMMIT"]]


def test_a_miss_of_a_long_content_is_three_round_trips(link, agents):
    reader, writer = agents
    writer.write("plan.md", "x" * (ALONG_BYTES_MAX + 1))
    settled(reader, writer)
    seen = trips(link, lambda: reader.read("plan.md"))
    assert seen == [["BEGIN", "LOCK", "ALONG"], ["BODY"], ["UPDATE", "APPEND", "COMMIT"]]


def test_a_copy_that_was_evicted_is_two_round_trips(link, agents):
    reader, _ = agents
    reader._session.ask("warm.md", Replacement())
    seen = trips(link, lambda: reader.read("warm.md"))
    assert len(seen) == 2


def test_a_hit_is_none(link, agents):
    reader, _ = agents
    assert trips(link, lambda: reader.read("warm.md")) == []


def test_writes_of_its_own_are_not_read_back(link):
    """They are known here: nothing is asked after the commit."""
    with Workspace(link.url) as workspace:
        agent = workspace.agent("ann")
        agent.write("plan.md", "0")
        settle(workspace._site.store, workspace._site.follower)
        seen = link.during(lambda: [agent.write("plan.md", str(n)) for n in range(1, 20)])
        assert ["SINCE"] not in seen
        assert len([trip for trip in seen if "COMMIT" in trip]) == 19


def test_many_writes_of_its_own_are_read_now_and_then(link, agents, monkeypatch):
    """The log is cut at its far end: a process that never read it would hear of a gap."""
    monkeypatch.setattr(postgres_ear, "OWN_LINES", 10)
    reader, _ = agents
    before = reader._follower._place.seq
    number = 0
    while reader._follower._place.seq < before + 10:  # another reading starts the count again
        reader.write("plan.md", str(number := number + 1))


@pytest.mark.slow
def test_an_idle_process_costs_a_query_a_write(postgres_url):
    """One that has joined and shares nothing with the writer; 2 are allowed."""
    link = Link(postgres_url)
    with Workspace(link.url) as idle, Workspace(postgres_url) as busy:
        idle.agent("idle")
        writer = busy.agent("writer")
        writer.write("plan.md", "0")
        settle(idle._site.store, idle._site.follower)
        writes = 30
        link.forget()
        for number in range(writes):
            writer.write("plan.md", str(number))
            settle(idle._site.store, idle._site.follower, busy._site.store.head().seq)
        seen = link.statements
        assert seen.count(["SINCE"]) <= writes + 1
        assert len(seen) <= 2 * writes
    link.close()


def test_a_process_in_which_nobody_waits_does_not_look_by_itself(link, monkeypatch):
    monkeypatch.setattr(follower, "LOOK_S", 0.001)
    with Workspace(link.url) as workspace:
        agent = workspace.agent("ann")
        agent.write("plan.md", "one")
        settle(workspace._site.store, workspace._site.follower)
        store, waits = workspace._site.store, []
        enough, wait = threading.Event(), store.wait

        def counted(seq, timeout_s):
            wait(seq, timeout_s)
            waits.append(seq)
            if len(waits) > 50:
                enough.set()

        link.forget()
        monkeypatch.setattr(store, "wait", counted)
        assert enough.wait(PATIENCE_S)
        assert ["SINCE"] not in link.statements


@pytest.mark.parametrize(
    ("written", "read", "absent", "cost"),
    [(1, 0, 0, 2), (1, 7, 0, 2), (8, 24, 0, 2), (2, 2, 9, 3)],
)
def test_a_transaction_is_at_most_three_round_trips(link, agents, written, read, absent, cost):
    """Whatever it has read: rows are locked in one, absence in one, changes travel with COMMIT."""
    reader, writer = agents
    names = [f"n{number:02}" for number in range(32)]
    for name in names[: written + read]:
        writer.write(name, "1")
    block = reader.transaction([*names[: written + read], *(f"none/{i}" for i in range(absent))])
    with block as tx:
        for name in names[:written]:
            tx.write(name, tx.read(name).text + "!")
        link.forget()
    assert len(tx.refs) == written
    own = [t for t in link.statements if t and t[0].isupper() and not LISTENING & set(t)]
    assert own[0][0] == "BEGIN"
    assert own[-1][-1] == "COMMIT"
    assert len(own) == cost
    assert own[1:-1] == [["COUNT", "FOUNDED"]] * (cost - 2)


def test_a_transaction_that_makes_artifacts_is_three_round_trips(link, agents):
    reader, _ = agents

    def make():
        with reader.transaction() as tx:
            for number in range(9):
                tx.write(f"new/{number}", "1")

    assert len(trips(link, make)) == 3


def test_reads_of_many_are_one_round_trip(link, agents):
    reader, writer = agents
    names = [f"n{number}" for number in range(20)]
    for name in names:
        writer.write(name, "1")
    assert trips(link, lambda: reader.snapshot(names)) == [["CUT"]]
    assert trips(link, lambda: reader.transaction(names).__enter__()) == [["CUT"]]
    assert trips(link, lambda: reader.check(*(f"{name}@1" for name in names))) == [["ROWS"]]
    assert trips(link, lambda: reader.snapshot(prefix="n")) == [["LISTING"], ["CUT"]]
