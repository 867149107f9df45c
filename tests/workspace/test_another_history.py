"""A copy from a history that is gone: its version's number is the current one, its content is not.

A store that went back to an earlier state leaves such copies behind.  Here one is put into the
cache, so that no test depends on how a store goes back.
"""

from __future__ import annotations

import msgspec
import pytest

from coherence import Conflict, Fenced
from coherence.contents import Handle, Kind, digest
from coherence.refs import Ref
from coherence.view import Served, View

PLAN = "plan.md"
GONE = "of a history that is gone\n"


def bend(agent) -> None:
    """Let the agent's copy of the plan be another content under the same number."""
    caches = agent._session.caches
    state = caches.states[PLAN]
    handle = Handle(Kind.TEXT, len(GONE), digest(Kind.TEXT, GONE.encode()))
    view = View(Ref(PLAN, state.version, state.content.ref.workspace), GONE, handle)
    caches.states[PLAN] = msgspec.structs.replace(state, content=view)


@pytest.fixture
def team(rooms):
    """ann, whose copy is of another history, and bob, who wrote what is current."""
    ann, bob = rooms.agents("ann", "bob")
    bob.write(PLAN, "one\n")
    rooms.settle()
    ann.read(PLAN)
    bend(ann)
    assert ann.read(PLAN).text == GONE
    return ann, bob


def stands(team) -> None:
    """Nothing was written, and from now on ann has what is current, too."""
    for agent in team:
        assert (agent.read(PLAN).text, agent.read(PLAN).version) == ("one\n", 1)


def test_it_is_not_confirmed(team):
    ann, _ = team
    ann._session.caches.lapse()
    view = ann.read(PLAN)
    assert (view.text, view.served) == ("one\n", Served.FULL)


def test_what_was_derived_from_it_is_refused(team):
    ann, _ = team
    with pytest.raises(Conflict, match="of another history") as caught:
        ann.write(PLAN, "mine\n")
    # What it was derived from is nowhere any more.
    assert (caught.value.base, caught.value.theirs) == (None, "one\n")
    assert caught.value.current.version == 1
    stands(team)


def test_it_is_not_deleted_or_renamed_for_what_it_was(team):
    ann, _ = team
    with pytest.raises(Conflict):
        ann.delete(PLAN)
    stands(team)
    bend(ann)
    with pytest.raises(Conflict):
        ann.rename(PLAN, "other.md")
    stands(team)
    assert ann.list() == [PLAN]


def test_an_update_starts_over_from_what_is_current(team):
    ann, bob = team
    assert ann.update(PLAN, str.upper).text == "ONE\n"
    assert bob.history(PLAN)[-1].version == 2


def test_a_draft_starts_from_what_is_current(team):
    ann, _ = team
    with ann.edit(PLAN) as draft:
        assert draft.text == "one\n"
        draft.text += "two\n"
    assert ann.read(PLAN).text == "one\ntwo\n"


def test_a_draft_of_it_is_fenced(rooms):
    ann, bob = rooms.agents("ann", "bob")
    bob.write(PLAN, "one\n")
    rooms.settle()
    edit = ann.edit(PLAN)
    draft = edit.__enter__()
    bend(ann)
    edit._grant = edit._grant._replace(held=ann._session.caches.states[PLAN].content)
    draft.text = "mine\n"
    with pytest.raises(Fenced):
        edit.__exit__(None, None, None)
    stands((ann, bob))
