"""An exception at any moment of any call leaves everybody able to go on.

A Ctrl-C, or a signal handler that raises, falls between any two instructions of a blocking call.
Afterwards the interrupted agent, the other agents of its process and those of other processes can
read, write and edit; nothing that was acknowledged is lost, nothing is doubled.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count, cycle
from pathlib import Path

import pytest
from interrupting import Cut, Moments
from soaking import distance

from coherence import AsyncWorkspace, Conflict, GrantTimeout, Lazy, Limits, Workspace
from coherence.workspace.workspace import site_of
from message_passing.errors import ToolkitError

# Cut off before it is kept or awaited, a socket or a coroutine is collected; an exception in what
# the interpreter calls by itself ends there.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning",
    "ignore:coroutine .* was never awaited:RuntimeWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)

#: A grant that is left behind outlives every wait here: what is left is found out, not waited for.
POLICY = Lazy(grant_lease=600.0)
#: Of a call that leaves names behind, each of which makes all later calls longer, fewer moments.
LEAST_EVERY = {
    "rename": 5,
    "merge_in_turn": 15,
    "resolve": 6,
    "restore": 6,
    "update_once": 6,
    "transaction": 3,
    "transaction_refused": 3,
    "transaction_in_turn": 5,
    "transact_again": 7,
}
#: Refused writes are recorded, so that this is cut off too.
LIMITS = Limits(refusals=3)
#: A text, and two changes of it that do not overlap.
TEXT, HIS, HERS = "1\n\n\n4\n", "1!\n\n\n4\n", "1\n\n\n4!\n"
WAIT_S = 20.0


class Team:
    """Two agents on one store: `ann` is interrupted, `bob` must be able to go on."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.here = Workspace(url, policy=POLICY, limits=LIMITS)
        apart = not url.startswith("memory")
        self.there = Workspace(url, policy=POLICY) if apart else self.here
        self.ann, self.bob = self.here.agent("ann"), self.there.agent("bob")
        self.numbers = count()
        self.ann.write("doc", "", overwrite=True)
        self.ann.write("old", "one", overwrite=True)
        self.ann.write("old", "two")

    def close(self) -> None:
        self.there.close()
        self.here.close()

    # What is interrupted.  Each starts from the same state, whatever the one before has left.

    def begin(self) -> None:
        self.ann = self.here.agent("ann")
        self.ann.write("doc", "start", overwrite=True)
        self.bob.read("doc")

    def read_hit(self) -> None:
        self.ann.read("doc")

    def read_miss(self) -> None:
        self.ann.read("doc")

    def read_have(self) -> None:
        self.ann.read("doc", have="doc@1")

    def read_version(self) -> None:
        self.ann.read("old", version=1)

    def write(self) -> None:
        self.ann.write("doc", "written")

    def write_new(self) -> None:
        self.ann.write(f"new/{next(self.numbers)}", "text")

    def conflict(self) -> None:
        with suppress(Conflict):
            self.ann.write("doc", "stale", expect=1)

    def merge_in_turn(self) -> None:
        """Bob is faster until ann merges under a grant."""

        def late(conflict: Conflict) -> str | None:
            with suppress(GrantTimeout):
                self.bob.update("doc", lambda text: text + ".", wait_s=0)
            return conflict.merge()

        ref = self.ann.write("doc", TEXT, overwrite=True)
        self.bob.write("doc", HIS, overwrite=True)
        self.ann.write("doc", HERS, expect=ref, merge=late)

    def resolve(self) -> None:
        self.ann.write("doc", "hers", expect=1, resolve=lambda _: self.ann.read("doc").text + ".")

    def restore(self) -> None:
        self.ann.restore("old@1")
        self.ann.restore("old@2", reason="it was better")

    def update(self) -> None:
        self.ann.update("doc", lambda text: text + ".", must_exist=True, reason="a full stop")

    def update_once(self) -> None:
        def slow(text: str) -> str:
            self.bob.update("doc", lambda theirs: theirs + "bob")
            return text + "."

        self.ann.update("doc", slow, resolve=lambda conflict: conflict.theirs)

    def update_again(self) -> None:
        def slow(text: str) -> str:
            if not text.endswith("bob"):
                self.bob.update("doc", lambda theirs: theirs + "bob")
            return text + "."

        self.ann.update("doc", slow)

    def edit(self) -> None:
        with self.ann.edit("doc", wait_s=WAIT_S) as draft:
            draft.text += "."

    def wait(self) -> None:
        """For a grant that bob gives back once ann is in the queue."""
        edit, over = self.bob.edit("doc", wait_s=WAIT_S), threading.Event()

        def hold() -> None:
            with edit:
                held.set()
                while not self.there.row("doc").row.state.queue and not over.is_set():
                    time.sleep(0.001)

        held = threading.Event()
        holder = threading.Thread(target=hold, daemon=True)
        holder.start()
        held.wait()
        try:
            self.edit()
        finally:
            over.set()
            holder.join(WAIT_S)
            assert not holder.is_alive(), "the next that gives a grant back is held up"

    def edit_nothing(self) -> None:
        with self.ann.edit("doc", wait_s=WAIT_S) as draft:
            self.ann.read("doc")
            assert not draft.awaited

    def edit_raises(self) -> None:
        with suppress(KeyError), self.ann.edit("doc", wait_s=WAIT_S):
            raise KeyError

    def delete(self) -> None:
        name = f"gone/{next(self.numbers)}"
        self.ann.write(name, "text")
        self.ann.delete(name)

    def rename(self) -> None:
        name = f"from/{next(self.numbers)}"
        self.ann.write(name, "text")
        self.ann.rename(name, name + ".to")

    def transaction(self) -> None:
        name = f"made/{next(self.numbers) % 9}"
        with self.ann.transaction(reason="together") as tx:
            old = tx.read("old")
            tx.read(name, missing=None)
            tx.write("doc", old.text, overwrite=True)
            tx.write("other", old.text, overwrite=True)

    def transaction_refused(self) -> None:
        with suppress(Conflict), self.ann.transaction(["doc", "old"]) as tx:
            self.bob.write("doc", "bob", overwrite=True)
            tx.write("other", "lost", overwrite=True), tx.write("doc", "lost")

    def transaction_in_turn(self) -> None:
        """Ann has the grant of another name when she gives up the wait."""
        with (
            self.bob.edit("doc", wait_s=WAIT_S),
            suppress(GrantTimeout),
            self.ann.transaction(wait_s=0) as tx,
        ):
            tx.write("doc", "ann", overwrite=True), tx.write("a", "ann", overwrite=True)

    def transact_again(self) -> None:
        def slow(tx) -> None:
            text = tx.read("doc").text
            if not text.endswith("bob"):
                self.bob.update("doc", lambda theirs: theirs + "bob")
            tx.write("other", text, overwrite=True), tx.write("doc", text + ".")

        self.ann.transact(slow)

    def edit_reads(self) -> None:
        with self.ann.edit("doc", wait_s=WAIT_S, reads=["old@2"]) as draft:
            draft.text += "."

    def snapshot(self) -> None:
        snap = self.ann.snapshot(["doc", "old", "none"])
        self.ann.snapshot(prefix="o", have=snap.refs), self.ann.check(*snap.refs.values())

    def leave(self) -> None:
        self.here.agent("guest").read("doc")
        self.here.agent("guest").leave()

    def look(self) -> None:
        self.ann.list("n"), self.ann.history("doc"), self.ann.forget()
        self.here.row("doc"), self.here.members(), self.here.metrics(), self.here.stats()

    def carry_counts(self) -> None:
        self.ann.read("doc")
        site = site_of(self.here)
        site.guarded(site.homes.accounts.collect)
        self.ann.write("doc", f"counted {next(self.numbers)}", overwrite=True)

    def keep_up(self) -> None:
        self.here.pin("old@1", False), self.here.gc(), self.here.check()

    def watch(self) -> None:
        with self.ann.watch(timeout_s=0) as changes:
            self.ann.write("doc", "seen", overwrite=True)
            next(changes)

    def watch_all(self) -> None:
        with self.here.watch(timeout_s=0) as changes:
            self.ann.write("doc", "seen", overwrite=True)
            next(changes)


CALLS = [
    name
    for name, value in vars(Team).items()
    if isinstance(value, Callable) and not name.startswith("_") and name not in ("close", "begin")
]


def go_on(team: Team) -> None:
    """What everybody must be able to do, in whatever order, within a wait that no lease ends."""
    store = team.here._site.store
    accounts = team.here._site.homes.accounts
    assert not any(lock._is_owned() for lock in accounts.locks)
    assert len(accounts._open) < 10, "an agent that has left is still counted"
    connections = getattr(store, "_connections", store)
    for lock in ("_lock", "lock", "reading", "glancing"):
        assert not hasattr(connections, lock) or not getattr(connections, lock)._is_owned()
    taken = getattr(connections, "_wires", {}).values()
    assert threading.get_ident() not in taken, "a connection is kept"
    for lock in team.here._site.homes.locks:
        assert not lock._is_owned()
    text = f"bob {next(team.numbers)}"
    team.bob.write("doc", text, overwrite=True, wait_s=WAIT_S)
    with team.bob.edit("doc", wait_s=WAIT_S) as draft:
        draft.text = text
    team.ann = team.here.agent("ann")
    if not store.validates:  # news come by themselves within the validity: take them in
        team.here._site.follower.fetch()
    assert team.ann.read("doc").text == text, "a copy is stale"
    team.ann.update("doc", lambda now: now + ", ann", wait_s=WAIT_S)
    with team.ann.edit("doc", wait_s=WAIT_S) as draft:
        assert draft.text == text + ", ann"
        draft.text = text
    assert team.bob.read("doc").text in (text, text + ", ann")
    for number in range(2):  # threads of their own: a lock that ann's thread keeps would stop them
        worker = threading.Thread(
            target=team.here.agent(f"w{number}").update, args=("doc", str.upper), daemon=True
        )
        worker.start()
        worker.join(WAIT_S)
        assert not worker.is_alive()
    assert not team.ann._session.caches.drafting
    assert not team.ann._busy


@contextmanager
def ended() -> Iterator[None]:
    """A call that was cut off may raise a typed error, but not after a wait that nothing ended."""
    try:
        yield
    except GrantTimeout:
        raise
    except ToolkitError:
        pass


def interrupt(team: Team, call: str, at: int) -> tuple[bool, Moments]:
    """One call, cut off at that moment; whether it was long enough for that."""
    team.begin()
    if call == "read_miss":
        team.bob.write("doc", "by bob", overwrite=True)
    moments = Moments(at)
    with ended(), suppress(KeyError):
        moments(getattr(team, call))
    return moments.seen >= at, moments


def sweep(team: Team, call: str, every: int, start: int = 1) -> int:
    """Cut `call` off at every so many moments; how many there are."""
    at = start
    while True:
        reached, moments = interrupt(team, call, at)
        try:
            if call.startswith("transact"):
                for name in ("a", "other"):
                    team.bob.write(name, f"bob {at}", overwrite=True, wait_s=WAIT_S)
            go_on(team)
        except BaseException as error:
            raise AssertionError(
                f"{call} cut off at moment {at}, {moments.where}: {error!r}"
            ) from error
        if not reached:
            return at
        at += every


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """What was cut off is collected while its warnings are ignored."""
    yield
    gc.collect()


@pytest.fixture
def teams(tmp_path, request) -> Iterator[Callable[[str], Team]]:
    made: list[Team] = []

    def make(kind: str) -> Team:
        path = f"{tmp_path}/team{len(made)}.db"
        url = {"memory": "memory://", "sqlite": f"sqlite:///{path}"}.get(kind)
        made.append(Team(url or request.getfixturevalue("postgres").fresh()))
        return made[-1]

    yield make
    for team in made:
        team.close()


@pytest.mark.parametrize(
    ("call", "kind"), list(zip(CALLS, cycle(["memory", "sqlite"]), strict=False))
)
def test_a_call_that_is_cut_off_leaves_everybody_able_to_go_on(teams, kind, call):
    every = 307 if kind == "memory" else 997
    sweep(teams(kind), call, every, 1 + 7 * CALLS.index(call) % every)


def close(team: Team) -> None:
    team.here.close()


@pytest.mark.parametrize(
    ("kind", "every"),
    [
        ("memory", 211),
        ("sqlite", 601),
        pytest.param("memory", distance(3), marks=pytest.mark.slow),
        pytest.param("sqlite", distance(15), marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("first", [Team.edit, Team.wait, Team.watch, close])
def test_the_first_call_of_a_workspace_may_be_cut_off(teams, kind, first, every):
    # Threads begin with it, or end; a workspace that was used before has them already.
    for number in count():
        team = teams(kind)
        moments = Moments(1 + every * number)
        with ended():
            moments(lambda team=team: first(team))
        if first is close:
            team.here.close()
            team = Team(team.url)
        try:
            go_on(team)
        except BaseException as error:
            raise AssertionError(f"cut off at {moments.at}, {moments.where}: {error!r}") from error
        team.close()
        if moments.seen < moments.at:
            return


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("kind", "every"), [("memory", 3), ("sqlite", 9)])
def test_a_call_may_be_cut_off_at_any_moment(teams, kind, every, call):
    every = distance(max(every, 3 * LEAST_EVERY.get(call, 1)))
    sweep(teams(kind), call, every, 1 + 7 * CALLS.index(call) % every)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("call", CALLS)
def test_a_call_over_postgres_may_be_cut_off_at_any_moment(teams, call):
    every = distance(60)
    sweep(teams("postgres"), call, every, 1 + 7 * CALLS.index(call) % every)


def storm(url: str, interrupts: int, seed: int) -> None:
    """Real signals, in a process of its own: they reach its main thread alone."""
    script = Path(__file__).with_name("interrupt_storm.py")
    path = os.pathsep.join(part for part in sys.path if part)
    done = subprocess.run(
        [sys.executable, str(script), url, str(interrupts), str(seed)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["interrupts"] == interrupts
    assert report["kept"], f"an increment is lost or doubled: {report}"
    assert report["damage"] == []


def url_of(kind: str, tmp_path: Path, request) -> str:
    if kind == "postgres":
        return request.getfixturevalue("postgres").fresh()
    return "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/team.db"


@pytest.mark.parametrize(
    "kind",
    ["sqlite", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("memory", "postgres"))],
)
def test_a_storm_of_signals(tmp_path, request, kind):
    storm(url_of(kind, tmp_path, request), 40, seed=3)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres"])
def test_a_thousand_signals(tmp_path, request, kind):
    storm(url_of(kind, tmp_path, request), 1_000, seed=4)


# The same for tasks: the exception falls into the event loop's thread.


def elsewhere(work: Callable[..., object], *arguments: object) -> None:
    """Call it in a thread of its own, whose moments do not count."""
    thread = threading.Thread(target=work, args=arguments)
    thread.start()
    thread.join()


class AsyncTeam:
    """As `Team`, whose `ann` is an agent for tasks; what follows is asked of agents for threads."""

    def __init__(self, url: str) -> None:
        self.team = Team(url)
        self.loop = asyncio.new_event_loop()
        self.rooms = AsyncWorkspace(self.team.here)
        self.ann = self.do(self.rooms.agent("ann"))

    def do(self, work):
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.do(self.rooms.close())
        self.loop.close()
        self.team.close()

    async def read_miss(self) -> None:
        await self.ann.read("doc")

    async def read_version(self) -> None:
        await self.ann.read("old", version=1)

    async def write(self) -> None:
        await self.ann.write("doc", "written")

    async def delete(self) -> None:
        name = f"gone/{next(self.team.numbers)}"
        await self.ann.write(name, "text")
        await self.ann.delete(name)

    async def leave(self) -> None:
        guest = await self.rooms.agent("guest")
        await guest.read("doc")
        await guest.leave()

    async def look(self) -> None:
        await self.ann.list("n")
        await self.ann.history("doc")

    async def update(self) -> None:
        async def slow(text: str) -> str:
            await asyncio.sleep(0)
            return text + "."

        await self.ann.update("doc", slow)

    async def resolve(self) -> None:
        async def later(conflict: Conflict) -> str:
            await asyncio.sleep(0)
            return (await self.ann.read("doc")).text + "."

        await self.ann.write("doc", "hers", expect=1, merge=True, resolve=later)

    async def restore(self) -> None:
        await self.ann.restore("old@1")
        await self.ann.restore("old@2")

    async def edit(self) -> None:
        async with self.ann.edit("doc", wait_s=WAIT_S) as draft:
            draft.text += "."

    async def transaction(self) -> None:
        async with self.ann.transaction(["old"]) as tx:
            old = await tx.read("old")
            tx.write("doc", old.text, overwrite=True), tx.write("other", "1", overwrite=True)

    async def transact_again(self) -> None:
        async def slow(tx) -> None:
            text = (await tx.read("doc")).text
            if not text.endswith("bob"):
                elsewhere(self.team.bob.update, "doc", lambda theirs: theirs + "bob")
            tx.write("other", text, overwrite=True), tx.write("doc", text + ".")

        await self.ann.transact(slow)

    async def snapshot(self) -> None:
        snap = await self.ann.snapshot(["doc", "old", "none"])
        await self.ann.check(*snap.refs.values())

    async def rename(self) -> None:
        name = f"from/{next(self.team.numbers)}"
        await self.ann.write(name, "text")
        await self.ann.rename(name, name + ".to")

    async def wait(self) -> None:
        """For a grant that bob gives back while ann waits."""
        edit = self.team.bob.edit("doc", wait_s=WAIT_S)
        elsewhere(edit.__enter__)
        waiting = asyncio.ensure_future(self.edit())
        try:
            while not self.team.there.row("doc").row.state.queue and not waiting.done():
                await asyncio.sleep(0.001)
        finally:
            elsewhere(edit.__exit__, None, None, None)
        await waiting

    async def watch(self) -> None:
        async for _ in self.ann.watch(timeout_s=0):
            raise AssertionError("nothing was published")

    async def watch_all(self) -> None:
        async for _ in self.rooms.watch(timeout_s=0):
            raise AssertionError("nothing was published")


ASYNC_CALLS = [
    "read_miss",
    "read_version",
    "write",
    "delete",
    "update",
    "resolve",
    "restore",
    "edit",
    "transaction",
    "transact_again",
    "snapshot",
    "rename",
    "leave",
    "look",
    "wait",
    "watch",
    "watch_all",
]


def sweep_async(teams: AsyncTeam, call: str, every: int, start: int) -> None:
    at = start
    while True:
        teams.team.begin()
        teams.ann = teams.do(teams.rooms.agent("ann"))
        if call == "read_miss":
            teams.team.bob.write("doc", "by bob", overwrite=True)
        moments = Moments(at)
        with ended():
            moments(lambda: teams.do(getattr(teams, call)()))
        # What was cut off may be at its end still, as a task of its own.
        while pending := asyncio.all_tasks(teams.loop):
            with suppress(Cut):
                teams.do(asyncio.wait(pending))
        try:
            go_on(teams.team)
        except BaseException as error:
            where = f"{call} cut off at moment {at}, {moments.where}"
            raise AssertionError(f"{where}: {error!r}") from error
        if moments.seen < at:
            return
        at += every


@pytest.fixture
def tasks(tmp_path, request) -> Iterator[Callable[[str], AsyncTeam]]:
    made: list[AsyncTeam] = []

    def make(kind: str) -> AsyncTeam:
        made.append(AsyncTeam(url_of(kind, tmp_path, request)))
        return made[-1]

    yield make
    for team in made:
        team.close()


@pytest.mark.parametrize(
    ("call", "kind"), list(zip(ASYNC_CALLS, cycle(["memory", "sqlite"]), strict=False))
)
def test_a_task_that_is_cut_off_leaves_everybody_able_to_go_on(tasks, kind, call):
    sweep_async(tasks(kind), call, 211, 1 + ASYNC_CALLS.index(call))


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("call", ASYNC_CALLS)
@pytest.mark.parametrize(("kind", "every"), [("memory", 3), ("sqlite", 9)])
def test_a_task_may_be_cut_off_at_any_moment(tasks, kind, every, call):
    every = distance(max(every, 3 * LEAST_EVERY.get(call, 1)))
    sweep_async(tasks(kind), call, every, 1 + ASYNC_CALLS.index(call) % every)
