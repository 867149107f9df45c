import asyncio
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("scipy")

from observed import Away, judged, rows, told

from coherence import (
    AsyncWorkspace,
    Conflict,
    InvalidName,
    Lazy,
    UnknownArtifact,
    Workspace,
)
from coherence.errors import OutcomeUnknown, PathTaken, StoreFault
from coherence.runtime.observations import Observations, Unobserved, mark_of
from coherence.stores.memory import MemoryStore
from coherence.workspace.writing import Writing
from specs.histories.judging import judge_files


def work(ann, bob):
    """One call of each kind."""
    with pytest.raises(UnknownArtifact):
        ann.read("plan.md")
    ann.write("plan.md", "one")
    assert bob.read("plan.md").text == "one"
    bob.read("plan.md")
    with pytest.raises(Conflict):
        bob.write("plan.md", "two", expect=0)
    bob.write("plan.md", "one")  # changes nothing
    bob.update("plan.md", lambda text: text + ann.read("plan.md").text)
    with ann.edit("plan.md") as draft:
        draft.text += "!"
    with ann.edit("plan.md"):
        pass
    ann.rename("plan.md", "new.md")
    with pytest.raises(UnknownArtifact):
        bob.read("plan.md")
    bob.read("new.md")
    bob.delete("new.md")
    ann.restore("new.md@1")
    ann.read("plan.md", version=1)


WORK = [
    ("ann.read", "ok", {"plan.md": 0}, {}),
    ("ann.write", "ok", {}, {"plan.md": 1}),
    ("bob.read", "ok", {"plan.md": 1}, {}),
    ("bob.read", "ok", {"plan.md": 1}, {}),
    ("bob.write", "fail", {"plan.md": 1}, {}),
    ("bob.write", "ok", {"plan.md": 1}, {}),
    ("ann.read", "ok", {"plan.md": 1}, {}),
    ("bob.update", "ok", {}, {"plan.md": 2}),
    ("ann.edit begins", "ok", {"plan.md": 2}, {}),
    ("ann.edit", "ok", {}, {"plan.md": 3}),
    ("ann.edit begins", "ok", {"plan.md": 3}, {}),
    ("ann.rename", "ok", {}, {"new.md": 1, "plan.md": 4}),
    ("bob.read", "ok", {"plan.md": 4}, {}),
    ("bob.read", "ok", {"new.md": 1}, {}),
    ("bob.delete", "ok", {}, {"new.md": 2}),
    ("ann.restore", "ok", {}, {"new.md": 3}),
    ("ann.read_version", "ok", {}, {}),
]


def test_every_call_is_observed(rooms, tmp_path):
    rooms.settings["observe"] = tmp_path / "seen"
    rooms.settings["policy"] = Lazy(grant_lease=5.0, validity=0)
    work(*rooms.agents("ann", "bob"))
    assert sorted(told(tmp_path / "seen"), key=str) == sorted(WORK, key=str)
    ruling = judged(tmp_path / "seen")
    assert ruling.outcomes == {"ok": len(WORK) - 1, "fail": 1, "info": 0}


def test_contents_are_in_the_lines_as_digests(tmp_path):
    with Workspace(observe=tmp_path) as workspace:
        ann = workspace.agent("ann")
        ann.write("plan.md", "secret")
        ann.read("plan.md")
        ann.write("raw", b"\x00")
        ann.delete("plan.md")
    invoked, wrote, _, read, *_ = rows(tmp_path)
    mark = mark_of("secret")
    assert invoked["w"] == {"plan.md": mark}
    assert wrote["w"] == read["r"] == {"plan.md": [1, mark]}
    assert rows(tmp_path)[-1]["w"] == {"plan.md": [2, None]}
    assert "secret" not in "".join(path.read_text() for path in tmp_path.iterdir())
    assert mark_of("secret") != mark_of(b"secret")
    assert mark_of("\ud800") == mark_of(7) == ""


def test_tasks_are_observed(tmp_path):
    async def team():
        async with AsyncWorkspace(observe=tmp_path) as workspace:
            ann, bob = await workspace.agent("ann"), await workspace.agent("bob")
            await ann.write("plan.md", "one")
            await bob.read("plan.md")
            async with bob.edit("plan.md") as draft:
                draft.text += "!"
            stop = asyncio.Event()

            async def slowly(text):
                stop.set()
                await asyncio.Event().wait()

            task = asyncio.create_task(ann.update("plan.md", slowly))
            await stop.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(team())
    assert [call[:2] for call in told(tmp_path)] == [
        ("ann.write", "ok"),
        ("bob.read", "ok"),
        ("bob.edit begins", "ok"),
        ("bob.edit", "ok"),
        ("ann.update", "info"),
    ]
    judged(tmp_path)


@pytest.mark.slow
def test_an_unknown_outcome_at_every_moment(tmp_path):
    """A write may have been made, or not; what agents see of it decides."""
    outcomes = set()
    for at in range(60):
        folder = tmp_path / str(at)
        store = Away(MemoryStore(), at, lambda: OutcomeUnknown("on purpose"))
        with suppress(StoreFault), Workspace(store, observe=folder) as workspace:
            for name in ("ann", "bob"):
                for call in range(4):
                    with suppress(StoreFault, UnknownArtifact):
                        agent = workspace.agent(name)
                        agent.read("plan.md") if call % 2 else agent.write(
                            "plan.md", f"{name}{call}", overwrite=True
                        )
        if calls := {call[1] for call in told(folder)} if folder.exists() else set():
            outcomes |= calls
            judged(folder)
    assert outcomes == {"ok", "info"}


def test_a_killed_process_leaves_a_call_open(tmp_path):
    program = """
import os, sys
from coherence import Workspace
workspace = Workspace("sqlite:///" + sys.argv[1] + "/team.db", observe=sys.argv[1] + "/seen")
ann = workspace.agent("ann")
ann.write("plan.md", "one")
ann.update("plan.md", lambda text: os._exit(9))
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert [line["type"] for line in rows(tmp_path / "seen")] == ["invoke", "ok", "invoke"]
    assert judged(tmp_path / "seen").outcomes == {"ok": 1, "fail": 0, "info": 1}


def test_threads_share_the_file(tmp_path):
    with Workspace(observe=tmp_path) as workspace:

        def add(name):
            agent = workspace.agent(name)
            for number in range(50):
                agent.update("plan.md", lambda text, line=f"{name}{number}\n": text + line)
                agent.read("plan.md")

        threads = [threading.Thread(target=add, args=(name,)) for name in ("a", "b", "c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert judged(tmp_path).outcomes["ok"] >= 300


def test_a_path_of_a_file(tmp_path):
    path = tmp_path / "deep" / "run.ndjson"
    with Workspace(observe=path) as workspace:
        workspace.agent("ann").write("plan.md", "one")
    with pytest.raises(PathTaken):
        Workspace(observe=path)
    with pytest.raises(Unobserved):
        Workspace(observe=path / "below")
    assert judge_files([path]).accepted


def test_what_cannot_be_observed_is_not_done(tmp_path, monkeypatch, caplog):
    with Workspace(observe=tmp_path) as workspace:
        ann = workspace.agent("ann")
        ann.write("plan.md", "one")
        write, left = os.write, [1]

        def full(file, data):
            if left:
                left.pop()
                return write(file, data)
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        ann.write("plan.md", "two")  # its second line has no room
        with pytest.raises(Unobserved, match="No space left"):
            ann.write("plan.md", "three")
        with pytest.raises(Unobserved):
            ann.read("plan.md")
        monkeypatch.undo()
        assert workspace.row("plan.md").row.state.version == 2
    assert "No space left" in caplog.text


def test_refused_calls_are_observed_as_such(tmp_path):
    with Workspace(observe=tmp_path) as workspace:
        ann = workspace.agent("ann")
        with pytest.raises(InvalidName):
            ann.read("../up")
        with pytest.raises(InvalidName):
            ann.write(7, "x")
        with pytest.raises(ZeroDivisionError):
            ann.update("plan.md", lambda text: 1 / 0)
    assert [call[1] for call in told(tmp_path)] == ["fail", "fail", "info"]
    judged(tmp_path)


def test_it_costs_nothing_where_it_is_off():
    program = "import coherence, sys; coherence.Workspace().agent('a'); print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    loaded = ran.stdout.split()
    assert "coherence.workspace.workspace" in loaded
    assert not [name for name in loaded if "observ" in name and name.startswith("coherence")]
    with Workspace() as workspace:
        ann = workspace.agent("ann")
        assert ann._quick
        assert isinstance(ann._operations, Writing)


def test_it_goes_with_a_tracer(tmp_path):
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    from coherence.workspace.telemetry import observe

    with Workspace(observe=tmp_path) as workspace:
        ann = workspace.agent("ann")
        for _ in range(2):
            observe(workspace, tracer=trace.TracerProvider().get_tracer("test"))
        for agent in (ann, workspace.agent("bob")):
            agent.read("plan.md") if workspace.names() else agent.write("plan.md", "one")
    assert [call[0] for call in told(tmp_path)] == ["ann.write", "bob.read"]


def test_reads_say_how_old_they_may_be(rooms, tmp_path):
    rooms.settings |= {"observe": tmp_path / "seen", "policy": Lazy(validity=3600.0)}
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "one")
    bob.read("plan.md")
    bob.read("plan.md", version=1)
    (read,) = (line for line in rows(tmp_path / "seen") if line.get("call") == "bob.read")
    (past,) = (line for line in rows(tmp_path / "seen") if line.get("call") == "bob.read_version")
    assert read.get("stale_s") == (3600.0 if rooms.store == "postgres" else None)
    assert "stale_s" not in past


def test_clocks_of_a_machine_compare(tmp_path):
    heads = []
    for clock in (None, None, lambda: 0.0):
        settings = {"clock": clock} if clock else {}
        with Workspace(observe=tmp_path, **settings):
            (path,) = {*tmp_path.iterdir()} - {head for head, _ in heads}
            heads.append((path, json.loads(path.read_text())["clock"]))
    assert heads[0][1] == heads[1][1] != heads[2][1]
    assert Path(heads[0][0]).stem == json.loads(heads[0][0].read_text())["client"]
    assert Observations(tmp_path / "x.ndjson", lambda: 0.0).now() == 0.0
