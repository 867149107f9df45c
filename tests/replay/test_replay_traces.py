"""Recorded runs: what happened becomes a workload, and its own cost stands beside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coherence import Workspace
from coherence.runtime.recorder import Recorder
from coherence.simulate.experiments import prices
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.workload import OUTSIDE
from coherence.simulate.replay.errors import InvalidTrace
from coherence.simulate.replay.recorded import Run
from coherence.simulate.replay.traces import load
from coherence.tokens import SIGNAL_TOKENS

MODEL = prices.shipped()["claude-opus-5"]


def call(agent: str, tokens: int, *held: str) -> dict[str, object]:
    return {"coherence": "call", "ref": "", "agent": agent, "tokens": tokens, "held": held}


def said(what: str, agent: str, ref: str, tokens: int, saved: int = 0, served: str = ""):
    return {
        "coherence": what,
        "ref": ref,
        "agent": agent,
        "tokens": tokens,
        "saved": saved,
        "served": served,
    }


def run_of(tmp_path: Path, *events: dict[str, object], seed: int = 1) -> Run:
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return load([path], size_tokens=1_000, seed=seed)


EVENTS = (
    call("ann", 2_000),
    said("publish", "ann", "plan.md@1", 800),
    call("bob", 2_100),
    said("fill", "bob", "plan.md@1", 800, served="full"),
    call("bob", 3_000, "plan.md@1"),
    call("ann", 3_100, "plan.md@1"),
    said("publish", "ann", "plan.md@2", 810),
    said("signal", "bob", "plan.md@1", 12),
    call("bob", 3_300, "plan.md@1"),
    said("fill", "bob", "plan.md@2", 40, 770, "delta"),
    call("bob", 3_500, "plan.md@2"),
    said("publish", "bob", "plan.md@3", 820),
)


def turns(run: Run) -> list[tuple[int, tuple[tuple[int, bool], ...]]]:
    return [(turn.agent, turn.accesses) for turn in run.workload.turns]


def test_a_call_that_only_asks_is_a_trip_and_its_answer_is_used_in_the_next(tmp_path):
    run = run_of(tmp_path, *EVENTS)
    read, write = (0, False), (0, True)
    assert turns(run) == [(0, (write,)), (1, (read,)), (0, (write,)), (1, (write,))]
    assert sum(prompt.is_trip for prompt in run.prompts) == 2
    assert run.workload.created == {0}
    assert run.transferred == 800 + 12 + 40


def test_sizes_are_those_of_the_run_and_so_are_differences_that_it_sent(tmp_path):
    contents = run_of(tmp_path, *EVENTS).workload.contents
    assert [contents.text(0, version) for version in (1, 2, 3)] == [800, 810, 820]
    assert contents.difference(0, 1, 2) == 40
    assert contents.edit(0, 1) == 800
    drawn = {
        run_of(tmp_path, *EVENTS, seed=seed).workload.contents.difference(0, 2, 3)
        for seed in range(9)
    }
    assert len(drawn) > 1
    assert all(0 < tokens <= 820 for tokens in drawn)


def test_the_recorded_way_is_counted_as_it_was(tmp_path):
    run = run_of(tmp_path, *EVENTS)
    prompting = run.prompting(Prompting())
    costs = run.costs(MODEL, prompting)
    assert costs is not None
    assert costs.prompt_tokens == 2_000 + 2_100 + 3_000 + 3_100 + 3_300 + 3_500
    assert (costs.trips, costs.transferred_tokens) == (2, 852)
    assert costs.bill > 0
    assert prompting.system_tokens + prompting.new_tokens == 2_000


def test_a_version_that_nobody_published_is_of_the_outside(tmp_path):
    run = run_of(
        tmp_path,
        call("ann", 100),
        said("fill", "ann", "a@5", 300, served="full"),
        call("ann", 500, "a@5"),
        said("told", "ann", "a@9", 20, 290, "delta"),
        call("ann", 600, "a@9"),
    )
    assert turns(run) == [(0, ((0, False),)), (OUTSIDE, ((0, True),)), (0, ())]
    assert run.workload.created == frozenset()
    assert run.workload.contents.difference(0, 1, 2) == 20


def test_what_a_prompt_no_longer_holds_is_a_cut(tmp_path):
    run = run_of(
        tmp_path,
        call("ann", 100, "a@1", "b@2"),
        said("fill", "ann", "a@1", 30, served="full"),
        call("ann", 90, "b@2"),
        call("ann", 95, "b@3"),
    )
    assert [prompt.is_cut for prompt in run.prompts] == [False, True, False]


def test_answers_of_two_agents_that_interleave_keep_the_order_of_versions(tmp_path):
    run = run_of(
        tmp_path,
        call("ann", 100),
        call("bob", 100),
        said("publish", "ann", "a@1", 10),
        said("publish", "bob", "a@2", 20),
        said("publish", "ann", "a@3", 30),
        said("publish", "ann", "b@1", 40),
    )
    assert turns(run) == [(0, ((0, True),)), (1, ((0, True),)), (0, ((0, True), (1, True)))]
    assert [run.workload.contents.text(0, version) for version in (1, 2, 3)] == [10, 20, 30]


def test_an_agent_without_a_model_has_a_call_for_each_access(tmp_path):
    run = run_of(
        tmp_path,
        said("publish", "ann", "a@1", 10),
        said("hit", "ann", "a@1", 10, served="hit"),
        said("conflict", "ann", "a@1", 10),
        said("something new", "ann", "a@1", 10),
    )
    assert turns(run) == [(0, ((0, True),)), (0, ((0, False),))]
    assert run.costs(MODEL, Prompting()) is None
    assert run.prompting(Prompting()) == Prompting()


# A workspace's recording


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with (
        Recorder(tmp_path / "runs") as recorder,
        Workspace(recorder=recorder) as team,
        team.agent("ann") as ann,
        team.agent("bob") as bob,
    ):
        ann.write("plan.md", "one\n")
        bob.read("plan.md")
        bob.read("plan.md")
        ann.write("plan.md", "two\n")
        bob.write("plan.md", bob.read("plan.md").content + "three\n")
        ann.write("notes/a.md", "x\n")
    return tmp_path / "runs"


def test_a_recording_of_a_workspace_is_a_call_for_each_access(folder):
    run = load([folder], size_tokens=500)
    plan = [(agent, accesses[0][1]) for agent, accesses in turns(run) if len(accesses) == 1]
    assert len(plan) == len(turns(run)) == 7
    assert plan == [
        (0, True),
        (1, False),
        (1, False),
        (0, True),
        (1, False),
        (1, True),
        (0, True),
    ]
    assert run.prompts == []
    # Two texts to bob; a signal when ann published again, and one when bob did.
    assert run.transferred == 2 * 500 + 2 * SIGNAL_TOKENS
    single = load(sorted(folder.glob("*.ndjson")), size_tokens=500)
    assert turns(single) == turns(run)


# Bad input


@pytest.mark.parametrize(
    "line",
    [
        "text",
        "{}",
        "[]",
        '{"coherence": "fill", "ref": "plan.md", "agent": "ann", "tokens": 3}',
        '{"coherence": "fill", "ref": "plan.md@x", "agent": "ann", "tokens": 3}',
        '{"coherence": "fill", "ref": "plan.md@1", "agent": "ann", "tokens": -3}',
        '{"coherence": "fill", "ref": "plan.md@1", "agent": "ann", "tok',
    ],
)
def test_a_line_that_is_not_an_event_is_named(tmp_path, line):
    path = tmp_path / "run.jsonl"
    path.write_text(json.dumps(EVENTS[0]) + "\n" + line + "\n")
    with pytest.raises(InvalidTrace, match="line 2: not an event"):
        load([path], size_tokens=1)


def test_files_without_a_run_are_refused(tmp_path, folder):
    with pytest.raises(InvalidTrace, match="no such file"):
        load([tmp_path / "missing"], size_tokens=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidTrace, match="no file there"):
        load([tmp_path / "empty"], size_tokens=1)
    (tmp_path / "run.jsonl").write_text("")
    with pytest.raises(InvalidTrace, match="no agent reads or publishes"):
        load([tmp_path / "run.jsonl"], size_tokens=1)
    with pytest.raises(InvalidTrace, match="not a recording of a workspace"):
        load([folder, tmp_path / "run.jsonl"], size_tokens=1)
    file = next(folder.glob("*.ndjson"))
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(InvalidTrace):
        load([folder], size_tokens=1)
