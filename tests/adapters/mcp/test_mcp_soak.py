"""The soak of `mcp_soak.py`, for some seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mcp_types", reason="mcp 2 is not installed")

from mcp_clients import environment

SOAK = Path(__file__).parents[1] / "mcp_soak.py"


@pytest.mark.slow
def test_every_acknowledged_write_is_there_once_though_clients_are_killed():
    done = subprocess.run(
        [sys.executable, str(SOAK), "--seconds", "20", "--kill-every", "3"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["killed"]
    assert said["acknowledged"]
