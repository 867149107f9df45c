"""History, watching, joining and leaving, policies: what is not a contract by itself."""

import threading

import pytest

from coherence import (
    AccessCount,
    Conflict,
    Eager,
    Lazy,
    Lease,
    Retention,
    Served,
    UnknownVersion,
    Workspace,
    WorkspaceClosed,
)
from coherence.workspace.changes import Feed
from message_passing.errors import ToolkitError


def test_ten_lines(rooms):
    planner, coder = rooms.agents("planner", "coder")
    planner.write("plan.md", "# Plan\n")
    view = coder.read("plan.md")
    assert str(view.ref) == "plan.md@1"
    assert coder.read("plan.md", have=view.ref).for_prompt().count("\n") == 0
    with coder.edit("plan.md") as draft:
        draft.text += "- step 2\n"
    assert str(draft.ref) == "plan.md@2"


def test_history_by_the_rule_and_by_pins(rooms):
    rooms.settings["retention"] = Retention(versions=3)
    if rooms.store == "memory":
        rooms.settings.pop("retention")
        workspace = Workspace(retention=Retention(versions=3))
        rooms.opened.append(workspace)
    (ann,) = rooms.agents("ann")
    lines = [f"line {number}\n" for number in range(100)]
    for number in range(8):
        lines[number * 9] = f"changed {number}\n"
        ann.write("plan.md", "".join(lines))
        if number == 1:
            assert rooms.opened[0].pin("plan.md@2")
    assert [entry.version for entry in ann.history("plan.md")] == [2, 6, 7, 8]
    for version in (2, 6, 7, 8):
        text = ann.read("plan.md", version=version).text
        assert text.count("changed") == version
    with pytest.raises(UnknownVersion):
        ann.read("plan.md", version=5)
    assert rooms.opened[0].check() == []
    assert rooms.opened[0].pin("plan.md@2", False)
    assert rooms.opened[0].gc() == 1


def test_old_versions_take_little_room(tmp_path):
    with Workspace(f"sqlite:///{tmp_path}/team.db") as workspace:
        ann = workspace.agent("ann")
        text = "".join(f"line {number}\n" for number in range(10_000))
        for number in range(40):
            text += f"more {number}\n"
            ann.write("plan.md", text)
        used = workspace._site.store._connections.query("SELECT sum(length(body)) FROM history")[0][
            0
        ]
        assert used < 2 * len(text)
        assert ann.read("plan.md", version=1).text.endswith("line 9999\nmore 0\n")


@pytest.mark.parametrize("watcher", ["bob", None])
def test_watching(rooms, watcher):
    (ann,) = rooms.agents("ann")
    workspace = rooms.open()
    watch = (workspace.agent(watcher) if watcher else workspace).watch("notes/*")
    seen = []

    def look():
        for change in watch:
            seen.append((str(change.ref), change.author))
            if len(seen) == 3:
                watch.close()

    thread = threading.Thread(target=look)
    thread.start()
    for text in "123":
        ann.write("notes/a.md", text)
        ann.write("other.md", text)
    thread.join(60)
    assert seen == [(f"notes/a.md@{number}", "ann") for number in (1, 2, 3)]


def test_a_watch_goes_on_from_a_place_and_ends_when_nothing_comes(rooms):
    (ann,) = rooms.agents("ann")
    for text in "123":
        ann.write("a.md", text)
    first, *rest = ann.watch(since=0, timeout_s=0.01)
    assert [str(change.ref) for change in rest] == ["a.md@2", "a.md@3"]
    assert [str(change.ref) for change in ann.watch(since=first.seq, timeout_s=0.01)] == [
        "a.md@2",
        "a.md@3",
    ]


def test_a_watch_without_an_agent_joins_nothing(rooms):
    (ann,) = rooms.agents("ann")
    ann.write("a.md", "1")
    workspace = rooms.open()
    first = next(workspace.watch(since=0, timeout_s=0.01))
    assert str(first.ref) == "a.md@1"
    assert [member.agent for member in workspace.members()] == ["ann"]


def test_a_watch_ends_with_its_workspace(rooms):
    workspace = rooms.open()
    watch = workspace.watch()
    ended = []

    def look():
        with pytest.raises(WorkspaceClosed):
            next(watch)
        ended.append(True)

    watcher = threading.Thread(target=look)
    watcher.start()
    workspace.close()
    watcher.join(60)
    assert ended
    with pytest.raises(WorkspaceClosed):
        workspace.watch()


def test_a_thousand_agents_come_and_go():
    with Workspace() as workspace:
        ann = workspace.agent("ann")
        ann.write("plan.md", "text")
        before = workspace.row("plan.md").row.state
        for number in range(1000):
            with workspace.agent(f"guest {number}") as guest:
                guest.read("plan.md")
        after = workspace.row("plan.md").row.state
        assert after.sharers == before.sharers
        assert [member.agent for member in workspace.members()] == ["ann"]


def test_bytes(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ref = ann.write("blob", b"\x00\xff" * 400)
    assert bob.read("blob").content == b"\x00\xff" * 400
    ann.write("blob", b"\x00\xff" * 401)
    rooms.settle()
    assert bob.read("blob", have=ref).served is Served.FULL


@pytest.mark.slow(fast=5)
@pytest.mark.parametrize(
    "policy",
    [
        Eager(grant_lease=5.0, validity=30.0),
        Eager(grant_lease=5.0, pointer=True),
        AccessCount(max_accesses=2),
        Lease(validity=30.0),
        Lazy(delta_window=4),
    ],
    ids=["eager", "pointer", "access count", "lease", "delta"],
)
def test_policies_change_what_it_costs_and_not_what_is_read(rooms, policy):
    rooms.settings["policy"] = policy
    ann, bob = rooms.agents("ann", "bob")
    for version in range(1, 6):
        ann.write("plan.md", f"text {version}")
        rooms.settle()
        for _ in range(3):
            assert bob.read("plan.md").text == f"text {version}"
    assert ann.read("plan.md").text == "text 5"


def test_pushed_content_is_not_what_a_write_derives_from(rooms):
    """What arrived unasked was not read: a write that follows is still judged by what was."""
    rooms.settings["policy"] = Eager(grant_lease=5.0, validity=30.0)
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "one")
    bob.read("plan.md")
    ann.write("plan.md", "two")
    rooms.settle()
    with pytest.raises(Conflict):
        bob.write("plan.md", "three")
    assert bob.read("plan.md").text == "two"
    bob.write("plan.md", "three")


def test_policies_by_pattern():
    with Workspace(policies={"notes/*": Eager()}) as workspace:
        assert isinstance(workspace._site.policy_of("notes/a.md"), Eager)
        assert isinstance(workspace._site.policy_of("plan.md"), Lazy)


def test_metrics():
    with Workspace() as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        ref = ann.write("plan.md", "text")
        bob.read("plan.md")
        bob.read("plan.md")
        bob.read("plan.md", have=ref)
        bob.leave()
        workspace.agent("bob")
        counted = workspace.metrics()
        assert (counted["writes"], counted["fulls"], counted["hits"], counted["unchanged"]) == (
            1,
            1,
            1,
            1,
        )


def test_closing_ends_every_wait(rooms):
    """A watch, and a wait for a grant, in threads of their own."""
    ann, bob = rooms.agents("ann", "bob")
    cyd = rooms.opened[-1].agent("cyd")
    ended = []

    def watch():
        try:
            next(bob.watch())
        except ToolkitError as error:
            ended.append(type(error))

    def wait():
        try:
            cyd.edit("plan.md").__enter__()
            ended.append("granted, since ann left first")
        except ToolkitError as error:
            ended.append(type(error))

    threads = [threading.Thread(target=work, daemon=True) for work in (watch, wait)]
    edit = ann.edit("plan.md")
    edit.__enter__()
    for thread in threads:
        thread.start()
    watchers = bob._session.shared.caches.watchers
    while not (rooms.opened[0].row("plan.md").row.state.queue and watchers):
        threading.Event().wait(0.001)
    rooms.opened[-1].close()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert len(ended) == 2
    assert (
        rooms.opened[-1] is rooms.opened[0] or not rooms.opened[0].row("plan.md").row.state.queue
    ), "who left stands in no queue"


def test_who_waits_is_known_to_the_holder(rooms):
    ann, bob = rooms.agents("ann", "bob")
    with ann.edit("plan.md") as draft:
        assert not draft.awaited
        waiting = threading.Thread(target=bob.update, args=("plan.md", str.upper), daemon=True)
        waiting.start()
        while not draft.awaited:
            rooms.settle()
        draft.text = "by ann"
    waiting.join(30)
    rooms.settle()
    assert ann.read("plan.md").text == "BY ANN"


def test_a_gap_after_which_nothing_has_come_yet_is_told_with_what_comes(tmp_path, monkeypatch):
    with Workspace(f"sqlite:///{tmp_path}/team.db") as workspace:
        ann = workspace.agent("ann")
        feed = Feed(workspace._site.homes, "*", None)
        since = type(workspace._site.store).since

        def gone(store, place):
            return since(store, place)._replace(entries=(), foreign=True)

        with monkeypatch.context() as restored:
            restored.setattr(type(workspace._site.store), "since", gone)
            assert feed.more() == []
        ann.write("doc", "one")
        ann.write("doc", "two")
        assert [change.missed for change in feed.more()] == [True, False]
