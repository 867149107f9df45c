"""No call imports: an import that is cut off can leave a lock of Python's own taken for ever."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("imports_of_calls.py")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_tokenizer_alone_is_imported_and_in_a_thread_of_its_own(tmp_path, request, kind):
    if kind == "postgres":
        url = request.getfixturevalue("postgres").fresh()
    else:
        url = f"sqlite:///{tmp_path}/team.db"
    done = subprocess.run(
        [sys.executable, SCRIPT, url], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    imports = [line.split() for line in done.stdout.splitlines()]
    assert [each for each in imports if each[0] != "coherence-tokenizer"] == []
