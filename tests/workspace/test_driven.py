"""A workspace whose time and background work belong to the test: no thread, no clock of its own."""

from __future__ import annotations

import threading

import pytest

from coherence import Fenced, GrantTimeout, Lazy, Workspace
from coherence.runtime.keeper import Keeper
from coherence.stores.sqlite import SqliteStore
from message_passing.background import Worker

NAME = "plan.md"
LEASE_S = 10.0


class Driven:
    """Notes the workers that are needed; the test has their work done."""

    locks = ()

    def __init__(self):
        self.workers: list[Worker] = []

    def need(self, worker):
        if worker not in self.workers:
            self.workers.append(worker)

    def is_running(self, worker):
        return False

    def work(self):
        """Have everything done that waits now, and every lease renewed that is due."""
        for worker in self.workers:
            if isinstance(worker, Keeper):
                while not worker.inbox.empty():
                    worker.work_within()
                worker.work_within()
            else:
                worker.fetch()


class Team:
    def __init__(self, folder):
        self.now = 1000.0
        self.background = Driven()
        self.folder = folder

    def open(self):
        policy = Lazy(grant_lease=LEASE_S)
        clock = {"clock": lambda: self.now}
        url = "memory://"  # it has no clock of its own, and takes the workspace's
        if self.folder is not None:
            url = SqliteStore(self.folder / "t.db", **clock)
        return Workspace(url, policy=policy, background=self.background, **clock)


@pytest.fixture(params=["memory", "sqlite"])
def team(request, tmp_path):
    before = set(threading.enumerate())
    yield Team(tmp_path if request.param == "sqlite" else None)
    started = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in started if name.startswith("coherence")}


def test_a_lease_is_renewed_by_the_work_that_is_done(team):
    with team.open() as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        edit = ann.edit(NAME)
        draft = edit.__enter__()
        for _ in range(6):  # each time more than a third of the lease, and six times longer than it
            team.now += 0.9 * LEASE_S
            team.background.work()
        with pytest.raises(GrantTimeout), bob.edit(NAME, wait_s=0):
            pass
        draft.text = "by ann"
        edit.__exit__(None, None, None)
        assert bob.read(NAME).text == "by ann"


def test_a_lease_ends_without_that_work(team):
    with team.open() as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        edit = ann.edit(NAME)
        edit.__enter__().text = "by ann"
        team.background.work()
        team.now += 1.1 * LEASE_S
        with bob.edit(NAME, wait_s=0) as draft:
            draft.text = "by bob"
        with pytest.raises(Fenced):
            edit.__exit__(None, None, None)
        assert ann.read(NAME).text == "by bob"


def test_a_dropped_draft_is_given_back_by_that_work(team):
    with team.open() as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        ann.edit(NAME).__enter__()
        with pytest.raises(GrantTimeout), bob.edit(NAME, wait_s=0):
            pass
        team.background.work()
        with bob.edit(NAME, wait_s=0) as draft:
            draft.text = "by bob"


def test_a_first_join_that_is_cut_off_raises_the_interrupt(tmp_path):
    class Interrupted(Driven):
        interrupts = 1

        def need(self, worker):
            if self.interrupts:
                self.interrupts -= 1
                raise KeyboardInterrupt
            super().need(worker)

    store = SqliteStore(tmp_path / "t.db")
    store.validates = False  # as PostgreSQL: the log is followed from the first join on
    background = Interrupted()
    with Workspace(store, background=background) as workspace:
        with pytest.raises(KeyboardInterrupt):
            workspace.agent("ann")
        assert workspace.agent("ann").write(NAME, "text").version == 1
        assert workspace._site.follower in background.workers
