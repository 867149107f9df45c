"""Traces: written by the drivers, read back, summed up, drawn, and refused by line."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from message_passing import (
    Guarantee,
    Invoke,
    NetworkModel,
    Receive,
    Respond,
    Send,
    SetTimer,
    Simulator,
    Step,
    Timeout,
    Unencodable,
    Value,
    digest,
    show,
)
from message_passing.chart import Arrow
from message_passing.trace import BadTrace, NoTrace, TraceWriter, arrows, header, read, summary


class GetS(Value, frozen=True, gc=False, tag=True):
    """A request."""

    artifact: str
    held: frozenset[str] = frozenset()


class Data(Value, frozen=True, gc=False, tag=True):
    """Its answer."""

    raw: bytes
    version: int


class Cache:
    """Asks home, and again after two seconds."""

    def initial(self) -> frozenset[str]:
        return frozenset()

    def step(self, state: frozenset[str], event: Any, now: float) -> Step[frozenset[str]]:
        ask = Send("home", GetS("plan.md", state))
        if type(event) is Receive:
            return Step(state | {"plan.md"}, (Respond("ok"),), "ReceiveData")
        return Step(state, (ask, SetTimer("retry", now + 2.0)), type(event).__name__)

    def durable(self, state: frozenset[str]) -> frozenset[str]:
        return state


class Home:
    """Answers."""

    def initial(self) -> None:
        return None

    def step(self, state: None, event: Any, now: float) -> Step[None]:
        return Step(None, (Send(event.src, Data(b"\xff", 3)),), "ReceiveGetS")

    def durable(self, state: None) -> None:
        return None


def loses_the_first(rng: Any, src: str, dst: str, message: Any) -> float:
    return 1.0 if type(message) is GetS and not message.held and rng.random() < 0.5 else 0.0


def recorded(path: Path, seed: int = 1) -> Path:
    """A run in which the first request is lost and the second answered."""
    network = NetworkModel(
        guarantee=Guarantee.ORDERED_LOSSY, latency=0.5, loss_probability=loses_the_first
    )
    with path.open("wb") as file:
        sim = Simulator(
            {"home": Home(), "cache": Cache()},
            network=network,
            seed=seed,
            trace=TraceWriter(file),
        )
        sim.invoke("cache", "read")
        sim.run(until=3.5)
    return path


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return recorded(tmp_path / "run.ndjson")


def test_a_line_holds_all_that_a_step_was(trace: Path) -> None:
    lines = list(read(trace))
    assert [(line.time, line.process, line.action) for line in lines] == [
        (0.0, "cache", "Invoke"),
        (2.0, "cache", "Timeout"),
        (2.5, "home", "ReceiveGetS"),
        (3.0, "cache", "ReceiveData"),
    ]
    assert lines[1].event == {"type": "Timeout", "name": "retry"}
    assert lines[2].event["message"] == {"type": "GetS", "artifact": "plan.md", "held": []}
    assert lines[2].commands == [
        {
            "type": "Send",
            "dst": "cache",
            "message": {"type": "Data", "raw": "/w==", "version": 3},
        }
    ]
    assert lines[3].state == digest(frozenset({"plan.md"}))


def test_arrows_are_arrivals_events_and_losses(trace: Path) -> None:
    assert arrows(list(read(trace))) == [
        Arrow(0.0, "cache", "cache", "Invoke read"),
        Arrow(0.0, "cache", "home", "GetS", lost=True),
        Arrow(2.0, "cache", "cache", "Timeout retry"),
        Arrow(2.5, "cache", "home", "GetS"),
        Arrow(3.0, "home", "cache", "Data"),
    ]
    labels = [arrow.label for arrow in arrows(list(read(trace)), fields=True)]
    assert labels[-1] == "Data(raw=/w==, version=3)"


def test_a_summary_counts(trace: Path) -> None:
    assert summary(read(trace)) == {
        "steps": 4,
        "end": 3.0,
        "processes": ["cache", "home"],
        "actions": {"Invoke": 1, "ReceiveData": 1, "ReceiveGetS": 1, "Timeout": 1},
        "messages_sent": {"Data": 1, "GetS": 2},
    }


@pytest.mark.parametrize(
    ("number", "bad"),
    [
        (1, b"not json\n"),
        (2, b"{}\n"),
        (3, b'{"time": "now"}\n'),
        (4, b"\xff\xfe\n"),
        (5, b'{"time":1.0,"process":"a","act'),
    ],
)
def test_a_bad_line_is_named(trace: Path, number: int, bad: bytes) -> None:
    rows = trace.read_bytes().splitlines(keepends=True)
    trace.write_bytes(b"".join([*rows[: number - 1], bad, *rows[number - 1 :]]))
    lines = read(trace)
    assert len([next(lines) for _ in range(number - 1)]) == number - 1
    with pytest.raises(BadTrace, match=f"line {number}") as caught:
        next(lines)
    assert caught.value.remedy


def test_a_file_that_is_not_there_is_the_environments_fault(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(NoTrace):
            next(read(path))


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (Invoke(object()), None),
        (Invoke("\ud800"), None),
        (Timeout("t"), object()),
        (Timeout("t"), "\ud800"),
        (Timeout("t"), 2**70),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_is_written(event: Any, state: Any) -> None:
    file = io.BytesIO()
    with pytest.raises(Unencodable):
        TraceWriter(file)(0.0, "a", event, Step(state, (), "Act"))
    assert file.getvalue() == b""


# Several clocks


def of_two_clocks(path: Path, *, headed: bool) -> Path:
    """A request and its answer, where home counts from the epoch and the cache from its start."""
    with path.open("wb") as file:
        writer = TraceWriter(file)
        if headed:
            writer.begin(1.8e9, {"artifact": "plan.md", "agents": ["ann", "bob"]})
        ask, answer = Send("home", GetS("plan.md")), Send("ann", Data(b"", 1))
        steps = (
            (0.0012, 5.0, "ann", Invoke("read"), Step(None, (ask,), "Load")),
            (0.0024, 1.8e9, "home", Receive("ann", ask.message), Step(None, (answer,), "GetS")),
            (0.0031, 5.1, "ann", Receive("home", answer.message), Step(None, (), "Data")),
        )
        for at, now, process, event, step in steps:
            writer(now, process, event, step, at if headed else None)
    return path


def test_a_header_is_read_and_is_no_step(tmp_path: Path, trace: Path) -> None:
    path = of_two_clocks(tmp_path / "headed.ndjson", headed=True)
    found = header(path)
    assert found is not None
    assert (found.trace, found.start) == (1, 1.8e9)
    assert found.about == {"artifact": "plan.md", "agents": ["ann", "bob"]}
    assert [line.moment for line in read(path)] == [0.0012, 0.0024, 0.0031]
    assert header(trace) is None
    assert {line.at for line in read(trace)} == {None}


def test_a_header_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.ndjson"
    path.write_bytes(b'{"trace":2,"start":0}\n')
    for reader in (header, lambda path: next(read(path))):
        with pytest.raises(BadTrace, match="form 2"):
            reader(path)
    path.write_bytes(b'{"trace":"x"}\n')
    with pytest.raises(BadTrace, match="line 1"):
        header(path)


def test_the_chart_has_one_clock_or_none(tmp_path: Path) -> None:
    rows = command(str(of_two_clocks(tmp_path / "new", headed=True))).stdout.splitlines()
    assert rows[0].startswith("artifact plan.md; agents ann, bob; seconds since 20")
    assert rows[1].split() == ["time", "ann", "home"]
    assert [row.split()[0] for row in rows[2:]] == ["0.0012", "0.0024", "0.0031"]
    done = command(str(of_two_clocks(tmp_path / "old", headed=False)))
    assert "several clocks" in done.stderr
    rows = done.stdout.splitlines()
    assert rows[0].split() == ["step", "ann", "home"]
    assert [row.split()[0] for row in rows[1:]] == ["1", "2", "3"]


# The command line


class Done(NamedTuple):
    """What a command has said, and with which code it has ended."""

    returncode: object
    stdout: str
    stderr: str


def command(*arguments: str) -> Done:
    said, told = io.StringIO(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(told), pytest.raises(SystemExit) as ended:
        show.main(arguments)
    return Done(ended.value.code, said.getvalue(), told.getvalue())


def test_it_prints_a_chart(trace: Path) -> None:
    done = command(str(trace))
    assert done.returncode == 0
    assert done.stderr == ""
    rows = done.stdout.splitlines()
    assert rows[0].split() == ["time", "cache", "home"]
    assert "├───────GetS──────▶│" in rows[4]
    assert len(rows) == 6


@pytest.mark.slow
def test_it_prints_mermaid_counts_and_parts(trace: Path) -> None:
    assert command(str(trace), "--mermaid").stdout.startswith("sequenceDiagram\n")
    assert msgspec.json.decode(command(str(trace), "--json").stdout)["steps"] == 4
    part = command(str(trace), "--limit", "2")
    assert len(part.stdout.splitlines()) == 3
    assert "3 more" in part.stderr
    assert len(command(str(trace), "--process", "home").stdout.splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "code"),
    [((), 2), (("--nonsense",), 2), (("/nowhere/at/all",), 3), ((__file__,), 2)],
)
def test_a_wrong_call_has_its_exit_code_and_no_traceback(
    arguments: tuple[str, ...], code: int
) -> None:
    done = command(*arguments)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_help_says_what_the_marks_mean() -> None:
    done = command("--help")
    assert done.returncode == 0
    assert "✗" in done.stdout
    assert "--mermaid" in done.stdout


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_not_an_error(tmp_path: Path) -> None:
    row = recorded(tmp_path / "run.ndjson").read_bytes().splitlines(keepends=True)[0]
    (tmp_path / "long.ndjson").write_bytes(row * 20_000)
    program = [sys.executable, "-m", "message_passing.show", str(tmp_path / "long.ndjson")]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
