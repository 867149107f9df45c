"""Who waits is woken, and who reads next sees it: across processes, many times over."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from coherence import Lazy, Workspace

CONTENDER = Path(__file__).with_name("contenders.py")
LEASE = Lazy(grant_lease=0.5)
HOLDER = """
import os, sys
from coherence import Lazy, Workspace
agent = Workspace(sys.argv[1], policy=Lazy(grant_lease=0.5)).agent("holder")
with agent.edit("plan.md") as draft:
    print("held", flush=True)
    sys.stdin.readline()
    os._exit(9)
"""


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/team.db"


@pytest.mark.parametrize("rounds", [300, pytest.param(5_000, marks=pytest.mark.slow)])
def test_a_read_after_a_write_elsewhere_is_never_stale(url, rounds):
    """Two connections to one file; by turns one writes and the other reads at once."""
    with Workspace(url) as here, Workspace(url) as there:
        ann, bob = here.agent("ann"), there.agent("bob")
        ann.write("plan.md", "0")
        for number in range(1, rounds):
            writer, reader = (ann, bob) if number % 2 else (bob, ann)
            assert reader.read("plan.md").text == str(number - 1)
            writer.write("plan.md", str(number), overwrite=True)
            assert reader.read("plan.md").text == str(number)


@pytest.mark.slow
def test_a_read_after_another_process_has_written_is_never_stale(url):
    """What the other process says it has written is there, at once, however it is timed."""
    command = [sys.executable, str(CONTENDER), url, "writer", "300", "5"]
    with (
        Workspace(url) as workspace,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
    ):
        readers = [workspace.agent(name) for name in ("ann", "bob")]
        seen = 0
        for line in process.stdout:
            if line.strip() == "ready":
                continue
            for reader in readers:
                assert f"writer {line.strip()}\n" in reader.read("ledger.txt").text
            seen += 1
        assert process.wait(100) == 0
        assert seen == 300


@pytest.mark.parametrize("rounds", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_who_waits_for_a_holder_that_was_killed_is_served(url, rounds):
    """Three wait, in two workspaces: all are served long before their own deadline of a minute."""
    with Workspace(url, policy=LEASE) as here, Workspace(url, policy=LEASE) as there:
        here.agent("ann").write("plan.md", "")
        waiting = [here.agent("ann"), there.agent("bob"), there.agent("cat")]
        for _ in range(rounds):
            holder = subprocess.Popen(
                [sys.executable, "-c", HOLDER, url],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert holder.stdout.readline().strip() == "held"
            failed = []

            def work(agent, failed=failed):
                try:
                    agent.update("plan.md", lambda text: f"{text}{agent.name} ", wait_s=60.0)
                except BaseException as error:
                    failed.append(error)

            threads = [threading.Thread(target=work, args=(agent,)) for agent in waiting]
            for thread in threads:
                thread.start()
            holder.communicate("die\n")
            assert holder.returncode == 9
            for thread in threads:
                thread.join(90)
            assert not failed
        assert sorted(here.agent("ann").read("plan.md").text.split()) == sorted(
            ["ann", "bob", "cat"] * rounds
        )


def lose_messages(workspace):
    """This process hears nothing of what others' transactions send it, until it asks."""
    workspace._site.follower.fetch = lambda: None


def test_an_answer_that_was_lost_is_asked_for_again(url):
    """Another process ends the holder's grant and sends the next one here, and it never arrives."""
    with Workspace(url, policy=LEASE) as here, Workspace(url, policy=LEASE) as there:
        ann, bob = here.agent("ann"), there.agent("bob")
        ann.write("plan.md", "one")
        lose_messages(there)
        held, asked = threading.Event(), threading.Event()

        def hold():
            with ann.edit("plan.md"):
                held.set()
                asked.wait(60)

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(60)
        got = []
        waiter = threading.Thread(target=lambda: got.append(bob.edit("plan.md").__enter__()))
        waiter.start()
        while not here.row("plan.md").row.state.queue:
            threading.Event().wait(0.001)  # nobody else says that it has got so far
        asked.set()
        holder.join(60)
        waiter.join(30)
        assert got, "the grant went astray, and nobody asked again"
