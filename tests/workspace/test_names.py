"""One name, several processes: the agent that joined last has it, and the others are told."""

from __future__ import annotations

import asyncio

import pytest

from coherence import (
    AgentSuperseded,
    AsyncWorkspace,
    BadArgument,
    Lazy,
    Visibility,
    Workspace,
)
from coherence.stores.memory import MemoryStore
from coherence.stores.sqlite import SqliteStore
from coherence.workspace.workspace import site_of

PLAN = "plan.md"


@pytest.fixture
def rooms(rooms):
    if not rooms.apart:
        pytest.skip("one workspace has one agent of a name")
    return rooms


def superseded(agent):
    with pytest.raises(AgentSuperseded):
        agent.read(PLAN)
    return True


def test_a_workspace_that_was_open_before_another_process_joined(rooms):
    """The line of the older join is in the log that the later one reads."""
    later, earlier = rooms.open(), rooms.open().agent("ann")
    earlier.write(PLAN, "one")
    ann = later.agent("ann")
    assert ann.read(PLAN).text == "one"
    rooms.settle()
    assert ann.read(PLAN).text == "one"
    ann.write(PLAN, "two")
    rooms.settle()
    assert superseded(earlier)
    assert ann.read(PLAN).text == "two"
    assert [member.session for member in later.members()] == [ann._session.caches.session]


def test_the_same_for_tasks(rooms):
    async def story():
        async with asyncio.timeout(60):
            async with AsyncWorkspace(rooms.open()) as later, AsyncWorkspace(rooms.open()) as other:
                earlier = await other.agent("ann")
                await earlier.write(PLAN, "one")
                ann = await later.agent("ann")
                rooms.settle()
                assert (await ann.read(PLAN)).text == "one"
                with pytest.raises(AgentSuperseded):
                    await earlier.read(PLAN)

    asyncio.run(story())


def test_a_name_that_goes_to_and_fro(rooms):
    """Each process joins again without having read that the other one had left, or had joined."""
    one, two = rooms.open(), rooms.open()
    first = one.agent("ann")
    first.write(PLAN, "one")
    first.leave()
    second = two.agent("ann")
    assert second.read(PLAN).text == "one"
    second.leave()
    third = one.agent("ann")
    rooms.settle()
    assert third.read(PLAN).text == "one"
    fourth = two.agent("ann")
    rooms.settle()
    assert fourth.read(PLAN).text == "one"
    assert superseded(third)
    fifth = one.agent("ann")
    rooms.settle()
    assert superseded(fourth)
    assert fifth.read(PLAN).text == "one"


def test_a_name_whose_next_agent_has_left_already(rooms):
    """It has left no member, but homes have forgotten the copies of the agent before it."""
    ann = rooms.open().agent("ann")
    ann.write(PLAN, "one")
    second = rooms.open().agent("ann")
    assert second.read(PLAN).text == "one"
    second.leave()
    rooms.settle()
    assert superseded(ann)


def test_a_join_that_another_one_overtakes(rooms, monkeypatch):
    """This process reads of the newer agent before it has added its own."""
    one, two = rooms.open(), rooms.open()
    site, others = site_of(one), []
    join = site.store.join

    def overtaken(name, **more):
        session = join(name, **more)
        if not others:
            others.append(two.agent(name))
            site.follower._fetch()
        return session

    monkeypatch.setattr(site.store, "join", overtaken)
    ann = one.agent("ann")
    rooms.settle()
    assert superseded(ann)
    others[0].write(PLAN, "one")
    assert others[0].read(PLAN).text == "one"


@pytest.fixture
def forgetful(rooms, monkeypatch):
    """The log keeps one line."""
    where = {"sqlite": "sqlite_transaction", "postgres": "postgres_connections"}[rooms.store]
    where = f"coherence.stores.{where}"
    monkeypatch.setattr(f"{where}.LOG_LINES", 1)
    monkeypatch.setattr(f"{where}.PRUNE_EVERY", 1)


@pytest.mark.usefixtures("forgetful")
def test_a_join_in_a_gap_of_the_log(rooms):
    """The newer agent is not told of its own commits, nor the older one."""
    bob, ann = rooms.open().agent("bob"), rooms.open().agent("ann")
    bob.write(PLAN, "one")
    rooms.settle()
    assert ann.read(PLAN).text == "one"
    second = rooms.open().agent("ann")
    for version in range(20):
        bob.write("other.md", str(version))
    rooms.settle()
    assert superseded(ann)
    second.write(PLAN, "two", overwrite=True)
    assert second.read(PLAN).text == "two"


@pytest.mark.usefixtures("forgetful")
def test_a_gap_of_the_log_in_which_nobody_joined(rooms):
    bob, ann = rooms.open().agent("bob"), rooms.open().agent("ann")
    ann.write(PLAN, "one")
    for version in range(20):
        bob.write("other.md", str(version))
    rooms.settle()
    assert ann.read(PLAN).text == "one"


def test_the_counters_of_an_agent_that_was_superseded_still_count(rooms):
    one = rooms.open()
    ann = one.agent("ann")
    ann.write(PLAN, "one")
    rooms.open().agent("ann")
    rooms.settle()
    assert superseded(ann)
    before = one.metrics()
    assert one.agent("ann").read(PLAN).text == "one"
    assert one.metrics()["writes"] == before["writes"] == 1


@pytest.mark.parametrize("visibility", list(Visibility))
def test_a_copy_under_a_name_that_the_writers_process_had(rooms, monkeypatch, visibility):
    """The writer does not know yet that the agent of that name is another process's now."""
    rooms.settings["policy"] = Lazy(visibility=visibility, validity=600.0)
    here = rooms.open()
    bob, ann = here.agent("bob"), here.agent("ann")
    bob.write(PLAN, "one")
    assert ann.read(PLAN).text == "one"
    homes = site_of(here).homes
    carry, others = homes.carry, []

    def overtaken(batch, *more, **settings):
        if not others:
            others.append(rooms.open().agent("ann"))
            assert others[0].read(PLAN).text == "one"
        return carry(batch, *more, **settings)

    monkeypatch.setattr(homes, "carry", overtaken)
    bob.write(PLAN, "two")
    rooms.settle()
    assert others[0].read(PLAN).text == "two"


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_two_workspaces_on_one_opening_of_a_store(kind, tmp_path):
    """Neither would read in the log what the other one writes."""
    store = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "team.db")
    with Workspace(store) as workspace:
        ann = workspace.agent("ann")
        ann.write(PLAN, "one")
        with pytest.raises(BadArgument, match="another workspace"):
            Workspace(store)
        assert ann.read(PLAN).text == "one"
