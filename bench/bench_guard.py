"""What a hook of `coherence guard` costs: CPU of one call, as a program and through a server.

    python bench/bench_guard.py [--calls N]

The file has 1,000 lines, and the agent has seen 100 others.  A program's time is that of its
process, Python's start included, so it is given beside that of an empty program.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from coherence_guard.hook import answer

EVENTS = [
    ("PreToolUse", "Read"),
    ("PostToolUse", "Read"),
    ("PreToolUse", "Write"),
    ("PostToolUse", "Write"),
    ("PreToolUse", "Edit"),
    ("PostToolUse", "Edit"),
    ("PostToolUse", "Bash"),
]


def event(folder: Path, kind: str, tool: str, session: str = "s") -> dict[str, Any]:
    path = folder / "plan.md"
    given = {"file_path": str(path), "content": path.read_text()}
    given |= {"old_string": "step 1\n", "new_string": "step 1\n"}
    names = {"session_id": session, "cwd": str(folder), "hook_event_name": kind}
    return names | {"tool_name": tool, "tool_input": given}


def program(words: list[str], text: str = "") -> float:
    """The CPU of a process, in milliseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(words, input=text, text=True, env=env, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def function(given: dict[str, Any]) -> float:
    """The CPU of a call in this process, in milliseconds."""
    before = time.process_time()
    answer(given)
    return 1e3 * (time.process_time() - before)


def loss(folder: Path, number: int) -> float:
    """The CPU of the program that has to report a loss."""
    path, texts = folder / "plan.md", (f"a{number}\n", f"b{number}\n")
    for session, tool in (("a", "Read"), ("b", "Read")):
        for kind in ("PreToolUse", "PostToolUse"):
            answer(event(folder, kind, tool, session))
    first, second = (event(folder, "PreToolUse", "Write", s) for s in "ab")
    for given, text in ((first, texts[0]), (second, texts[1])):
        given["tool_input"]["content"] = text
        answer(given)
    path.write_text(texts[0])
    answer(first | {"hook_event_name": "PostToolUse"})
    path.write_text(texts[1])
    last = msgspec.json.encode(second | {"hook_event_name": "PostToolUse"}).decode()
    return program([sys.executable, "-m", "coherence_guard"], last)


def main(calls: Annotated[int, typer.Option(min=1)] = 15) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "plan.md").write_text("".join(f"step {n}\n" for n in range(1_000)))
        for number in range(100):
            other = folder / f"{number}.py"
            other.write_text(f"x = {number}\n" * 200)
            for kind in ("PreToolUse", "PostToolUse"):
                read = event(folder, kind, "Read")
                read["tool_input"]["file_path"] = str(other)
                answer(read)
        print(f"median ms of CPU of {calls} calls; 1 min load {os.getloadavg()[0]:.1f}")
        print(f"{'event':24} {'program':>8} {'function':>9}")
        empty = statistics.median(program([sys.executable, "-c", ""]) for _ in range(calls))
        print(f"{'(an empty program)':24} {empty:8.0f}")
        for kind, tool in EVENTS:
            given = event(folder, kind, tool)
            words, text = (
                [sys.executable, "-m", "coherence_guard"],
                msgspec.json.encode(given).decode(),
            )
            as_program = statistics.median(program(words, text) for _ in range(calls))
            served = statistics.median(function(given) for _ in range(calls))
            print(f"{kind + ' ' + tool:24} {as_program:8.0f} {served:9.1f}")
        losses = statistics.median(loss(folder, number) for number in range(5))
        print(f"{'a loss, reported':24} {losses:8.0f}")


if __name__ == "__main__":
    typer.run(main)
