"""What the events of adapters say, and what the calls of a model count."""

import asyncio
import json
import logging

import pytest

from coherence import Conflict, Ref, View, Workspace
from coherence.context.calls import Calls
from coherence.context.desk import AsyncDesk, Desk
from coherence.context.events import to_log
from coherence.context.many import BasedPiece, Outdated, Piece
from coherence.context.proven import ProvenCalls
from coherence.tokens import Estimate
from message_passing.errors import CallerError

TEXT = "a line of the plan\n" * 40


@pytest.fixture
def workspace(monkeypatch):
    monkeypatch.setattr(View, "counter", Estimate())  # whatever is installed here
    with Workspace() as opened:
        opened.agent("ann").write("plan.md", TEXT)
        yield opened


def of(workspace, agent):
    return next(line for line in workspace.stats().by("agent") if line.name == agent)


@pytest.mark.parametrize("sealed", [True, False])
def test_calls_tell_and_count_what_a_model_is_given(workspace, sealed):
    said = []
    desk = Desk(workspace, "bob")
    calls = Calls(lambda: desk, sealed=sealed, tell=lambda: said.append)

    def text(told):
        return told.sealed if sealed else told.plain

    given = [
        text(calls.read_artifact("plan.md")),
        text(calls.read_artifact("plan.md", "plan.md@1")),
    ]
    given.append(text(calls.write_artifact("new.md", "new")))
    given.append(text(calls.edit_artifact("plan.md", TEXT, "short")))
    with pytest.raises(Conflict):
        calls.write_artifact("plan.md", "mine", "plan.md@1")
    events = [(event["coherence"], event.get("served"), event["ref"]) for event in said]
    assert events[:5] == [
        ("fill", "full", "plan.md@1"),
        ("fill", "unchanged", "plan.md@1"),
        ("publish", None, "new.md@1"),
        ("publish", None, "plan.md@2"),
        *([("hit", "hit", "plan.md@2")] if sealed else [("conflict", None, "plan.md@2")]),
    ]
    assert events[-1] == ("conflict", None, "plan.md@2")
    assert {event["agent"] for event in said} == {"bob"}
    assert [event["saved"] for event in said[:3]] == [0, 190 - said[1]["tokens"], 0]
    found = of(workspace, "bob")
    assert found.served_tokens == pytest.approx(sum(len(each) for each in given) / 4, abs=8)
    assert found.reads == (3 if sealed else 2), "a read that no model sees does not count"
    assert (found.writes, found.conflicts) == (2, 1)


def test_proven_calls_tell_and_count_too(workspace):
    said = []

    async def main():
        async def held():
            return {}

        calls = ProvenCalls(AsyncDesk(workspace, "bob"), held, held, said.append)
        given = [await calls.read_artifact("plan.md"), await calls.write_artifact("new.md", "new")]
        given.append(await calls.edit_artifact("plan.md", TEXT, "short"))
        try:
            await calls.write_artifact("plan.md", "mine")
        except CallerError as error:
            given.append(error.args[0])
        return given

    given = asyncio.run(main())
    assert [event["coherence"] for event in said] == [
        *("fill", "publish", "publish", "conflict", "fill")
    ]
    found = of(workspace, "bob")
    assert found.served_tokens == pytest.approx(sum(len(each) for each in given) / 4, abs=8)
    assert (found.reads, found.writes, found.conflicts) == (2, 2, 1)


REFUSED = [
    ("conflict", "plan.md@2", len("mine") / 4),
    ("conflict", "spec.md@2", 0),
    ("conflict", "gone.md@2", 0),
]


def moved(workspace):
    """An artifact is replaced, one that is only read is too, and another one is deleted."""
    ann = workspace.agent("ann")
    for name in ("spec.md", "gone.md"):
        ann.write(name, "old")
    yield
    ann.write("plan.md", "theirs")
    ann.write("spec.md", "new")
    ann.delete("gone.md")
    yield


def test_a_refused_publication_tells_of_each_that_has_moved(workspace):
    said = []
    desk = Desk(workspace, "bob")
    calls = Calls(lambda: desk, tell=lambda: said.append)
    for _ in moved(workspace):
        pass
    pieces = [BasedPiece(name="plan.md", text="mine", base="plan.md@1")]
    with pytest.raises(Outdated):
        calls.publish_many(pieces, reads=["spec.md@1", "gone.md@1"])
    refused = [(e["coherence"], e["ref"], e["tokens"]) for e in said if e["coherence"] != "fill"]
    assert sorted(refused) == sorted(REFUSED)


def test_proven_calls_tell_of_each_that_has_moved(workspace):
    said, held = [], {}

    async def main():
        async def holding():
            return held

        async def bases():
            return {name: (ref, ref) for name, ref in held.items()}

        calls = ProvenCalls(AsyncDesk(workspace, "bob"), holding, bases, said.append)
        states = moved(workspace)
        next(states)
        held.update({name: Ref(name, 1) for name in ("plan.md", "spec.md", "gone.md")})
        next(states)
        with pytest.raises(Outdated):
            await calls.publish_many([Piece(name="plan.md", text="mine")])

    asyncio.run(main())
    refused = [(e["coherence"], e["ref"], e["tokens"]) for e in said if e["coherence"] != "fill"]
    assert sorted(refused) == sorted(REFUSED)


def test_a_log_gets_json_only_if_it_listens(caplog):
    tell = to_log("of.a.framework")
    tell({"coherence": "hit"})
    assert not caplog.records
    with caplog.at_level(logging.INFO, "of.a.framework"):
        tell({"coherence": "hit", "tokens": 3})
    assert json.loads(caplog.records[0].getMessage()) == {
        "type": "Artifact",
        "coherence": "hit",
        "tokens": 3,
    }
