"""A write of what is current already makes no version, and refuses nobody."""

from __future__ import annotations

import asyncio

import pytest

from coherence import AsyncWorkspace, Conflict
from coherence.contents import TOMBSTONE
from coherence.view import Served

PLAN = "plan.md"
TEXT = "one\ntwo\n"


@pytest.fixture
def team(rooms):
    """Ann wrote the plan, and both have read it."""
    ann, bob = rooms.agents("ann", "bob")
    ann.write(PLAN, TEXT)
    rooms.settle()
    assert ann.read(PLAN).text == bob.read(PLAN).text == TEXT
    return ann, bob


@pytest.fixture
def nothing_made(rooms, team):
    """At the end of the test there is one version, and no line in the log of it."""
    store = rooms.opened[0]._site.store
    head = store.head()
    yield
    assert store.head() == head
    assert [entry.version for entry in rooms.opened[0].history(PLAN)] == [1]


@pytest.mark.usefixtures("nothing_made")
def test_the_current_ref_is_the_answer_and_copies_live_on(team):
    ann, bob = team
    for _ in range(3):
        assert ann.write(PLAN, TEXT).version == 1
        assert bob.write(PLAN, TEXT, expect=1).version == 1
    for agent in team:
        view = agent.read(PLAN)
        assert (view.ref.version, view.text, view.served) == (1, TEXT, Served.HIT)
        metrics = agent._session.account.metrics()
        assert (metrics["same"], metrics["writes"], metrics["conflicts"]) == (3, agent is ann, 0)


def test_what_others_derived_from_it_is_not_refused(team):
    ann, bob = team
    ann.write(PLAN, TEXT)
    assert bob.write(PLAN, TEXT + "three\n").version == 2


def test_its_writer_goes_on_from_it(team):
    ann, _ = team
    ann.write(PLAN, TEXT)
    assert ann.write(PLAN, "another\n").version == 2
    assert ann.write(PLAN, "another\n").version == 2
    assert ann.read(PLAN).ref.version == 2


@pytest.mark.usefixtures("nothing_made")
def test_an_update_may_change_nothing(team):
    for agent in team:
        view = agent.update(PLAN, lambda text: text)
        assert (view.ref.version, view.text) == (1, TEXT)


@pytest.mark.usefixtures("nothing_made")
def test_a_write_over_whatever_is_there_finds_it_there(team):
    for agent in team:
        agent._session.caches.bases[PLAN] = (0, None)  # as one that has not read it
        assert agent.write(PLAN, TEXT, overwrite=True).version == 1


def test_a_grant_of_another_is_not_waited_for(team):
    ann, bob = team
    with bob.edit(PLAN) as draft:
        assert ann.write(PLAN, TEXT, wait_s=0).version == 1
        draft.text += "three\n"
    assert draft.ref.version == 2


@pytest.mark.usefixtures("nothing_made")
def test_a_grant_ends_with_it(team):
    ann, bob = team
    operations = ann._operations
    grant = ann._run(operations.acquire(PLAN, 1.0))
    wanted = operations._under(grant, TEXT, operations.handle(TEXT), "")
    assert ann._run(operations.publish(grant, wanted)).ref.version == 1
    with bob.edit(PLAN, wait_s=0) as draft:
        draft.discard()


def test_a_stale_base_is_refused_though_the_texts_are_equal(rooms, team):
    """Two that count from 1 to 2 have counted to 3: their equal texts are two changes."""
    ann, bob = team
    assert ann.write(PLAN, "2").version == 2
    with pytest.raises(Conflict):
        bob.write(PLAN, "2", expect=1)
    with pytest.raises(Conflict):
        bob.write(PLAN, "2", expect=0)
    assert [entry.version for entry in rooms.opened[0].history(PLAN)] == [1, 2]


@pytest.mark.slow(fast=5)
@pytest.mark.parametrize(
    ("before", "after"), [("ab", b"ab"), ("ab", "ba"), ("é", "ab"), ("", b""), (b"ab", b"ba")]
)
def test_contents_of_one_size_are_told_apart(rooms, before, after):
    (ann,) = rooms.agents("ann")
    assert ann.write("x", before).version == 1
    assert ann.write("x", before).version == 1
    assert ann.write("x", after).version == 2
    assert ann.read("x").content == after


def test_what_is_deleted_already_is_not_deleted_again(rooms, team):
    ann, _ = team
    gone = ann.delete(PLAN)
    assert ann.delete(PLAN) == gone
    assert [entry.version for entry in rooms.opened[0].history(PLAN)] == [1, 2]
    assert ann._session.caches.state(PLAN).content.handle == TOMBSTONE
    assert ann.write(PLAN, "anew\n").version == 3


def test_a_task_is_answered_alike(rooms):
    async def work():
        workspace = AsyncWorkspace(rooms.url)
        ann = await workspace.agent("ann")
        first = await ann.write(PLAN, TEXT)
        assert await ann.write(PLAN, TEXT) == first
        assert (await ann.read(PLAN)).ref == first
        await workspace.close()

    asyncio.run(work())
