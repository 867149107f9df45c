"""Waiting for a grant when every wake-up is lost, by a clock that the test owns.

Each agent is a process: a workspace of its own on one file.  None has an ear, so whatever others
send it stays in the log until it looks.  The loop of `Session.wait` is played here: whoever's
deadline comes next is woken, a little late as on a busy machine, and looks.
"""

from __future__ import annotations

import random
import tempfile
import threading
from pathlib import Path

import pytest

from coherence import Eager, Lazy, Workspace
from coherence.contents import Limits, check_content
from coherence.directory import Home
from coherence.messages import Acquire, Commit, Committed, Granted
from coherence.policy import Broadcast
from coherence.refs import Ref
from coherence.runtime.caches import Caches
from coherence.runtime.homes import Homes
from coherence.runtime.keeper import Grant
from coherence.states import HomeAt, HomeState
from coherence.stores.port import HomeRow
from coherence.stores.sqlite import SqliteStore
from coherence.view import View
from coherence.workspace.writing import WAIT_S

NAME = "plan.md"
LEASE_S = 1.0
LEASE = Lazy(grant_lease=LEASE_S)


class Team:
    """Processes that hear nothing unless they look."""

    def __init__(self, folder, size, policy):
        self.now = 1000.0
        #: By how much the store's clock is ahead of that of the processes.
        self.ahead_s = 0.0
        self.rooms = [
            Workspace(
                SqliteStore(folder / "team.db", clock=lambda: self.now + self.ahead_s),
                policy=policy,
                clock=lambda: self.now,
            )
            for _ in range(size)
        ]
        self.all = [room.agent(f"a{i}")._session for i, room in enumerate(self.rooms)]
        self.asked = {}

    def ask(self, number):
        self.asked[number] = self.all[number].ask(NAME, Acquire(WAIT_S))
        return self.asked[number].answer

    def commit(self, number, grant):
        text = f"by {number}"
        handle = check_content(text, Limits())
        made = View(Ref(NAME, grant.version + 1, ""), text, handle)
        return self.all[number].ask(NAME, Commit(made, grant.version, grant.epoch)).answer

    def serve(self, waiting, late_s, chance):
        """Let those that wait look when they mean to, until each was granted and has committed.

        How long each has waited, and how many commits were refused.
        """
        begun = dict.fromkeys(waiting, self.now)
        looks = {number: self.next_look(number, late_s, chance) for number in waiting}
        took, refused = {}, 0
        while looks:
            number = min(looks, key=looks.__getitem__)
            self.now = looks[number]
            self.all[number].nudge(self.asked[number])
            answer = self.asked[number].answer
            if answer is None:
                looks[number] = self.next_look(number, late_s, chance)
                continue
            assert isinstance(answer, Granted), "it timed out"
            del looks[number]
            took[number] = self.now - begun[number]
            refused += not isinstance(self.commit(number, answer), Committed)
        return took, refused

    def next_look(self, number, late_s, chance):
        due = self.now + self.all[number].patience_s(self.asked[number])
        return due + chance.random() * late_s


@pytest.fixture
def team():
    """Makes a team with a clock of its own."""
    made = []

    def make(size, policy=LEASE):
        made.append(Team(Path(tempfile.mkdtemp(dir=folder)), size, policy))
        return made[-1]

    with tempfile.TemporaryDirectory() as folder:
        yield make
        for each in made:
            for room in each.rooms:
                room.close()


@pytest.mark.parametrize("dead", [0, 2], ids=["", "behind two more that were killed"])
def test_all_are_served_behind_a_holder_that_was_killed(team, dead):
    """Each that was killed costs one lease, be it as the holder or in the queue; none is passed."""
    for seed in range(8):
        chance = random.Random(seed)
        here = team(4 + dead)
        assert isinstance(here.ask(0), Granted)
        queue = list(range(1, 4 + dead))
        chance.shuffle(queue)
        for number in queue:
            here.now += 0.05 * chance.random()
            assert here.ask(number) is None
        took, refused = here.serve([n for n in queue if n <= 3], 0.1, chance)
        assert len(took) == 3
        assert max(took.values()) < (1 + dead + 3) * LEASE_S
        assert not refused, "a grant was found when its lease was over, and served"


def test_nobody_needs_to_know_when_the_lease_of_the_killed_ends(team):
    """What this process knew of it was overtaken by an older word: `due` is a hint."""
    here = team(2)
    here.ask(0)
    assert here.ask(1) is None
    here.all[1].shared.caches.due.clear()
    took, _ = here.serve([1], 0.0, random.Random(0))
    assert took[1] <= 1.5 * LEASE_S


def test_the_usual_wait_outlasts_a_few_that_were_killed(team):
    """The holder, just after it has renewed its lease, and two that waited: nobody names a time."""
    here = team(4, Lazy())
    here.ask(0)
    for number in (1, 2, 3):
        here.now += 0.01
        assert here.ask(number) is None
    took, _ = here.serve([3], 0.1, random.Random(0))
    assert took[3] < WAIT_S


def test_a_clock_that_is_set_back_makes_no_lease_longer(team):
    """The lease of a holder that was killed ends one lease after somebody has looked."""
    here = team(2)
    here.ahead_s = 3600.0
    assert isinstance(here.ask(0), Granted)
    here.ahead_s = 0.0
    assert here.ask(1) is None
    took, refused = here.serve([1], 0.0, random.Random(0))
    assert took[1] <= 1.5 * LEASE_S
    assert not refused


POLICIES = {
    "grant": (Lazy(grant_lease=5.0), 5.0),
    "acks": (Eager(validity=7.0), 7.0),
    "push": (Broadcast(period=9.0), 9.0),
}


@pytest.mark.parametrize("timer", POLICIES)
def test_a_deadline_of_a_clock_that_was_ahead_is_brought_back(rooms, timer):
    policy, span_s = POLICIES[timer]
    store = rooms.open()._site.store
    state = HomeState(at=HomeAt.M, owner="ann", owner_serial=1, epoch=1)
    with store.transaction(publishes=False) as tx:
        tx.save(NAME, HomeRow(state, ((timer, tx.now + 3600.0), ("other", tx.now + 3600.0))), 0)

    homes = Homes(store, Caches({NAME: (None, Home(policy))}), artifacts_max=10)

    def look():
        with store.transaction(publishes=False) as tx:
            homes.run(tx, NAME, ())
            return tx.now

    now = look()
    stored = store.row(NAME)
    timers = dict(stored.row.timers)
    assert timers[timer] <= now + span_s
    assert timers["other"] > now + 3000.0, "no policy knows it"
    look()
    assert store.row(NAME) == stored, "it counts down from there"


# A renewal beside the agent's own requests.


class Announcing:
    """A lock that says when somebody comes to it."""

    def __init__(self, inner):
        self.inner = inner
        self.come = threading.Event()

    def __enter__(self):
        self.come.set()
        return self.inner.__enter__()

    def __exit__(self, *error):
        return self.inner.__exit__(*error)


def test_a_renewal_that_meets_the_commit_asks_for_no_grant(tmp_path):
    """The lease is renewed while the commit is on its way: afterwards there is none to renew."""
    with Workspace(f"sqlite:///{tmp_path}/team.db") as room:
        ann = room.agent("ann")._session
        grant = ann.ask(NAME, Acquire(None)).answer
        ann.asking = lock = Announcing(ann.asking)
        renewed, renewers = [], []
        transaction = room._site.store.transaction

        def meet(*, publishes):
            if publishes and not renewers:
                hold = Grant(NAME, grant.epoch, grant.version, None)
                thread = threading.Thread(target=lambda: renewed.append(ann.renew(hold)))
                renewers.append(thread)
                lock.come.clear()
                thread.start()
                assert lock.come.wait(60)
            return transaction(publishes=publishes)

        room._site.store.transaction = meet
        handle = check_content("text", Limits())
        made = View(Ref(NAME, 1, ""), "text", handle)
        assert isinstance(ann.ask(NAME, Commit(made, 0, grant.epoch)).answer, Committed)
        renewers[0].join(60)
        assert renewed == [False]
        assert room.row(NAME).row.state.epoch == grant.epoch, "a grant that nobody wanted"
