"""The same programs on every store, as one workspace and as a workspace for each agent."""

from __future__ import annotations

from programs import add_to_both, draft, final

from coherence import AsyncWorkspace, Fenced, GrantTimeout

SQLITE = "sqlite:///team.db"


class Apart:
    """A team whose agents have workspaces of their own on one URL, as if in processes."""

    def __init__(self, team, url):
        self._team, self._url, self._rooms = team, url, {}

    def __getattr__(self, name):
        return getattr(self._team, name)

    @property
    def workspace(self):
        return self._room("init")

    def _room(self, name):
        if name not in self._rooms:
            self._rooms[name] = self._team.open(self._url)
        return self._rooms[name]

    def agent(self, name):
        return self._room(name).agent(name)

    def async_agent(self, name):
        made = AsyncWorkspace(self._room(name)).agent(name)
        try:
            made.send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError("an agent for a task was waited for")


def apart(program, url):
    """`program`, each agent of which has its own workspace at `url`."""
    return lambda team: program(Apart(team, url))


# Programs.  Each returns what came of it, without what differs from store to store.


def seed(team, *names):
    for name in names:
        team.agent("init").write(name, "")
    return team.agent("ann"), team.agent("bob")


def transferring(team):
    """Two transactions over two artifacts."""
    ann, bob = seed(team, "a", "b")
    team.run(ann=lambda: add_to_both(ann), bob=lambda: add_to_both(bob))
    a, b = final(team, "a", "b")
    assert a == b
    return a


def transacting_in_tasks(team):
    seed(team, "a", "b")
    ann, bob = team.async_agent("ann"), team.async_agent("bob")

    async def move(agent):
        async def change(tx):
            tx.write("a", (await tx.read("a")).text + agent.name[0])
            tx.write("b", (await tx.read("b")).text + agent.name[0])

        await agent.transact(change)

    team.run_async(ann=lambda: move(ann), bob=lambda: move(bob))
    a, b = final(team, "a", "b")
    assert a == b
    return a


def drafting(team):
    """Each waits for the other's grant, if need be until its lease has ended."""
    ann, bob = seed(team, "plan")
    begun = team.now
    got = team.run(ann=lambda: draft(ann), bob=lambda: draft(bob))
    (text,) = final(team, "plan")
    return sorted(got.items()), text, sorted(team.killed), round(team.now - begun)


def drafting_in_tasks(team):
    seed(team, "plan")
    ann, bob = team.async_agent("ann"), team.async_agent("bob")
    begun = team.now

    async def draft(agent):
        try:
            async with agent.edit("plan") as mine:
                mine.text += agent.name[0]
        except Fenced:
            return "fenced"
        return "kept"

    got = team.run_async(ann=lambda: draft(ann), bob=lambda: draft(bob))
    (text,) = final(team, "plan")
    return sorted(got.items()), text, sorted(team.killed), round(team.now - begun)


def watching(team):
    """One sees what the other publishes, each version once."""
    ann, bob = seed(team, "plan")
    watch = bob.watch(timeout_s=1)

    def look():
        with watch:
            return [change.ref.version for change in watch]

    def write():
        for text in "12":
            ann.write("plan", text, overwrite=True)

    return team.run(ann=write, bob=look)["bob"]


def watching_in_tasks(team):
    seed(team, "plan")
    ann, bob = team.async_agent("ann"), team.async_agent("bob")

    async def look():
        return [change.ref.version async for change in bob.watch(timeout_s=1)]

    async def write():
        for text in "12":
            await ann.write("plan", text, overwrite=True)

    return team.run_async(ann=write, bob=look)["bob"]


def giving_up(team):
    """A wait that is shorter than a lease."""
    ann, bob = seed(team, "plan")

    def draft(agent):
        try:
            with agent.edit("plan", wait_s=0) as mine:
                mine.text += agent.name[0]
        except GrantTimeout:
            return "timeout"
        return "kept"

    got = team.run(ann=lambda: draft(ann), bob=lambda: draft(bob))
    return sorted(got.items()), final(team, "plan")
