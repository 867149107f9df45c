"""The calls of a model that names the version that it has."""

import pytest

from coherence import BadArgument, Conflict, InvalidContent, UnknownArtifact, View, Workspace
from coherence.context.calls import Calls
from coherence.context.desk import Desk
from coherence.context.notices import heard
from coherence.tokens import Estimate

TEN = "".join(f"line {number}\n" for number in range(1, 11))


@pytest.fixture
def workspace(monkeypatch):
    monkeypatch.setattr(View, "counter", Estimate())
    with Workspace() as opened:
        opened.agent("ann").write("plan.md", TEN)
        yield opened


@pytest.fixture
def said():
    return []


@pytest.fixture
def calls(workspace, said):
    desk = Desk(workspace, "bob")
    return Calls(lambda: desk, tell=lambda: said.append)


@pytest.mark.parametrize(
    ("offset", "limit", "first", "last"),
    [(0, 3, 1, 3), (3, 2, 4, 5), (8, 5, 9, 10), (9, None, 10, 10)],
)
def test_a_window_says_that_it_is_not_the_whole(calls, offset, limit, first, last):
    told = calls.read_artifact("plan.md", offset=offset, limit=limit)
    lines = "".join(f"line {number}\n" for number in range(first, last + 1))
    assert (
        told.sealed
        == told.plain
        == (f"[plan.md: lines {first} to {last} of 10, not the whole]\n{lines}")
    )
    assert told.claim == {}, "it proves no version"
    assert "@" not in told.plain, "no ref that could be the base of a whole text"
    assert "version" not in told.plain, "nor a number from which a model could make one"
    assert not list(heard(told.plain, "read_artifact"))


def test_a_window_of_all_lines_is_the_whole(calls):
    whole = calls.read_artifact("plan.md")
    assert calls.read_artifact("plan.md", limit=10) == whole
    assert calls.read_artifact("plan.md", offset=0, limit=None) == whole


def test_a_window_is_what_counts(calls, workspace, said):
    told = calls.read_artifact("plan.md", have="plan.md@1", limit=2)
    tokens = Estimate().count(told.plain)
    assert [(event["coherence"], event["tokens"]) for event in said] == [("fill", tokens)]
    (line,) = (line for line in workspace.stats().by("agent") if line.name == "bob")
    assert line.served_tokens == tokens
    assert said[0]["saved"] == Estimate().count(TEN) - tokens


@pytest.mark.parametrize(
    "given",
    [{"offset": -1}, {"offset": 10}, {"offset": 2.0}, {"limit": 0}, {"limit": -1}, {"limit": "2"}],
)
def test_a_window_that_cannot_be_is_refused(calls, given):
    with pytest.raises(BadArgument):
        calls.read_artifact("plan.md", **given)


def test_a_window_of_bytes_or_of_nothing_is_refused(calls, workspace):
    workspace.agent("ann").write("bytes", b"1\n2\n")
    with pytest.raises(InvalidContent):
        calls.read_artifact("bytes", limit=1)
    with pytest.raises(UnknownArtifact):
        calls.read_artifact("nothing", limit=1)


def test_a_write_that_loses_nothing_is_not_refused(calls, workspace):
    ann = workspace.agent("ann")
    ann.write("plan.md", "changed")
    ann.restore("plan.md@1")
    assert "plan.md@4" in calls.write_artifact("plan.md", "new", base="plan.md@1").plain
    ann.write("plan.md", "newer", overwrite=True)
    with pytest.raises(Conflict):  # equal texts are not: both may have counted
        calls.write_artifact("plan.md", "newer", base="plan.md@4")
