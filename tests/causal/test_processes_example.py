"""The example across processes: each transport, a killed process, the chart on the page."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "causal_processes.py"
PAGE = ROOT / "docs" / "endpoints.md"


def played(*options: str) -> dict[str, str]:
    """What the example prints, by transport."""
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE, *options],
        capture_output=True,
        text=True,
        timeout=150,
    )
    # Warnings and errors of the log go to stderr.
    assert (done.returncode, done.stderr) == (0, "")
    parts = re.split(r"^(\w+):\n", done.stdout, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(chart: str) -> list[str]:
    """The chart's rows without their times."""
    return re.findall(r"^ +\d+\.\d+  (.*)$", chart, re.MULTILINE)


def judge(text: str) -> None:
    happened = [row.strip("│ ") for row in rows(text)]

    def at(pattern: str, begin: int = 0) -> int:
        return next(n for n, row in enumerate(happened) if n >= begin and re.search(pattern, row))

    killed = at("● is killed")
    assert at("● to coder: use plan B") < at("● to coder: step 1 approved") < killed
    # The plan comes first, and the approval waits until the planner is back.
    assert at("● waits for a release") < (back := at("● restarts"))
    plan, approval = at("├─+use plan B─+▶", killed), at("├─+step 1 approved─+▶", killed)
    assert killed < back < approval
    assert plan < approval < at("◀─+step 1 done")
    assert sum(row.endswith("● leaves") for row in happened) == 3
    assert "✗" not in text, "every message has arrived"
    assert "exit codes: [-9, 0, 0, 0]" in text


@pytest.mark.slow
def test_tcp_and_unix_in_turn() -> None:
    shown = played()
    assert list(shown) == ["tcp", "unix"]
    for text in shown.values():
        judge(text)
    # Processes that do not wait for each other may take another order.
    (there,) = re.findall(r"```text\n( +time .*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    judge(there)
    assert sorted(rows(there)) == sorted(rows(shown["tcp"]))


@pytest.mark.slow
def test_postgres(postgres_url: str) -> None:
    pytest.importorskip("psycopg")
    shown = played("--transport", "postgres", "--url", postgres_url)
    assert list(shown) == ["postgres"]
    judge(shown["postgres"])
