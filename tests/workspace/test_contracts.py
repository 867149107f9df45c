"""The seven contracts, each by its name, on every store."""

import threading

import pytest

from coherence import (
    AgentSuperseded,
    Conflict,
    Fenced,
    GrantTimeout,
    InvalidContent,
    Lazy,
    Served,
    UnknownArtifact,
    UnknownVersion,
    Visibility,
)


def test_contract_1_no_silent_lost_update(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "one\ntwo\n")
    bob.read("plan.md")
    ann.write("plan.md", "one\ntwo\nby ann\n")
    with pytest.raises(Conflict) as refused:
        bob.write("plan.md", "by bob\none\ntwo\n")
    conflict = refused.value
    assert str(conflict.current) == "plan.md@2"
    assert conflict.author == "ann"
    assert conflict.theirs == "one\ntwo\nby ann\n"
    assert conflict.overlaps is False
    assert ann.read("plan.md").text == "one\ntwo\nby ann\n"
    merged = conflict.merge()
    assert merged == "by bob\none\ntwo\nby ann\n"
    assert str(bob.write("plan.md", merged, expect=conflict.current)) == "plan.md@3"


def test_contract_1_an_agent_that_never_read_overwrites_nothing(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "by ann")
    with pytest.raises(Conflict):
        bob.write("plan.md", "by bob")
    assert bob.read("plan.md").text == "by ann"


@pytest.mark.slow(fast=4)
@pytest.mark.parametrize("call", ["read", "rename", "delete", "restore"])
def test_contract_1_a_call_that_failed_gives_no_version_to_derive_from(rooms, call):
    """It looks at the current version and does not show it."""
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "1")
    ann.write("other.md", "text")
    bob.read("plan.md")
    ann.write("plan.md", "2")
    failing = {
        "read": lambda: bob.read("plan.md", version=9),
        "rename": lambda: bob.rename("plan.md", "other.md"),
        "delete": lambda: bob.delete("plan.md", expect=0),
        "restore": lambda: bob.restore("plan.md@9"),
    }
    with pytest.raises((UnknownVersion, Conflict)):
        failing[call]()
    with pytest.raises(Conflict) as refused:
        bob.write("plan.md", "by bob")
    assert refused.value.base_version == 1
    assert ann.read("plan.md").text == "2"


def test_contract_1_overwriting_is_possible_when_it_is_said(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "by ann")
    assert str(bob.write("plan.md", "by bob", overwrite=True)) == "plan.md@2"
    assert ann.read("plan.md").text == "by bob"


def test_contract_1_a_delete_is_compared_like_a_write(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "1")
    bob.read("plan.md")
    ann.write("plan.md", "2")
    with pytest.raises(Conflict):
        bob.delete("plan.md")
    assert ann.read("plan.md").text == "2"
    bob.read("plan.md")
    bob.delete("plan.md")
    with pytest.raises(UnknownArtifact):
        ann.read("plan.md")
    with pytest.raises(Conflict):
        ann.write("plan.md", "from version 2", expect="plan.md@2")
    assert str(bob.write("plan.md", "again")) == "plan.md@4"


def test_contract_1_a_rename_moves_both_or_neither(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("old.md", "text")
    bob.write("new.md", "other")
    with pytest.raises(Conflict):
        ann.rename("old.md", "new.md")
    assert ann.list() == ["new.md", "old.md"]
    assert str(ann.rename("old.md", "folder/new.md")) == "folder/new.md@1"
    assert bob.read("folder/new.md").text == "text"
    with pytest.raises(UnknownArtifact):
        bob.read("old.md")


def test_contract_2_no_false_unchanged(rooms):
    ann, bob = rooms.agents("ann", "bob")
    lines = [f"line {i}\n" for i in range(50)]
    ann.write("plan.md", "".join(lines))
    first = bob.read("plan.md")
    assert first.served is Served.FULL
    same = bob.read("plan.md", have=first.ref)
    assert (same.served, same.for_prompt()) == (
        Served.UNCHANGED,
        "[plan.md is unchanged since plan.md@1]",
    )
    lines[7] = "another line\n"
    ann.write("plan.md", "".join(lines))
    newer = bob.read("plan.md", have=first.ref)
    assert newer.served is Served.DELTA
    assert newer.text == "".join(lines)
    assert newer.for_prompt() == (
        "[plan.md@2: changes since plan.md@1]\n@@ -8 +8 @@\n-line 7\n+another line\n"
    )
    assert 0 < newer.cost_tokens < newer.size_tokens


def test_contract_2_what_was_forgotten_is_read_in_full(rooms):
    (ann,) = rooms.agents("ann")
    ref = ann.write("plan.md", "text\n" * 50)
    assert ann.read("plan.md", have=ref).served is Served.UNCHANGED
    ann.forget("plan.md")
    assert ann.read("plan.md", have=ref).for_prompt() == "text\n" * 50
    assert ann.read("plan.md", have=ref).served is Served.UNCHANGED
    ann.forget()
    assert ann.read("plan.md", have=ref).for_prompt() == "text\n" * 50


@pytest.mark.parametrize("visibility", list(Visibility))
def test_contract_3_a_reader_is_never_stale_where_hits_are_validated(rooms, visibility):
    if not rooms.validates and visibility is Visibility.LAZY:
        pytest.skip("no hit is validated, and no writer waits: stale, within the bound")
    rooms.settings["policy"] = Lazy(visibility=visibility, validity=60.0)
    ann, bob = rooms.agents("ann", "bob")
    for version in range(1, 20):
        ann.write("plan.md", str(version))
        assert bob.read("plan.md").text == str(version)
        assert bob.read("plan.md").served is Served.HIT


def test_contract_3_with_a_validity_of_0_no_read_is_stale_on_any_store(rooms):
    rooms.settings["policy"] = Lazy(validity=0)
    ann, bob = rooms.agents("ann", "bob")
    for version in range(1, 40, 2):
        ann.write("plan.md", str(version))
        assert bob.read("plan.md").text == str(version)
        assert bob.read("plan.md").served is Served.HIT
        bob.write("plan.md", str(version + 1))
        assert ann.read("plan.md").text == str(version + 1)
    if rooms.apart:
        again = rooms.open().agent("ann")
        assert again.read("plan.md").text == "40"
        with pytest.raises(AgentSuperseded):
            ann.read("plan.md")


def test_contract_3_a_gap_in_the_log_makes_every_copy_ask_again(rooms, monkeypatch):
    ann, bob = rooms.agents("ann", "bob")
    if not rooms.apart:
        pytest.skip("nothing goes through a log within one process")
    ann.write("plan.md", "1")
    assert bob.read("plan.md").text == "1"
    monkeypatch.setattr("coherence.stores.sqlite_transaction.LOG_LINES", 1)
    monkeypatch.setattr("coherence.stores.sqlite_transaction.PRUNE_EVERY", 1)
    ann.write("plan.md", "2")
    for version in range(20):
        ann.write("other.md", str(version))
    assert bob.read("plan.md").text == "2"


def test_contract_4_grants_are_exclusive_and_served_in_order(rooms):
    names = [f"w{i}" for i in range(8)]
    first, *waiting = rooms.agents(*names)
    order = []

    def append(agent):
        with agent.edit("log.txt") as draft:
            order.append(agent.name)
            draft.text += agent.name + "\n"

    threads = []
    with first.edit("log.txt") as draft:
        draft.text = "start\n"
        for agent in waiting:
            thread = threading.Thread(target=append, args=(agent,))
            thread.start()
            threads.append(thread)
            wait_for_queue(rooms.opened[0], "log.txt", len(threads))
    for thread in threads:
        thread.join(60)
    assert order == names[1:]
    assert first.read("log.txt").text == "start\n" + "".join(f"{name}\n" for name in order)


def wait_for_queue(workspace, name, length):
    """Until that many wait.  Looks again and again, since nobody announces a longer queue."""
    for _ in range(100_000):
        if len(workspace.row(name).row.state.queue) >= length:
            return
    raise AssertionError("nobody came")


def test_contract_4_a_wait_has_a_deadline(rooms):
    ann, bob = rooms.agents("ann", "bob")
    with ann.edit("plan.md") as draft:
        draft.text = "by ann"
        with pytest.raises(GrantTimeout), bob.edit("plan.md", wait_s=0.01):
            pass
        with pytest.raises(GrantTimeout), bob.edit("plan.md", wait_s=0):
            pass
        assert rooms.opened[0].row("plan.md").row.state.queue == ()
    assert bob.read("plan.md").text == "by ann"


def test_contract_4_no_wait_at_all_takes_what_is_free(rooms):
    (ann,) = rooms.agents("ann")
    with ann.edit("plan.md", wait_s=0) as draft:
        draft.text = "by ann"
    assert ann.read("plan.md").text == "by ann"


@pytest.mark.slow(fast=1)
def test_contract_4_a_writer_that_wakes_late_is_fenced_and_keeps_its_text(rooms):
    rooms.settings["policy"] = Lazy(grant_lease=0.5)
    ann, bob = rooms.agents("ann", "bob")

    def sleep_over():
        with ann.edit("plan.md", hold_s=0.0) as draft:
            draft.text = "by ann"
            with bob.edit("plan.md") as other:  # waits until the lease is over
                other.text = "by bob"

    with pytest.raises(Fenced) as fenced:
        sleep_over()
    assert fenced.value.yours == "by ann"
    assert fenced.value.theirs == "by bob"
    assert ann.read("plan.md").text == "by bob"


@pytest.mark.slow
def test_contract_4_a_grant_is_not_robbed_while_its_lease_is_renewed(rooms):
    # Long enough that a busy machine renews in time; the wait outlasts it all the same.
    rooms.settings["policy"] = Lazy(grant_lease=1.0)
    ann, bob = rooms.agents("ann", "bob")
    with ann.edit("plan.md") as draft:
        draft.text = "by ann"
        with pytest.raises(GrantTimeout), bob.edit("plan.md", wait_s=1.5):
            pass
    assert bob.read("plan.md").text == "by ann"


def test_contract_4_an_optimistic_write_waits_for_the_holder(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "1")
    bob.read("plan.md")
    refused = []

    def write():
        try:
            bob.write("plan.md", "by bob")
        except Conflict as conflict:
            refused.append(conflict)

    writer = threading.Thread(target=write)
    with ann.edit("plan.md") as draft:
        writer.start()
        wait_for_queue(rooms.opened[0], "plan.md", 1)
        draft.text = "by ann"
    writer.join(60)
    assert str(refused[0].current) == "plan.md@2"
    assert ann.read("plan.md").text == "by ann"


def test_contract_5_a_refused_call_changes_nothing(rooms, snapshot):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "1")
    before = snapshot(rooms.opened[0])
    with pytest.raises(InvalidContent):
        bob.write("plan.md", "\ud800")
    with pytest.raises(UnknownArtifact):
        bob.read("nothing.md")
    assert snapshot(rooms.opened[0]) == before


def test_contract_6_the_sole_holder_can_always_write(rooms):
    (ann,) = rooms.agents("ann")
    ann.write("plan.md", "1")
    ann.read("plan.md")
    ann.write("plan.md", "2")
    with ann.edit("plan.md") as draft:
        draft.text += "3"
    ann.update("plan.md", lambda text: text + "4")
    assert ann.read("plan.md").text == "234"


@pytest.mark.slow(fast=2)
def test_contract_7_a_reader_that_vanished_holds_nobody_up(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "1")
    bob.read("plan.md")
    vanish(bob)
    ann.write("plan.md", "2")
    assert ann.read("plan.md").text == "2"
    sharers = rooms.opened[0].row("plan.md").row.state.sharers
    assert [sharer.cache for sharer in sharers] == ["ann"], "the dead leave the directory"


@pytest.mark.slow(fast=1)
def test_contract_7_a_writer_that_vanished_holds_nobody_up_beyond_its_lease(rooms):
    rooms.settings["policy"] = Lazy(grant_lease=1.0)
    ann, bob = rooms.agents("ann", "bob")
    edit = bob.edit("plan.md", hold_s=0.0)
    edit.__enter__()
    vanish(bob)
    with ann.edit("plan.md", wait_s=60) as draft:
        draft.text = "by ann"
    assert ann.read("plan.md").text == "by ann"


def vanish(agent):
    """As if its process had been killed: it hears nothing any more and says nothing."""
    caches = agent._session.shared.caches
    with caches.lock:
        del caches.agents[agent.name]
