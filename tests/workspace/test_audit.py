"""The history says which version each writer had seen, and why it wrote; refusals are kept."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from functools import partial
from itertools import count

import pytest

from coherence import (
    BadArgument,
    BadRef,
    Conflict,
    Fenced,
    ForeignRef,
    InvalidContent,
    Lazy,
    Limits,
    OutcomeUnknown,
    StoreFault,
    UnknownArtifact,
    UnknownVersion,
    Workspace,
)
from coherence.stores.archive import archive_of
from coherence.stores.faulty import Faulty
from coherence.stores.memory import MemoryStore
from coherence.stores.sqlite import SqliteStore


def audit(workspace, name="plan.md"):
    return [
        (entry.version, entry.author, entry.base, entry.overwrite, entry.reason)
        for entry in workspace.history(name)
    ]


def test_history_has_bases_overwrites_and_reasons(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "one\ntwo\n\nthree\n", reason="to begin")
    bob.read("plan.md")
    ann.write("plan.md", "one\ntwo\n\nthree!\n")
    bob.write("plan.md", "one!\ntwo\n\nthree\n", merge=True)  # had seen 1, published upon 2
    ann.write("plan.md", "all new", overwrite=True, reason="it was wrong")  # had seen 2, not 3
    bob.write("plan.md", "both", expect=1, resolve=lambda conflict: "both", reason="asked")
    ann.update("plan.md", lambda text: text + "!", reason="for emphasis")
    with bob.edit("plan.md", reason="in a draft") as draft:
        draft.text = "draft"
    bob.delete("plan.md", reason="done")
    ann.write("plan.md", "again", overwrite=True)
    assert audit(rooms.opened[0]) == [
        (1, "ann", 0, False, "to begin"),
        (2, "ann", 1, False, ""),
        (3, "bob", 1, False, ""),
        (4, "ann", 2, True, "it was wrong"),
        (5, "bob", 4, False, "asked"),
        (6, "ann", 5, False, "for emphasis"),
        (7, "bob", 6, False, "in a draft"),
        (8, "bob", 7, False, "done"),
        (9, "ann", 6, True, ""),
    ]
    assert rooms.opened[0].check() == []


def test_a_rename_has_its_reason_on_both_sides(rooms):
    (ann,) = rooms.agents("ann")
    ann.write("old.md", "text")
    ann.rename("old.md", "new.md", reason="a better name")
    assert audit(rooms.opened[0], "old.md")[1:] == [(2, "ann", 1, False, "a better name")]
    assert audit(rooms.opened[0], "new.md") == [(1, "ann", 0, False, "a better name")]


def test_a_writer_that_waited_for_its_turn_has_seen_what_it_had_seen(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "1")
    bob.read("plan.md")
    with ann.edit("plan.md", reason="hers") as draft:
        draft.text = "2"
        writer = threading.Thread(
            target=bob.write,
            args=("plan.md", "3"),
            kwargs={"overwrite": True, "reason": "his"},
        )
        writer.start()
        while not rooms.opened[0].row("plan.md").row.state.queue:
            assert writer.is_alive()
    writer.join(60)
    assert audit(rooms.opened[0])[1:] == [(2, "ann", 1, False, "hers"), (3, "bob", 1, True, "his")]


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_a_note_belongs_to_its_own_commit_whatever_the_store_answers(store, tmp_path):
    """Two agents of one process write in turn; a commit of unknown outcome is sent again."""
    noted = {
        "1": ("ann", 0, False, "ann 1"),
        "2": ("bob", 0, True, "bob 2"),
        "3": ("ann", 1, True, ""),
        "4": ("bob", 3, False, ""),
        "5": ("ann", 4, False, "ann 5"),
    }
    complete, every = 0, 1 if store == "memory" else 5
    for at in count(1, every):
        inner = MemoryStore() if store == "memory" else SqliteStore(tmp_path / f"{at}.db")
        faulty = Faulty(inner, 0, lambda: OutcomeUnknown("on purpose"))
        with Workspace(faulty) as workspace:
            ann, bob = workspace.agent("ann"), workspace.agent("bob")
            faulty.at = faulty.moments + at
            writes = [
                partial(ann.write, "plan.md", "1", reason="ann 1"),
                partial(bob.write, "plan.md", "2", overwrite=True, reason="bob 2"),
                partial(ann.write, "plan.md", "3", overwrite=True),
                partial(bob.update, "plan.md", lambda text: "4"),
                partial(ann.write, "plan.md", "5", expect=4, reason="ann 5"),
            ]
            for write in writes:
                with suppress(OutcomeUnknown, Conflict):
                    write()
            passed, faulty.at = faulty.moments < faulty.at, 0
            entries = inner.history("plan.md")
            for entry in entries:
                author, seen, overwrite, reason = noted[inner.read("plan.md", entry.version)[1]]
                assert (entry.author, entry.overwrite, entry.reason) == (author, overwrite, reason)
                assert entry.base == seen or len(entries) < 5
            complete += len(entries) == 5
        if passed:
            break
    assert at > 20
    assert complete > 20 / every, "most outcomes are found out by sending the request again"


@pytest.mark.slow(fast=7)
@pytest.mark.parametrize("reason", [None, 7, b"text", "a" * 201, "two\nlines", "\ud800", "\0"])
def test_a_bad_reason(rooms, reason):
    (ann,) = rooms.agents("ann")
    ann.write("plan.md", "text")
    calls = [
        lambda: ann.write("plan.md", "more", reason=reason),
        lambda: ann.update("plan.md", str.upper, reason=reason),
        lambda: ann.edit("plan.md", reason=reason),
        lambda: ann.delete("plan.md", reason=reason),
        lambda: ann.rename("plan.md", "new.md", reason=reason),
        lambda: ann.restore("plan.md@1", reason=reason),
    ]
    for call in calls:
        with pytest.raises(BadArgument):
            call()
    assert len(ann.history("plan.md")) == 1
    assert ann.write("plan.md", "more", reason="a" * 200).version == 2
    assert ann.history("plan.md")[-1].reason == "a" * 200


# restore


def test_a_version_is_restored_upon_the_current_one(rooms):
    ann, bob = rooms.agents("ann", "bob")
    first = ann.write("plan.md", "1")
    bob.write("plan.md", "2", expect=first)
    assert str(ann.restore("plan.md@1", reason="2 was wrong")) == "plan.md@3"
    rooms.settle()
    assert bob.read("plan.md").text == "1"
    assert str(ann.write("plan.md", "4")) == "plan.md@4", "it derives from what was restored"
    assert str(bob.restore(first)) == "plan.md@5"
    assert audit(rooms.opened[0])[2:] == [
        (3, "ann", 2, False, "restored from @1: 2 was wrong"),
        (4, "ann", 3, False, ""),
        (5, "bob", 4, False, "restored from @1"),
    ]


def test_a_restore_undoes_a_deletion(rooms):
    ann, _ = rooms.agents("ann", "bob")
    ann.write("plan.md", "1")
    ann.delete("plan.md")
    assert ann.restore("plan.md@1").version == 3
    assert ann.read("plan.md").text == "1"
    with pytest.raises(UnknownArtifact):
        ann.restore("plan.md@2")


def test_a_restore_of_what_is_current_publishes_nothing(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "1")
    ann.write("plan.md", "2")
    assert str(bob.restore("plan.md@2")) == "plan.md@2"
    assert len(ann.history("plan.md")) == 2


def test_a_restore_is_refused_if_another_agent_publishes_during_it(rooms, monkeypatch):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "1")
    ann.write("plan.md", "2")
    look = bob._operations._look

    def looking(name):
        loaded = yield from look(name)
        ann.write("plan.md", "3")
        return loaded

    monkeypatch.setattr(bob._operations, "_look", looking)
    with pytest.raises(Conflict) as refused:
        bob.restore("plan.md@1")
    assert (refused.value.base_version, str(refused.value.current)) == (2, "plan.md@3")
    with pytest.raises(Conflict):
        bob.write("plan.md", "by bob, who has read nothing")
    assert ann.read("plan.md").text == "3"


def test_a_restore_of_what_is_not_there(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "1")
    for ref, error in [
        ("plan.md@9", UnknownVersion),
        ("other.md@1", UnknownArtifact),
        ("plan.md", BadRef),
        (3, BadRef),
    ]:
        with pytest.raises(error):
            bob.restore(ref)
    with Workspace() as other:
        ref = other.agent("ann").write("plan.md", "1")
    with pytest.raises(ForeignRef):
        bob.restore(ref)
    assert len(ann.history("plan.md")) == 1


# refusals


def refusals(workspace):
    return archive_of(workspace._site.store).refusals()


def test_refused_writes_are_kept_if_asked_for(rooms):
    rooms.settings["limits"] = Limits(refusals=3)
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "one\n")
    bob.read("plan.md")
    ann.write("plan.md", "two\n")
    before = {name: rooms.opened[0].history(name) for name in rooms.opened[0].names()}
    for number in range(4):
        with pytest.raises(Conflict):
            bob.write("plan.md", "one\nby bob\n", reason=f"try {number}")
    assert [line.reason for line in refusals(rooms.opened[0])] == ["try 1", "try 2", "try 3"]
    line = refusals(rooms.opened[0])[-1]
    assert (line.artifact, line.agent, line.base, line.current) == ("plan.md", "bob", 1, 2)
    assert (line.kind, line.size_bytes, line.attempt) == (
        "conflict",
        11,
        "@@ -1,0 +2 @@\n+by bob\n",
    )
    assert line.at > 0
    after = {name: rooms.opened[0].history(name) for name in rooms.opened[0].names()}
    assert before == after
    assert ann.read("plan.md").text == "two\n"


@pytest.mark.slow(fast=1)
def test_every_kind_of_refused_call_is_kept(rooms):
    rooms.settings["limits"] = Limits(refusals=100)
    rooms.settings["policy"] = Lazy(grant_lease=0.5)
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "1")
    ann.write("plan.md", b"\0")
    with pytest.raises(Conflict):
        bob.delete("plan.md", expect=1, reason="delete")
    with pytest.raises(Conflict):
        bob.write("plan.md", b"\1", expect=1, reason="bytes")
    ann.write("other.md", "text")
    with pytest.raises(Conflict):
        bob.rename("plan.md", "other.md", reason="rename")

    def give_up(conflict):
        raise conflict

    with pytest.raises(Conflict):
        bob.write("plan.md", "x", expect=1, resolve=give_up, reason="given up")
    edit = bob.edit("plan.md", hold_s=0.0, reason="draft")
    edit.__enter__().content = b"\2"
    with ann.edit("plan.md") as other:  # waits until the lease is over
        other.content = b"\3"
    with pytest.raises(Fenced):
        edit.__exit__(None, None, None)
    kept = [(line.kind, line.reason) for line in refusals(rooms.opened[0])]
    assert kept == [
        ("conflict", "delete"),
        ("conflict", "bytes"),
        ("conflict", "rename"),
        ("conflict", "given up"),
        ("fenced", "draft"),
    ]


def test_a_conflict_that_is_solved_or_fails_otherwise_is_not_kept(rooms):
    rooms.settings["limits"] = Limits(refusals=3)
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "1\n\n\n4\n")
    ann.write("plan.md", "1!\n\n\n4\n")
    bob.write("plan.md", "1\n\n\n4!\n", expect=1, merge=True)
    bob.write("plan.md", "x", expect=1, resolve=lambda conflict: "y")
    with pytest.raises(InvalidContent):
        bob.write("plan.md", "x", expect=1, resolve=lambda conflict: None)
    assert refusals(rooms.opened[0]) == []


def test_refused_writes_are_not_kept_by_default(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "1")
    with pytest.raises(Conflict):
        bob.write("plan.md", "2")
    assert refusals(rooms.opened[0]) == []
    for bad in (-1, True, 1.5, None):
        with pytest.raises(BadArgument):
            Limits(refusals=bad)


def test_a_store_that_cannot_keep_a_refusal_does_not_hide_the_conflict(caplog):
    class Full(MemoryStore):
        def refuse(self, line, keep):
            raise StoreFault("the disk is full")

    with Workspace(Full(), limits=Limits(refusals=3)) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        ann.write("plan.md", "1")
        with caplog.at_level(logging.WARNING), pytest.raises(Conflict):
            bob.write("plan.md", "2")
        assert "the disk is full" in caplog.text
        assert bob.read("plan.md").text == "1"


def test_a_long_attempt_is_cut(rooms):
    rooms.settings["limits"] = Limits(refusals=3)
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "1")
    with pytest.raises(Conflict):
        bob.write("plan.md", "line\n" * 100_000)
    (line,) = refusals(rooms.opened[0])
    assert len(line.attempt) == 4_000
    assert line.size_bytes == 500_000
