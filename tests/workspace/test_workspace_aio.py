"""Agents for tasks: same calls, same contracts, and a wait that holds no thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from coherence import (
    AgentBusy,
    AgentLeft,
    AsyncWorkspace,
    Conflict,
    GrantTimeout,
    Served,
    UnknownArtifact,
)
from coherence.workspace import reading


def play(rooms, story):
    """Run `story(open)` in a loop; `open` gives one more workspace on the store."""

    async def run():
        async with asyncio.timeout(60):
            made = []

            def open_one():
                made.append(AsyncWorkspace(rooms.open()))
                return made[-1]

            try:
                await story(open_one)
            finally:
                for workspace in made:
                    await workspace.close()

    asyncio.run(run())


async def agents(rooms, open_one, *names):
    if rooms.apart:
        return [await open_one().agent(name) for name in names]
    workspace = open_one()
    return [await workspace.agent(name) for name in names]


def test_the_calls(rooms):
    async def story(open_one):
        ann, bob = await agents(rooms, open_one, "ann", "bob")
        ref = await ann.write("plan.md", "one")
        view = await bob.read("plan.md")
        assert (view.text, view.served) == ("one", Served.FULL)
        assert (await bob.read("plan.md", have=ref)).served is Served.UNCHANGED
        assert (await bob.read("plan.md")).served is Served.HIT
        async with bob.edit("plan.md") as draft:
            draft.text += " two"
        assert str(draft.ref) == "plan.md@2"
        rooms.settle()
        with pytest.raises(Conflict):
            await ann.write("plan.md", "other")
        assert (await ann.read("plan.md", version=1)).text == "one"
        assert [entry.version for entry in await ann.history("plan.md")] == [1, 2]
        await ann.read("plan.md")
        await ann.rename("plan.md", "done.md")
        assert list(await bob.list()) == ["done.md"]
        bob.forget()
        assert (await bob.read("done.md", have="done.md@1")).served is not Served.UNCHANGED
        await bob.delete("done.md")
        rooms.settle()
        with pytest.raises(UnknownArtifact):
            await ann.read("done.md")
        await ann.leave()
        with pytest.raises(AgentLeft):
            await ann.read("done.md")

    play(rooms, story)


@pytest.mark.parametrize(
    # Twenty workspaces are no more of a test than one.
    "rooms",
    ["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.slow)],
    indirect=True,
)
def test_many_tasks_update_one_artifact(rooms):
    """More of them wait than there are threads, so a wait that held one would never end."""

    async def story(open_one):
        team = await agents(rooms, open_one, *[f"w{i}" for i in range(20)])

        async def work(agent):
            for _ in range(3):
                await agent.update("count", lambda text: str(int(text or 0) + 1))

        async with asyncio.TaskGroup() as group:
            for agent in team:
                group.create_task(work(agent))
        rooms.settle()
        assert (await team[0].read("count")).text == "60"

    play(rooms, story)


def test_an_update_may_await(rooms):
    async def story(open_one):
        (ann,) = await agents(rooms, open_one, "ann")

        async def think(text):
            await asyncio.sleep(0)
            return text + "!"

        assert (await ann.update("plan.md", think, initial="hi")).text == "hi!"

    play(rooms, story)


def test_a_wait_that_is_cancelled_leaves_the_queue(rooms):
    async def story(open_one):
        ann, bob = await agents(rooms, open_one, "ann", "bob")
        async with ann.edit("plan.md") as draft:
            draft.text = "by ann"
            with pytest.raises(GrantTimeout):
                async with bob.edit("plan.md", wait_s=0.01):
                    pass
            waiting = asyncio.create_task(bob.edit("plan.md").__aenter__())
            while not rooms.opened[0].row("plan.md").row.state.queue:
                await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert rooms.opened[0].row("plan.md").row.state.queue == ()
        async with bob.edit("plan.md", wait_s=0) as draft:
            assert draft.text == "by ann"

    play(rooms, story)


def test_a_call_that_is_cancelled_at_the_store_leaves_no_grant(rooms):
    async def story(open_one):
        ann, bob = await agents(rooms, open_one, "ann", "bob")
        for spins in range(6):
            asking = asyncio.create_task(bob.edit("plan.md").__aenter__())
            for _ in range(spins):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
            if asking.cancelled():
                async with ann.edit("plan.md", wait_s=1) as draft:
                    draft.discard()
            else:
                break

    play(rooms, story)


def test_one_agent_in_two_tasks(rooms):
    async def story(open_one):
        (ann,) = await agents(rooms, open_one, "ann")

        async def meanwhile(text):
            other = asyncio.create_task(ann.write("other.md", "text"))
            await asyncio.wait([other])
            assert isinstance(other.exception(), AgentBusy)
            return "text"

        await ann.update("plan.md", meanwhile)

    play(rooms, story)


def test_watching(rooms):
    async def story(open_one):
        ann, bob = await agents(rooms, open_one, "ann", "bob")
        everything = open_one()

        async def watch(changes):
            seen = []
            async for change in changes:
                seen.append((str(change.ref), change.author))
                if len(seen) == 3:
                    return seen

        watching = asyncio.create_task(watch(bob.watch("notes/*", since=0)))
        without = asyncio.create_task(watch(everything.watch("notes/*", since=0)))
        for text in "123":
            await ann.write("notes/a.md", text)
            await ann.write("plan.md", text, overwrite=True)
        every = [(f"notes/a.md@{version}", "ann") for version in (1, 2, 3)]
        assert await watching == every
        assert await without == every

    play(rooms, story)


def test_both_kinds_share_a_workspace(rooms):
    async def story(open_one):
        workspace = open_one()
        ann = await workspace.agent("ann")
        bob = workspace.sync.agent("bob")
        await ann.write("plan.md", "one")
        assert bob.read("plan.md").content is (await ann.read("plan.md")).content
        waiting = asyncio.to_thread(bob.update, "plan.md", lambda text: text + " two")
        async with ann.edit("plan.md") as draft:
            draft.text = "ann's"
            thread = asyncio.ensure_future(waiting)
            while not rooms.opened[0].row("plan.md").row.state.queue:
                await asyncio.sleep(0)
        assert (await thread).text == "ann's two"

    play(rooms, story)


def test_long_texts_are_compared_beside_the_loop(rooms):
    """The loop goes on while a difference is worked out, on every store."""

    async def story(open_one):
        (ann,) = await agents(rooms, open_one, "ann")
        first = "".join(f"line {number}\n" for number in range(2_000))
        old = await ann.write("long.md", first)
        await ann.write("long.md", first + "one more\n")
        compared_in = []
        diff = reading.diff

        def noted(before, after):
            compared_in.append(threading.get_ident())
            return diff(before, after)

        reading.diff = noted
        try:
            view = await ann.read("long.md", have=old)
        finally:
            reading.diff = diff
        assert view.served is Served.DELTA
        assert compared_in != [threading.get_ident()]
        assert len(compared_in) == 1

    play(rooms, story)


@pytest.mark.slow(fast=4)
@pytest.mark.parametrize("way", ["timeout", "wait_for", "task group"])
def test_a_call_that_is_cancelled_at_the_store_ends_as_any_coroutine(rooms, way):
    """While the store is at work: a plain `CancelledError`, which the standard library knows."""

    async def story(open_one):
        (ann,) = await agents(rooms, open_one, "ann")
        if not rooms.opened[0]._site.store.shared:
            return  # a call in memory is over before it can be cancelled
        gate, ask = threading.Event(), ann._session.ask_all
        ann._session.ask_all = lambda *request: (gate.wait(30), ask(*request))[1]
        seen = []

        async def write():
            asyncio.get_running_loop().call_later(0.05, gate.set)
            try:
                await ann.write("plan.md", "one")
            except BaseException as error:
                seen.append(type(error))
                raise

        async def in_group():
            async with asyncio.TaskGroup() as group:
                group.create_task(write())
                await asyncio.sleep(0)
                raise ZeroDivisionError

        if way == "timeout":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await write()
        elif way == "wait_for":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(write(), 0.01)
        else:
            with pytest.raises(ExceptionGroup) as caught:
                await in_group()
            assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]
        assert seen in ([asyncio.CancelledError], [])
        assert asyncio.current_task().cancelling() == 0
        ann._session.ask_all = ask
        assert (await ann.write("plan.md", "two", overwrite=True)).name == "plan.md"

    play(rooms, story)
