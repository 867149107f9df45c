"""Assertions about a workspace, a clock that the test owns, and the judge of recordings."""

import threading

import pytest

from coherence import (
    AsyncWorkspace,
    BadArgument,
    Fenced,
    GrantTimeout,
    Recorder,
    UnknownArtifact,
    Workspace,
)
from coherence.oracle import InvariantBroken
from coherence.stores.memory import MemoryStore
from coherence.stores.port import Retention
from coherence.testing import (
    Deadlock,
    LostUpdate,
    VirtualClock,
    assert_no_lost_update,
    assert_no_waiters,
)
from coherence.testing.judging import judge
from message_passing.trace import BadTrace, NoTrace


@pytest.fixture
def pair():
    with Workspace() as workspace:
        yield workspace, workspace.agent("ann"), workspace.agent("bob")


# No lost update


@pytest.mark.slow
def test_an_overwrite_of_an_unseen_version_is_a_lost_update(pair):
    workspace, ann, bob = pair
    ann.write("plan.md", "1")
    bob.read("plan.md")
    ann.write("plan.md", "2")
    assert_no_lost_update(workspace)
    bob.write("plan.md", "3", overwrite=True)
    with pytest.raises(
        LostUpdate,
        match=r"^bob replaced plan.md@2 by plan.md@3, without having seen plan.md@2 by ann: "
        r"bob had seen plan.md@1$",
    ):
        assert_no_lost_update(workspace)
    ann.write("notes.md", "")
    assert_no_lost_update(workspace, "notes.md")
    bob.delete("plan.md", overwrite=True)
    with pytest.raises(LostUpdate):
        assert_no_lost_update(workspace)


def test_a_rebase_an_overwrite_of_what_was_seen_and_a_first_write_lose_nothing(pair):
    workspace, ann, bob = pair
    ann.write("plan.md", "1\n\n\n")
    bob.read("plan.md")
    ann.write("plan.md", "1\n\n\n2\n")
    bob.write("plan.md", "0\n\n\n", merge=True)
    bob.update("plan.md", lambda text: text + "3")
    bob.write("plan.md", "all new", overwrite=True)
    ann.write("other.md", "")
    bob.write("other.md", "without a look", overwrite=True)
    assert_no_lost_update(workspace)


def test_an_overwrite_of_versions_of_ones_own_loses_nothing(pair):
    workspace, ann, bob = pair
    bob.write("plan.md", "0")
    ann.read("plan.md")
    first = ann.write("plan.md", "1")
    ann.write("plan.md", "2")
    ann.write("plan.md", "3", overwrite=True)
    assert first.version == 2
    assert_no_lost_update(workspace)


def test_a_name_that_was_never_written_is_not_a_proof(pair):
    workspace, _, _ = pair
    with pytest.raises(UnknownArtifact):
        assert_no_lost_update(workspace, "plan.md")
    for what in (AsyncWorkspace(workspace), None, []):
        with pytest.raises(BadArgument, match="is not a Workspace"):
            assert_no_lost_update(what)


# No waiters


def test_who_waits_for_whom_is_named():
    clock = VirtualClock()
    with clock.workspace() as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        assert_no_waiters(workspace)
        done = threading.Event()

        def wait():
            with bob.edit("plan.md"):
                done.set()

        with ann.edit("plan.md"):
            assert_no_waiters(workspace)
            waiting = threading.Thread(target=wait)
            waiting.start()
            while not workspace.row("plan.md").row.state.queue:
                pass
            with pytest.raises(AssertionError, match=r"^bob waits for plan.md, which ann holds$"):
                assert_no_waiters(workspace)
        waiting.join(60)
        assert done.is_set()
        assert_no_waiters(workspace)


# Time


def test_time_passes_where_the_test_says_and_renews_leases_meanwhile():
    clock = VirtualClock()
    with clock.workspace() as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        with ann.edit("plan.md") as draft:
            draft.text = "by ann"
            clock.pass_(800)
        assert (clock(), bob.read("plan.md").text) == (800, "by ann")
        with pytest.raises(Fenced), ann.edit("plan.md", hold_s=5) as draft:  # noqa: PT012
            draft.text = "late"
            clock.pass_(30)
            bob.update("plan.md", lambda text: text + " and bob")
        assert ann.read("plan.md").text == "by ann and bob"


def test_a_wait_in_the_thread_of_the_test_takes_no_time():
    clock = VirtualClock()
    with clock.workspace() as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        with ann.edit("plan.md"):
            with pytest.raises(GrantTimeout), bob.edit("plan.md", wait_s=40):
                pass
            assert clock() == 40
        with ann.edit("plan.md", hold_s=0), bob.edit("plan.md") as draft:
            draft.text = "after the lease"
        assert 40 < clock() <= 60
    assert draft.text == "after the lease"


def test_a_wait_without_end_is_a_deadlock():
    clock = VirtualClock()
    with clock.workspace() as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        with ann.edit("plan.md", hold_s=1e9):
            with pytest.raises(GrantTimeout), bob.edit("plan.md", wait_s=1e4):
                pass
            assert clock() == 1e4
    assert issubclass(Deadlock, AssertionError)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_time_does_not_go_back(seconds):
    clock = VirtualClock(7)
    with pytest.raises(BadArgument):
        clock.pass_(seconds)
    assert clock() == 7


def test_a_workspace_on_a_clock_takes_a_store_and_settings():
    clock = VirtualClock()
    with clock.workspace(MemoryStore(clock=clock)) as workspace:
        workspace.agent("ann").write("plan.md", "")
        clock.pass_(5)
        workspace.agent("ann").write("plan.md", "x")
        assert [entry.at for entry in workspace.history("plan.md")] == [0, 5]
    with clock.workspace(retention=Retention(versions=1)) as workspace:
        for text in "abc":
            workspace.agent("ann").write("plan.md", text)
        assert len(workspace.history("plan.md")) == 1


# Recordings


@pytest.fixture
def recording(tmp_path):
    with Recorder(tmp_path) as recorder, Workspace(recorder=recorder) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        ann.write("plan.md", "1")
        bob.read("plan.md")
        with bob.edit("plan.md") as draft:
            draft.text = "2"
        ann.update("plan.md", lambda text: text + "3")
    return recorder.path("plan.md")


def test_a_recording_of_a_workspace_keeps_every_promise(recording):
    assert judge(recording) == len(recording.read_text().splitlines()) - 1


def test_a_recording_that_a_table_does_not_allow_is_refused(recording):
    lines = recording.read_text().splitlines(keepends=True)
    with_gap = [line for line in lines if '"type":"PutM"' not in line or "commands" not in line]
    recording.write_text("".join(with_gap))
    with pytest.raises((BadTrace, InvariantBroken)):
        judge(recording)
    recording.write_text("")
    with pytest.raises(BadTrace):
        judge(recording)
    with pytest.raises(NoTrace):
        judge(recording.with_name("none"))
