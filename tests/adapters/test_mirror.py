"""What a search looks at follows the workspace, whoever changes it and however much there is."""

from __future__ import annotations

import pytest

from coherence import Workspace
from coherence.context import mirror as module
from coherence.context.mirror import Mirror
from coherence.context.values import encoded


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/team.db"


@pytest.fixture
def here(url):
    with Workspace(url) as workspace:
        yield workspace


@pytest.fixture
def mirror(here):
    return Mirror(here)


def found(mirror, prefix=""):
    return mirror.ask(prefix, lambda items: {key: value for (_, key), value in items.items()})


@pytest.fixture
def pages(here, monkeypatch):
    """How many pages of contents were read."""
    read = []
    current = type(here._site.store).current

    def noted(store, *given, **named):
        if "at_most" not in named:  # else it is one item
            read.append(1)
        return current(store, *given, **named)

    monkeypatch.setattr(type(here._site.store), "current", noted)
    return read


def test_a_mirror_follows_what_others_write_and_reads_everything_once(url, mirror, pages):
    assert found(mirror) == {}
    with Workspace(url) as there:
        ann = there.agent("ann")
        for n in range(250):
            ann.write(f"a/{n}", encoded({"n": n}))
        assert found(mirror) == {str(n): {"n": n} for n in range(250)}
        ann.write("a/0", encoded({"n": "changed"}))
        ann.delete("a/1")
        ann.rename("a/2", "b/2")
        ann.write("a/3", b"\xffsomebody else's bytes")
    now = found(mirror)
    assert now["0"] == {"n": "changed"}
    assert now["2"] == {"n": 2}
    assert {"1", "3"}.isdisjoint(now)
    assert len(now) == 248
    assert len(pages) == 1


def test_a_mirror_that_missed_something_reads_everything_again(here, mirror, monkeypatch):
    here.agent("ann").write("a/0", "here")
    assert found(mirror) == {"0": {"text": "here"}}
    since = type(here._site.store).since

    def cut(store, place):
        return since(store, place)._replace(entries=(), gap=True, place=store.head())

    here.agent("ann").write("a/1", "there")
    monkeypatch.setattr(type(here._site.store), "since", cut)
    assert set(found(mirror)) == {"0", "1"}


def test_a_mirror_of_too_much_is_not_kept_and_holds_what_is_asked_for(here, mirror, monkeypatch):
    monkeypatch.setattr(module, "KEPT_BYTES", 100)
    ann = here.agent("ann")
    ann.write("a/0", "x" * 60)
    assert set(found(mirror)) == {"0"}
    ann.write("a/1", "x" * 60)  # too much by a change
    assert set(found(mirror)) == {"0", "1"}
    ann.write("b/2", "short")
    assert set(found(mirror, "b/")) == {"2"}
    again = Mirror(here)  # too much from the start
    assert set(found(again, "a/")) == {"0", "1"}


def test_a_question_that_is_cut_off_leaves_no_half_mirror(here, mirror, monkeypatch):
    ann = here.agent("ann")
    ann.write("a/0", "one")
    assert found(mirror) == {"0": {"text": "one"}}
    ann.write("a/0", "two")

    def cut(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(type(here._site.store), "current", cut)
        with pytest.raises(KeyboardInterrupt):
            found(mirror)
    assert found(mirror) == {"0": {"text": "two"}}


def test_asking_a_mirror_is_not_reading(here, mirror):
    here.agent("ann").write("a/0", "one")
    found(mirror)
    assert [sharer.cache for sharer in here.row("a/0").row.state.sharers] == ["ann"]


def test_items_that_are_too_much_are_dropped_after_each_query(here, mirror, monkeypatch):
    monkeypatch.setattr(module, "KEPT_BYTES", 100)
    here.agent("ann").write("a/0", "x" * 101)
    assert set(found(mirror)) == {"0"}
    assert not mirror._items
