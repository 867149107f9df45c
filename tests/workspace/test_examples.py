"""The examples run, and show what they say."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOWN = {
    "ten_lines.py": ["[plan.md is unchanged since plan.md@1]", "one more step"],
    "lost_update.py": [
        "merge() has both",
        "2. (done) write the parser\n3. review it\n4. (done) write",
    ],
    "crdt_beside.py": ["'price: 201204'", "'price: 2014'", "of A\\n1. parse", "The two overlap"],
    "false_unchanged.py": ["['[spec.md is unchanged]']", "+Rule 7 holds on weekdays.", "all of it"],
    "model_merges.py": ["derives from version 1", "2. (done) write a fast printer", "had seen 2"],
    "own_policy.py": ["2 agents: 0 messages", "5 agents: 4 messages"],
    "guarded_files.py": [
        "without guard: Ann's change is replaced; no one is told",
        "Ann's change is in the file; Bob is told: plan.md was changed by session-ann",
        "Ann's change is replaced; Bob is told: Your write of plan.md replaced a change by",
    ],
    "stale_write.py": ["conflict: the write derives from api.py@1", "# reviewed"],
    "write_skew.py": [
        "on call: []",
        "You read bob.md@1, current is bob.md@2",
        "on call: ['ann']",
        "calls: 2, plan and interface fit: False",
        "calls: 3, plan and interface fit: True",
    ],
}


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("name", SHOWN)
def test_an_example(name):
    if name == "crdt_beside.py":
        pytest.importorskip("pycrdt")
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [shown for shown in SHOWN[name] if shown not in done.stdout] == [], done.stdout
