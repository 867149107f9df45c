"""Who names other policies than those who share the store is told so, once, in the log."""

from __future__ import annotations

import logging

import pytest

from coherence import AccessCount, Eager, Lazy, Lease, Visibility
from coherence.policy import Broadcast, bearing


@pytest.fixture
def said(caplog):
    """What the log says of policies."""
    caplog.set_level(logging.WARNING, logger="coherence.workspace")
    return lambda: [line for line in caplog.messages if "policies" in line]


def test_who_names_the_same_is_told_nothing(rooms, said):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "one")
    assert bob.read("plan.md").text == "one"
    assert said() == []


@pytest.mark.parametrize(
    "settings",
    [
        {"policies": {"notes/*": Eager()}},
        {"policy": Lazy(grant_lease=7.0)},
        {"policy": Eager(grant_lease=5.0)},
    ],
    ids=["one more", "another lease", "another kind"],
)
def test_who_names_others_is_told_once(rooms, said, settings):
    if not rooms.apart:
        pytest.skip("one workspace names its policies once")
    rooms.settings["policy"] = Lazy(grant_lease=5.0)
    first = rooms.open()
    first.agent("ann").write("plan.md", "one")
    second = rooms.open(**settings)
    assert said() == [], "nobody has joined there"
    for name in ("bob", "carl"):
        second.agent(name).read("plan.md")
    (line,) = said()
    assert first.identity in line
    assert "grants for 5.0" in line, "theirs, and ours"
    third = rooms.open()
    third.agent("dave").read("plan.md")
    assert said() == [line], "the first are those that count"


def test_who_comes_alone_may_name_anything(rooms, said):
    """Nothing is kept of those who have left."""
    rooms.settings["policy"] = Lazy(grant_lease=5.0)
    first = rooms.open()
    agent = first.agent("ann")
    agent.write("plan.md", "one")
    if rooms.store == "memory":
        return
    agent.leave()
    second = rooms.open(policy=Lazy(grant_lease=7.0))
    second.agent("bob").read("plan.md")
    assert said() == []
    third = rooms.open(policy=Lazy(grant_lease=7.0))
    third.agent("carl").read("plan.md")
    assert said() == []
    rooms.open(policy=Lazy(grant_lease=5.0)).agent("dave").read("plan.md")
    assert len(said()) == 1


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (Lazy(), AccessCount(), True),
        (Lazy(validity=5.0), Lazy(validity=9.0), True),
        (Lazy(validity=5.0), Lease(validity=5.0), True),
        (Lazy(grant_lease=5.0), Lazy(grant_lease=6.0), False),
        (
            Lazy(visibility=Visibility.STRICT, validity=5.0),
            Lazy(visibility=Visibility.STRICT, validity=9.0),
            False,
        ),
        (Lazy(visibility=Visibility.STRICT, validity=5.0), Lazy(validity=5.0), False),
        (Lazy(), Eager(), False),
        (Eager(), Eager(pointer=True), False),
        (Broadcast(period=1.0), Broadcast(period=2.0), False),
    ],
)
def test_what_bears_on_others(one, other, alike):
    assert (bearing(one) == bearing(other)) is alike
