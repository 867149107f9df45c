"""What a person watches: equal to a first look however it came about, and read without a write."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing, nullcontext
from pathlib import Path
from random import Random

import pytest

from coherence import Conflict, Lazy, Workspace
from coherence.stores.opening import open_store
from coherence.stores.records import RefusedWrite
from coherence.workspace.overview import Observer, contested, overview

PLAN = "plan.md"


def reading(url):
    return closing(open_store(url, create=False, readonly=True))


def outside(rooms):
    """The store of these rooms, as another process would open it."""
    if rooms.store == "memory":
        return nullcontext(rooms.opened[0]._site.store)
    return reading(rooms.url)


def refused(at=0.0, artifact=PLAN):
    return RefusedWrite(artifact, "bob", at, 1, 2, "conflict", "why", 3, "")


def standing(seen, name=PLAN):
    (found,) = [each for each in seen.artifacts if each.artifact == name]
    return found


def test_an_artifact_as_home_knows_it(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write(PLAN, "one")
    bob.read(PLAN)
    bob.update(PLAN, lambda text: text + "!")
    with outside(rooms) as store:
        sees_what_happens(store, ann)


def sees_what_happens(store, ann):
    observer = Observer(store)
    assert observer.look()
    seen = standing(observer.seen)
    assert (seen.version, seen.size_bytes, seen.author, seen.holder) == (2, 4, "bob", "")
    assert "bob" in seen.copies
    assert seen.at <= observer.seen.now
    assert not seen.contested
    with ann.edit(PLAN) as draft:
        assert observer.look()
        seen = standing(observer.seen)
        assert seen.holder == "ann"
        assert 0 < seen.until - observer.seen.now <= 5
        assert seen.contested
        draft.discard()
    assert observer.look()
    assert standing(observer.seen).holder == ""
    ann.delete(PLAN)
    observer.look()
    assert observer.seen.artifacts == ()
    assert [each.agent for each in observer.seen.agents] == ["ann", "bob"]


def test_the_queue_and_since_when_it_is_seen(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write(PLAN, "one")
    with outside(rooms) as store:
        sees_the_queue(Observer(store), ann, bob)


def sees_the_queue(observer, ann, bob):
    with ann.edit(PLAN) as draft:
        waiting = threading.Thread(target=bob.update, args=(PLAN, lambda text: text + "!"))
        waiting.start()
        while not (observer.look() and standing(observer.seen).waiting):
            assert waiting.is_alive()
        (first,) = standing(observer.seen).waiting
        assert first.agent == "bob"
        observer.look()
        assert standing(observer.seen).waiting == (first,), "the time does not move with each look"
        draft.text = "two"
    waiting.join(60)
    observer.look()
    assert standing(observer.seen).waiting == ()


def test_a_store_in_use_is_seen_as_by_a_first_look(tmp_path):
    url = f"sqlite:///{tmp_path}/team.db"
    draw = Random(7)
    with Workspace(url, policy=Lazy(grant_lease=50.0)) as workspace:
        agents = [workspace.agent(name) for name in ("ann", "bob", "cat")]
        names = ["plan.md", "notes/a", "notes/b", "src/x.py"]
        with reading(url) as store:
            observer = Observer(store)
            for number in range(60):
                agent, name = draw.choice(agents), draw.choice(names)
                act = draw.randrange(5)
                if act == 0 and name in workspace.names():
                    agent.read(name)
                    agent.delete(name)
                elif act == 1 and name in workspace.names():
                    agent.read(name)
                elif act == 2:
                    workspace._site.store.refuse(refused(artifact=name), 5)
                else:
                    agent.update(name, lambda text, n=number: f"{text}{n}\n")
                if draw.random() < 0.5:
                    observer.look()
                    first = overview(store)
                    assert observer.seen.artifacts == first.artifacts
                    assert observer.seen.agents == first.agents


def test_a_pattern_and_an_agent_limit_what_is_seen(tmp_path):
    url = f"sqlite:///{tmp_path}/team.db"
    with Workspace(url) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        for name in ("docs/a.md", "docs/b.txt", "plan.md"):
            ann.write(name, name)
        bob.read("plan.md")
        with reading(url) as store:
            found = overview(store, "docs/*.md")
            assert [each.artifact for each in found.artifacts] == ["docs/a.md"]
            assert [each.artifact for each in overview(store).only("*", "bob").artifacts] == [PLAN]
            assert [each.agent for each in overview(store).only(agent="bob").agents] == ["bob"]


def test_refused_writes_are_counted_and_contested_comes_first(tmp_path):
    url = f"sqlite:///{tmp_path}/team.db"
    with Workspace(url) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        for name in ("a.md", "b.md", PLAN):
            ann.write(name, "one")
        workspace._site.store.refuse(refused(), 5)
        with ann.edit("b.md") as draft, reading(url) as store:
            observer = Observer(store)
            observer.look()
            assert standing(observer.seen).refused == 1
            order = [each.artifact for each in contested(observer.seen.artifacts)]
            assert order[:2] == [PLAN, "b.md"]
            assert [each.reason for each in observer.refused()] == ["why"]
            draft.discard()
        with pytest.raises(Conflict):
            bob.write(PLAN, "from nothing")


class Counted:
    """Counts the calls of a store."""

    def __init__(self, store):
        self._store = store
        self.calls = Counter()

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def call(*words, **named):
            self.calls[name] += 1
            return found(*words, **named)

        return call


def test_a_look_at_a_store_at_rest_asks_for_the_mark_alone(tmp_path):
    url = f"sqlite:///{tmp_path}/team.db"
    with Workspace(url) as workspace:
        agent = workspace.agent("ann")
        for number in range(20):
            agent.write(f"{number}.md", "text")
        with reading(url) as store:
            counted = Counted(store)
            observer = Observer(counted)
            observer.look()
            counted.calls.clear()
            for _ in range(3):
                assert not observer.look()
            assert set(counted.calls) == {"mark", "now"}
            agent.write("7.md", "other")
            counted.calls.clear()
            observer.look()
            calls = counted.calls
            assert (calls["revisions"], calls["rows"], calls["latest"]) == (1, 1, 1)
            assert not calls["row"] + calls["history"] + calls["wait"]


def test_looking_writes_not_one_byte(tmp_path):
    url = f"sqlite:///{tmp_path}/team.db"
    with Workspace(url) as workspace:
        agent = workspace.agent("ann")
        agent.write(PLAN, "one")
        mark = workspace._site.store.mark()
        before = contents(tmp_path)
        with reading(url) as store:
            observer = Observer(store)
            for _ in range(10):
                observer.look()
            assert contents(tmp_path) == before
        assert workspace._site.store.mark() == mark


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but SQLite's index of the log in shared memory, where readers note their place."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.name: path.read_bytes() for path in files if not path.name.endswith("-shm")}
