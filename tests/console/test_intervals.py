"""Intervals against the events of the same recording, which they are not made from."""

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from coherence import Lazy
from coherence.directory import Home
from coherence.oracle import HOME
from coherence.simulate.recording import recording as record
from coherence.simulate.rough import LATE, WILD, Case, RoughRun
from coherence_console import recordings
from coherence_console.intervals import Chart, Kind, Ledger
from coherence_console.recordings import files_of, recording

POLICY = Lazy(validity=12.0, grant_lease=8.0, retry_after=5.0)
CASES = {"late": Case(POLICY, LATE, crashes=False), "wild": Case(POLICY, WILD)}
#: The end of a hold is an event of its holder, or the end of its lease.
ENDS = {"PutM", "PutE", "Leave"}


def rough(folder: Path, case: str, seed: int, artifact: str = "plan.md") -> Path:
    """The recording of a team at random work: loss, copies, crashes, leases that run out."""
    found = CASES[case]
    home = Home(found.policy, seed % 2, ("start", seed % 2))
    with record(folder, artifact, home, ("ann", "bob", "cyd")) as trace:
        RoughRun(found, seed, trace=trace)(150)
    return folder / f"{artifact}.ndjson"


def steps(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


def sent(line: dict, kind: str, **fields: object) -> list[tuple[str, dict]]:
    """The messages of that kind that a step sent."""
    return [
        (command["dst"], command["message"])
        for command in line["commands"]
        if command["type"] == "Send"
        and command["message"]["type"] == kind
        and fields.items() <= command["message"].items()
    ]


def came(line: dict) -> str:
    return line["event"].get("message", {}).get("type", line["event"]["type"])


def judge(chart: Chart, lines: list[dict]) -> None:
    """Raises AssertionError if the chart does not tell what the events do."""
    home = [line for line in lines if line["process"] == HOME]
    at: dict[float, list[dict]] = defaultdict(list)
    for line in home:
        at[line["at"]].append(line)
    agent = [lane.agent for lane in chart.lanes]
    held = sorted(
        (each for each in chart.intervals if each.kind is Kind.HELD), key=lambda each: each.begin
    )

    # No two agents hold the grant at once.
    for one, other in pairwise(held):
        assert one.end is not None, one
        assert one.end <= other.begin, (one, other)

    # Every grant of a new epoch begins a hold, and nothing else does.
    granted: dict[int, tuple[float, str]] = {}
    for line in home:
        for dst, message in sent(line, "Data", grant="M"):
            granted.setdefault(message["epoch"], (line["at"], dst))
    assert sorted(granted.values()) == sorted((each.begin, agent[each.lane]) for each in held)

    # It ends with a message of its holder, or when its lease has run out.
    leases = {
        (line["at"], command["name"]): command["at"]
        for line in home
        for command in line["commands"]
        if command["type"] == "SetTimer" and command["name"] == "grant"
    }
    for each in held:
        if each.end is None:
            continue
        there = [
            came(line) for line in at[each.end] if line["event"].get("src") == agent[each.lane]
        ]
        ran_out = each.end in leases.values() or any(
            line["event"] == {"type": "Timeout", "name": "grant"} for line in at[each.end]
        )
        assert ENDS & set(there) or ran_out, (each, at[each.end])

    # A wait begins with a request that was not answered, and the grant ends it, or its agent does.
    waits = [each for each in chart.intervals if each.kind is Kind.WAITS]
    for each in waits:
        name = agent[each.lane]
        asked = [line for line in at[each.begin] if line["event"].get("src") == name]
        assert any(came(line) == "GetM" for line in asked), each
        if each.end is None:
            continue
        given = [dst for line in at[each.end] for dst, _ in sent(line, "Data", grant="M")]
        gone = [came(line) for line in at[each.end] if line["event"].get("src") == name]
        assert name in given or ENDS & set(gone), (each, at[each.end])
    queued = sum(came(line) == "GetM" and line["action"] == "GetMWaits" for line in home)
    assert (len(waits) > 0) == (queued > 0)
    assert len(waits) <= queued

    # Every version is published once, at the step that acknowledged it or announced it.
    published = [each for each in chart.marks if each.kind == "published"]
    versions = [int(each.label[1:]) for each in published]
    assert versions == list(range(versions[0], versions[0] + len(versions))) if versions else True
    for each in published:
        assert any(
            came(line) == "PutM" and line["event"]["src"] == agent[each.lane]
            for line in at[each.at]
        ), each
    answered = {m["version"] for line in home for _, m in sent(line, "PutAck")} - {
        m["version"] for line in home[:1] for _, m in sent(line, "PutAck")
    }
    assert set(versions) >= {version for version in answered if version >= min(versions, default=0)}

    # A refusal that home sent is marked, at its first sending.
    refused = [(each.at, agent[each.lane]) for each in chart.marks if each.kind == "refused"]
    nacks = {
        (dst, m["serial"]): line["at"]
        for line in reversed(home)
        for dst, m in sent(line, "Nack")
        if came(line) == "PutM"
    }
    assert set(refused) <= {(moment, dst) for (dst, _), moment in nacks.items()}

    # What a cache serves as a hit is a copy of that version at that moment.
    copies = [each for each in chart.intervals if each.kind is Kind.COPY]
    for line in lines:
        if line["process"] == HOME or line["action"] not in ("LoadHit", "Load"):
            continue
        for command in line["commands"]:
            result = command.get("result", {})
            if result.get("type") == "Loaded":
                assert any(
                    agent[each.lane] == line["process"]
                    and each.label == f"@{result['version']}"
                    and each.begin <= line["at"]
                    and (each.end is None or each.end >= line["at"])
                    for each in copies
                ), line
    lanes: dict[int, list] = defaultdict(list)
    for each in copies:
        lanes[each.lane].append(each)
    for found in lanes.values():
        found.sort(key=lambda each: each.begin)
        for one, other in pairwise(found):
            assert one.end is not None, one
            assert one.end <= other.begin, (one, other)


@pytest.mark.slow(fast=6)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(8))
def test_intervals_say_what_the_events_say(tmp_path: Path, case: str, seed: int) -> None:
    path = rough(tmp_path, case, seed)
    judge(recording([path]).chart, steps(path))


def test_the_runs_have_what_is_judged(tmp_path: Path) -> None:
    kinds: dict[str, int] = defaultdict(int)
    for seed in range(8):
        chart = recording([rough(tmp_path / str(seed), "wild", seed)]).chart
        for each in chart.intervals:
            kinds[each.kind] += 1
            kinds[each.why] += 1
        for mark in chart.marks:
            kinds[mark.kind] += 1
    assert min(kinds["held"], kinds["copy"], kinds["published"]) > 50
    assert min(kinds["refused"], kinds["waits"], kinds["its lease ran out"], kinds["granted"]) > 5


class _Split(Ledger):
    """Renewing a grant begins another hold."""

    def home(self, at, state, **more):
        super().home(at, msgspec.structs.replace(state, epoch=state.owner_serial), **more)


class _Late(Ledger):
    """A hold ends after the next one has begun."""

    def home(self, at, state, *, lapsed_at=None, cause=""):
        super().home(at, state, lapsed_at=at + 1.5, cause=cause)

    def _compare(self, kind, at, found, why=lambda agent: "", begin=None, *, only=None):
        late = 1.5 if kind is Kind.HELD and begin is not None else 0.0
        super()._compare(kind, at + late, found, why, begin, only=only)


class _Waitless(Ledger):
    """Nobody is ever in the queue."""

    def home(self, at, state, **more):
        super().home(at, msgspec.structs.replace(state, queue=()), **more)


class _Endless(Ledger):
    """A wait goes on while its agent holds the grant."""

    def home(self, at, state, **more):
        queue = self._home.queue if self._home is not None and state.owner else state.queue
        super().home(at, msgspec.structs.replace(state, queue=(*queue, *state.queue)), **more)


class _Behind(Ledger):
    """Home is looked at one step late."""

    before = None

    def home(self, at, state, **more):
        super().home(at, self.before or state, **more)
        self.before = state


class _Stale(Ledger):
    """A copy keeps the version that it first had."""

    def cache(self, at, agent, state):
        known = self._open.get((Kind.COPY, agent))
        if known is not None and state.version:
            state = msgspec.structs.replace(state, version=known.key)
        super().cache(at, agent, state)


class _Silent(Ledger):
    """A version that its agent publishes under a grant is not marked."""

    def _happened(self, at, before, state):
        if not before.owner:
            super()._happened(at, before, state)


class _Swapped(Ledger):
    """Marks are in the lane of the agent that holds the grant."""

    def _happened(self, at, before, state):
        marks = len(self.drawing.marks)
        super()._happened(at, before, state)
        for place in range(marks, len(self.drawing.marks)):
            other = self.drawing.lane(state.owner or before.owner or "bob", self.artifact)
            self.drawing.marks[place] = msgspec.structs.replace(
                self.drawing.marks[place], lane=other
            )


BROKEN = [_Split, _Late, _Waitless, _Endless, _Behind, _Stale, _Silent, _Swapped]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_ledger_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: type[Ledger]
) -> None:
    monkeypatch.setattr(recordings, "Ledger", broken)
    for seed in range(8):
        path = rough(tmp_path / str(seed), "late", seed)
        try:
            judge(recording([path]).chart, steps(path))
        except AssertionError:
            return
    pytest.fail(f"the judge accepts: {broken.__doc__}")


def test_artifacts_of_one_folder_are_one_chart(tmp_path: Path) -> None:
    for number, artifact in enumerate(("plan.md", "src/api.py")):
        rough(tmp_path, "late", number, artifact.replace("/", "%2F"))
    chart = recording(files_of(tmp_path)).chart
    assert len({lane.artifact for lane in chart.lanes}) == 2
    assert len({each.id for each in chart.intervals}) == len(chart.intervals)
    assert chart.unit == ""
    assert chart.end == max(each.end or 0.0 for each in chart.intervals)
