"""Random histories through the real client on real stores, as two processes would make them.

Two oracles watch.  A model of three lines says what every call must answer.  And each step that a
cache or a home takes goes to the ghost of `coherence.invariants`, the same that the checker and the
simulator use: what was checked is what runs.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import coherence.runtime.caches as caches_module
from coherence import Conflict, Fenced, GrantTimeout, Lazy, Served, UnknownArtifact, Workspace
from coherence.invariants import begin, directory_agrees, observe, well_formed
from coherence.states import HomeState
from coherence.stores.memory import MemoryStore
from coherence.stores.sqlite import SqliteStore
from coherence.view import Gone, View

NAME = "plan.md"
LEASE_S = 1000.0
AGENTS = ("ann", "bob", "cyd")


def plain(value):
    """What the protocol sees: a handle for every content, wherever it is."""
    if isinstance(value, View | Gone):
        return value.handle
    if isinstance(value, msgspec.Struct):
        changed = {
            name: plain(getattr(value, name))
            for name in value.__struct_fields__
            if isinstance(getattr(value, name), msgspec.Struct | tuple)
        }
        return msgspec.structs.replace(value, **changed) if changed else value
    if isinstance(value, tuple):
        return tuple(plain(element) for element in value)
    return value


class Watched:
    """A process whose every step is reported."""

    def __init__(self, process, address, report):
        self._process, self._address, self._report = process, address, report

    def __getattr__(self, name):
        return getattr(self._process, name)

    def step(self, state, event, now):
        step = self._process.step(state, event, now)
        self._report(self._address, plain(event), plain(step))
        return step


class Machine(RuleBasedStateMachine):
    """One artifact, three agents, and a store whose clock the machine owns."""

    apart = False
    watched = True
    validity: float | None = None

    def make_store(self):
        raise NotImplementedError

    def __init__(self):
        super().__init__()
        self.now = 1000.0
        self.folder = tempfile.TemporaryDirectory()
        self.policy = Lazy(grant_lease=LEASE_S, validity=self.validity)
        first = Workspace(self.make_store(), policy=self.policy)
        second = Workspace(self.make_store(), policy=self.policy) if self.apart else first
        self.rooms = [first, second]
        self.ghost = begin(HomeState())
        self.agents = {}
        # The model: the content of each version, None for a deletion; what each was last given.
        self.texts = {0: None}
        self.given = dict.fromkeys(AGENTS, 0)
        self.edits = {}
        #: Grants of processes that died, until the lease is over: whoever has the name has them.
        self.orphans = {}
        self.kept = []
        self.dead = set()
        self.shortcut = caches_module.invalidated
        if self.watched:
            caches_module.invalidated = lambda state, inv: None
            for room in set(self.rooms):
                homes = room._site.homes
                cache, home = homes._processes[NAME]
                homes._processes[NAME] = (cache, Watched(home, "home", self.tried))
                homes._attempt = partial(self.attempt, homes._attempt)

    @initialize()
    def join_all(self):
        for name in AGENTS:
            self.join(name)

    def join(self, name):
        room = self.rooms[AGENTS.index(name) % 2]
        agent = self.agents[name] = room.agent(name)
        self.given[name] = 0
        if self.watched:
            agent._quick = False
            agent._operations._hashed = True  # the ghost knows contents by their handles
            cache, home = room._site.homes._processes[NAME]
            agent._session.caches._processes = {NAME: (Watched(cache, name, self.report), home)}

    def tried(self, *what):
        """A step of home, which counts once its transaction has taken effect."""
        self.trial.append(what)

    def attempt(self, attempt, *arguments):
        self.trial = []
        outcomes = attempt(*arguments)
        for what in self.trial:
            self.report(*what)
        return outcomes

    def report(self, address, event, step):
        self.ghost = observe(self.ghost, address, event, step, self.policy)
        assert not self.ghost.broken, f"{self.ghost.broken} by {address} on {event}"

    @property
    def version(self):
        return max(self.texts)

    @property
    def current(self):
        return self.texts[self.version]

    def published(self, name, ref, text):
        same = text is not None and text == self.current
        assert ref.version == self.version + (not same)
        self.orphans.pop(name, None)
        self.texts[ref.version] = text
        self.given[name] = ref.version

    def blocked(self, name):
        """Whether another holds a grant whose lease is not over, be it dead."""
        return self.drafted(name) or any(
            self.now < until for n, until in self.orphans.items() if n != name
        )

    def drafted(self, name):
        """Whether another drafts under a grant whose lease is not over."""
        return any(self.now < until for n, (_, _, until) in self.edits.items() if n != name)

    names = st.sampled_from(AGENTS)
    words = st.text("ab\n", max_size=4)

    def live(self, name):
        return name not in self.dead

    @rule(name=names)
    def read(self, name):
        if not self.live(name):
            return
        if self.current is None:
            with pytest.raises(UnknownArtifact):
                self.agents[name].read(NAME)
        else:
            assert self.agents[name].read(NAME).text == self.current
        self.given[name] = self.version

    @rule(name=names)
    def read_with_what_is_in_the_context(self, name):
        have = self.given[name]
        if not self.live(name) or not have or self.current is None:
            return
        view = self.agents[name].read(NAME, have=f"{NAME}@{have}")
        assert view.text == self.current
        assert (view.served is Served.UNCHANGED) == (have == self.version)
        self.given[name] = self.version

    @rule(name=names, text=words)
    def write(self, name, text):
        if not self.live(name) or name in self.edits or self.blocked(name):
            return
        base = self.given[name]
        fresh = not base and self.current is None
        if base == self.version or fresh:
            self.published(name, self.agents[name].write(NAME, text), text)
        else:
            with pytest.raises(Conflict) as refused:
                self.agents[name].write(NAME, text)
            assert refused.value.current.version == self.version
            assert (refused.value.theirs or None) == (self.current or None)

    @rule(name=names, text=words)
    def overwrite(self, name, text):
        if self.live(name) and name not in self.edits and not self.blocked(name):
            self.published(name, self.agents[name].write(NAME, text, overwrite=True), text)

    @rule(name=names, text=words)
    def update(self, name, text):
        if self.live(name) and name not in self.edits and not self.blocked(name):
            view = self.agents[name].update(NAME, lambda old: old + text)
            self.published(name, view.ref, (self.current or "") + text)

    @rule(name=names)
    def delete(self, name):
        agent = self.agents[name]
        if not self.live(name) or name in self.edits or self.blocked(name):
            return
        if self.given[name] == self.version and self.current is not None:
            self.published(name, agent.delete(NAME), None)

    @rule(name=names)
    def begin_edit(self, name):
        if not self.live(name) or name in self.edits:
            return
        edit = self.agents[name].edit(NAME, wait_s=0)
        try:
            draft = edit.__enter__()
        except GrantTimeout:
            assert self.blocked(name)
            return
        # A look of the waiting agent may have ended the grant of a session that is superseded.
        assert not self.drafted(name)
        self.orphans.clear()
        assert draft.content == (self.current or "")
        self.given[name] = self.version
        self.orphans.pop(name, None)
        self.edits[name] = (edit, draft, self.now + LEASE_S)

    @precondition(lambda self: self.edits)
    @rule(data=st.data(), text=words)
    def end_edit(self, data, text):
        name = data.draw(st.sampled_from(sorted(self.edits)))
        edit, draft, until = self.edits[name]
        if not self.live(name):
            return
        del self.edits[name]
        draft.text = draft.text + text + "!"
        if self.now < until:
            edit.__exit__(None, None, None)
            self.published(name, draft.ref, draft.text)
            return
        with pytest.raises(Fenced) as fenced:
            edit.__exit__(None, None, None)
        assert fenced.value.yours == draft.text
        assert fenced.value.current.version == self.version

    @precondition(lambda self: self.edits)
    @rule(data=st.data())
    def abandon_edit(self, data):
        name = data.draw(st.sampled_from(sorted(self.edits)))
        if self.live(name):
            self.edits.pop(name)[0].__exit__(KeyError, KeyError(), None)

    @rule()
    def leases_run_out(self):
        self.now += LEASE_S + 1

    @rule(name=names)
    def die(self, name):
        """Its process is killed: it hears nothing and says nothing any more."""
        agent = self.agents[name]
        if self.live(name):
            caches = agent._session.shared.caches
            with caches.lock:
                del caches.agents[name]
            self.dead.add(name)

    @rule(name=names)
    def come_back(self, name):
        if not self.live(name):
            room = self.rooms[AGENTS.index(name) % 2]
            room._site.sessions.pop(name, None)
            self.dead.discard(name)
            if name in self.edits:
                edit, _, self.orphans[name] = self.edits.pop(name)
                self.kept.append(edit)  # else it would be given back, since it was dropped
            self.join(name)

    @invariant()
    def what_needs_no_memory(self):
        if not self.watched:
            return
        stored = self.rooms[0].row(NAME)
        home = stored.row.state if stored else HomeState()
        caches = {
            name: plain(agent._session.caches.state(NAME))
            for name, agent in self.agents.items()
            if self.live(name)
        }
        assert well_formed(home, caches.values())
        on_their_way = [
            ("home", post.dst, plain(post.message))
            for room in set(self.rooms)
            for change in room._site.store.since(room._site.follower._place).entries
            if change.origin != room._site.store.origin
            for post in change.posts
        ]
        assert directory_agrees(home, caches, on_their_way)

    def teardown(self):
        caches_module.invalidated = self.shortcut
        for room in self.rooms:
            assert room.check() == []
        for room in self.rooms:
            room.close()
        self.folder.cleanup()


class OnMemory(Machine):
    """One process."""

    def make_store(self):
        return MemoryStore(clock=lambda: self.now)


class OnMemoryShort(OnMemory):
    """By the short ways, and without digests: which contents are equal, they say themselves."""

    watched = False


class OnSqlite(Machine):
    """Two processes' worth of caches on one file."""

    apart = True

    def make_store(self):
        return SqliteStore(Path(self.folder.name) / "team.db", clock=lambda: self.now)


class OnSqliteShort(OnSqlite):
    """By the short ways, which the ghost cannot see."""

    watched = False


FEW = settings(max_examples=10, stateful_step_count=30, deadline=None)
TestOnMemory = OnMemory.TestCase
TestOnMemory.settings = FEW
TestOnMemoryShort = OnMemoryShort.TestCase
TestOnMemoryShort.settings = FEW
TestOnSqlite = OnSqlite.TestCase
TestOnSqlite.settings = FEW
TestOnSqliteShort = OnSqliteShort.TestCase
TestOnSqliteShort.settings = FEW


@pytest.mark.slow
@pytest.mark.timeout(600)  # what fails is made smaller for a while
@pytest.mark.parametrize("machine", [OnMemory, OnMemoryShort, OnSqlite, OnSqliteShort])
def test_more_of_them(machine):
    more = settings(max_examples=50, stateful_step_count=30, deadline=None)
    run_state_machine_as_test(machine, settings=more)


@pytest.mark.slow
@pytest.mark.timeout(600)  # what fails is made smaller for a while
def test_on_postgres(postgres):
    """Two processes' worth of caches on one database, whose clock goes as far ahead as we like.

    No thread listens: each hears of the other once a step has been looked at, and before the next.
    """
    from coherence.stores.postgres import PostgresStore
    from coherence.stores.postgres_transaction import PostgresTransaction

    class Ahead(PostgresTransaction):
        @property
        def now(self):
            return super().now + self.ahead()

    class Store(PostgresStore):
        def transaction(self, *, publishes):
            tx = Ahead(self._connections, publishes=publishes)
            tx.ahead = self.ahead
            return tx

    class OnPostgres(Machine):
        apart = True
        validity = 100 * LEASE_S  # no hit is validated: the test says when what is heard

        def make_store(self):
            if not hasattr(self, "url"):
                self.url = postgres.fresh()
            store = Store(self.url)
            store.ahead = lambda: self.now
            return store

        def join(self, name):
            for room in self.rooms:
                room._site.follower.listen = lambda: None
            super().join(name)

        @invariant()
        def what_needs_no_memory(self):
            super().what_needs_no_memory()
            for room in self.rooms:
                room._site.follower.fetch()

    few = settings(max_examples=15, stateful_step_count=25, deadline=None)
    run_state_machine_as_test(OnPostgres, settings=few)
