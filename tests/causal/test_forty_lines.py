"""A program that a user would write: five agents, three processes, one command, a good end."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "examples" / "causal_team.py"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.slow
def test_every_process_ends_well_and_every_message_comes_after_its_cause() -> None:
    ports = [str(port) for port in free_ports(5)]
    done = subprocess.run(
        [sys.executable, "-W", "error", PROGRAM, *ports],
        capture_output=True,
        text=True,
        timeout=60,
    )
    # Warnings and errors of the log go to stderr.
    assert (done.returncode, done.stderr) == (0, "")
    *lines, last = done.stdout.splitlines()
    assert last == "exit codes [0, 0, 0]"
    heard: dict[str, list[tuple[str, ...]]] = {}
    for line in lines:
        name, *what = line.split(" | ")
        heard.setdefault(name, []).append(tuple(what))
    stop = ("critic", "stop")
    assert heard == {
        "reviewer": [("planner", "the plan has changed"), stop],
        "coder": [("planner", "use plan B"), ("reviewer", "step 1 of plan B is approved"), stop],
        "tester": [("coder", "test it"), stop],
        "critic": [("tester", "tested")],
        "planner": [stop],
    }
