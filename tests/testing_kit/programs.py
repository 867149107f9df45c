"""Programs that are explored: each with a bug, or the same without."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from coherence import Conflict, Fenced

NAMES = ("ann", "bob", "cyd")


def seed(team, *names):
    init = team.agent("init")
    for name in names:
        init.write(name, "")
    return [team.agent(name) for name in NAMES]


def final(team, *names):
    return tuple(team.agent("init").read(name).text for name in names)


# What an agent does in several programs.


def draft(agent):
    """Add a letter to the plan under a grant; whether it is kept."""
    try:
        with agent.edit("plan") as mine:
            mine.text += agent.name[0]
    except Fenced:
        return "fenced"
    return "kept"


def add_to_both(agent):
    """Add a letter to two artifacts in one transaction."""

    def both(tx):
        tx.write("a", tx.read("a").text + agent.name[0])
        tx.write("b", tx.read("b").text + agent.name[0])

    agent.transact(both)


# Programs that lose work, or wait for ever.


def a_dict(team):
    notes = team.shared({"plan": ""}, "notes")

    def add(word):
        notes["plan"] = notes["plan"] + word

    team.run(ann=lambda: add("a"), bob=lambda: add("b"))
    return "".join(sorted(notes["plan"]))


def a_file(team):
    plan = team.folder() / "plan.md"
    plan.write_text("")

    def add(word):
        plan.write_text(plan.read_text() + word)

    team.run(ann=lambda: add("a"), bob=lambda: add("b"))


def overwriting(team):
    ann, bob, _ = seed(team, "plan.md")

    def add(agent):
        text = agent.read("plan.md").text
        agent.write("plan.md", text + agent.name[0], overwrite=True)

    team.run(ann=lambda: add(ann), bob=lambda: add(bob))


def overwriting_in_tasks(team):
    seed(team, "plan.md")
    ann, bob = team.async_agent("ann"), team.async_agent("bob")

    async def add(agent):
        text = (await agent.read("plan.md")).text
        await agent.write("plan.md", text + agent.name[0], overwrite=True)

    team.run_async(ann=lambda: add(ann), bob=lambda: add(bob))


def crossed_drafts(team):
    ann, bob, _ = seed(team, "a", "b")

    def both(agent, first, second):
        with agent.edit(first) as one, agent.edit(second) as two:
            one.text += "1"
            two.text += "1"

    team.run(ann=lambda: both(ann, "a", "b"), bob=lambda: both(bob, "b", "a"))


def crossed_drafts_in_tasks(team):
    seed(team, "a", "b")
    ann, bob = team.async_agent("ann"), team.async_agent("bob")

    async def both(agent, first, second):
        async with agent.edit(first) as one, agent.edit(second) as two:
            one.text += "1"
            two.text += "1"

    team.run_async(ann=lambda: both(ann, "a", "b"), bob=lambda: both(bob, "b", "a"))


def crossed_locks(team):
    one, two = threading.Lock(), threading.RLock()

    def both(first, second):
        with first, second:
            pass

    team.run(ann=lambda: both(one, two), bob=lambda: both(two, one))


def crossed_locks_in_tasks(team):
    one, two = asyncio.Lock(), asyncio.Lock()

    async def both(first, second):
        async with first, second:
            pass

    team.run_async(ann=lambda: both(one, two), bob=lambda: both(two, one))


def write_skew(team):
    init = team.agent("init")
    init.write("ann.duty", "on")
    init.write("bob.duty", "on")

    def go_off(agent, mine, theirs):
        agent.read(mine)
        if agent.read(theirs).text == "on":
            agent.write(mine, "off")

    ann, bob = team.agent("ann"), team.agent("bob")
    team.run(
        ann=lambda: go_off(ann, "ann.duty", "bob.duty"),
        bob=lambda: go_off(bob, "bob.duty", "ann.duty"),
    )
    return final(team, "ann.duty", "bob.duty")


def somebody_is_on_duty(team):
    assert write_skew(team) != ("off", "off"), "nobody is on duty"


# Programs that keep everything.


def retrying(team):
    ann, bob, _ = seed(team, "plan.md")

    def add(agent):
        text = agent.read("plan.md").text
        try:
            agent.write("plan.md", text + agent.name[0])
        except Conflict:
            return add(agent)

    team.run(ann=lambda: add(ann), bob=lambda: add(bob))
    (text,) = final(team, "plan.md")
    assert sorted(text) == ["a", "b"]
    return text


def updating(team):
    ann, bob, _ = seed(team, "plan.md")
    team.run(
        ann=lambda: ann.update("plan.md", lambda text: text + "a"),
        bob=lambda: bob.update("plan.md", lambda text: text + "b"),
    )
    (text,) = final(team, "plan.md")
    assert sorted(text) == ["a", "b"]
    return text


def updating_in_tasks(team):
    seed(team, "plan.md")
    ann, bob = team.async_agent("ann"), team.async_agent("bob")
    team.run_async(
        ann=lambda: ann.update("plan.md", lambda text: text + "a"),
        bob=lambda: bob.update("plan.md", lambda text: text + "b"),
    )
    (text,) = final(team, "plan.md")
    assert sorted(text) == ["a", "b"]
    return text


def drafting(team):
    ann, bob, _ = seed(team, "plan.md")

    def draft(agent):
        with agent.edit("plan.md") as mine:
            mine.text += agent.name[0]

    team.run(ann=lambda: draft(ann), bob=lambda: draft(bob))
    (text,) = final(team, "plan.md")
    return text


def drafts_in_order(team):
    ann, bob, _ = seed(team, "a", "b")

    def both(agent):
        with agent.edit("a") as one, agent.edit("b") as two:
            one.text += agent.name[0]
            two.text += agent.name[0]

    team.run(ann=lambda: both(ann), bob=lambda: both(bob))
    a, b = final(team, "a", "b")
    assert a == b
    assert sorted(a) == ["a", "b"]


def locks_in_order(team):
    one, two = threading.Lock(), threading.Lock()
    order = []

    def both(name):
        with one, two:
            order.append(name)

    team.run(ann=lambda: both("a"), bob=lambda: both("b"))
    return "".join(order)


# Three agents of four calls each.


def hot(team):
    """Reads and writes of one artifact."""
    agents = seed(team, "plan")

    def work(agent):
        kept = ""
        for turn in "12":
            text = agent.read("plan").text
            with suppress(Conflict):
                agent.write("plan", text + agent.name[0])
                kept += turn
        return kept

    got = team.run(**{agent.name: lambda agent=agent: work(agent) for agent in agents})
    return final(team, "plan"), sorted(got.items())


def typical(team):
    """Read the plan, read and write notes of one's own, update the plan."""
    agents = seed(team, "plan", *(f"notes/{name}" for name in NAMES))

    def work(agent):
        plan = agent.read("plan").text
        mine = agent.read(f"notes/{agent.name}").text
        agent.write(f"notes/{agent.name}", mine + plan + ".")
        agent.update("plan", lambda text: text + agent.name[0])

    team.run(**{agent.name: lambda agent=agent: work(agent) for agent in agents})
    return final(team, "plan", *(f"notes/{name}" for name in NAMES))


def apart(team):
    """Each of its own artifact."""
    agents = seed(team, *NAMES)

    def work(agent):
        for _ in "12":
            agent.write(agent.name, agent.read(agent.name).text + "x")

    team.run(**{agent.name: lambda agent=agent: work(agent) for agent in agents})
    return final(team, *NAMES)


def readers(team):
    """Two read four times; one reads and writes, twice."""
    ann, bob, cyd = seed(team, "plan")

    def look(agent):
        return "".join(str(agent.read("plan").ref.version) for _ in range(4))

    def work():
        for _ in "12":
            cyd.write("plan", cyd.read("plan").text + "x")

    got = team.run(ann=lambda: look(ann), bob=lambda: look(bob), cyd=work)
    return final(team, "plan"), sorted(got.items())
