"""What a model is told of a change by somebody else, and of a call that was refused."""

import pytest

from coherence import BadArgument, Conflict, UnknownArtifact, Workspace
from coherence.context.answers import refusal, replacing
from coherence.context.desk import Desk


@pytest.fixture
def workspace():
    with Workspace("memory://") as opened:
        yield opened


def test_a_conflict_says_what_to_write_from(workspace):
    planner = workspace.agent("planner")
    planner.write("plan.md", "one\ntwo\nthree\n")
    planner.write("plan.md", "one\ntwo\n3\n")
    with pytest.raises(Conflict) as refused:
        workspace.agent("coder").write("plan.md", "1\ntwo\nthree\n", expect=1)
    assert "merge()" in refused.value.summary
    told = refusal(refused.value, Desk(workspace, "coder"), "plan.md")
    assert "current is plan.md@2, by planner" in told
    assert 'Nothing was written. Write both with base="plan.md@2".' in told
    assert "merge()" not in told, "a model has no such call"


def test_an_unknown_name_is_answered_with_those_that_there_are(workspace):
    coder = workspace.agent("coder")
    for number in range(60):
        coder.write(f"{number:02}.md", "text")
    with pytest.raises(UnknownArtifact) as refused:
        coder.read("plans.md")
    told = refusal(refused.value, Desk(workspace, "coder"), "plan.md")
    assert "'00.md'" in told
    assert "and 10 more" in told
    assert "'59.md'" not in told


@pytest.mark.parametrize("old", ["", "x", "a"])
def test_a_passage_must_be_there_once(old):
    with pytest.raises(BadArgument, match="exactly once"):
        replacing("plan.md", old, "b")("a a")
    with pytest.raises(BadArgument, match="the same"):
        replacing("plan.md", "c", "c")("a c")
    assert replacing("plan.md", "a c", "b")("a a c") == "a b"
