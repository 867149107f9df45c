from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from coherence import Conflict, Recorder, Workspace
from coherence.messages import Acquire, Commit, Load, Message, Replacement, Request
from coherence.oracle import system
from coherence.policy import AccessCount, Broadcast, Eager, Lazy, Policy, Use, Visibility
from coherence.states import CacheState
from message_passing.netmodel import NetworkModel, Uniform
from message_passing.network import Guarantee
from message_passing.simulator import Simulator
from message_passing.trace import Line, TraceWriter, read
from specs import tlc, traces
from specs.cli import main
from specs.recorded import Acceptance, Acceptor

AGENTS = ("a", "b", "c")
STRICT = Policy(visibility=Visibility.STRICT, validity=12, grant_lease=8, retry_after=5)
WILD: dict[str, Any] = {
    "loss_probability": 0.1,
    "duplicate_probability": 0.1,
    "latency": Uniform(0, 3),
}
CASES = [
    (Lazy(), NetworkModel(guarantee=Guarantee.ORDERED, latency=Uniform(0, 2))),
    (STRICT, NetworkModel(guarantee=Guarantee.ORDERED_LOSSY_DUPLICATING, **WILD)),
    (
        Eager(validity=12, grant_lease=8, retry_after=5),
        NetworkModel(guarantee=Guarantee.UNORDERED_LOSSY_DUPLICATING, **WILD),
    ),
]


def requests(rng: Random, agent: str, number: int, version: int) -> Request:
    kinds: list[Any] = [Load(), Acquire(2.0), Replacement(), Commit(f"{agent}{number}", version)]
    return kinds[rng.randrange(len(kinds))]


def record(policy: Policy, network: NetworkModel, path: Path, seed: int = 1) -> list[Line]:
    """A run of the simulator with requests, crashes and restarts, and its trace."""
    rng = Random(seed)
    file = io.BytesIO()
    sim = Simulator(system(policy, AGENTS), network=network, seed=seed, trace=TraceWriter(file))
    for number in range(120):
        agent = AGENTS[rng.randrange(3)]
        if agent in sim.down:
            sim.restart(agent)
        elif rng.random() < 0.05 and policy.grant_lease is not None:
            sim.crash(agent)
        elif agent not in sim.outstanding:
            sim.invoke(agent, requests(rng, agent, number, sim.states[agent].version))
        sim.run(until=sim.now + 1)
    path.write_bytes(file.getvalue())
    return list(read(path))


def follow(policy: Policy, guarantee: Guarantee, lines: list[Line]) -> Acceptance:
    return Acceptor(system(policy, AGENTS), guarantee, Request, Message).follow(lines)


@pytest.mark.parametrize(("policy", "network"), CASES)
def test_runs_of_the_simulator_are_accepted(
    policy: Policy, network: NetworkModel, tmp_path: Path
) -> None:
    lines = record(policy, network, tmp_path / "run.jsonl")
    assert len(lines) > 200
    assert follow(policy, network.guarantee, lines) == Acceptance(len(lines))


def corruptions(line: Line) -> Iterator[Line]:
    """The line with another action, another state, an earlier time, fewer or more commands."""
    yield msgspec.structs.replace(line, action=line.action + "?")
    yield msgspec.structs.replace(line, state="0" * 16)
    yield msgspec.structs.replace(line, time=-1.0)
    yield msgspec.structs.replace(line, process="nobody")
    yield msgspec.structs.replace(line, commands=[*line.commands, {"type": "Respond"}])
    yield msgspec.structs.replace(line, event={"type": "Timeout", "name": "never armed"})
    yield msgspec.structs.replace(line, event={"type": "Quake"})
    never = {"type": "Acquire", "wait": -1}
    yield msgspec.structs.replace(line, event={"type": "Invoke", "request": never})
    if line.event["type"] == "Receive":
        message = dict(line.event["message"])
        message["serial"] = message.get("serial", 0) + 100
        yield msgspec.structs.replace(line, event={**line.event, "message": message})


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(("policy", "network"), CASES)
def test_a_corrupted_run_is_refused_at_the_corrupted_step(
    policy: Policy, network: NetworkModel, tmp_path: Path
) -> None:
    lines = record(policy, network, tmp_path / "run.jsonl")[:120]
    for place in range(1, len(lines), 9):
        for corrupted in corruptions(lines[place]):
            found = follow(policy, network.guarantee, [*lines[:place], corrupted])
            assert not found.accepted
            assert found.steps == place, corrupted
            assert found.refused.startswith(f"step {place + 1} ")


def test_a_step_left_out_is_noticed(tmp_path: Path) -> None:
    policy, network = CASES[0]
    lines = record(policy, network, tmp_path / "run.jsonl")
    for place in range(0, 100, 7):
        assert not follow(policy, network.guarantee, lines[:place] + lines[place + 1 :]).accepted


def test_a_run_on_a_wilder_network_is_refused(tmp_path: Path) -> None:
    policy, network = CASES[2]
    lines = record(policy, network, tmp_path / "run.jsonl")
    assert "may not arrive" in follow(policy, Guarantee.ORDERED, lines).refused


def test_an_empty_trace_proves_nothing() -> None:
    assert follow(Lazy(), Guarantee.ORDERED, []).refused == "an empty trace"


# The same by TLC, against Mesi.tla.


@pytest.fixture
def tlc_runs() -> None:
    try:
        tlc.find_java()
        tlc.find_jar()
    except tlc.NoTlc as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.usefixtures("tlc_runs")
def test_tlc_follows_a_run_up_to_the_corrupted_step(tmp_path: Path) -> None:
    policy, network = CASES[2]
    lines = record(policy, network, tmp_path / "run.jsonl")[:60]
    place = next(n for n, line in enumerate(lines) if n > 40 and line.action == "DataS")
    message = dict(lines[place].event["message"])
    message["version"] += 1
    event = {**lines[place].event, "message": message}
    lines[place] = msgspec.structs.replace(lines[place], event=event)
    found = traces.follow(lines, policy, network.guarantee)
    assert found.steps == place
    assert found.refused.startswith(f"step {place + 1} (DataS)")


@pytest.mark.slow
@pytest.mark.usefixtures("tlc_runs")
@pytest.mark.parametrize(
    ("policy", "network"),
    [*CASES, (AccessCount(max_accesses=1, delta_window=2), CASES[0][1])],
)
def test_runs_of_the_simulator_are_behaviours_of_the_specification(
    policy: Policy, network: NetworkModel, tmp_path: Path
) -> None:
    lines = record(policy, network, tmp_path / "run.jsonl")
    assert traces.follow(lines, policy, network.guarantee) == Acceptance(len(lines))


def bent(line: Line) -> Iterator[Line]:
    """The line with what Mesi.tla can tell: all but times, digests, and words said twice."""
    yield msgspec.structs.replace(line, action="Late" if line.action != "Late" else "DataS")
    yield msgspec.structs.replace(line, process="a" if line.process == "home" else "home")
    yield msgspec.structs.replace(line, event={"type": "Timeout", "name": "grant"})
    yield msgspec.structs.replace(line, event={"type": "Quake"})
    loaded = {"type": "Loaded", "version": 99, "content": None}
    yield msgspec.structs.replace(line, commands=[{"type": "Respond", "result": loaded}])
    armed = [*line.commands, {"type": "SetTimer", "name": "acks", "at": 1}]
    yield msgspec.structs.replace(line, commands=armed)
    said = {"type": "Send", "dst": "a", "message": {"type": "PutS", "serial": 77}}
    yield msgspec.structs.replace(line, commands=[*line.commands, said])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("tlc_runs")
def test_tlc_refuses_a_corrupted_run_at_the_corrupted_step(tmp_path: Path) -> None:
    policy, network = CASES[1]
    lines = record(policy, network, tmp_path / "run.jsonl")
    for place in (1, 13, 40):
        for corrupted in bent(lines[place]):
            found = traces.follow([*lines[:place], corrupted], policy, network.guarantee)
            assert found.steps == place, corrupted
            assert found.refused.startswith(f"step {place + 1} ")


@pytest.mark.slow
@pytest.mark.usefixtures("tlc_runs")
@pytest.mark.parametrize(
    "policy", [Lazy(grant_lease=5.0), Eager(), STRICT], ids=["lazy", "eager", "strict"]
)
def test_real_runs_are_behaviours_of_the_specification(
    policy: Policy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Recorder(tmp_path) as recorder, Workspace(recorder=recorder, policy=policy) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob's \u00fc")
        ann.write("plan.md", "one")
        with bob.edit("plan.md") as draft:
            draft.text += " two"
        with pytest.raises(Conflict):
            ann.write("plan.md", "too late")
        ann.update("plan.md", str.upper)
        bob.leave()
        workspace.agent("bob's \u00fc").write("plan.md", ann.read("plan.md").text, overwrite=True)
        ann.read("plan.md")
    path = recorder.path("plan.md")
    assert main(["recorded", str(path), "--tlc"]) == 0, capsys.readouterr().out
    lines = list(read(path))
    assert len(lines) >= 40
    assert f"TLC {len(lines):>12,} steps" in capsys.readouterr().out


class EverySecond(Policy, frozen=True, kw_only=True):
    def use(self, cache: CacheState) -> Use:
        return Use.REFRESH if cache.uses % 2 else Use.COUNTED


def test_what_the_specification_does_not_have_is_refused() -> None:
    line = Line(0.0, "a", "Lapse", {"type": "Timeout", "name": "validity"}, [], "0" * 16)
    assert traces.follow([], Lazy(), Guarantee.ORDERED).refused == "an empty trace"
    with pytest.raises(traces.NotModelled, match="push"):
        traces.follow([line], Broadcast(), Guarantee.ORDERED)
    with pytest.raises(traces.NotModelled, match="does not have the rules of EverySecond"):
        traces.follow([line], EverySecond(), Guarantee.ORDERED)
