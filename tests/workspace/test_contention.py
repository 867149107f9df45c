"""Many at once: threads, processes, processes that are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic

import pytest
from soaking import times

from coherence import Conflict, Workspace

CONTENDER = Path(__file__).with_name("contenders.py")
#: How long a process is killed every second.
KILLS = times(10)
SLOW = pytest.mark.slow
# Sixteen workspaces are no more of a test than one.
one_workspace = pytest.mark.parametrize(
    "rooms", ["memory", "sqlite", pytest.param("postgres", marks=SLOW)], indirect=True
)
# Each process has its own workspace as it is.
one_store = pytest.mark.parametrize(
    "rooms", ["sqlite", pytest.param("postgres", marks=SLOW)], indirect=True
)


def together(works):
    """Run each in a thread; raise what the first of them raised."""
    errors = []

    def guarded(work):
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


@pytest.fixture
def team(rooms):
    """Four agents, and how often each is to write: less where every write is a round trip."""
    return rooms.agents(*[f"w{i}" for i in range(4)]), 200 if rooms.store == "memory" else 25


@pytest.mark.slow(fast=2)
def test_plain_increments_are_all_there_or_refused(rooms, team):
    """The peer that a team would pick today loses about half of them, and says nothing."""
    agents, rounds = team
    agents[0].write("count", "0")
    conflicts = []

    def work(agent):
        for _ in range(rounds):
            try:
                agent.write("count", str(int(agent.read("count").text) + 1))
            except Conflict as conflict:
                conflicts.append(conflict)

    together([lambda agent=agent: work(agent) for agent in agents])
    rooms.settle()
    assert int(agents[0].read("count").text) == 4 * rounds - len(conflicts)


@pytest.mark.slow(fast=2)
def test_updates_are_all_there(rooms, team):
    agents, rounds = team

    def work(agent):
        for _ in range(rounds):
            agent.update("count", lambda text: str(int(text or 0) + 1))

    together([lambda agent=agent: work(agent) for agent in agents])
    rooms.settle()
    assert int(agents[0].read("count").text) == 4 * rounds


def test_alternating_writers_are_both_served(rooms):
    """Two that acquire by turns refuse each other for ever where a grant can be robbed."""
    ann, bob = rooms.agents("ann", "bob")
    for round_number in range(10):
        for agent in (ann, bob):
            with agent.edit("log") as draft:
                draft.text += f"{agent.name} {round_number}\n"
    rooms.settle()
    assert len(ann.read("log").text.splitlines()) == 20


@one_workspace
def test_sixteen_contending_writers_are_all_served(rooms):
    agents = rooms.agents(*[f"w{i}" for i in range(16)])
    served = []

    def work(agent):
        for _ in range(2):
            with agent.edit("log") as draft:
                served.append(agent.name)
                draft.text += f"{agent.name}\n"

    together([lambda agent=agent: work(agent) for agent in agents])
    assert agents[0].read("log").text.split() == served, "the grant was exclusive"
    assert sorted(served) == sorted([agent.name for agent in agents] * 2)


class Contender:
    """A process that adds lines to the ledger."""

    def __init__(self, url: str, name: str, count: int, lease_s: float = 5.0) -> None:
        self.name = name
        self.acknowledged: list[str] = []
        #: The longest that it went without an acknowledgement.
        self.gap_s = 0.0
        command = [sys.executable, str(CONTENDER), url, name, str(count), str(lease_s)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        last = monotonic()
        for line in self.process.stdout:
            now = monotonic()
            if self.acknowledged:  # not before it was ready
                self.gap_s = max(self.gap_s, now - last)
            last = now
            self.acknowledged.append(line.strip())

    def finish(self) -> list[str]:
        """Wait for its end; the lines that were acknowledged."""
        self.process.wait(100)
        self.reader.join(60)
        self.process.stdout.close()
        return [f"{self.name} {number}" for number in self.acknowledged if number != "ready"]


def ledger(url):
    with Workspace(url) as workspace:
        assert workspace.check() == []
        return workspace.agent("auditor").read("ledger.txt").text.splitlines()


@one_store
@pytest.mark.parametrize("count", [20, pytest.param(200, marks=SLOW)], ids=["few", "many"])
def test_processes_update_one_artifact(rooms, count):
    contenders = [Contender(rooms.url, f"p{i}", count) for i in range(4)]
    acknowledged = [line for contender in contenders for line in contender.finish()]
    assert [contender.process.returncode for contender in contenders] == [0] * 4
    assert sorted(acknowledged) == sorted(ledger(rooms.url))
    assert len(acknowledged) == 4 * count


@pytest.mark.slow
@one_store
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("kills", [3, 60], ids=["few", "many"])
def test_processes_that_are_killed_lose_nothing(rooms, kills):
    """Each is killed in the middle of its work, after some acknowledgements; others go on."""
    steady = [Contender(rooms.url, f"steady{i}", 15 * kills, 0.5) for i in range(2)]
    acknowledged = []
    for number in range(kills):
        victim = Contender(rooms.url, f"victim{number}", 1_000_000, 0.5)
        while len(victim.acknowledged) < 3 + number % 5:
            assert victim.process.poll() is None
            threading.Event().wait(0.001)  # nobody else says that it has got so far
        victim.process.send_signal(signal.SIGKILL)
        acknowledged += victim.finish()
    for contender in steady:
        acknowledged += contender.finish()
        assert contender.process.returncode == 0, "a survivor hangs or fails"
    check_ledger(rooms.url, acknowledged, kills)


def check_ledger(url, acknowledged, kills):
    """Every acknowledged line is there once, and a new process starts as if nothing was."""
    lines = ledger(url)
    assert len(lines) == len(set(lines)), "a line is there twice"
    missing = set(acknowledged) - set(lines)
    assert not missing, f"acknowledged and lost: {missing}"
    unacknowledged = set(lines) - set(acknowledged)
    assert len(unacknowledged) <= kills, "at most the write under way when each was killed"
    newcomer = Contender(url, "newcomer", 3)
    assert len(newcomer.finish()) == 3


@pytest.mark.slow
@one_store
@pytest.mark.timeout(KILLS + 200)
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_process_is_killed_every_second(rooms):
    """Four contend, the oldest is killed and another comes, at the pace of a clock."""
    names = (f"p{number}" for number in range(10**6))
    live = [Contender(rooms.url, next(names), 10**6, 0.5) for _ in range(4)]
    gone = []
    for _ in range(KILLS):
        threading.Event().wait(1.0)  # the pace is what is asked for
        assert [each.process.poll() for each in live] == [None] * 4, "a survivor gave up"
        gone.append(live.pop(0))
        gone[-1].process.send_signal(signal.SIGKILL)
        live.append(Contender(rooms.url, next(names), 10**6, 0.5))
    for survivor in live:
        so_far = len(survivor.acknowledged)
        while len(survivor.acknowledged) == so_far:
            assert survivor.process.poll() is None
            threading.Event().wait(0.001)  # nobody else says that it has got so far
    for survivor in live:
        survivor.process.send_signal(signal.SIGKILL)
    gone += live
    acknowledged = [line for each in gone for line in each.finish()]
    check_ledger(rooms.url, acknowledged, len(gone))
    longest = max(each.gap_s for each in gone)
    sys.stdout.write(f"{len(gone)} killed, {len(acknowledged)} lines, silent {longest:.2f} s\n")
