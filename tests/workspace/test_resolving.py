"""A refused write is merged or resolved within its call, or it changes nothing."""

import asyncio
from collections.abc import Callable
from itertools import product

import pytest

from coherence import (
    AsyncWorkspace,
    BadArgument,
    Conflict,
    Fenced,
    GrantTimeout,
    InvalidContent,
    Lazy,
    UnknownArtifact,
)
from coherence.workspace.resolving import RESOLVES

BASE = "".join(f"{number}\n" for number in range(1, 10))


def added(text, line):
    return text.replace(f"{line}\n", f"{line}!\n")


@pytest.fixture
def pair(rooms):
    """Two agents; bob has read a version that ann has replaced since, on another line."""
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", BASE)
    assert rooms.opened[0].pin("plan.md@1")
    bob.read("plan.md")
    ann.write("plan.md", added(BASE, 2))
    return ann, bob


def published(rooms):
    """Everything that was ever published."""
    workspace = rooms.opened[0]
    return {name: workspace.history(name) for name in workspace.names(deleted=True)}


def texts(agent, name="plan.md"):
    """Every version's text, oldest first."""
    return [agent.read(name, version=entry.version).text for entry in agent.history(name)]


# merge


def test_a_write_is_merged_where_the_changes_do_not_overlap(pair):
    ann, bob = pair
    assert bob.write("plan.md", added(BASE, 8), merge=True).version == 3
    assert texts(ann)[-1] == added(added(BASE, 8), 2)
    assert bob.write("plan.md", "after").version == 4, "bob derives from what was published"


def test_a_write_that_overlaps_is_refused_and_changes_nothing(pair, rooms):
    _, bob = pair
    before = published(rooms)
    with pytest.raises(Conflict) as refused:
        bob.write("plan.md", BASE.replace("2\n", "two\n"), merge=True)
    assert refused.value.overlaps
    assert published(rooms) == before
    with pytest.raises(Conflict):
        bob.write("plan.md", "again")


def test_a_change_that_both_made_publishes_nothing(pair):
    ann, bob = pair
    assert bob.write("plan.md", added(BASE, 2), merge=True).version == 2
    assert len(ann.history("plan.md")) == 2


def test_a_function_merges_what_lines_do_not(pair):
    ann, bob = pair
    ann.write("plan.md", b"\1")
    bob.read("plan.md")
    ann.write("plan.md", b"\1\2")
    seen = []

    def merge(conflict):
        seen.append(conflict)
        return bytes({*conflict.yours, *conflict.theirs})

    assert bob.write("plan.md", b"\1\3", merge=merge).version == 5
    assert bob.read("plan.md").content == b"\1\2\3"
    assert [(c.base, c.yours, c.theirs) for c in seen] == [(b"\1", b"\1\3", b"\1\2")]
    with pytest.raises(Conflict):
        bob.write("plan.md", b"\4", expect=1, merge=lambda conflict: None)
    with pytest.raises(KeyError):
        bob.write("plan.md", b"\4", expect=1, merge=lambda conflict: {}[1])
    assert bob.read("plan.md").version == 5


def test_a_merge_ends_however_often_others_write(pair):
    """From some attempt on it is made under a grant, so that no other agent can commit."""
    ann, bob = pair
    rivals = []

    def merge(conflict):
        try:
            rivals.append(ann.update("plan.md", lambda text: text + ".", wait_s=0).version)
        except GrantTimeout:
            rivals.append(0)
        assert conflict.base_version == 1, "each merge begins with what was written"
        return conflict.merge()

    ref = bob.write("plan.md", added(BASE, 8), merge=merge)
    assert rivals[-1] == 0, "no commit stood in the end"
    assert all(rivals[:-1])
    assert ref.version == rivals[-2] + 1
    assert texts(ann)[-1] == added(added(BASE, 8), 2) + "." * len(rivals[:-1])
    assert not bob._session.caches.drafting


# resolve


def test_a_conflict_is_resolved_outside_any_grant(pair, rooms):
    ann, bob = pair
    seen = []

    def resolve(conflict):
        seen.append(conflict)
        assert rooms.opened[0].row("plan.md").row.state.owner == ""
        bob.write("notes.md", bob.read("plan.md").text)  # an agent may work meanwhile
        return conflict.theirs + "and mine\n"

    assert bob.write("plan.md", "mine\n", resolve=resolve).version == 3
    assert texts(ann)[-1] == added(BASE, 2) + "and mine\n"
    assert [str(conflict.current) for conflict in seen] == ["plan.md@2"]
    assert bob.read("notes.md").text == added(BASE, 2)


def test_a_conflict_is_merged_before_it_is_resolved(pair):
    ann, bob = pair
    ref = bob.write("plan.md", added(BASE, 8), merge=True, resolve=lambda conflict: 1 / 0)
    assert ref.version == 3
    ref = bob.write("plan.md", "mine", expect=1, merge=True, resolve=lambda conflict: "both")
    assert ref.version == 4
    assert texts(ann)[-1] == "both"


def test_a_conflict_is_resolved_a_bounded_number_of_times(pair):
    ann, bob = pair
    given = []

    def resolve(conflict):
        given.append(conflict)
        ann.update("plan.md", lambda text: text + ".")
        return f"mine {len(given)}"

    with pytest.raises(Conflict) as refused:
        bob.write("plan.md", "mine 0", resolve=resolve)
    assert len(given) == RESOLVES
    assert [conflict.yours for conflict in given] == [f"mine {n}" for n in range(RESOLVES)]
    assert refused.value.yours == f"mine {RESOLVES}"
    assert str(refused.value.current) == f"plan.md@{RESOLVES + 2}"
    assert texts(ann)[-1] == added(BASE, 2) + "." * RESOLVES


def raising(error: Exception | None) -> Callable:
    def resolve(conflict):
        raise error or conflict

    return resolve


def test_the_errors_of_resolve_pass_through_and_change_nothing(pair, rooms):
    _, bob = pair
    before = published(rooms)
    for error, kind in ((KeyError(), KeyError), (None, Conflict)):
        with pytest.raises(kind):
            bob.write("plan.md", "mine", resolve=raising(error))
    with pytest.raises(InvalidContent):
        bob.write("plan.md", "mine", resolve=lambda conflict: None)
    assert published(rooms) == before
    with pytest.raises(Conflict):
        bob.write("plan.md", "still derived from version 1")
    bob.read("plan.md")
    assert bob.write("plan.md", "mine").version == 3


def test_what_resolve_saw_deleted_is_created_again(pair):
    ann, bob = pair
    ann.delete("plan.md")
    kept = []
    ref = bob.write("plan.md", "mine", resolve=lambda c: kept.append(c.theirs) or c.yours)
    assert ref.version == 4
    assert kept == [None]


def test_a_writer_that_waits_for_a_grant_resolves_after_it(pair, rooms):
    ann, bob = pair
    edit = ann.edit("plan.md")
    draft = edit.__enter__()
    with pytest.raises(GrantTimeout):
        bob.write("plan.md", "mine", resolve=lambda conflict: "both", wait_s=0)
    draft.text += "by ann\n"
    edit.__exit__(None, None, None)
    assert bob.write("plan.md", "mine", resolve=lambda c: c.theirs + c.yours).version == 4
    assert texts(ann)[-1] == added(BASE, 2) + "by ann\nmine"


# update


def test_an_update_with_resolve_calls_its_function_once_without_a_grant(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "1")
    calls = []

    def slow(text):
        calls.append(text)
        ann.update("plan.md", lambda now: now + "2")
        return text + "3"

    view = bob.update("plan.md", slow, resolve=lambda c: c.theirs + c.yours[len(c.base) :])
    assert calls == ["1"]
    assert (view.text, view.version) == ("123", 3)
    assert ann.read("plan.md").text == "123"


def test_an_update_must_find_what_must_exist(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("gone.md", "text")
    ann.delete("gone.md")
    before = published(rooms)
    for name in ("missing.md", "gone.md"):
        for resolve in (None, lambda conflict: "text"):
            with pytest.raises(UnknownArtifact):
                bob.update(name, lambda text: text + "x", must_exist=True, resolve=resolve)
    assert published(rooms) == before
    assert rooms.opened[0].names(deleted=True) == ["gone.md"]
    ann.write("plan.md", "1")
    assert bob.update("plan.md", lambda text: text + "2", must_exist=True).text == "12"


@pytest.mark.parametrize("resolve", [None, lambda conflict: "again"])
def test_an_update_does_not_bring_back_what_was_deleted_meanwhile(rooms, resolve):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "1")

    def deleting(text):
        ann.delete("plan.md")
        return text + "2"

    with pytest.raises(UnknownArtifact):
        bob.update("plan.md", deleting, must_exist=True, resolve=resolve)
    assert ann.list() == []
    assert rooms.opened[0].row("plan.md").row.state.owner == ""


# edit


@pytest.mark.slow(fast=3)
@pytest.mark.parametrize(
    ("text", "how", "ref"),
    [
        (added(BASE, 8), {"merge": True}, "plan.md@4"),
        ("mine", {"merge": True, "resolve": lambda c: c.theirs + c.yours}, "plan.md@4"),
        ("mine", {"resolve": lambda c: c.theirs + c.yours}, "plan.md@4"),
        ("mine", {"merge": True}, None),
        ("mine", {"resolve": raising(None)}, None),
    ],
    ids=["merged", "overlaps, resolved", "resolved", "overlaps", "given up"],
)
def test_a_draft_whose_grant_has_ended_is_merged_or_resolved(rooms, text, how, ref):
    rooms.settings["policy"] = Lazy(grant_lease=0.5)
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", BASE)

    def late():
        with bob.edit("plan.md", hold_s=0.0, **how) as draft:
            draft.text = text
            with ann.edit("plan.md") as other:  # waits until the lease is over
                other.text = added(BASE, 2)
            ann.update("plan.md", lambda now: now + "by ann\n")
        return draft

    theirs = added(BASE, 2) + "by ann\n"
    if ref is None:
        with pytest.raises(Fenced):
            late()
        assert texts(ann)[-1] == theirs
        return
    assert str(late().ref) == ref
    assert texts(ann)[-1] == (added(theirs, 8) if text != "mine" else theirs + "mine")


# arguments


@pytest.mark.slow(fast=4)
@pytest.mark.parametrize("merge", [True, lambda conflict: None])
@pytest.mark.parametrize("resolve", [None, lambda conflict: "both"])
def test_an_overwrite_meets_no_conflict(rooms, merge, resolve):
    (ann,) = rooms.agents("ann")
    with pytest.raises(BadArgument):
        ann.write("plan.md", "text", overwrite=True, merge=merge, resolve=resolve)
    with pytest.raises(BadArgument):
        ann.write("plan.md", "text", overwrite=True, resolve=lambda conflict: "both")
    assert ann.list() == []


def test_bad_ways_to_resolve(rooms):
    (ann,) = rooms.agents("ann")
    for bad in (None, "yes", 1):
        with pytest.raises(BadArgument):
            ann.write("plan.md", "text", merge=bad)
        with pytest.raises(BadArgument):
            ann.edit("plan.md", merge=bad)
    for bad in ("yes", 1, True):
        with pytest.raises(BadArgument):
            ann.write("plan.md", "text", resolve=bad)
        with pytest.raises(BadArgument):
            ann.update("plan.md", str.upper, resolve=bad)
    with pytest.raises(BadArgument):
        ann.update("plan.md", str.upper, initial="text", must_exist=True)
    assert ann.list() == []


CURRENT = added(BASE, 2)
SOLVED = {
    # merge, resolve -> the text after a write that changes line 8, and after one that overlaps
    (False, False): (None, None),
    (True, False): (added(CURRENT, 8), None),
    (False, True): ("both", "both"),
    (True, True): (added(CURRENT, 8), "both"),
}


@pytest.mark.slow(fast=1)
def test_every_combination_is_defined(pair):
    """Of a base, a merge, a resolve and a wait: published, merged, resolved or refused."""
    ann, bob = pair
    ways = product((False, True), (False, True), (None, 1, 2, 0), (0, None), (0, 1))
    for merge, resolve, expect, wait_s, overlaps in ways:
        text = "mine" if overlaps else added(BASE, 8)
        solved = SOLVED[merge, resolve][overlaps]
        if expect == 0:  # two new texts overlap
            solved = SOLVED[False, resolve][0]
        if expect == 2:
            expect = ann.history("plan.md")[-1].version  # it is current: there is no conflict
            solved = text
        how = {"merge": merge, "resolve": (lambda conflict: "both") if resolve else None}
        try:
            bob.write("plan.md", text, expect=expect, wait_s=wait_s, **how)
        except Conflict:
            assert solved is None
        assert texts(ann)[-1] == (solved or CURRENT)
        ann.write("plan.md", CURRENT, overwrite=True)
        bob.read("plan.md", version=1)


# tasks


def test_a_task_awaits_what_resolves_its_conflict(rooms):
    async def story():
        async with AsyncWorkspace(rooms.open()) as there, AsyncWorkspace(rooms.open()) as here:
            ann, bob = await there.agent("ann"), await here.agent("bob")
            await ann.write("plan.md", BASE)
            await bob.read("plan.md")
            await ann.write("plan.md", CURRENT)

            async def resolve(conflict):
                await asyncio.sleep(0)
                other = await bob.read("plan.md", version=1)
                return conflict.theirs + other.text

            assert (await bob.write("plan.md", added(BASE, 8), merge=True)).version == 3
            ref = await bob.write("plan.md", "mine", expect=1, merge=True, resolve=resolve)
            assert ref.version == 4

            async def slow(text):
                await ann.update("plan.md", lambda now: "by ann")
                return text

            view = await bob.update("plan.md", slow, resolve=resolve)
            assert view.text == "by ann" + BASE
            with pytest.raises(UnknownArtifact):
                await bob.update("missing", str.upper, must_exist=True)

    asyncio.run(story())
