"""What transactions, snapshots and checks promise: on every store, for threads and for tasks."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest
from tasks import Loop

from coherence import (
    Conflict,
    Conflicts,
    GrantTimeout,
    Lazy,
    Limits,
    Ref,
    Served,
    StaleRead,
    UnknownArtifact,
    UnknownVersion,
)
from coherence.stores.port import Retention


class Team:
    """Agents on one store, `apart` as two processes would be; for threads or for tasks."""

    def __init__(self, rooms, loop):
        self.rooms, self.loop = rooms, loop
        self.snapshot = None

    def agents(self, *names):
        if self.loop is None:
            return self.rooms.agents(*names)
        if not self.rooms.apart:
            workspace = self.rooms.opened[0] if self.rooms.opened else self.rooms.open()
            return [self.loop.agent(workspace, name) for name in names]
        return [self.loop.agent(self.rooms.open(), name) for name in names]

    def settle(self):
        self.rooms.settle()

    def texts(self):
        workspace = self.rooms.opened[0]
        store = workspace._site.store
        return {
            name: (len(workspace.history(name)), store.read(name, row.row.state.version)[1])
            for name in workspace.names()
            if (row := workspace.row(name)) is not None
        }


FAST = [("threads", "memory"), ("tasks", "sqlite-2"), ("threads", "postgres-2")]
SLOW = [
    ("tasks", "memory"),
    *[("threads", kind) for kind in ("sqlite", "sqlite-2", "postgres")],
    ("tasks", "postgres-2"),
]
# Tasks are tried in memory and as two processes.
every_team = pytest.mark.parametrize(
    ("team", "rooms"),
    [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)],
    indirect=True,
)


@pytest.fixture
def team(rooms, request):
    loop = Loop() if request.param == "tasks" else None
    yield Team(rooms, loop)
    if loop is not None:
        loop.close()


def rows(team):
    """All that the store holds: equal before and after means nothing moved."""
    workspace = team.rooms.opened[0]
    names = workspace.names(deleted=True)
    return [(name, workspace.row(name), workspace.history(name)) for name in names]


# All or nothing.


@every_team
def test_all_or_nothing(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("plan", "1")
    with bob.transaction() as tx:
        plan = tx.read("plan")
        tx.write("plan", plan.text + "!")
        tx.write("api", "from " + plan.text)
        assert "api" not in ann.list()
        assert tx.refs is None
    assert tx.refs == {"plan": Ref("plan", 2), "api": Ref("api", 1)}
    assert team.texts() == {"plan": (2, "1!"), "api": (1, "from 1")}
    team.settle()
    assert (ann.read("plan").text, ann.read("api").text) == ("1!", "from 1")
    before = rows(team)
    with suppress(KeyError), bob.transaction() as tx:
        tx.write("plan", "lost")
        raise KeyError
    assert rows(team) == before
    assert tx.refs is None


@every_team
def test_a_block_that_writes_nothing_asks_the_store_for_nothing(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("plan", "1")
    before = rows(team)
    with bob.transaction() as tx:
        tx.read("plan")
        ann.write("plan", "2")
    assert tx.refs == {}
    with bob.transaction():
        pass
    assert len(rows(team)[0][2]) == len(before[0][2]) + 1


@every_team
def test_deleting_and_renaming(team):
    ann, bob = team.agents("ann", "bob")
    for name in ("old", "a", "kept"):
        ann.write(name, name)
    with bob.transaction(reason="tidied") as tx:
        tx.delete("old")
        tx.rename("a", "b", reason="a better name")
        tx.write("kept", "new", overwrite=True)
    assert tx.refs == {n: Ref(n, v) for n, v in {"old": 2, "a": 2, "b": 1, "kept": 2}.items()}
    assert bob.list() == ["b", "kept"]
    assert bob.history("b")[0].reason == "a better name"
    assert bob.history("old")[1].reason == "tidied"
    with pytest.raises(UnknownArtifact), bob.transaction() as tx:
        tx.write("other", "text"), tx.delete("old")
    assert "other" not in bob.list()
    with bob.transaction() as tx:
        assert tx.read("b").text == "a"
        tx.rename("b", "c")
        assert tx.writes["c"] == "a"
    assert bob.list() == ["c", "kept"]
    with bob.transaction() as tx:
        tx.write("old", "again")  # a deleted artifact can be created, as by a plain write
    assert tx.refs == {"old": Ref("old", 3)}


# Skew.


@every_team
def test_write_skew_is_refused(team):
    """Each keeps x + y >= 1 by itself; together they would not (Berenson et al. 1995, A5B)."""
    ann, bob = team.agents("ann", "bob")
    ann.write("x", "1"), ann.write("y", "1")

    def first():
        with ann.transaction() as tx:
            assert int(tx.read("x").text) + int(tx.read("y").text) == 2
            tx.write("x", "0")
            with bob.transaction(["x", "y"]) as other:
                other.write("y", "0")

    with pytest.raises(Conflicts) as refused:
        first()
    assert list(refused.value.conflicts) == ["y"]
    assert isinstance(refused.value.conflicts["y"], StaleRead)
    assert team.texts() == {"x": (1, "1"), "y": (2, "0")}


@every_team
def test_skew_by_absence_is_refused(team):
    """Trap 1: what does not exist has no row."""
    ann, bob = team.agents("ann", "bob")

    def first():
        with ann.transaction() as tx:
            assert tx.read("x", missing=None) is None
            assert tx.read("y", missing=None) is None
            tx.write("x", "ann")
            with bob.transaction(["x", "y"]) as other:
                other.write("y", "bob")

    with pytest.raises(Conflicts) as refused:
        first()
    conflict = refused.value.conflicts["y"]
    assert isinstance(conflict, StaleRead)
    assert (conflict.base_version, str(conflict.current)) == (0, "y@1")
    assert conflict.summary.startswith("You found no y, current is y@1, by bob.")
    assert team.texts() == {"y": (1, "bob")}


@every_team
def test_what_was_deleted_is_a_read_too(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("x", "1"), ann.delete("x")

    def first():
        with ann.transaction() as tx:
            assert tx.read("x", missing="none") == "none"
            bob.write("x", "again")
            tx.write("y", "there is no x")

    with pytest.raises(Conflicts):
        first()
    with ann.transaction() as tx:
        assert tx.read("x").text == "again"
    ann.delete("x")
    with ann.transaction() as tx:
        with pytest.raises(UnknownArtifact, match="was deleted"):
            tx.read("x")
        tx.write("y", "there is no x")
    assert team.texts() == {"y": (1, "there is no x")}


# Reads.


@every_team
def test_a_transaction_that_only_reads_is_never_refused_at_its_end(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("x", "1"), ann.write("y", "1")
    with bob.transaction() as tx:
        seen = tx.read("x").text, tx.read("y").text
        ann.write("x", "2"), ann.write("y", "2")
        assert tx.read("x").text == "1"  # a second read gives the same version
    assert seen == ("1", "1")


@every_team
def test_reads_are_opaque(team):
    """What a transaction reads, even one that is refused later, was the state at one moment."""
    ann, bob = team.agents("ann", "bob")
    ann.write("x", "1"), ann.write("y", "1")

    def reader():
        with bob.transaction() as tx:
            tx.read("x")
            ann.write("x", "2"), ann.write("y", "2")
            tx.read("y")

    with pytest.raises(Conflicts) as refused:
        reader()
    assert list(refused.value.conflicts) == ["x"]

    def stubborn():
        """Whoever catches it meets it again."""
        with bob.transaction() as tx:
            tx.write("z", "z"), tx.read("x")
            ann.write("x", "3")
            for _ in range(2):
                with pytest.raises(Conflicts):
                    tx.read("y")
            with pytest.raises(Conflicts):
                tx.write("z", "z")

    with pytest.raises(Conflicts):
        stubborn()
    team.settle()
    assert "z" not in bob.list()


@every_team
def test_a_read_is_given_in_the_shortest_form(team):
    ann, bob = team.agents("ann", "bob")
    lines = [f"line {i}\n" for i in range(50)]
    ann.write("plan", "".join(lines))
    ann.write("api", "api")
    first = bob.snapshot(["plan", "api"])
    assert {view.served for view in first.values()} == {Served.FULL}
    lines[7] = "another line\n"
    team.settle()
    ann.write("plan", "".join(lines))
    team.settle()
    second = bob.snapshot(["plan", "api"], have=first.refs)
    assert second["plan"].served is Served.DELTA
    assert second["api"].for_prompt() == "[api is unchanged since api@1]"
    with bob.transaction() as tx:
        assert tx.read("plan", have=first["plan"].ref).served is Served.DELTA
        assert tx.read("api", have="api@1").served is Served.UNCHANGED
        bob.forget("api")
        assert tx.read("api", have="api@1").served is Served.FULL
        assert tx.read("api", have="api@1").served is Served.UNCHANGED
        with pytest.raises(UnknownVersion):
            tx.read("api", have="api@7")


@every_team
def test_later_plain_writes_derive_from_what_was_read(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("x", "1"), ann.write("y", "1")
    with bob.transaction() as tx:
        tx.read("x")
    snap = bob.snapshot(["y"])
    ann.write("x", "2")
    with pytest.raises(Conflict) as refused:
        bob.write("x", "from 1")
    assert refused.value.base_version == 1
    assert str(bob.write("y", snap["y"].text + "!")) == "y@2"


@every_team
def test_a_snapshot_is_of_one_moment_and_names_what_there_was_not(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("a", "1"), ann.write("b", "1"), ann.write("gone", "1"), ann.delete("gone")
    snap = bob.snapshot(["b", "a", "never", "gone"])
    assert {name: view.text for name, view in snap.items()} == {"b": "1", "a": "1"}
    assert (len(snap), "a" in snap, "never" in snap) == (2, True, False)
    assert (snap.get("never"), snap.get("a").text) == (None, "1")
    with pytest.raises(UnknownArtifact):
        snap["never"]
    assert {name: ref.version for name, ref in snap.refs.items()} == {
        "b": 1,
        "a": 1,
        "never": 0,
        "gone": 2,
    }
    assert bob.check(*snap.refs.values()) == ()
    ann.write("never", "now"), ann.write("b", "2")
    assert set(bob.check(*snap.refs.values())) == {Ref("never", 0), Ref("b", 1)}
    assert bob.check("a@1", "b@1", "b@2", Ref("gone", 1)) == (Ref("b", 1), Ref("gone", 1))
    assert bob.check() == ()


@every_team
def test_a_snapshot_of_a_prefix(team):
    ann, bob = team.agents("ann", "bob")
    for name in ("src/a", "src/b", "srd", "other"):
        ann.write(name, name)
    ann.delete("src/a")
    snap = bob.snapshot(prefix="src/")
    assert {name: view.text for name, view in snap.items()} == {"src/b": "src/b"}
    assert list(bob.snapshot(prefix="")) == ["other", "src/b", "srd"]
    assert str(bob.write("src/b", "derived from it")) == "src/b@2"


def after_listing(team, work):
    """Have `work` done once the next snapshot of a prefix has its names."""
    homes = team.rooms.opened[-1]._site.homes
    look = homes.look

    def late(call, *given):
        found = look(call, *given)
        if getattr(call, "__name__", "") == "listing":
            del homes.look
            work()
        return found

    homes.look = late


@every_team
def test_what_is_replaced_while_a_prefix_is_read_is_given_as_listed(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("src/a", "1"), ann.write("src/b", "1"), ann.write("src/c", "1")
    carl = team.rooms.opened[0].agent("carl")
    after_listing(
        team, lambda: (carl.write("src/a", "2", overwrite=True), carl.delete("src/b", expect=1))
    )
    snap = bob.snapshot(prefix="src/")
    assert {name: view.text for name, view in snap.items()} == dict.fromkeys(
        ("src/a", "src/b", "src/c"), "1"
    )
    assert set(bob.check(*snap.refs.values())) == {Ref("src/a", 1), Ref("src/b", 1)}


@every_team
def test_what_is_gone_from_the_history_meanwhile_is_named(team):
    team.rooms.settings["retention"] = Retention(versions=1)
    ann, bob = team.agents("ann", "bob")
    ann.write("src/a", "1")
    carl = team.rooms.opened[0].agent("carl")
    after_listing(team, lambda: carl.write("src/a", "2", overwrite=True))
    with pytest.raises(UnknownVersion, match="src/a@1 was replaced during the snapshot"):
        bob.snapshot(prefix="src/")


def test_watching_from_a_snapshot_misses_nothing_and_repeats_nothing(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("a", "1")
    snap = bob.snapshot(["a"])
    ann.write("a", "2")
    with bob.transaction() as tx:
        tx.write("b", "1")
    with bob.watch(since=snap.place, timeout_s=0) as changes:
        assert [str(change.ref) for change in changes] == ["a@2", "b@1"]


# Refusals.


@every_team
def test_a_refusal_names_all_that_has_moved(team):
    ann, bob = team.agents("ann", "bob")
    for name in "abcd":
        ann.write(name, "1")

    def first():
        with bob.transaction(list("abcd")) as tx:
            tx.write("a", "bob"), tx.write("b", "bob"), tx.write("new", "bob")
            ann.write("a", "2"), ann.write("c", "2")
            ann.write("new", "ann")

    with pytest.raises(Conflicts) as refused:
        first()
    error = refused.value
    assert isinstance(error, Conflict)
    assert sorted(error.conflicts) == ["a", "c", "new"]
    assert error.refs == {"a": Ref("a", 2), "c": Ref("c", 2), "new": Ref("new", 1)}
    written, read = error.conflicts["a"], error.conflicts["c"]
    assert (written.yours, written.base, written.theirs) == ("bob", "1", "2")
    assert (read.yours, read.base, read.theirs, read.merge()) == (None, "1", "2", None)
    assert read.summary.startswith("You read c@1, current is c@2, by ann.\nWhat changed since:")
    assert error.summary.count("You ") == 3
    assert error.merge() is error.overlaps is None
    prompt = error.for_prompt()
    assert "c, which you read as version 1: current is version 2, by ann." in prompt
    assert '<their_changes of="c" from="1" to="2">' in prompt
    assert len(error.for_prompt(1_000)) <= 1_000
    team.settle()
    assert bob.read("c", have=error.refs["c"]).served is Served.UNCHANGED


@every_team
def test_a_refused_transaction_has_changed_nothing(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("a", "1"), ann.write("b", "1")
    team.settle()

    def first():
        with bob.transaction() as tx:
            tx.read("a"), tx.read("b")
            tx.write("b", "bob"), tx.write("c", "bob"), tx.delete("a")
            ann.write("a", "2")
            before.append(rows(team))

    before = []
    with pytest.raises(Conflicts):
        first()
    assert rows(team) == before[0]
    team.settle()
    assert bob.read("a").text == "2"
    assert str(bob.write("b", "later", overwrite=True)) == "b@2"


@every_team
def test_a_merge_of_a_conflict_can_be_written_by_another_transaction(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("a", "one\n\n\ntwo\n")
    ann.write("b", "1")
    try:
        with bob.transaction(["a", "b"]) as tx:
            tx.write("a", "one\n\n\ntwo!\n"), tx.write("b", "2")
            ann.write("a", "one!\n\n\ntwo\n")
    except Conflicts as refused:
        conflict = refused.conflicts["a"]
        with bob.transaction() as tx:
            tx.write("a", refused.merge(), expect=conflict.current)
            tx.write("b", "2", expect=1)
    assert team.texts() == {"a": (3, "one!\n\n\ntwo!\n"), "b": (2, "2")}


# Grants.


def in_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def queued(rooms, name):
    """Whether anybody waits for that grant."""
    row = rooms.opened[0].row(name)
    return row is not None and bool(row.row.state.queue)


def test_a_transaction_waits_its_turn_in_the_order_of_names(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("a", "1"), ann.write("b", "1")
    done = []

    def transaction():
        with bob.transaction() as tx:
            tx.write("b", "bob", expect=1)
            tx.write("a", "bob", expect=1)
        done.append(tx.refs)

    with ann.edit("b", wait_s=30):
        worker = in_thread(transaction)
        while not queued(rooms, "b"):
            pass
        state = rooms.opened[0].row("a").row.state
        assert state.owner == "bob"  # the smaller name first
    worker.join(60)
    assert done == [{"a": Ref("a", 2), "b": Ref("b", 2)}]
    assert not rooms.opened[0].row("a").row.state.owner


def test_a_transaction_that_waited_and_is_stale_then_is_refused(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("a", "1"), ann.write("b", "1")
    told = []

    def transaction():
        try:
            with bob.transaction(["b"]) as tx:
                tx.write("b", "bob"), tx.write("a", "bob", overwrite=True)
        except Conflicts as error:
            told.append(list(error.conflicts))

    with ann.edit("b", wait_s=30) as draft:
        worker = in_thread(transaction)
        while not queued(rooms, "b"):
            pass
        draft.text = "2"
    worker.join(60)
    assert told == [["b"]]
    assert not rooms.opened[0].row("a").row.state.owner, "a grant is kept"
    assert ann.read("a").text == "1"


@every_team
def test_a_transaction_under_anothers_draft_waits_no_longer_than_said(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("a", "1"), ann.write("b", "1")
    with ann.edit("b") as draft:
        with pytest.raises(GrantTimeout), bob.transaction(wait_s=0) as tx:
            tx.write("a", "bob", overwrite=True), tx.write("b", "bob", overwrite=True)
        assert not team.rooms.opened[0].row("a").row.state.owner
        with bob.transaction() as tx:  # a draft has published nothing: it may be read beside
            assert tx.read("b").text == "1"
            tx.write("a", "bob", overwrite=True)
        draft.text = "2"
    assert team.texts() == {"a": (2, "bob"), "b": (2, "2")}


@every_team
def test_who_has_a_draft_does_not_wait_for_another_grant(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("a", "1"), ann.write("b", "1"), ann.write("c", "1")
    with ann.edit("b"), bob.edit("c") as draft:
        with pytest.raises(GrantTimeout, match="leave the draft first"), bob.transaction() as tx:
            tx.write("b", "bob", overwrite=True)
        with bob.transaction() as tx:
            tx.write("a", "bob", overwrite=True)
        draft.text = "2"
    assert team.texts() == {"a": (2, "bob"), "b": (1, "1"), "c": (2, "2")}


@every_team
def test_overwriting_what_others_write_meanwhile(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("a", "1")
    with bob.transaction(reason="it was wrong") as tx:
        tx.write("a", "bob", overwrite=True)
        tx.write("b", "bob")
        ann.write("a", "2"), ann.write("a", "3")
    assert tx.refs == {"a": Ref("a", 4), "b": Ref("b", 1)}
    last = bob.history("a")[-1]
    assert (last.base, last.overwrite, last.reason) == (0, True, "it was wrong")
    first = bob.history("b")[-1]
    assert (first.base, first.overwrite, first.reason) == (0, False, "it was wrong")


@every_team
def test_a_write_that_changes_nothing_makes_no_version(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("a", "1"), ann.write("b", "1")
    with bob.transaction(["a", "b"]) as tx:
        tx.write("a", "1"), tx.write("b", "2")
    assert tx.refs == {"a": Ref("a", 1), "b": Ref("b", 2)}


# transact.


@every_team
def test_transact_is_called_again_until_it_stands(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("a", "1"), ann.write("b", "1")
    calls = []

    def function(tx):
        a, b = tx.read("a").text, tx.read("b").text
        calls.append(a)
        if len(calls) == 1:
            ann.write("a", "2")
        else:
            with pytest.raises(GrantTimeout):
                ann.write("a", "3", overwrite=True, wait_s=0)  # what was read is held
        tx.write("b", b + a)
        return a

    assert bob.transact(function) == "2"
    assert calls == ["1", "2"]
    assert team.texts() == {"a": (2, "2"), "b": (2, "12")}
    states = [team.rooms.opened[0].row(name).row.state for name in "ab"]
    assert [state.owner for state in states] == ["", ""]
    ann.write("a", "4", overwrite=True)
    ann.write("b", "4", overwrite=True)


@every_team
def test_transact_is_bounded(team):
    ann, bob = team.agents("ann", "bob")
    for number in range(9):
        ann.write(f"n{number}", "1")
    calls = []

    def wanders(tx):
        """Reads a name that it has not read before, and is overtaken there."""
        number = len(calls)
        calls.append(number)
        tx.read(f"n{number}")
        tx.write("out", "text")
        ann.write(f"n{number}", f"{number}!", overwrite=True)

    with pytest.raises(Conflicts) as refused:
        bob.transact(wanders)
    assert calls == [0, 1, 2, 3]
    assert list(refused.value.conflicts) == ["n3"]
    calls.clear()

    def stubborn(tx):
        calls.append(tx)
        tx.write("n0", "derived from nothing")

    with pytest.raises(Conflicts):
        bob.transact(stubborn)
    assert len(calls) == 2
    assert not any(team.rooms.opened[0].row(f"n{i}").row.state.owner for i in range(9))


@every_team
def test_transact_gives_everything_back_when_its_function_raises(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("a", "1")
    calls = []

    def function(tx):
        text = tx.read("a").text
        tx.write("b", text)
        calls.append(text)
        if len(calls) == 2:
            raise KeyError(text)
        ann.write("a", "2")

    with pytest.raises(KeyError):
        bob.transact(function)
    assert "b" not in bob.list()
    ann.write("a", "3", wait_s=0)
    assert bob.transact(lambda tx: tx.read("a").text) == "3"


@every_team
def test_transact_without_a_write(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("a", "1")
    calls = []

    def function(tx):
        first = tx.read("a").text
        if not calls:
            ann.write("a", "2")
        calls.append(first)
        return first, tx.read("b", missing="nothing")

    assert bob.transact(function) == ("2", "nothing")


# edit(reads=).


@every_team
def test_a_draft_that_rests_on_what_was_read(team):
    ann, bob = team.agents("ann", "bob")
    ann.write("plan", "1"), ann.write("code", "1")
    plan = bob.read("plan").ref
    with bob.edit("code", reads=[plan]) as draft:
        draft.text += " as planned"
    assert str(draft.ref) == "code@2"

    def late():
        with bob.edit("code", reads=[plan]) as draft:
            ann.write("plan", "2")
            draft.text += ", as planned before"

    with pytest.raises(Conflicts) as refused:
        late()
    assert list(refused.value.conflicts) == ["plan"]
    assert team.texts() == {"plan": (2, "2"), "code": (2, "1 as planned")}
    assert not team.rooms.opened[0].row("code").row.state.owner, "the grant is kept"
    with bob.edit("code", reads=["plan@2", Ref("none", 0)]) as draft:
        draft.text += "!"
    assert str(draft.ref) == "code@3"


# Records beside the protocol.


def test_counts_and_refusals_of_each_artifact(rooms):
    rooms.settings["limits"] = Limits(refusals=10)
    ann, bob = rooms.agents("ann", "bob")
    ann.write("a", "1"), ann.write("b", "1"), ann.write("c", "1")

    def first():
        with bob.transaction(["a", "b", "c"], reason="all at once") as tx:
            tx.write("a", "bob"), tx.write("b", "bob"), tx.write("new", "bob")
            ann.write("a", "2"), ann.write("c", "2")

    with pytest.raises(Conflicts):
        first()
    workspace = rooms.opened[-1]
    refused = {line.artifact: line for line in workspace._site.store.refusals()}
    assert sorted(refused) == ["a", "b", "new"]
    assert [(refused[n].base, refused[n].current) for n in ("a", "b", "new")] == [
        *[(1, 2), (1, 1)],
        (0, 0),
    ]
    assert {line.reason for line in refused.values()} == {"all at once"}
    assert "+bob" in refused["b"].attempt
    totals = bob._session.account.metrics()
    assert (totals["conflicts"], totals["writes"]) == (3, 0)
    with bob.transaction(["a", "b", "c"]) as tx:
        tx.read("a")
        tx.write("a", "bob"), tx.write("b", "1")
    totals = bob._session.account.metrics()
    assert (totals["conflicts"], totals["writes"], totals["same"]) == (3, 1, 1)
    assert totals["fulls"] == 1


def test_strict_visibility(rooms):
    """The end of a transaction returns when no cache serves an older version of any of them."""
    from coherence import Visibility

    rooms.settings["policy"] = Lazy(grant_lease=5.0, visibility=Visibility.STRICT, validity=0.4)
    ann, bob = rooms.agents("ann", "bob")
    names = ["a", "b", "c"]
    for name in names:
        ann.write(name, "1")
        assert bob.read(name).text == "1"
    with ann.transaction(names) as tx:
        for name in names:
            tx.write(name, "2")
    assert [bob.read(name).text for name in names] == ["2"] * 3


def test_what_was_published_together_is_told_as_a_group(rooms):
    ann, bob = rooms.agents("ann", "bob")
    start = ann.snapshot([]).place
    ann.write("a", "1")
    with bob.transaction() as tx:
        for name in ("a", "b", "c"):
            tx.write(name, "2", overwrite=True)
    ann.write("a", "3", overwrite=True)
    with ann.watch(since=start, timeout_s=0) as changes:
        seen = [(str(change.ref), change.group) for change in changes]
    first, *together, last = (group for _, group in seen)
    assert [ref for ref, _ in seen] == ["a@1", "a@2", "b@1", "c@1", "a@3"]
    assert len(set(together)) == 1
    assert len({first, together[0], last}) == 3
    with ann.watch("[bc]", since=start, timeout_s=0) as changes:
        assert [change.group for change in changes] == together[1:]
