"""Traces explained: who waited for what, whose secret was kept how long."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer
from typer.testing import CliRunner

from causal import Announcing, Hybrid, Machine, Mf95, PeerDown, Rst91, Unicast
from causal.account import Accounts, accounts
from causal.explain import bar, main, mermaid, summary, svg
from message_passing.netmodel import NetworkModel
from message_passing.network import Guarantee
from message_passing.simulator import Simulator
from message_passing.trace import TraceWriter, read

RUN = CliRunner()
APP = typer.Typer()
APP.command()(main)


def traced(
    path: Path, build: type[Machine[Any]], sends: list[tuple[float, str, str]], slow: str = "ab"
) -> Path:
    """A trace in which the pair `slow` takes ten times as long as the others."""

    def latency(rng: Any, src: str, dst: str, message: Any) -> float:
        return 10.0 if src + dst == slow else 1.0

    links = Guarantee.ORDERED
    with open(path, "wb") as file:
        sim = Simulator(
            {a: build(a, "abc", links=links) for a in "abc"},
            network=NetworkModel(guarantee=links, latency=latency),
            trace=TraceWriter(file),
        )
        for at, src, dst in sends:
            sim.invoke(src, Unicast(dst, None), at=at)
        sim.run()
    return path


#: a tells b slowly, then c; c tells b.
TRIANGLE = [(0.0, "a", "b"), (0.0, "a", "c"), (2.0, "c", "b")]


def test_a_secret_and_what_it_held(tmp_path: Path) -> None:
    book = accounts(read(traced(tmp_path / "t", Hybrid, TRIANGLE)))
    first, eager, held = book.messages.values()
    assert (first.eager, first.why(), first.delivered) == (False, "", 10.0)
    assert (eager.eager, eager.why()) == (True, "eager: a1 was undelivered")
    # b's acknowledgement is back at 11, the release at c at 12.
    assert (eager.delivered, eager.told, eager.kept(book.end)) == (1.0, 12.0, 11.0)
    assert (held.sent, held.went, held.delivered) == (2.0, 12.0, 13.0)
    assert held.why() == "held: c kept the secret a2"
    assert summary(book) == {
        "messages": 3,
        "undelivered": 0,
        "eager": 1,
        "held": 1,
        "held_mean": 10.0,
        "secrets": 1,
        "secret_mean": 11.0,
        "latency_mean": (10 + 1 + 11) / 3,
    }


def test_a_secret_ends_by_what_others_announce(tmp_path: Path) -> None:
    book = accounts(read(traced(tmp_path / "t", Announcing, TRIANGLE)))
    _, eager, held = book.messages.values()
    # b has a1 at 10, and c hears so from b.
    assert (eager.told, held.went, held.delivered) == (11.0, 11.0, 12.0)


def test_the_traditional_protocol_holds_behind_its_own(tmp_path: Path) -> None:
    book = accounts(read(traced(tmp_path / "t", Mf95, TRIANGLE)))
    assert [m.why() for m in book] == ["", "held: a1 was undelivered", ""]


def test_receivers_buffer(tmp_path: Path) -> None:
    book = accounts(read(traced(tmp_path / "t", Rst91, TRIANGLE)))
    last = book.messages["c", 1]
    assert (last.arrived, last.delivered, last.buffered(book.end)) == (3.0, 10.0, 7.0)
    assert last.why() == "buffered: b lacked an earlier message"


def test_the_bar_is_to_scale(tmp_path: Path) -> None:
    book = accounts(read(traced(tmp_path / "t", Hybrid, TRIANGLE)))
    first, eager, held = book.messages.values()
    assert bar(first, 0.0, 14.0, 15) == "──────────●    "
    assert bar(eager, 0.0, 14.0, 15) == "─●▒▒▒▒▒▒▒▒▒▒▒  "
    assert bar(held, 0.0, 14.0, 15) == "  ···········● "


def test_a_peer_that_went_down_keeps_no_secret_alive(tmp_path: Path) -> None:
    path = tmp_path / "t"
    with open(path, "wb") as file:
        sim = Simulator({a: Hybrid(a, "abc") for a in "abc"}, trace=TraceWriter(file))
        sim.partition([["b"]])
        sim.invoke("a", Unicast("b", None))
        sim.invoke("a", Unicast("c", None))
        sim.run(until=1)
        sim.invoke("c", PeerDown("a"))
        sim.invoke("c", Unicast("b", None))
        sim.run(until=2)
    book = accounts(read(path))
    assert book.messages["c", 1].secrets == ()
    assert book.messages["a", 1].delivered is None


def test_drawings(tmp_path: Path) -> None:
    book = accounts(read(traced(tmp_path / "t", Hybrid, TRIANGLE)))
    titles = [e.text for e in ElementTree.fromstring(svg(book)).iter() if "title" in e.tag]
    assert titles.count("in transit") == 3
    assert "held: c kept the secret a2" in titles
    assert mermaid(book).splitlines() == [
        "sequenceDiagram",
        "    Note over c: keeps a2 for 11",
        "    a-->>c: a2",
        "    Note over c: c1 held: c kept the secret a2",
        "    a->>b: a1",
        "    c->>b: c1",
    ]
    empty = Accounts()
    assert summary(empty)["messages"] == 0
    assert ElementTree.fromstring(svg(empty)).tag.endswith("svg")


def test_the_command_line(tmp_path: Path) -> None:
    trace = str(traced(tmp_path / "t", Hybrid, TRIANGLE))
    shown = RUN.invoke(APP, [trace, "--svg", str(tmp_path / "t.svg")])
    assert shown.exit_code == 0
    assert "held: c kept the secret a2" in shown.stdout
    assert (tmp_path / "t.svg").read_text().startswith("<svg")
    said = json.loads(RUN.invoke(APP, [trace, "--json"]).stdout)
    assert said["messages"][2]["secrets"] == [["a", 2]]
    assert RUN.invoke(APP, [trace, "--mermaid"]).stdout.startswith("sequenceDiagram")


def test_a_recording_of_a_workspace_has_no_message_to_explain(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text('{"trace":1,"start":0.0,"about":{"artifact":"plan.md"}}\n')
    done = RUN.invoke(APP, [str(path)])
    assert done.exit_code == 2
    assert done.stderr.startswith("no-messages: ")
    assert "coherence trace" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("content", "code"), [(None, 3), ("no trace\n", 2)])
def test_what_is_no_trace_is_said(tmp_path: Path, content: str | None, code: int) -> None:
    path = tmp_path / "t"
    if content is not None:
        path.write_text(content)
    script = [sys.executable, "-m", "causal.explain", str(path)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stderr.startswith(("no-trace: ", "bad-trace: "))
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "step",
    [
        {"event": {"type": "Receive", "message": {"type": "Data"}}},
        {"event": {"type": "Receive", "src": "b", "message": {"type": "Release"}}},
        {"commands": [{"message": {}}]},
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, step: dict[str, Any]) -> None:
    line = {"time": 1.0, "process": "a", "action": "x", "event": {}, "commands": [], "state": ""}
    path = tmp_path / "t"
    path.write_text(json.dumps(line | step) + "\n")
    done = RUN.invoke(APP, [str(path)])
    assert done.exit_code == 2, done.output
    assert "no step of a delivery protocol" in done.output
