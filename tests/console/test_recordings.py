"""Charts of files: messages from send to delivery; files cut short, foreign and hostile."""

import json
import re
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import msgspec
import pytest

from causal import Announcing, Hybrid, Mf95, Unicast
from coherence import Lazy, Recorder, Workspace
from coherence.cache import Cache
from coherence.directory import Home
from coherence.messages import Acquire, Load
from coherence.oracle import HOME, system
from coherence.simulate.recording import recording as recorded_simulation
from coherence_console import causal_chart, recordings
from coherence_console.intervals import Chart, Drawing, Interval, Kind, Lane, Mark
from coherence_console.recordings import (
    NoRecording,
    SeveralClocks,
    TooLarge,
    files_of,
    recording,
    said,
)
from coherence_console.windows import AT_MOST, clamped, window
from message_passing.errors import ToolkitError
from message_passing.netmodel import NetworkModel, Uniform
from message_passing.network import Guarantee
from message_passing.simulator import Simulator
from message_passing.trace import BadTrace, NoTrace, TraceWriter

TEAM = ("ann", "bob", "cyd", "dan")


def simulated(path: Path, build: type, seed: int, messages: int = 40) -> Path:
    """A trace of random messages of a delivery protocol."""
    links, draw = Guarantee.ORDERED, Random(seed)
    with path.open("wb") as file:
        simulator = Simulator(
            {name: build(name, TEAM, links=links) for name in TEAM},
            network=NetworkModel(guarantee=links, latency=Uniform(0.5, 5.0)),
            seed=seed,
            trace=TraceWriter(file),
        )
        for number in range(messages):
            src, dst = draw.sample(TEAM, 2)
            simulator.invoke(src, Unicast(dst, number), at=draw.uniform(0, 20))
        simulator.run()
    return path


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def judge_arrows(chart: Chart, lines: list[dict]) -> None:
    """Each message has one arrow, which joins its send and its delivery."""
    sends = {
        (line["process"], command["result"]): (line["time"], line["event"]["request"]["dst"])
        for line in lines
        for command in line["commands"]
        if command["type"] == "Respond" and line["event"]["type"] == "Invoke"
    }
    deliveries = {
        (command["src"], command["message"]["id"]): (line["time"], line["process"])
        for line in lines
        for command in line["commands"]
        if command["type"] == "Deliver"
    }
    agents = [lane.agent for lane in chart.lanes]
    arrows = {(agents[each.src], each.label): each for each in chart.arrows}
    assert len(arrows) == len(chart.arrows) == len(sends)
    for (src, number), (sent, dst) in sends.items():
        arrow = arrows[src, f"{src}{number} → {dst}"]
        assert (arrow.sent, agents[arrow.dst]) == (sent, dst)
        assert (arrow.delivered, dst) == deliveries[src, number]
        assert arrow.sent <= arrow.went <= arrow.arrived <= arrow.delivered
        waits = [
            each
            for each in chart.intervals
            if each.kind is Kind.WAITS and each.label == arrow.label
        ]
        held = [each for each in waits if each.lane == arrow.src]
        assert [(each.begin, each.end) for each in held] == (
            [(arrow.sent, arrow.went)] if arrow.went > arrow.sent else []
        )
        assert all(each.why.startswith("held: ") for each in held)
        buffered = [each for each in waits if each.lane == arrow.dst]
        assert [(each.begin, each.end) for each in buffered] == (
            [(arrow.arrived, arrow.delivered)] if arrow.delivered > arrow.arrived else []
        )
        kept = [
            each
            for each in chart.intervals
            if each.kind is Kind.SECRET and each.label == arrow.label
        ]
        assert len(kept) <= arrow.eager
        assert all((each.begin, each.lane) == (arrow.delivered, arrow.dst) for each in kept)


@pytest.mark.slow(fast=5)
@pytest.mark.parametrize("build", [Hybrid, Announcing, Mf95])
@pytest.mark.parametrize("seed", range(4))
def test_an_arrow_joins_a_send_and_its_delivery(tmp_path: Path, build: type, seed: int) -> None:
    path = simulated(tmp_path / "t", build, seed)
    judge_arrows(recording([path]).chart, lines_of(path))


def _swapped(arrow):
    return msgspec.structs.replace(arrow, src=arrow.dst, dst=arrow.src)


def _at_arrival(arrow):
    return msgspec.structs.replace(arrow, sent=arrow.went)


def _never(arrow):
    return msgspec.structs.replace(arrow, delivered=None if arrow.eager else arrow.delivered)


@pytest.mark.parametrize("change", [_swapped, _at_arrival, _never])
def test_a_broken_arrow_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: object
) -> None:
    real = causal_chart.Arrow
    monkeypatch.setattr(causal_chart, "Arrow", lambda *fields: change(real(*fields)))
    path = simulated(tmp_path / "t", Hybrid, 1)
    with pytest.raises((AssertionError, KeyError)):
        judge_arrows(recording([path]).chart, lines_of(path))


def test_of_another_protocol_the_messages_are_drawn(tmp_path: Path) -> None:
    path = tmp_path / "t"
    with path.open("wb") as file:
        simulator = Simulator(
            system(Lazy(), ["ann", "bob"]),
            network=NetworkModel(guarantee=Guarantee.ORDERED, latency=Uniform(1, 2)),
            trace=TraceWriter(file),
        )
        simulator.invoke("ann", Load(), at=0.0)
        simulator.run(until=9.0)
    chart = recording([path]).chart
    assert [each.label for each in chart.arrows] == ["GetS", "Data"]
    assert not chart.intervals
    assert "only the messages" in chart.remarks[0]


# Files.


def recorded(folder: Path) -> Path:
    with Recorder(folder) as recorder, Workspace(recorder=recorder) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        ann.write("plan.md", "one")
        bob.read("plan.md")
        with bob.edit("plan.md") as draft:
            draft.text += "!"
        ann.read("plan.md")
    return folder / "plan.md.ndjson"


def test_a_workspace_of_this_program(tmp_path: Path) -> None:
    found = recording([recorded(tmp_path)])
    chart = found.chart
    (held,) = [each for each in chart.intervals if each.kind is Kind.HELD]
    assert chart.lanes[held.lane] == Lane("bob", "plan.md")
    assert (held.label, held.why, held.exact) == ("@1", "published @2", True)
    assert [each.label for each in chart.marks] == ["@1", "@2"]
    assert chart.unit == "s"
    steps, more = said(tmp_path / "plan.md.ndjson", chart.start, "bob", held.begin, held.end, 2)
    assert [each.action for each in steps] == ["GetM", "DataM"]
    assert more > 0


def test_a_lease_runs_out_by_the_end_of_the_whole_chart(tmp_path: Path) -> None:
    """No step of its artifact may notice it: the recording of another one goes on for longer."""
    policy = Lazy(grant_lease=8.0, validity=12.0)
    for name, until, request in (("a.md", 5.0, Acquire()), ("b.md", 100.0, Load())):
        home = Home(policy)
        with recorded_simulation(tmp_path, name, home, ["ann"]) as trace:
            simulator = Simulator({HOME: home, "ann": Cache(policy, HOME)}, trace=trace)
            simulator.invoke("ann", request, at=0.0)
            simulator.invoke("ann", Load(), at=until)
            simulator.run(until=until)
    chart = recording(files_of(tmp_path)).chart
    (held,) = [each for each in chart.intervals if each.kind is Kind.HELD]
    assert chart.end > 50
    assert (held.begin, held.end, held.why) == (0.0, 8.0, "its lease ran out")


@pytest.mark.parametrize("cut", [2, 30, 200])
def test_a_file_that_is_cut_short_is_drawn_up_to_there(tmp_path: Path, cut: int) -> None:
    path = recorded(tmp_path)
    whole = recording([path]).chart
    path.write_bytes(path.read_bytes()[:-cut])
    chart = recording([path]).chart
    assert chart.end <= whole.end
    assert "ends in a part of a line" in chart.remarks[0]


@pytest.mark.parametrize("kept", [0, 10, 40])
def test_a_file_that_has_only_begun_is_an_empty_chart(tmp_path: Path, kept: int) -> None:
    path = recorded(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    chart = recording([path]).chart
    assert (chart.end, chart.intervals) == (0.0, ())


def _lines(path: Path, change) -> Path:
    found = path.read_bytes().splitlines(keepends=True)
    change(found)
    path.write_bytes(b"".join(found))
    return path


def _without(number):
    def change(lines):
        del lines[number]

    return change


def _put(number, old, new):
    def change(lines):
        assert old in lines[number], lines[number]
        lines[number] = lines[number].replace(old, new)

    return change


def _insert(number, text):
    def change(lines):
        lines.insert(number, text)

    return change


def _line(event: str, process: str = '"home"', moment: str = "1") -> bytes:
    """A line that no writer has written."""
    return (
        f'{{"time":{moment},"process":{process},"action":"x","event":{event},'
        f'"commands":[],"state":"","at":1}}\n'
    ).encode()


def _other_states(lines):
    for number, line in enumerate(lines):
        lines[number] = re.sub(rb'"state":"[0-9a-f]{16}"', b'"state":"0000000000000000"', line)


HUGE = '{"type":"Invoke","request":{"type":"Join","session":99999999999999999999999999}}'
FORGED = '{"type":"Receive","src":"eve","message":{"type":"PutM","serial":-1}}'
HOSTILE = {
    "another release": _put(0, b'"trace":1', b'"trace":99'),
    "no header": _without(0),
    "a line is missing": _without(3),
    "another step": _put(3, b'"action":"', b'"action":"Other'),
    "another state": _other_states,
    "not JSON": _insert(2, b"\xff\xfe\n"),
    "no object": _insert(2, b"[1,2,3]\n"),
    "deep": _insert(2, b"[" * 100_000 + b"]" * 100_000 + b"\n"),
    "no moment": _put(3, b'"at":', b'"when":'),
    "an endless moment": _insert(2, _line("{}", moment="1e999")),
    "an unknown event": _insert(2, _line('{"type":"Boom"}')),
    "an unknown policy": _put(1, b"Lazy", b"Crazy"),
    "no policy": _put(1, b'"policy"', b'"polity"'),
    "a home that is none": _put(1, b'\\"version\\":', b'\\"aversion\\":'),
    "a forged message": _insert(2, _line(FORGED)),
    "numbers beyond bounds": _insert(2, _line(HUGE, '"eve"')),
    "names of other types": _insert(2, _line("{}", "7")),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_file_is_refused_with_its_place(tmp_path: Path, how: str) -> None:
    path = _lines(recorded(tmp_path), HOSTILE[how])
    with pytest.raises(ToolkitError) as refused:
        recording([path])
    assert isinstance(refused.value, BadTrace)
    assert path.name in str(refused.value) or "line 1" in str(refused.value)


HOSTILE_MESSAGES = {
    "no answer": [{"event": {"type": "Invoke", "request": {"type": "Unicast", "dst": "b"}}}],
    "an answer that is no number": [
        {
            "event": {"type": "Invoke", "request": {"type": "Unicast", "dst": "b"}},
            "commands": [{"type": "Respond", "result": "x"}],
        }
    ],
    "a message without fields": [{"event": {"type": "Receive", "message": {"type": "Data"}}}],
    "a release without a number": [
        {"event": {"type": "Receive", "src": "b", "message": {"type": "Release"}}}
    ],
    "a delivery of nothing": [{"event": {}, "commands": [{"type": "Deliver"}]}],
    "commands without a kind": [{"event": {}, "commands": [{"message": {}}]}],
}


@pytest.mark.parametrize("how", HOSTILE_MESSAGES)
def test_hostile_messages_are_refused_or_drawn(tmp_path: Path, how: str) -> None:
    path = tmp_path / "t"
    whole = {"time": 1.0, "process": "a", "action": "x", "commands": [], "state": ""}
    path.write_text("".join(json.dumps(whole | each) + "\n" for each in HOSTILE_MESSAGES[how]))
    with suppress(BadTrace):
        recording([path])


def test_what_is_not_there_or_is_none(tmp_path: Path) -> None:
    with pytest.raises(NoTrace):
        files_of(tmp_path / "nowhere")
    with pytest.raises(NoRecording):
        files_of(tmp_path)
    (tmp_path / "a.ndjson").mkdir()
    with pytest.raises(NoTrace):
        recording(files_of(tmp_path))


def test_a_recording_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "a.ndjson").open("wb") as file:
        file.truncate(recordings.BYTES_MAX + 1)
    with pytest.raises(TooLarge):
        files_of(tmp_path)
    monkeypatch.setattr(recordings, "FILES_MAX", 1)
    (tmp_path / "a.ndjson").write_bytes(b"")
    (tmp_path / "b.ndjson").write_bytes(b"")
    with pytest.raises(TooLarge):
        files_of(tmp_path)


def test_clocks_that_do_not_compare(tmp_path: Path) -> None:
    recorded(tmp_path)
    simulated(tmp_path / "other.ndjson", Hybrid, 1)
    with pytest.raises(SeveralClocks):
        recording(files_of(tmp_path))


def test_two_files_of_one_artifact(tmp_path: Path) -> None:
    path = recorded(tmp_path)
    (tmp_path / "again.ndjson").write_bytes(path.read_bytes())
    with pytest.raises(BadTrace, match="both of"):
        recording(files_of(tmp_path))


# Windows.


def long_chart(intervals: int) -> Chart:
    draw, drawing = Random(1), Drawing()
    for number in range(intervals):
        lane = drawing.lane(f"agent-{number % 50}", f"artifact-{number % 2000}")
        begin = number / 10
        kind = (Kind.COPY, Kind.HELD, Kind.WAITS)[number % 3]
        drawing.interval(lane, kind, begin, begin + draw.expovariate(1), "@1", "published @2")
        drawing.end = begin + 1
    return drawing.chart()


def test_a_window_of_a_long_timeline_is_bounded() -> None:
    """The bytes of a window do not grow with the timeline, and its time grows at most with it."""
    spent, size = {}, {}
    for intervals in (5_000, 50_000):
        chart = long_chart(intervals)
        began = time.process_time()
        found = window(chart)
        spent[intervals] = time.process_time() - began
        size[intervals] = len(msgspec.json.encode(found))
        assert len(found.intervals) == AT_MOST
        assert found.more.intervals == intervals - AT_MOST
        assert len(found.lanes) <= AT_MOST
        assert len(found.artifacts) <= 500
        narrow = window(chart, 100.0, 110.0)
        assert narrow.more.intervals == 0
        assert 90 < len(narrow.intervals) < 160
    assert size[50_000] < 1.3 * size[5_000]
    assert spent[50_000] < 30 * max(spent[5_000], 1e-3)


def test_what_is_important_and_long_is_given_first() -> None:
    chart = long_chart(5_000)
    found = window(chart, at_most=100)
    assert {each.kind for each in found.intervals} == {Kind.HELD}
    lasted = sorted(each.end - each.begin for each in chart.intervals if each.kind is Kind.HELD)
    assert min(each.end - each.begin for each in found.intervals) >= lasted[-120]


def test_marks_that_are_given_are_of_the_whole_window() -> None:
    drawing = Drawing()
    lane = drawing.lane("ann", "plan.md")
    drawing.marks = [Mark(lane, "published", float(n), f"@{n}") for n in range(10_000)]
    drawing.end = 10_000.0
    found = window(drawing.chart(), 1_000.0, 9_000.0, at_most=100)
    assert (len(found.marks), found.more.marks) == (100, 7_901)
    assert found.marks[0].at < 1_100 < 8_900 < found.marks[-1].at
    assert len(set(found.marks)) == 100


def test_a_filter_removes() -> None:
    chart = long_chart(5_000)
    found = window(chart, who="AGENT-7", hidden=frozenset({"copy"}))
    assert {lane.agent for lane in found.lanes} == {"agent-7"}
    assert {each.kind for each in found.intervals} == {Kind.HELD, Kind.WAITS}
    assert {each.lane for each in found.intervals} <= {lane.id for lane in found.lanes}
    assert found.more.intervals == 0
    assert window(chart, who="nobody").lanes == ()


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ((None, None), (0.0, 500.9)),
        ((-5.0, 1e9), (0.0, 500.9)),
        ((10.0, 20.0), (10.0, 20.0)),
        ((900.0, 1000.0), None),
        ((20.0, 20.0), None),
    ],
)
def test_a_window_is_within_the_timeline_and_not_empty(asked, given) -> None:
    chart = long_chart(5_000)
    low, high = clamped(chart, *asked)
    assert 0.0 <= low < high <= chart.end + 1e-6
    if given is not None:
        assert (low, high) == pytest.approx(given)


def test_an_empty_timeline_has_a_window() -> None:
    low, high = clamped(Drawing().chart(), None, None)
    assert low < high
    assert window(Drawing().chart()).intervals == ()


def test_the_fields_of_an_interval_are_those_of_the_documentation() -> None:
    found = msgspec.to_builtins(Interval(1, 2, Kind.HELD, 0.5, None, "@1"))
    assert found == {
        "id": 1, "lane": 2, "kind": "held", "from": 0.5, "to": None, "label": "@1", "why": "",
        "exact": True,
    }  # fmt: skip
