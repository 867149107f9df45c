"""Transactions, snapshots and checks as observations."""

import asyncio
import json
from contextlib import suppress

import pytest

pytest.importorskip("scipy")
pytest.importorskip("coherence.workspace.transacting")

from observed import Away, judged, told

from coherence import AsyncWorkspace, Conflict, UnknownArtifact, Workspace
from coherence.errors import OutcomeUnknown, StoreFault
from coherence.runtime.observations import mark_of
from coherence.stores.memory import MemoryStore


def work(ann, bob):
    """One transaction of each kind."""
    ann.write("plan.md", "plan")
    with bob.transaction() as tx:
        tx.read("plan.md")
        assert tx.read("api.md", missing=None) is None
        tx.write("api.md", "api")
        tx.write("new.md", "new")
    with bob.transaction(["plan.md", "api.md"]):
        pass
    with suppress(Conflict), ann.transaction() as tx:
        tx.read("api.md")
        bob.write("api.md", "api 2")
        tx.write("other.md", "other")
    with suppress(ZeroDivisionError), ann.transaction() as tx:
        tx.read("plan.md")
        tx.write("other.md", str(1 / 0))
    with bob.transaction() as tx:
        tx.write("api.md", "api 2", overwrite=True)  # changes nothing
        tx.rename("new.md", "newer.md")
        tx.delete("plan.md")
    snapshot = ann.snapshot(["api.md", "plan.md", "never.md"])
    assert bob.check(*snapshot.refs.values()) == ()
    bob.write("newer.md", "newer 2")
    bob.check("newer.md@1")

    def grow(tx):
        tx.write("api.md", tx.read("api.md").text + "!")

    ann.transact(grow)


WORK = [
    ("ann.write", "ok", {}, {"plan.md": 1}),
    ("bob.transaction", "ok", {"plan.md": 1, "api.md": 0}, {"api.md": 1, "new.md": 1}),
    ("bob.transaction", "ok", {"plan.md": 1, "api.md": 1}, {}),
    ("bob.write", "ok", {}, {"api.md": 2}),
    ("ann.transaction", "fail", {"api.md": 1}, {}),
    ("ann.transaction", "fail", {"plan.md": 1}, {}),
    ("ann.snapshot", "ok", {"api.md": 2, "plan.md": 2, "never.md": 0}, {}),
    ("bob.check", "ok", {"api.md": 2, "plan.md": 2, "never.md": 0}, {}),
    ("bob.write", "ok", {}, {"newer.md": 2}),
    ("bob.check", "ok", {}, {}),
    ("ann.transaction", "ok", {"api.md": 2}, {"api.md": 3}),
]


def test_transactions_are_observed(rooms, tmp_path):
    rooms.settings["observe"] = tmp_path / "seen"
    work(*rooms.agents("ann", "bob"))
    found = told(tmp_path / "seen")
    # Of a transaction in which a write that overwrites changed nothing, its refs do not say which.
    rest = [call for call in found if call not in WORK]
    assert [call[:2] for call in rest] in (
        [("bob.transaction", "ok")],
        [("bob.transaction", "info")],
    )
    assert len(found) == len(WORK) + 1
    assert judged(tmp_path / "seen").outcomes["fail"] == 2


def test_the_line_before_a_commit_has_what_is_to_be_written(tmp_path):
    with Workspace(observe=tmp_path) as workspace:
        ann = workspace.agent("ann")
        with ann.transaction() as tx:
            tx.write("plan.md", "plan")
            tx.write("api.md", "api")
    (path,) = tmp_path.iterdir()
    first = json.loads(path.read_text().splitlines()[1])
    assert first["w"] == {"plan.md": mark_of("plan"), "api.md": mark_of("api")}


def test_transactions_of_tasks_are_observed(tmp_path):
    async def team():
        async with AsyncWorkspace(observe=tmp_path) as workspace:
            ann = await workspace.agent("ann")
            async with ann.transaction() as tx:
                await tx.read("plan.md", missing=None)
                tx.write("plan.md", "plan")
            await ann.snapshot(["plan.md"])

    asyncio.run(team())
    assert told(tmp_path) == [
        ("ann.transaction", "ok", {"plan.md": 0}, {"plan.md": 1}),
        ("ann.snapshot", "ok", {"plan.md": 1}, {}),
    ]
    judged(tmp_path)


def test_an_unknown_outcome_at_every_moment(tmp_path):
    """A transaction may have been made, or not: all of it, or nothing."""
    outcomes = set()
    for at in range(60):
        folder = tmp_path / str(at)
        store = Away(MemoryStore(), at, lambda: OutcomeUnknown("on purpose"))
        with suppress(StoreFault), Workspace(store, observe=folder) as workspace:
            for name in ("ann", "bob"):
                for call in range(3):
                    with suppress(StoreFault, UnknownArtifact):
                        agent = workspace.agent(name)
                        with agent.transaction() as tx:
                            tx.read("plan.md", missing=None)
                            tx.write("api.md", f"{name}{call}", overwrite=True)
                            tx.write(f"{name}.md", f"{call}", overwrite=True)
                        agent.snapshot(["plan.md", "api.md", f"{name}.md"])
        if calls := {call[1] for call in told(folder)} if folder.exists() else set():
            outcomes |= calls
            judged(folder)
    assert outcomes >= {"ok", "info"}
