"""Each mutant of the workspace's driver breaks a contract under some order of two agents' calls.

A mutant has one fault, in one method.  The contracts are those of `contracts`: the project uses its
kit on itself, and this shows that the use would notice.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import contracts

from coherence.messages import Commit
from coherence.runtime import homes
from coherence.runtime.follower import Follower
from coherence.runtime.session import Session
from coherence.stores.port import Cut
from coherence.testing import ExplorationVerdict, explore
from coherence.workspace.cutting import Cutting
from coherence.workspace.writing import Writing


def validates_after_it_has_taken(plain):
    def ask_all(self, requests, reads=None):
        marked, self._marked = self._marked, False
        try:
            return plain(self, requests, reads)
        finally:
            self._marked = marked
            if marked and self.homes.store.mark() != self.follower.seen:
                self.follower.fetch()

    return ask_all


def forgets_to_roll_back(plain):
    return lambda self, every: None


def moves_the_base_of_a_refused_write(plain):
    def count(self, name, made, base, result):
        stands = plain(self, name, made, base, result)
        if not stands:
            self._caches.bases[name] = (result.version, None)
        return stands

    return count


def compares_no_base(plain):
    def ask_all(self, requests, reads=None):
        return plain(self, [(name, _over(self, name, asked)) for name, asked in requests], reads)

    return ask_all


def publishes_a_draft_whose_grant_has_ended(plain):
    def ask_all(self, requests, reads=None):
        changed = [
            (name, _over(self, name, asked) if getattr(asked, "epoch", 0) else asked)
            for name, asked in requests
        ]
        return plain(self, changed, reads)

    return ask_all


def _over(session, name, asked):
    """A commit that replaces whatever is current."""
    stored = session.homes.store.row(name)
    if type(asked) is not Commit or stored is None:
        return asked
    state = stored.row.state
    mine = state.owner == session.name and asked.epoch
    return Commit(asked.content, state.version, asked.epoch if mine else 0)


def renews_no_lease(plain):
    return lambda self, grant: True


def ends_no_lease(plain):
    def capped(timers, policy, now):
        return {name: at + 1e6 for name, at in plain(timers, policy, now).items()}

    return capped


def wakes_no_agent_that_waits(plain):
    return lambda self, asked, wake: plain(self, asked, lambda: None)


def gives_no_grant_back(plain):
    def abandon(self, grant):
        self._release(grant.artifact)
        yield from ()

    return abandon


def compares_nothing_that_a_transaction_has_read(plain):
    return lambda self, requests, reads=None: plain(self, requests, {} if reads else reads)


def takes_a_snapshot_one_by_one(plain):
    def cut(self, names, held=None):
        found: dict[str, Cut] = {}
        place = None
        for name in names:
            one, place = yield from plain(self, [name], held)
            found.update(one)
        return found, place

    return cut


def drops_what_other_processes_say(plain):
    return lambda self, artifact, dst, message, replies: None


#: mutant -> where it is, and a contract that it breaks.
MUTANTS = {
    validates_after_it_has_taken: (
        Session,
        "ask_all",
        contracts.a_read_sees_what_another_process_has_published,
    ),
    forgets_to_roll_back: (
        Session,
        "_take_back",
        contracts.a_transaction_rests_on_what_it_has_read,
    ),
    moves_the_base_of_a_refused_write: (
        Writing,
        "_count",
        contracts.a_refused_write_is_refused_again,
    ),
    compares_no_base: (Session, "ask_all", contracts.a_refused_write_is_refused_again),
    publishes_a_draft_whose_grant_has_ended: (
        Session,
        "ask_all",
        contracts.a_writer_that_wakes_late_is_fenced,
    ),
    renews_no_lease: (
        Session,
        "renew",
        contracts.a_live_draft_keeps_its_grant_for_as_long_as_it_waits,
    ),
    ends_no_lease: (homes, "_capped", contracts.the_dead_hold_up_nobody_beyond_a_lease),
    wakes_no_agent_that_waits: (
        Session,
        "await_answer",
        contracts.grants_are_exclusive_and_handed_on_at_once,
    ),
    gives_no_grant_back: (Writing, "abandon", contracts.a_draft_that_fails_gives_its_grant_back),
    compares_nothing_that_a_transaction_has_read: (
        Session,
        "ask_all",
        contracts.a_transaction_rests_on_what_it_has_read,
    ),
    takes_a_snapshot_one_by_one: (Cutting, "_cut", contracts.a_snapshot_is_of_one_moment),
    drops_what_other_processes_say: (
        Follower,
        "_receive",
        contracts.a_read_sees_what_another_process_has_published,
    ),
}


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
def test_a_mutant_is_found(monkeypatch, mutate):
    where, name, contract = MUTANTS[mutate]
    monkeypatch.setattr(where, name, mutate(vars(where)[name]))
    settings = {"grain": "transaction", "seconds": 60, **contracts.CONTRACTS[contract]}
    result = explore(contract, raises=False, **settings)
    assert result.verdict is ExplorationVerdict.COUNTEREXAMPLE, str(result)
    assert result.schedules <= 100
