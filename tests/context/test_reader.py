"""What tasks have read, what their puts compare with, and a store beside that knows no versions."""

import threading

import pytest

from coherence import BadArgument, Conflict, InvalidContent, Retention, UnknownVersion, Workspace
from coherence.context.desk import Desk
from coherence.context.items import Items
from coherence.context.reader import Reader
from coherence.context.steps import carried_out
from coherence.context.values import encoded


@pytest.fixture
def workspace():
    with Workspace("memory://") as opened:
        yield opened


@pytest.fixture
def task(workspace):
    """Makes a task of the agent of that name."""
    return lambda name, tell=None: Reader(Desk(workspace, name), tell)


def raced(task, on_conflict, was, mine, theirs):
    """What becomes of `mine`, derived from `was`, where somebody has put `theirs` in between."""
    me, other = task("me"), task("other")
    other.put("k", was, "raise")
    me.get("k")
    other.get("k")
    other.put("k", theirs, "raise")
    me.put("k", mine, on_conflict)
    return other.get("k").content


def test_a_put_whose_base_is_current_again_has_not_lost(task, workspace):
    """Equal contents have: both may have counted."""
    me, other = task("me"), task("other")
    for content in (b'{"n": 0}', b'{"n": 1}'):
        other.put("k", content, "raise")
    other.put("j", b"{}", "raise")
    me.get("k")
    me.get("j")
    other.put("k", b'{"n": 2}', "raise")
    workspace.agent("other").restore("k@2")
    me.put("k", b'{"n": 3}', "raise")
    other.get("k")
    other.put("k", b'{"n": 4}', "raise")
    workspace.agent("other").restore("k@5")
    assert str(me.put_all({"k": b'{"n": 5}', "j": b'{"n": 5}'}, "raise")["k"][0]) == "k@8"
    other.get("k")
    other.put("k", b'{"n": 6}', "raise")
    for put in (me.put, lambda name, content, how: me.put_all({name: content, "j": None}, how)):
        with pytest.raises(Conflict):
            put("k", b'{"n": 6}', "raise")


def test_a_put_over_a_deletion_has_lost_even_if_its_base_is_not_kept(task):
    with Workspace(retention=Retention(versions=1)) as workspace:
        me, other = (Reader(Desk(workspace, name)) for name in ("me", "other"))
        for content in (b"{}", b'{"n": 1}', None):
            other.put("k", content, "raise")
            if content == b"{}":
                me.get("k")
        workspace.gc()
        with pytest.raises(Conflict) as refused:
            me.put("k", b'{"n": 2}', "raise")
        assert refused.value.base is None


def test_a_put_that_lost_is_refused(task):
    with pytest.raises(Conflict):
        raced(task, "raise", "1\n", "2\n", "3\n")
    assert task("judge").get("k").content == "3\n"


def test_or_merged_where_both_can_be_had(task):
    assert raced(task, "merge", "1\n2\n3\n", "0\n2\n3\n", "1\n2\n4\n") == "0\n2\n4\n"
    assert raced(task, "merge", b'{"a":1}', b'{"a":2}', b'{"a":1,"b":3}') == b'{"b":3,"a":2}'


@pytest.mark.parametrize(
    ("was", "mine", "theirs"),
    [("1\n", "2\n", "3\n"), (b'{"a":1}', b'{"a":2}', b'{"a":3}'), (b'{"a":1}', b"{}", "text")],
)
def test_and_else_refused(task, was, mine, theirs):
    with pytest.raises(Conflict):
        raced(task, "merge", was, mine, theirs)
    assert task("judge").get("k").content == theirs


def test_a_merge_that_loses_again_is_made_again(task):
    other, later = task("other"), ["1\n2\n3\n4\n5!\n"]

    def writes_again(event):
        if event["coherence"] == "conflict" and later:
            other.put("k", later.pop(), "overwrite")

    me = task("me", writes_again)
    other.put("k", "1\n2\n3\n4\n5\n", "raise")
    me.get("k")
    other.put("k", "1\n2\n3\n4!\n5\n", "overwrite")
    me.put("k", "1!\n2\n3\n4\n5\n", "merge")
    assert later == []
    assert task("judge").get("k").content == "1!\n2\n3\n4\n5!\n"


def test_nothing_is_merged_with_a_base_that_is_not_kept():
    with Workspace("memory://", retention=Retention(versions=1)) as workspace:
        me, other = Reader(Desk(workspace, "me")), Reader(Desk(workspace, "other"))
        me.put("k", b'{"a":1}', "raise")
        other.put("k", b'{"b":1}', "overwrite")
        workspace.gc()
        with pytest.raises(Conflict):
            me.put("k", b'{"a":1,"c":1}', "merge")


def test_or_replaces(task):
    assert raced(task, "overwrite", "1\n", "2\n", "3\n") == "2\n"


def test_two_tasks_of_one_agent_have_read_each_its_own(task):
    first, second = task("me"), task("me")
    first.put("k", "1", "raise")
    assert second.get("k").content == "1"
    first.put("k", "2", "raise")
    with pytest.raises(Conflict):
        second.put("k", "3", "raise")


def test_a_task_that_has_not_read_replaces(task):
    """As a store's put does that knows no versions."""
    task("other").put("k", "1", "raise")
    task("me").put("k", "2", "raise")
    assert task("judge").get("k").content == "2"


def test_a_task_that_has_seen_that_there_is_none_does_not(task):
    me = task("me")
    assert me.get("k") is None
    task("other").put("k", "1", "raise")
    with pytest.raises(Conflict):
        me.put("k", "2", "raise")


def test_a_version_that_is_taken_up_is_what_a_put_derives_from(task):
    me = task("me")
    first, _ = me.put("k", "1", "raise")
    me.put("k", "2", "raise")
    assert me.get_version(first).content == "1"
    with pytest.raises(Conflict):
        me.put("k", "3", "raise")
    with pytest.raises(UnknownVersion):
        me.get_version(first.__class__("k", 7))


def test_events_say_how_each_call_went(task):
    told = []
    me, other = task("me", told.append), task("other")
    other.put("k", "1", "raise")
    me.get("k")
    me.get("k")
    other.put("k", "2", "overwrite")
    with pytest.raises(Conflict):
        me.put("k", "3", "raise")
    me.put("k", "3", "overwrite")
    assert [(each["coherence"], each["ref"]) for each in told] == [
        ("fill", "k@1"),
        ("hit", "k@1"),
        ("conflict", "k@2"),
        ("publish", "k@3"),
    ]
    assert {each["agent"] for each in told} == {"me"}


def test_a_copy_is_served_at_once_and_nothing_else_is(task):
    told = []
    me, other = task("me", told.append), task("other")
    assert me.at_once("k") is None
    other.put("k", "1", "raise")
    assert me.at_once("k") is None
    me.get("k")
    assert me.at_once("k").content == "1"
    assert [each["coherence"] for each in told] == ["fill", "hit"]
    other.put("k", "2", "overwrite")
    assert me.at_once("k") is None
    with pytest.raises(Conflict):  # derived from what it was served
        me.put("k", "3", "raise")


def test_what_is_served_at_once_is_what_a_put_derives_from(task):
    me, again = task("me"), task("me")
    task("other").put("k", "1", "raise")
    me.get("k")
    assert again.at_once("k").ref.version == 1
    task("other").put("k", "2", "overwrite")
    with pytest.raises(Conflict):
        again.put("k", "3", "raise")


def test_nobody_waits_for_another_thread_to_be_served_at_once(task):
    me = task("me")
    me.put("k", "1", "raise")
    held, done = threading.Event(), threading.Event()

    def holds():
        with me.desk.busy:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=holds)
    thread.start()
    try:
        assert held.wait(30)
        assert me.at_once("k") is None
    finally:
        done.set()
        thread.join()
    assert me.at_once("k").content == "1"


# Beside a store.


def put(items, who, name, value, heard=None):
    """What `Items` does for a store beside that writes down what it hears."""
    with items.under_way([name]) as raced:
        told = items.put(who, name, None if value is None else encoded(value), 0)
        if told is not None and heard is not None:
            tell(items, who, {name: told}, heard, raced)


def tell(items, who, told, heard, raced=lambda name: False):
    steps = items.telling(who.desk, told, lambda name, value: value, raced)
    carried_out(steps, who.desk, heard.extend)


def test_the_store_beside_hears_of_what_is_current_and_of_nothing_else(workspace):
    items, heard = Items(workspace), []
    who = Reader(items.desk("me"))
    put(items, who, "k", {"n": 1}, heard)
    stale = items.put(who, "k", encoded({"n": 1}), 0)
    put(items, who, "k", {"n": 2}, heard)
    tell(items, who, {"k": stale}, heard)  # whoever wrote 2 has told it
    put(items, who, "k", None, heard)
    put(items, who, "k", None, heard)  # nothing is there: nothing to say
    assert heard == [{"n": 1}, {"n": 2}, None]
    put(items, who, "never ours", None, heard)
    assert heard[3:] == [None]


def test_a_telling_that_was_overtaken_is_mended(workspace):
    """Two puts at once may reach the store beside in either order."""
    items, heard = Items(workspace), []
    who, other = Reader(items.desk("me")), Reader(items.desk("other"))

    def hears(values):
        if not heard:  # the other's whole put comes and goes while ours is on its way
            heard.append("on its way")
            put(items, other, "k", {"n": 2}, heard)
        heard.extend(values)

    with items.under_way(["k"]) as raced:
        told = items.put(who, "k", encoded({"n": 1}), 0)
        steps = items.telling(who.desk, {"k": told}, lambda name, value: value, raced)
        carried_out(steps, who.desk, hears)
    assert heard == ["on its way", {"n": 2}, {"n": 1}, {"n": 2}]
    assert items._under_way == {}


def test_an_item_on_its_way_to_the_store_beside_has_not_expired_there(workspace):
    items = Items(workspace)
    who = Reader(items.desk("me"))
    with items.under_way(["k"]):
        items.put(who, "k", encoded({"n": 1}), 0)
        assert items.settle(who, "k", who.get("k"), None).content == encoded({"n": 1})
    assert items.settle(who, "k", who.get("k"), None) is None


def test_what_the_store_beside_held_before_is_taken_over_once(workspace):
    items = Items(workspace)
    who = Reader(items.desk("me"))
    assert items.settle(who, "k", who.get("k"), {"n": 1}).content == b'{"n":1}'
    put(items, who, "k", None)
    assert items.settle(who, "k", who.get("k"), {"n": 1}) is None, "it was deleted since"


def test_what_has_expired_beside_is_deleted(workspace):
    items = Items(workspace)
    who = Reader(items.desk("me"))
    put(items, who, "k", {"n": 1})
    assert items.settle(who, "k", who.get("k"), None) is None
    assert who.get("k") is None


def test_what_cannot_be_is_refused(workspace):
    with pytest.raises(BadArgument, match="merge"):
        Items(workspace, "ignore")
    with pytest.raises(BadArgument, match="workspace"):
        Items(None)
    items = Items(workspace)
    with pytest.raises(InvalidContent):
        put(items, Reader(items.desk("me")), "k", {"n": object()})
    assert workspace.names() == []
