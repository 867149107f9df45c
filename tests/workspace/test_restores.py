"""A store that goes back in time under processes that go on: a restored backup, a lossy failover.

What was written after the backup is lost.  No process may serve it, confirm it, or build on it in
silence: not by a version's number that names two contents, nor by a row of another artifact.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest

from coherence import Conflict, Lazy, Workspace
from coherence.errors import AgentSuperseded, UnknownArtifact, UnknownVersion
from coherence.view import Served

PLAN = "plan.md"
POLICY = Lazy(grant_lease=600.0)
TABLES = ("meta", "artifact", "history", "log", "member")


class Times:
    """A store, and copies of it that it can be put back to."""

    def __init__(self, kind, folder, request):
        self.kind, self.folder = kind, folder
        self.file = folder / "team.db"
        self.opened = []
        if kind == "sqlite":
            self.url = f"sqlite:///{self.file}"
        else:
            self.server = request.getfixturevalue("postgres")
            self.url = self.server.fresh()

    def open(self, name):
        """An agent of one more process."""
        workspace = Workspace(self.url, policy=POLICY)
        self.opened.append(workspace)
        return workspace.agent(name)

    def keep(self):
        if self.kind == "sqlite":
            self._copy(self.file, self.folder / "kept.db")
        else:
            for table in TABLES:
                self.server.run(
                    f"CREATE TABLE kept_{table} AS SELECT * FROM coherence_{table}", self.url
                )

    def put_back(self):
        """As a plain restore does it: nothing tells the processes that are running."""
        if self.kind == "sqlite":
            self._copy(self.folder / "kept.db", self.file)
        else:
            steps = [
                f"DELETE FROM coherence_{table}; INSERT INTO coherence_{table} TABLE kept_{table}"
                for table in TABLES
            ]
            self.server.run("; ".join(["BEGIN", *steps, "COMMIT"]), self.url)

    @staticmethod
    def _copy(source, target):
        with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as two:
            one.backup(two)

    def settle(self):
        """Where no hit is validated, news come by themselves within the validity: take them in."""
        if self.kind != "sqlite":
            for workspace in self.opened:
                workspace._site.follower.fetch()

    def close(self):
        for workspace in self.opened:
            workspace.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def times(request, tmp_path):
    made = Times(request.param, tmp_path, request)
    yield made
    made.close()


@pytest.fixture
def split(times):
    """Bob has plan.md@3 of a history that is gone; carl has written another @3 since."""
    bob = times.open("bob")
    bob.write(PLAN, "one\n")
    times.keep()
    bob.write(PLAN, "one\ntwo, which is lost\n")
    bob.write(PLAN, "one\ntwo, which is lost\nthree, which is lost\n")
    gone = bob.read(PLAN)
    times.put_back()
    carl = times.open("carl")
    carl.read(PLAN)
    carl.write(PLAN, "one\nby carl\n")
    carl.write(PLAN, "one\nby carl, twice\n")
    times.settle()
    return bob, carl, gone


@pytest.mark.parametrize("times", ["sqlite", "postgres"], indirect=True)
def test_no_copy_of_a_history_that_is_gone_is_served(split):
    bob, carl, _ = split
    assert bob.read(PLAN).text == carl.read(PLAN).text == "one\nby carl, twice\n"


def test_nothing_is_unchanged_since_a_history_that_is_gone(split):
    bob, _, gone = split
    for have in (gone.ref, str(gone.ref), f"{PLAN}@2"):
        view = bob.read(PLAN, have=have)
        assert (view.served, view.text) == (Served.FULL, "one\nby carl, twice\n"), have
    current = bob.read(PLAN)
    assert bob.read(PLAN, have=current.ref).served is Served.UNCHANGED


def test_a_ref_to_a_version_that_stands_is_confirmed_still(times):
    bob = times.open("bob")
    first = bob.write(PLAN, "one\n")
    times.keep()
    bob.write("other.md", "lost")
    times.put_back()
    times.open("carl").write("third.md", "makes the log as long as it was")
    times.settle()
    assert bob.read(PLAN, have=first).served is Served.UNCHANGED


def test_what_derives_from_a_history_that_is_gone_is_refused(split):
    bob, carl, gone = split
    with pytest.raises(Conflict):
        bob.write(PLAN, gone.text + "four\n")
    with pytest.raises(Conflict):
        carl.write(PLAN, gone.text + "four\n", expect=gone.ref)
    assert carl.read(PLAN).text == "one\nby carl, twice\n"


def test_a_version_that_is_gone_is_not_another_artifacts(times):
    alice = times.open("alice")
    alice.write("a.md", "a")
    times.keep()
    alice.write("b.md", "b")
    times.put_back()
    times.open("carl").write("c.md", "secret of c")
    times.settle()
    with pytest.raises((UnknownArtifact, UnknownVersion)):
        alice.read("b.md", version=1)
    with pytest.raises(UnknownArtifact):
        alice.history("b.md")
    alice.write("b.md", "b again", expect=0)
    assert alice.read("b.md", version=1).text == "b again"
    assert times.opened[0].check() == []


def test_a_process_that_only_wrote_notices_as_well(times):
    """It has never read the log, so its own lines alone tell it that they are gone."""
    alice = times.open("alice")
    alice.write("a.md", "a")
    times.keep()
    alice.write(PLAN, "lost")
    times.put_back()
    carl = times.open("carl")
    for number in range(5):
        carl.write(PLAN, str(number))
    times.settle()
    assert alice.read(PLAN).text == "4"


def test_a_draft_across_a_restore_is_refused(times):
    bob = times.open("bob")
    bob.write(PLAN, "one\n")
    times.keep()
    bob.write(PLAN, "lost\n")
    edit = bob.edit(PLAN)
    draft = edit.__enter__()
    draft.text += "more\n"
    times.put_back()
    carl = times.open("carl")
    carl.read(PLAN)
    carl.write(PLAN, "by carl\n")
    with pytest.raises(Conflict):
        edit.__exit__(None, None, None)
    assert carl.read(PLAN).text == "by carl\n"


def test_a_waiting_agent_is_served_after_a_restore(times):
    ann, bob = times.open("ann"), times.open("bob")
    ann.write(PLAN, "one\n")
    times.keep()
    edit = ann.edit(PLAN)
    edit.__enter__()
    done = []
    waiter = threading.Thread(
        target=lambda: done.append(bob.update(PLAN, lambda text: text + "bob\n")), daemon=True
    )
    waiter.start()
    while not times.opened[0].row(PLAN).row.state.queue:
        threading.Event().wait(0.001)
    times.put_back()  # to a home that knows neither of the grant nor of the queue
    for workspace in times.opened:
        workspace._site.follower.fetch()
    waiter.join(30)
    assert not waiter.is_alive()
    assert done[0].text == "one\nbob\n"
    edit._draft.text = "late\n"
    with pytest.raises(Conflict):
        edit.__exit__(None, None, None)


@pytest.mark.parametrize("times", ["sqlite", "postgres"], indirect=True)
def test_agents_are_members_again(times):
    bob = times.open("bob")
    times.keep()
    late = times.open("late")
    times.put_back()
    times.open("carl").write(PLAN, "one")
    times.settle()
    assert late.read(PLAN).text == bob.read(PLAN).text == "one"
    assert {member.agent for member in times.opened[0].members()} == {"bob", "late", "carl"}


def test_the_name_is_theirs_who_joined_in_the_history_that_counts(times):
    times.open("first").write("other.md", "x")
    times.keep()
    bob = times.open("bob")
    bob.write(PLAN, "lost")
    times.put_back()
    again = times.open("bob")
    again.write(PLAN, "one")
    times.settle()
    with pytest.raises(AgentSuperseded):
        bob.read(PLAN)
    assert again.read(PLAN).text == "one"


def test_a_session_that_began_after_the_backup_is_a_member_again(times):
    """An earlier session of the same process is in the backup."""
    first = times.open("bob")
    times.keep()
    first.leave()
    bob = times.opened[0].agent("bob")
    bob.write(PLAN, "lost")
    times.put_back()
    times.open("carl").write(PLAN, "one")
    times.settle()
    assert bob.read(PLAN).text == "one"
    assert {member.agent for member in times.opened[0].members()} == {"bob", "carl"}
    bob.leave()
    assert {member.agent for member in times.opened[0].members()} == {"carl"}
