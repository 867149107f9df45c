"""Links that are cut, a server that stops, notifications that are lost: typed, and nothing lost."""

import logging
import queue
import subprocess
import sys
import threading
from collections import Counter
from itertools import count
from time import monotonic

import pytest
from postgres_link import Link, Lost

from coherence import Conflict, Lazy, OutcomeUnknown, StoreFault, Visibility, Workspace
from coherence.runtime import follower
from coherence.stores import postgres_connections as module

PATIENCE_S = 90


@pytest.fixture
def link(postgres_url, monkeypatch):
    """A link to a new workspace; nobody waits long for a connection."""
    monkeypatch.setattr(module, "CONNECT_S", 0.25)
    made = Link(postgres_url)
    yield made
    made.close()


def numbers(text):
    return Counter(int(line) for line in text.splitlines())


def attempt(call):
    """None where it went through, else the typed error."""
    try:
        call()
    except StoreFault as error:
        return error
    return None


def recovered(call):
    """What `call` returns once there is a connection again: the pool takes its time."""
    until = monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except StoreFault:
            assert monotonic() < until


def append(agent, number):
    return attempt(lambda: agent.update("ledger.txt", lambda text: f"{text}{number}\n"))


# A cut at every packet.  A story is what an agent does; it returns how each step ended.


def tell(agent):
    """Four increments and a rename."""
    ends = {number: append(agent, number) for number in range(2)}
    attempt(lambda: agent.write("old.md", "text", overwrite=True))
    moved = attempt(lambda: agent.rename("old.md", "new.md"))
    ends |= {number: append(agent, number) for number in range(2, 4)}
    return ends, moved


def judge(url, ends, moved=None):
    """Acknowledged: there once.  Refused for certain: not there.  Unknown: at most once."""
    with Workspace(url) as workspace:
        witness = workspace.agent("witness")
        seen = numbers(witness.read("ledger.txt").text)
        names = [name for name in witness.list() if name.endswith(".md")]
        assert workspace.check() == []
    for number, end in ends.items():
        if end is None:
            assert seen[number] == 1
        elif isinstance(end, OutcomeUnknown):
            assert seen[number] <= 1
        else:
            assert seen[number] == 0
    assert sum(seen.values()) == sum(seen[number] for number in ends)
    assert len(names) <= 1, "a rename is made or not"
    if moved is None and names:
        assert names == ["new.md"]


def packets_of_the_story(url):
    link = Link(url)
    with Workspace(link.url) as workspace:
        agent = workspace.agent("ann")
        link.arm(0, Lost.REQUEST)
        tell(agent)
        packets = link.packets
    link.close()
    return packets


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("stay_down", [False, True], ids=["mended", "down"])
@pytest.mark.parametrize("lost", Lost)
def test_a_cut_at_any_packet(postgres, monkeypatch, lost, stay_down):
    monkeypatch.setattr(module, "CONNECT_S", 0.1 if stay_down else 5.0)
    total = packets_of_the_story(postgres.fresh())
    assert total > 15
    for packet in range(1, total + 1):
        url = postgres.fresh()
        link = Link(url)
        with Workspace(link.url) as workspace:
            agent = recovered(lambda: workspace.agent("ann"))
            link.arm(packet, lost, stay_down=stay_down)
            ends, moved = tell(agent)
            link.mend()
            if not stay_down:
                assert not any(ends.values()), "one cut is bridged: what was sent is sent again"
            recovered(workspace.names)
            assert append(agent, 9) is None, "it goes on when the link does"
        judge(url, ends | {9: None}, moved)
        link.close()


@pytest.mark.slow
@pytest.mark.parametrize("lost", Lost)
def test_a_write_whose_fate_is_unknown_lends_its_serial_to_no_other(link, postgres_url, lost):
    with Workspace(postgres_url) as witnessing, Workspace(link.url) as workspace:
        agent, witness = workspace.agent("ann"), witnessing.agent("witness")
        agent.write("plan.md", "one")
        link.arm(b"COMMIT\0", lost, stay_down=True)
        with pytest.raises(OutcomeUnknown):
            agent.write("plan.md", "two")
        link.mend()
        made = {Lost.REQUEST: "one", Lost.ANSWER: "two"}[lost]
        assert recovered(lambda: agent.read("plan.md")).text == made
        assert str(agent.write("plan.md", "three")) == f"plan.md@{2 + (lost is Lost.ANSWER)}"
        assert witness.read("plan.md").text == "three"


@pytest.mark.slow
def test_writing_again_what_was_made_is_refused(link):
    with Workspace(link.url) as workspace:
        agent = workspace.agent("ann")
        base = agent.write("plan.md", "one")
        link.arm(b"COMMIT\0", Lost.ANSWER, stay_down=True)
        with pytest.raises(OutcomeUnknown):
            agent.write("plan.md", "two")
        link.mend()
        recovered(workspace.names)
        with pytest.raises(Conflict) as refused:
            agent.write("plan.md", "two", expect=base)
        assert refused.value.theirs == "two"


# A server that stops.


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("times", [1, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", ["immediate", "fast", "cut"])
def test_writers_outlive_the_server(postgres, postgres_url, monkeypatch, how, times):
    monkeypatch.setattr(module, "CONNECT_S", 0.25)
    workspaces = [Workspace(postgres_url) for _ in range(2)]
    agents = [workspaces[n % 2].agent(f"a{n}") for n in range(4)]
    made = queue.Queue()
    ids = count()
    stop = threading.Event()
    ends = {}

    def work(agent):
        while not stop.is_set():
            number = next(ids)
            ends[number] = append(agent, number)
            if ends[number] is None:
                made.put(number)

    threads = [threading.Thread(target=work, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    for _ in range(times):
        for _ in range(10):
            made.get(timeout=PATIENCE_S)
        if how == "cut":
            postgres.cut()
        else:
            postgres.stop(how)
            postgres.start()
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    for workspace in workspaces:
        workspace.close()
    judge(postgres_url, ends)


@pytest.mark.slow
def test_a_server_that_is_away_is_said_to_be(postgres, postgres_url, monkeypatch):
    monkeypatch.setattr(module, "CONNECT_S", 0.1)
    with Workspace(postgres_url) as workspace:
        agent = workspace.agent("ann")
        agent.write("plan.md", "one")
        postgres.stop()
        try:
            for call in (
                lambda: agent.write("plan.md", "two"),
                lambda: agent.read("other.md"),
                lambda: agent.update("plan.md", str.upper),
                lambda: workspace.names(),
                lambda: workspace.agent("bob"),
                lambda: agent.edit("plan.md").__enter__(),
            ):
                with pytest.raises(StoreFault) as refused:
                    call()
                assert not isinstance(refused.value, OutcomeUnknown), "nothing was even sent"
        finally:
            postgres.start()
        assert recovered(lambda: agent.read("plan.md")).text == "one"
        assert str(agent.write("plan.md", "two")) == "plan.md@2"


@pytest.mark.slow
def test_an_outage_is_one_line_of_the_log(postgres, postgres_url, monkeypatch, caplog):
    monkeypatch.setattr(module, "CONNECT_S", 0.1)
    monkeypatch.setattr(follower, "PAUSE_S", 0.01)
    tries, fetched = [], threading.Event()
    with Workspace(postgres_url) as workspace:
        agent = workspace.agent("ann")
        agent.write("plan.md", "one")
        fetch = workspace._site.follower.fetch

        def counted():
            tries.append(1)
            found = fetch()
            fetched.set()
            return found

        monkeypatch.setattr(workspace._site.follower, "fetch", counted)
        workspace._site.store._connections.ear.hear()
        assert fetched.wait(PATIENCE_S)
        caplog.clear()
        postgres.stop()
        try:
            tries.clear()
            while len(tries) < 5:
                attempt(lambda: agent.write("plan.md", "two"))
        finally:
            postgres.start()
        recovered(lambda: agent.read("plan.md"))
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.name for record in told] == ["coherence.workspace"], caplog.text
    assert "cannot be read" in told[0].message


# Bounds without notifications.


def deaf(url, **policy):
    """A workspace that no notification reaches."""
    workspace = Workspace(url, policy=Lazy(**policy))
    workspace._site.store._connections.ear._channel = "elsewhere"
    return workspace


@pytest.mark.slow
def test_without_notifications_no_copy_is_served_past_its_bound(postgres_url):
    bound_s = 0.2
    with deaf(postgres_url, validity=bound_s) as far, Workspace(postgres_url) as near:
        reader, writer = far.agent("reader"), near.agent("writer")
        for version in range(3):
            writer.write("plan.md", str(version))
            reader.read("plan.md")
            writer.write("plan.md", f"{version} anew")
            written = monotonic()
            while True:
                asked = monotonic()
                if reader.read("plan.md").text == f"{version} anew":
                    break
                assert asked <= written + bound_s


def test_without_notifications_a_strict_write_waits_for_the_bound_only(postgres_url):
    policy = {"validity": 0.2, "visibility": Visibility.STRICT}
    with deaf(postgres_url, **policy) as far, deaf(postgres_url, **policy) as near:
        reader, writer = far.agent("reader"), near.agent("writer")
        for version in range(3):
            writer.write("plan.md", str(version))
            assert reader.read("plan.md").text == str(version), "it returned when nobody was stale"


@pytest.mark.slow
def test_without_the_server_no_copy_is_served_past_its_bound(postgres, postgres_url, monkeypatch):
    monkeypatch.setattr(module, "CONNECT_S", 0.1)
    bound_s = 1.0
    with Workspace(postgres_url, policy=Lazy(validity=bound_s)) as workspace:
        agent = workspace.agent("ann")
        agent.write("plan.md", "one")
        asked = monotonic()
        agent.read("plan.md")
        postgres.stop()
        try:
            served = asked
            while attempt(lambda: agent.read("plan.md")) is None:
                assert served <= asked + bound_s
                served = monotonic()
        finally:
            postgres.start()
        assert recovered(lambda: agent.read("plan.md")).text == "one"


@pytest.mark.slow
def test_waiting_for_a_grant_without_notifications_ends_with_the_lease(postgres_url):
    policy = {"grant_lease": 0.3}
    with deaf(postgres_url, **policy) as far, deaf(postgres_url, **policy) as near:
        holder, waiter = near.agent("holder"), far.agent("waiter")
        holder.write("plan.md", "one")
        draft = holder.edit("plan.md", hold_s=0.0)
        draft.__enter__()
        waiter.update("plan.md", lambda text: text + " two")
        assert waiter.read("plan.md").text == "one two"


@pytest.mark.slow
def test_a_grant_whose_notification_was_lost_is_found_by_the_agent_that_waits(postgres_url):
    """Long before half a lease, when it would ask again."""
    policy = {"grant_lease": 3600.0}
    with deaf(postgres_url, **policy) as far, deaf(postgres_url, **policy) as near:
        holder, waiter = near.agent("holder"), far.agent("waiter")
        holder.write("plan.md", "one")
        edit = holder.edit("plan.md")
        edit.__enter__()
        append = threading.Thread(
            target=waiter.update, args=("plan.md", lambda text: text + " two"), daemon=True
        )
        append.start()
        while not near.row("plan.md").row.state.queue:
            pass
        ear = far._site.store._connections.ear
        while not ear.heard or ear.heard != ear._answered:
            pass  # whoever begins to listen looks once
        edit.__exit__(None, None, None)
        append.join(PATIENCE_S)
        assert not append.is_alive()
        assert near.agent("witness").read("plan.md").text == "one two"


def test_news_comes_by_itself(postgres_url):
    policy = Lazy(validity=3600.0)
    with Workspace(postgres_url, policy=policy) as far, Workspace(postgres_url) as near:
        reader, writer = far.agent("reader"), near.agent("writer")
        writer.write("plan.md", "one")
        reader.read("plan.md")
        with reader.watch("plan.md", timeout_s=PATIENCE_S) as changes:
            writer.write("plan.md", "two")
            assert next(changes).ref.version == 2
        # The watch read the log itself; what is meant for the cache is on its way.
        until = monotonic() + PATIENCE_S
        while reader.read("plan.md").text != "two":
            assert monotonic() < until


# Processes.

INCREMENTS = """
import sys
from coherence import Workspace
with Workspace(sys.argv[1]) as workspace:
    agent = workspace.agent(sys.argv[2])
    for _ in range(int(sys.argv[3])):
        agent.update("counter", lambda text: str(int(text or 0) + 1))
"""


def run_increments(url, processes, each):
    started = [
        subprocess.Popen([sys.executable, "-c", INCREMENTS, url, f"p{n}", str(each)])
        for n in range(processes)
    ]
    assert [process.wait(PATIENCE_S) for process in started] == [0] * processes
    with Workspace(url) as workspace:
        return int(workspace.agent("witness").read("counter").text)


@pytest.mark.slow
def test_four_processes_count_to_800(postgres_url):
    assert run_increments(postgres_url, 4, 200) == 800
