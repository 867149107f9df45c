"""A transaction on three artifacts is done or not done, wherever its process ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from itertools import count

import killed_commits
import pytest
from killed_commits import FOUND, MISSING, WRITTEN, commit

from coherence.stores.faulty import STEPS, Crash, Faulty
from coherence.stores.memory import MemoryStore
from coherence.stores.opening import open_store
from coherence.stores.promises import publish


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path}/team.db"


def done(store):
    """How often the transaction was done, wholly."""
    seen, place = store.cut([*WRITTEN, FOUND, MISSING])
    versions = {seen[name].version for name in WRITTEN}
    assert len(versions) == 1, f"half of it is done: {seen}"
    [times] = versions
    assert [seen[name].content for name in WRITTEN] == [str(times)] * 3
    assert (seen[FOUND].content, seen[MISSING].stored) == ("text", None)
    assert place == store.head()
    assert place.seq == 1 + 3 * times
    return times


def ends(store, attempt):
    """Whether the transaction was done, for each moment at which its process has ended."""
    publish(store, FOUND, "text")
    commit(store)
    made = []
    for at in count(1):
        before = done(store)
        alive = attempt(at)
        after = done(store)
        if alive:
            assert after == before + 1
            return made
        made.append(after > before)
    raise AssertionError("unreachable")


@pytest.mark.slow
def test_a_process_killed_at_any_moment_of_a_transaction(url):
    with closing(open_store(url)) as store:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        command = [sys.executable, killed_commits.__file__, url]
        with subprocess.Popen(command, text=True, **pipes) as killed:

            def attempt(at):
                killed.stdin.write(f"{at}\n")
                killed.stdin.flush()
                status = int(killed.stdout.readline())
                assert status in (0, -signal.SIGKILL)
                return status == 0

            made = ends(store, attempt)
    assert made == [False] * (len(made) - 1) + [True]
    assert len(made) > 40


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres"])
def test_a_call_cut_off_at_any_moment_of_a_transaction(kind, request, tmp_path):
    """As an interrupt does: what it has left is released, and the process goes on."""
    if kind == "memory":
        store = MemoryStore()
    elif kind == "sqlite":
        store = open_store(f"sqlite:///{tmp_path}/team.db")
    else:
        store = open_store(request.getfixturevalue("postgres_url"))

    def attempt(at):
        try:
            commit(Faulty(store, at))
        except Crash:
            store.release()
            return False
        return True

    with closing(store):
        made = ends(store, attempt)
    assert made == [False] * (len(made) - 1) + [True]
    assert len(made) > 40


def test_a_store_that_fails_knows_every_call_of_a_transaction():
    from coherence.stores.port import Transaction

    calls = {name for name in vars(Transaction) if not name.startswith("_")}
    assert set(STEPS) == calls - {"now"}
