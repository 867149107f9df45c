"""The contracts of a workspace as programs that hold under every order of their agents' calls."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from programs import NAMES, add_to_both, final, seed

from coherence import (
    AgentSuperseded,
    Conflict,
    Conflicts,
    Fenced,
    GrantTimeout,
    InvalidContent,
    Served,
    UnknownArtifact,
)

# 1. No update is lost silently.


def a_refused_write_is_refused_again(team):
    """Being refused shows the application nothing, so its base stays what it was."""
    ann, bob, _ = seed(team, "plan")

    def add(agent):
        text = agent.read("plan").text
        for _ in "12":
            try:
                agent.write("plan", text + agent.name[0])
            except Conflict:
                continue
            return
        agent.write("plan", agent.read("plan").text + agent.name[0])

    team.run(ann=lambda: add(ann), bob=lambda: add(bob))
    (text,) = final(team, "plan")
    assert sorted(text) == ["a", "b"], text
    return text


def an_agent_that_never_read_overwrites_nothing(team):
    ann, bob = team.agent("ann"), team.agent("bob")

    def create(agent):
        try:
            return agent.write("plan", agent.name).version
        except Conflict as conflict:
            return conflict.theirs

    got = team.run(ann=lambda: create(ann), bob=lambda: create(bob))
    (text,) = final(team, "plan")
    assert got == {text: 1, ({"ann", "bob"} - {text}).pop(): text}
    return text


def merges_keep_both(team):
    team.agent("init").write("plan", "one\ntwo\nthree\n")
    ann, bob = team.agent("ann"), team.agent("bob")

    def change(agent, old, new):
        text = agent.read("plan").text
        agent.write("plan", text.replace(old, new), merge=True)

    team.run(ann=lambda: change(ann, "one", "ONE"), bob=lambda: change(bob, "three", "THREE"))
    (text,) = final(team, "plan")
    assert text == "ONE\ntwo\nTHREE\n"


def a_deletion_is_compared_like_a_write(team):
    ann, bob, _ = seed(team, "plan")

    def delete():
        ann.read("plan")
        try:
            ann.delete("plan")
        except Conflict:
            return "conflict"
        return "deleted"

    def write():
        try:
            bob.update("plan", lambda text: text + "b", must_exist=True)
        except UnknownArtifact:
            return "gone"
        return "kept"

    got = team.run(ann=delete, bob=write)
    there = team.workspace.names()
    if got["ann"] == "deleted":
        assert there == []
    else:
        assert got["bob"] == "kept"
        assert final(team, "plan") == ("b",)
    return sorted(got.items())


def a_rename_moves_both_or_neither(team):
    ann, bob, _ = seed(team, "old")

    def rename():
        try:
            ann.rename("old", "new")
        except (Conflict, UnknownArtifact):
            return "conflict"
        return "renamed"

    def watch():
        names = bob.list()
        assert len(names) == 1, names
        return names[0]

    got = team.run(ann=rename, bob=watch)
    assert team.workspace.names() == ["new"]
    return sorted(got.items())


# 2. No false unchanged.


def unchanged_means_unchanged(team):
    ann, bob, _ = seed(team, "plan")

    def look():
        seen = {0: ""}
        first = bob.read("plan")
        seen[first.ref.version] = first.text
        second = bob.read("plan", have=first.ref)
        if second.served is Served.UNCHANGED:
            assert second.text == first.text
            assert second.ref == first.ref
        else:
            assert second.ref.version > first.ref.version
            assert second.text != first.text
        return second.ref.version - first.ref.version

    got = team.run(
        ann=lambda: [ann.update("plan", lambda text: text + "a") for _ in "12"] and None, bob=look
    )
    return got["bob"]


# 3. A reader is not stale.


def a_read_sees_what_was_published_before_it(team):
    ann, bob, _ = seed(team, "plan")
    return _reads(team, ann, bob)


def a_read_sees_what_another_process_has_published(team):
    """Each agent in a workspace of its own, on one SQLite file."""
    folder = tempfile.TemporaryDirectory()
    try:
        url = f"sqlite:///{Path(folder.name) / 'store.db'}"
        rooms = [team.open(url) for _ in "12"]
        ann, bob = rooms[0].agent("ann"), rooms[1].agent("bob")
        ann.write("plan", "0")
        bob.read("plan")
        return _reads(team, ann, bob)
    finally:
        for room in rooms:
            room.close()
        folder.cleanup()


def _reads(team, ann, bob):
    published = [1]

    def write():
        for _ in "12":
            published.append(ann.write("plan", f"{len(published)}").version)

    def look():
        found = []
        for _ in "12":
            found.append(bob.read("plan").ref.version)
            least = published[-1]  # no other agent has run since the read
            assert found[-1] >= least, f"read @{found[-1]} after @{least} was published"
        return found

    ann.read("plan")
    return team.run(ann=write, bob=look)["bob"]


# 4. Grants are exclusive, in order, and end.


def grants_are_exclusive_and_handed_on_at_once(team):
    ann, bob, _ = seed(team, "plan")
    holding = []
    begun = team.now

    def draft(agent):
        with agent.edit("plan") as mine:
            holding.append(agent.name)
            assert len(holding) == 1, holding
            team.think()
            mine.text += agent.name[0]
            holding.remove(agent.name)

    team.run(ann=lambda: draft(ann), bob=lambda: draft(bob))
    assert team.now == begun, f"it took {team.now - begun:g} s until a grant was handed on"
    (text,) = final(team, "plan")
    assert sorted(text) == ["a", "b"]
    return text


def a_draft_that_fails_gives_its_grant_back(team):
    ann, bob, _ = seed(team, "plan")
    begun = team.now

    def fails():
        with suppress(InvalidContent):
            ann.update("plan", lambda text: "\ud800" if text else "a")
        with suppress(ValueError), ann.edit("plan"):
            raise ValueError

    team.run(ann=fails, bob=lambda: bob.update("plan", lambda text: text + "b", wait_s=None))
    assert team.now == begun, f"bob waited {team.now - begun:g} s"
    (text,) = final(team, "plan")
    assert "b" in text
    return text


def a_wait_has_a_deadline(team):
    ann, bob, _ = seed(team, "plan")

    def draft(agent, wait_s):
        try:
            with agent.edit("plan", wait_s=wait_s) as mine:
                team.think()
                mine.text += agent.name[0]
        except GrantTimeout:
            return "timeout"
        return "kept"

    got = team.run(ann=lambda: draft(ann, None), bob=lambda: draft(bob, 0))
    assert got["ann"] == "kept"
    (text,) = final(team, "plan")
    assert ("b" in text) == (got["bob"] == "kept")
    assert team.workspace.row("plan").row.state.queue == ()
    return got["bob"]


def a_live_draft_keeps_its_grant_for_as_long_as_it_waits(team):
    """Cyd has "b" for 40 s; ann waits for "b" while she drafts "a", for which bob waits."""
    ann, bob, cyd = seed(team, "a", "b")
    fenced = []

    def both():
        try:
            with ann.edit("a") as one, ann.edit("b", wait_s=None) as two:
                one.text += "a"
                two.text += "a"
        except Fenced:
            fenced.append("ann")

    def waits():
        with bob.edit("a", wait_s=None) as draft:
            draft.text += "b"

    def long():
        with cyd.edit("b") as draft, cyd.watch("nothing", timeout_s=40) as changes:
            draft.text += "c"
            list(changes)

    team.run(ann=both, bob=waits, cyd=long)
    assert not fenced
    a, b = final(team, "a", "b")
    assert (sorted(a), sorted(b)) == (["a", "b"], ["a", "c"])


def a_writer_that_wakes_late_is_fenced(team):
    """With stalls."""
    ann, bob, _ = seed(team, "plan")

    def draft(agent):
        try:
            with agent.edit("plan") as mine:
                mine.text += agent.name[0]
        except Fenced as fenced:
            return fenced.yours.upper()
        return agent.name[0]

    got = team.run(ann=lambda: draft(ann), bob=lambda: draft(bob))
    (text,) = final(team, "plan")
    kept = "".join(each for each in got.values() if each.islower())
    assert sorted(text) == sorted(kept)
    return sorted(got.items())


# 5. A refused call changes nothing.


def a_refused_call_changes_nothing(team):
    ann, bob, _ = seed(team, "plan")

    def refused():
        before = team.workspace.row("plan").revision
        for call in (
            lambda: ann.write("plan", "\ud800"),
            lambda: ann.rename("plan", "plan"),
            lambda: ann.read("nothing"),
        ):
            try:
                call()
            except Exception:
                continue
            raise AssertionError("not refused")
        return team.workspace.row("plan").revision - before

    got = team.run(ann=refused, bob=lambda: bob.update("plan", lambda text: text + "b"))
    assert final(team, "plan") == ("b",)
    return got["ann"]


# 6. The sole holder can always write.


def an_agent_may_always_write_what_only_it_uses(team):
    seed(team, *NAMES)

    def work(name):
        agent = team.agent(name)
        agent.read(name)
        agent.write(name, "1")
        with agent.edit(name) as draft:
            draft.text += "2"
        agent.update(name, lambda text: text + "3")
        return agent.read(name).text

    got = team.run(ann=lambda: work("ann"), bob=lambda: work("bob"))
    assert set(got.values()) == {"123"}


# 7. Whoever vanishes holds up no other agent beyond a lease.


def the_dead_hold_up_nobody_beyond_a_lease(team):
    """With kills."""
    ann, bob, _ = seed(team, "plan")
    begun = team.now

    def draft(agent):
        agent.read("plan")
        with agent.edit("plan") as mine:
            mine.text += agent.name[0]

    team.run(ann=lambda: draft(ann), bob=lambda: draft(bob))
    assert team.now - begun <= 16, f"{team.now - begun:g} s"
    (text,) = final(team, "plan")
    assert {"a", "b"} - {name[0] for name in team.killed} <= set(text)
    return text


def a_successor_takes_over_the_name(team):
    """A second process joins as ann; the first is told."""
    seed(team, "plan")
    folder = tempfile.TemporaryDirectory()
    rooms = []
    try:
        url = f"sqlite:///{Path(folder.name) / 'store.db'}"
        rooms += [team.open(url) for _ in "12"]
        first = rooms[0].agent("ann")
        first.write("plan", "1")

        def old():
            try:
                first.update("plan", lambda text: text + "2")
            except AgentSuperseded:
                return "superseded"
            return "written"

        def new():
            return rooms[1].agent("ann").update("plan", lambda text: text + "3").text

        got = team.run(old=old, new=new)
        text = rooms[1].agent("ann").read("plan").text
        assert ("2" in text) == (got["old"] == "written"), (text, got)
        assert "3" in text
        return got["old"], text
    finally:
        for room in rooms:
            room.close()
        folder.cleanup()


# Transactions and snapshots.


def a_transaction_rests_on_what_it_has_read(team):
    """Write skew cannot happen."""
    init = team.agent("init")
    init.write("ann.duty", "on")
    init.write("bob.duty", "on")

    def go_off(agent, mine, theirs):
        try:
            with agent.transaction() as tx:
                tx.read(mine)
                if tx.read(theirs).text == "on":
                    tx.write(mine, "off")
        except Conflicts:
            return "refused"
        return "done"

    ann, bob = team.agent("ann"), team.agent("bob")
    got = team.run(
        ann=lambda: go_off(ann, "ann.duty", "bob.duty"),
        bob=lambda: go_off(bob, "bob.duty", "ann.duty"),
    )
    assert final(team, "ann.duty", "bob.duty") != ("off", "off")
    # A refused transaction leaves nothing behind.
    ann.update("ann.duty", lambda text: text)
    bob.update("bob.duty", lambda text: text)
    return sorted(got.items())


def a_refused_transaction_is_tried_again(team):
    ann, bob, _ = seed(team, "a", "b")
    team.run(ann=lambda: add_to_both(ann), bob=lambda: add_to_both(bob))
    a, b = final(team, "a", "b")
    assert a == b
    assert sorted(a) == ["a", "b"]
    return a


def a_snapshot_is_of_one_moment(team):
    ann, bob, _ = seed(team, "a", "b")

    def write():
        with ann.transaction() as tx:
            for name in "ab":
                tx.write(name, tx.read(name).text + "1")

    def look():
        views = bob.snapshot(["a", "b"])
        assert views["a"].text == views["b"].text, "half of a transaction"
        return views["a"].text

    return team.run(ann=write, bob=look)["bob"]


#: contract -> the settings of its exploration.
CONTRACTS = {
    a_refused_write_is_refused_again: {},
    an_agent_that_never_read_overwrites_nothing: {"serial": True},
    merges_keep_both: {},
    a_deletion_is_compared_like_a_write: {},
    a_rename_moves_both_or_neither: {},
    unchanged_means_unchanged: {},
    a_read_sees_what_was_published_before_it: {},
    a_read_sees_what_another_process_has_published: {"seconds": 60},
    grants_are_exclusive_and_handed_on_at_once: {},
    a_draft_that_fails_gives_its_grant_back: {},
    a_wait_has_a_deadline: {},
    a_live_draft_keeps_its_grant_for_as_long_as_it_waits: {"find": ("lost update", "error")},
    a_writer_that_wakes_late_is_fenced: {"faults": ["stall"]},
    a_refused_call_changes_nothing: {},
    an_agent_may_always_write_what_only_it_uses: {},
    the_dead_hold_up_nobody_beyond_a_lease: {"faults": ["kill"]},
    a_successor_takes_over_the_name: {"seconds": 60},
    a_transaction_rests_on_what_it_has_read: {},
    a_refused_transaction_is_tried_again: {},
    a_snapshot_is_of_one_moment: {},
}
