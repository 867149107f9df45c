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


def test_a_conflict_names_the_argument_of_the_call_that_was_refused(workspace):
    planner, coder = workspace.agent("planner"), workspace.agent("coder")
    planner.write("plan.md", "one\n")
    with pytest.raises(Conflict) as new:
        coder.write("plan.md", "two\n", expect=0)
    told = refusal(new.value, Desk(workspace, "coder"), "plan.md", "expect")
    assert told == (
        "You wrote from nothing; current is plan.md@1, by planner.\n"
        "What plan.md@1 holds:\n@@ -0,0 +1 @@\n+one\n"
        "What you wrote:\n@@ -0,0 +1 @@\n+two\n"
        'Nothing was written. Write both with expect="plan.md@1".'
    )
    planner.write("plan.md", "1\n")
    with pytest.raises(Conflict) as deletion:
        coder.delete("plan.md", expect=1)
    told = refusal(deletion.value, Desk(workspace, "coder"), "plan.md", "expect")
    assert told.endswith('\nNothing was deleted. If it is still to go, expect="plan.md@2".')
    planner.delete("plan.md")
    with pytest.raises(Conflict) as gone:
        coder.write("plan.md", "two\n", expect=1)
    told = refusal(gone.value, Desk(workspace, "coder"), "plan.md", "expect")
    assert told == (
        "You wrote from plan.md@1; current is plan.md@3, a deletion by planner.\n"
        "Nothing was written. Write it without expect."
    )


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
