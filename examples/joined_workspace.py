"""Workspaces on several machines whose invalidations travel with causal messages.

Three members share a database and cache what they read.  The member that commits mails the
invalidations.  The link from the writer to the reviewer is slow.  The lead sees the new plan and
asks the reviewer for a review: on links as they are, that word overtakes the invalidation, and the
reviewer reviews a dead copy, marked valid.  Between causal endpoints it cannot, and only that word
waits.

python examples/joined_workspace.py
"""

import asyncio
import threading
from contextlib import contextmanager

import msgspec

from causal.endpoint import AsyncEndpoint
from causal.transports.memory import MemoryHub
from coherence import AsyncWorkspace
from coherence.stores.memory import MemoryStore
from coherence.stores.port import Change, Changes, Place

TEAM = ("writer", "lead", "reviewer")


class Line(msgspec.Struct, tag=True, array_like=True):
    """Everything about this line of the database's log has been mailed before."""

    seq: int


class Word(msgspec.Struct, tag=True, array_like=True):
    """What one member says to another."""

    text: str


letters = msgspec.msgpack.Decoder(Change | Line | Word)


class Database:
    """The rows that all share, and how many lines were committed."""

    def __init__(self):
        self.rows, self.order, self.lines = MemoryStore(), threading.Lock(), 0


class Mailed:
    """A member's view of the database: news comes by mail, and by nothing else.

    `mail(before, changes)` runs after each transaction, in the member's loop.
    """

    validates = shared = True

    def __init__(self, database, mail):
        self.database, self.mail, self.news = database, mail, []
        self.loop = asyncio.get_running_loop()

    def __getattr__(self, name):
        return getattr(self.database.rows, name)

    @contextmanager
    def transaction(self, *, publishes):
        """The transaction; it returns when what it has seen has been mailed to us."""
        changes = []
        with self.database.order:
            with self.database.rows.transaction(publishes=publishes) as tx:
                yield Noted(tx, changes)
            before = self.database.lines
            self.database.lines += len(changes)
        asyncio.run_coroutine_threadsafe(self.mail(before, changes), self.loop).result()

    def mark(self):
        """How much mail has come: a cached copy is served unless there is news."""
        return len(self.news)

    def head(self):
        """The place of the newest mail."""
        return Place(len(self.news))

    def since(self, place):
        """The news after that."""
        return Changes(self.news[place.seq :], self.head(), False)

    def close(self):
        """The rows belong to all."""


class Noted:
    """A transaction whose lines for the log are mailed instead."""

    def __init__(self, tx, changes):
        self.tx, self.changes = tx, changes

    def __getattr__(self, name):
        return getattr(self.tx, name)

    def append(self, artifact, version, author, posts):
        """Keep the line for the mail."""
        self.changes.append(Change(0, 0, 0, artifact, version, author, self.tx.now, tuple(posts)))


class Member:
    """An agent of that name, its workspace, and the links that carry its mail."""

    def __init__(self, name, database, links):
        self.name, self.links = name, links
        self.line, self.came, self.words = 0, asyncio.Event(), asyncio.Queue()
        self.store = Mailed(database, self.mail)

    async def open(self):
        """Be reachable, and join."""
        await self.links.open()
        self.taking = asyncio.create_task(self.take())
        self.workspace = AsyncWorkspace(self.store)
        self.agent = await self.workspace.agent(self.name)

    async def take(self):
        """Take the mail."""
        async for _, _, payload in self.links.deliveries():
            letter = letters.decode(payload)
            if type(letter) is Change:
                self.store.news.append(letter)
            elif type(letter) is Line:
                self.reached(letter.seq)
            else:
                self.words.put_nowait(letter.text)

    def reached(self, seq):
        """All that was committed up to that line is in this member's causal past."""
        self.line = max(self.line, seq)
        self.came.set()

    async def mail(self, before, changes):
        """Mail what a transaction has committed, when the mail of what it has seen has come.

        The database is a hidden channel: a member that has read version 2 there may say so only
        after the invalidations of version 1 were sent.  They go first, to every holder of a copy.
        The line follows, to all members: a waiting member then knows that they are in flight.
        """
        while self.line < before:
            self.came.clear()
            await self.came.wait()
        for number, change in enumerate(changes, before + 1):
            for dst in {post.dst for post in change.posts}:
                await self.send(dst, change)
            for dst in TEAM:
                if dst != self.name:
                    await self.send(dst, Line(number))
            self.reached(number)

    async def send(self, dst, letter):
        """Mail one letter."""
        await self.links.send(dst, msgspec.msgpack.encode(letter))

    async def close(self):
        """Leave."""
        await self.workspace.close()
        await self.links.close()
        self.taking.cancel()


class Bare:
    """Links as they are, with the calls of an endpoint: what comes is taken as it comes."""

    def __init__(self, name, team, transport):
        self.name, self.team, self.transport = name, team, transport
        self.inbox = asyncio.Queue()

    async def open(self):
        """Be reachable."""

        def on_frame(src, frame):
            self.inbox.put_nowait((src, 0, frame))

        await self.transport.start(self.name, self.team, b"", on_frame, print)

    async def send(self, dst, payload):
        """Send at once."""
        self.transport.send(dst, payload)

    async def deliveries(self):
        """What came, in the order in which it came."""
        while True:
            yield await self.inbox.get()

    async def close(self):
        """Be unreachable."""
        await self.transport.close()


class Slow:
    """A transport that holds back frames to some destinations for as long as we like."""

    def __init__(self, inner):
        self.inner, self.start, self.close = inner, inner.start, inner.close
        self.under_way = {}

    def send(self, dst, frame):
        """Send, or keep."""
        if dst in self.under_way:
            self.under_way[dst].append(frame)
        else:
            self.inner.send(dst, frame)

    def arrive(self, dst):
        """Frames in flight to `dst` arrive, and later ones are quick."""
        for frame in self.under_way.pop(dst):
            self.inner.send(dst, frame)


async def review(reviewer, log):
    """Take the word, and read what is to be reviewed."""
    word = await reviewer.words.get()
    view = await reviewer.agent.read("plan.md")
    log.append(f"reviewer hears {word!r} and reads {view.ref}, {view.text!r}")
    return view.ref.version


async def run(links):
    """One rewritten plan and one word about it; what happened, and whether P1 was kept."""
    database, hub, log = Database(), MemoryHub(), []
    wires = {name: Slow(hub.transport()) for name in TEAM}
    team = {name: Member(name, database, links(name, TEAM, wires[name])) for name in TEAM}
    writer, lead, reviewer = team.values()
    for member in team.values():
        await member.open()
    await writer.agent.write("plan.md", "plan A")
    await reviewer.agent.read("plan.md")
    reviewing = asyncio.create_task(review(reviewer, log))

    wires["writer"].under_way = {"lead": [], "reviewer": []}
    log.append(f"writer's commit returns: {await writer.agent.write('plan.md', 'plan B')}")
    reading = asyncio.create_task(lead.agent.read("plan.md"))
    while lead.came.is_set() and not reading.done():
        await asyncio.sleep(0)
    wires["writer"].arrive("lead")
    view = await reading
    log.append(f"lead reads {view.ref}, {view.text!r}, and asks for a review")
    await lead.send("reviewer", Word("please review the plan"))
    for _ in range(20):  # all that is quick arrives
        await asyncio.sleep(0)
    log.append("the slow link from writer to reviewer brings what it has")
    wires["writer"].arrive("reviewer")
    reviewed = await asyncio.wait_for(reviewing, 30)
    for member in team.values():
        await member.close()
    return log, reviewed == view.ref.version


async def main():
    """On links as they are, then on ours."""
    for name, links in (("bare", Bare), ("causal", AsyncEndpoint)):
        log, kept = await run(links)
        print(f"{name} links: P1 {'holds' if kept else 'BROKEN'}")
        print("".join(f"  {line}\n" for line in log))


if __name__ == "__main__":
    asyncio.run(main())
