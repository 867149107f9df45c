"""What a workspace really did is a run of the protocol, and keeps the pure invariants."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress

import msgspec
import pytest

from coherence import (
    AccessCount,
    Conflict,
    Eager,
    GrantTimeout,
    Lazy,
    Lease,
    StoreFault,
    UnknownArtifact,
    Workspace,
)
from coherence.runtime.recorder import Recorder, Unrecordable
from coherence.stores.faulty import Faulty
from coherence.stores.memory import MemoryStore
from message_passing.trace import BadTrace, Line, header, on_one_clock, read
from specs.cli import main
from specs.runs import accept

PLAN = "plan.md"


@pytest.fixture
def recorder(tmp_path):
    with Recorder(tmp_path / "runs") as made:
        yield made


def play(rooms, **settings):
    """Threads that read, write, update, edit, wait in vain, delete, rename, leave and come back."""
    names = ("ann", "bob", "cat")
    if rooms.apart:
        agents = [rooms.open(**settings).agent(name) for name in names]
    else:
        room = rooms.open(**settings)
        agents = [room.agent(name) for name in names]
    with pytest.raises(UnknownArtifact):
        agents[2].read(PLAN)
    errors = []

    def work(agent):
        try:
            for number in range(5):
                agent.update(PLAN, lambda text, n=number: f"{text}{agent.name} {n}\n")
                agent.read(PLAN)
                try:
                    agent.write(PLAN, f"{agent.read(PLAN).text}{agent.name}\n", wait_s=20)
                except Conflict:
                    agent.read(PLAN)
                with agent.edit(PLAN) as draft:
                    draft.text += "!"
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert not errors
    ann, bob, _ = agents
    with ann.edit(PLAN) as draft:
        draft.text += "?"
        with pytest.raises(GrantTimeout):
            bob.edit(PLAN, wait_s=0).__enter__()
    ann.write("taken.md", "")
    with pytest.raises(Conflict):
        ann.rename(PLAN, "taken.md")
    ann.rename(PLAN, "old.md")
    bob.read("old.md")
    bob.leave()
    again = rooms.opened[-1].agent("bob")
    again.read("old.md")
    again.delete("old.md")
    rooms.settle()


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(None, id="room"),
        pytest.param(Lazy(grant_lease=5.0), id="lazy", marks=pytest.mark.slow),
        pytest.param(Eager(grant_lease=5.0), id="eager"),
        pytest.param(
            AccessCount(grant_lease=5.0, max_accesses=1), id="count", marks=pytest.mark.slow
        ),
    ],
)
def test_a_real_run_is_a_run_of_the_protocol(rooms, recorder, policy, capsys):
    settings = {"recorder": recorder, **({"policy": policy} if policy else {})}
    play(rooms, **settings)
    recorder.close()
    files = sorted(recorder.folder.iterdir())
    assert [file.stem for file in files] == ["old.md", PLAN, "taken.md"]
    assert main(["recorded", *map(str, files)]) == 0, capsys.readouterr().out
    lines = list(read(recorder.path(PLAN)))
    assert {line.process for line in lines} == {"home", "ann", "bob", "cat"}
    assert len(lines) > 150  # how often an agent asks home depends on who comes first


@pytest.fixture
def run(recorder):
    """The lines of a short run of three agents in memory, who contend."""
    with Workspace(recorder=recorder, policy=Lazy(grant_lease=5.0)) as workspace:
        ann, bob, cat = (workspace.agent(name) for name in ("ann", "bob", "cat"))
        ann.write(PLAN, "one")
        for agent in (bob, cat):
            agent.read(PLAN)
            agent.write(PLAN, f"by {agent.name}")
        with pytest.raises(Conflict):
            ann.write(PLAN, "too late")
        with ann.edit(PLAN) as draft:
            draft.text += "!"
        for agent in (ann, bob, cat):
            assert agent.read(PLAN).text == "by cat!"
    recorder.close()
    return list(read(recorder.path(PLAN)))


def test_a_recording_has_a_header_and_one_clock(tmp_path):
    ticks = iter(range(1000))
    with (
        Recorder(tmp_path / "runs", clock=lambda: float(next(ticks))) as recorder,
        Workspace(recorder=recorder, clock=lambda: 50.0) as workspace,
    ):
        ann = workspace.agent("ann")
        ann.write(PLAN, "one")
        workspace.agent("bob").read(PLAN)
    path = recorder.path(PLAN)
    found = header(path)
    assert found.about == {"artifact": PLAN, "policy": "Lazy", "agents": ["ann"]}
    lines = list(read(path))
    assert {line.time for line in lines} == {50.0}
    assert found.start == 50.0 - lines[0].at
    moments = [line.at for line in lines]
    assert len(set(moments)) > 4
    assert sorted(moments)[-1] < 1000
    drawn, timed = on_one_clock(lines)
    assert timed
    arrived = [line for line in drawn if line.event["type"] == "Receive"]
    assert [line.process for line in arrived[:2]] == ["home", "ann"], (
        "a request precedes its answer"
    )


def test_the_files_of_a_recorder_count_from_one_moment(tmp_path):
    store_clock = iter(range(1000))
    with (
        Recorder(tmp_path) as recorder,
        Workspace(recorder=recorder, clock=lambda: float(next(store_clock))) as workspace,
    ):
        for name in ("a", "b", "c"):
            workspace.agent("ann").write(name, "one")
    assert len({header(recorder.path(name)).start for name in ("a", "b", "c")}) == 1


def accepted(lines, path):
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return accept(path)


def corruptions(line: Line):
    yield msgspec.structs.replace(line, action=line.action + "?")
    yield msgspec.structs.replace(line, state="0" * 16)
    yield msgspec.structs.replace(line, commands=[*line.commands, {"type": "Respond"}])
    yield msgspec.structs.replace(line, event={"type": "Timeout", "name": "grant"})
    if line.event["type"] == "Receive":
        message = {**line.event["message"], "version": 7}
        yield msgspec.structs.replace(line, event={**line.event, "message": message})


@pytest.mark.slow
def test_a_corrupted_run_is_refused_at_the_corrupted_step(run, tmp_path):
    assert accepted(run, tmp_path / "whole.ndjson").accepted
    for place in range(1, len(run)):
        for corrupted in corruptions(run[place]):
            lines = [*run[:place], corrupted, *run[place + 1 :]]
            found = accepted(lines, tmp_path / "bent.ndjson")
            assert found.steps == place, (corrupted, found)


def test_a_refused_run_is_told_by_the_exit_code(run, tmp_path, capsys):
    bent = [*run[:5], msgspec.structs.replace(run[5], state="0" * 16)]
    accepted(bent, tmp_path / "bent.ndjson")
    assert main(["recorded", str(tmp_path / "bent.ndjson")]) == 1
    assert "REFUSED" in (out := capsys.readouterr().out)
    assert f"step 6 ({run[5].action}): the table leads to another state" in out
    (tmp_path / "torn.ndjson").write_bytes(b'{"time": 1')
    assert main(["recorded", str(tmp_path / "torn.ndjson")]) == 2
    with pytest.raises(BadTrace):
        accepted(run[1:], tmp_path / "headless.ndjson")
    (tmp_path / "empty.ndjson").touch()
    assert not accept(tmp_path / "empty.ndjson").accepted


def test_no_content_is_in_a_trace(recorder):
    with Workspace(recorder=recorder) as workspace:
        workspace.agent("ann").write(PLAN, "a secret plan")
    recorder.close()
    assert b"secret" not in recorder.path(PLAN).read_bytes()


def test_a_recording_may_begin_late(recorder):
    store = MemoryStore()
    store.close = lambda: None
    with Workspace(store) as workspace:
        ann = workspace.agent("ann")
        ann.write(PLAN, "one")
        ann.write(PLAN, "two")
    with Workspace(store, recorder=recorder) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        bob.write(PLAN, ann.read(PLAN).text + "three", overwrite=True)
        assert ann.read(PLAN).text == "twothree"
    recorder.close()
    found = accept(recorder.path(PLAN))
    assert found.accepted, found
    assert found.steps > 8


@pytest.mark.slow(fast=11)
@pytest.mark.parametrize("at", range(1, 60, 2))
def test_what_a_failing_store_undoes_is_not_in_the_trace(recorder, at):
    faulty = Faulty(MemoryStore(), 0, lambda: StoreFault("on purpose"))
    with Workspace(faulty, recorder=recorder, policy=Lease(validity=60.0)) as workspace:
        faulty.at = faulty.moments + at
        for number in range(4):
            for name in ("ann", "bob"):
                with suppress(StoreFault):
                    agent = workspace.agent(name)
                    agent.update(PLAN, lambda text, n=number: f"{text}{n}")
                    agent.read(PLAN)
    recorder.close()
    if faulty.at in faulty.effected:
        pytest.skip("a fault after a transaction took effect is a lie that no store may tell")
    found = accept(recorder.path(PLAN))
    assert found.accepted, found


def test_a_run_that_cannot_be_followed_is_refused(recorder):
    class Own(Lazy, frozen=True, kw_only=True):
        hook: object = None

    with pytest.raises(Unrecordable, match="cannot name the policy Own"):
        Workspace(recorder=recorder, policy=Own(hook=object()))
    with Workspace(recorder=recorder) as workspace:
        with pytest.raises(Unrecordable, match="another name"):
            workspace.agent("home")
        workspace.agent("ann").write(PLAN, "one")
    assert not recorder.path("home").exists()


def test_long_names_have_files_of_their_own(recorder):
    names = ["a/" * 90 + end for end in ("x", "y")] + ["..", "%2E"]
    assert len({recorder.path(name) for name in names}) == 4
    assert {recorder.path(name).parent for name in names} == {recorder.folder}


def test_a_request_that_failed_does_not_prolong_a_copy():
    """The bound counts from when home was last asked and heard, not from a try that failed."""
    now = [1000.0]
    faulty = Faulty(MemoryStore(), 0, lambda: StoreFault("on purpose"))
    with Workspace(faulty, policy=Lease(validity=10.0), clock=lambda: now[0]) as workspace:
        ann = workspace.agent("ann")

        def asked() -> int:
            before = workspace.metrics()["messages"]
            ann.read(PLAN)
            return workspace.metrics()["messages"] - before

        ann.write(PLAN, "one")
        assert asked() == 0
        now[0] = 1008.0
        faulty.at = faulty.moments + 1
        with pytest.raises(StoreFault):
            ann.write(PLAN, "two")
        assert asked() == 0
        now[0] = 1011.0
        faulty.at = faulty.moments + 1
        with pytest.raises(StoreFault):
            ann.read(PLAN)
        now[0] = 1012.0
        assert asked() == 1
        assert asked() == 0


OWN = """
from coherence import Announce, Policy


class PushShort(Policy, frozen=True, kw_only=True):
    chars: int = 5

    def announce(self, home):
        short = home.content is not None and len(str(home.content)) < self.chars
        return Announce.UPDATE if short else Announce.INV
"""


@pytest.mark.slow
def test_a_policy_of_ones_own_is_recorded_modelled_and_simulated(tmp_path):
    """Each in a process that knows its module, and nothing of ours names it."""
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "records.py").write_text(
        "from coherence import Recorder, Workspace\n"
        "from own import PushShort\n"
        "from coherence.simulate import catalogue, engine\n"
        "recorder = Recorder('runs')\n"
        "with Workspace(recorder=recorder, policy=PushShort(chars=9)) as workspace:\n"
        "    ann, bob = workspace.agent('ann'), workspace.agent('bob')\n"
        "    for text in ('one', 'a longer text', 'two'):\n"
        "        ann.write('plan', text)\n"
        "        bob.read('plan')\n"
        "recorder.close()\n"
        "engine.run(catalogue.find('planning'), 'PushShort', 1, check=True)\n"
    )

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    assert run("records.py") == (0, "")
    followed = run("-m", "specs", "--import", "own", "recorded", "runs/plan.ndjson")
    assert followed[0] == 0, followed
    assert "accepted" in followed[1]
    assert run("-m", "specs", "recorded", "runs/plan.ndjson") == (
        2,
        "bad-trace: line 1: no kind of policy is named 'PushShort' "
        "(import the module that defines it; a command does with --import MODULE)\n",
    )
    assert run("-m", "specs", "recorded", "--import", "own", "runs/plan.ndjson") == followed
    modelled = run("-m", "specs", "--import", "own", "check", "mesi", "--policy", "PushShort")
    assert modelled[0] == 0, modelled
    assert "HOLDS" in modelled[1]
    code, said = run("-m", "specs", "check", "mesi", "--policy", "PushShort")
    assert code == 2
    assert "PushShort" in said
