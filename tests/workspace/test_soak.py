"""Eight processes at mixed work: nothing grows beyond retention.  `SOAK_S` says how long."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coherence import Workspace

MIXER = Path(__file__).with_name("mixer.py")
SECONDS = float(os.environ.get("SOAK_S", "60"))
#: 20 artifacts of 8 versions of at most 4 KB, and a log of some ten thousand short lines.
FILE_BYTES_MAX = 20 << 20
WAL_BYTES_MAX = 48 << 20
GROWTH_BYTES_MAX = 512 << 10


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
def test_nothing_grows(tmp_path):
    file = tmp_path / "team.db"
    url = f"sqlite:///{file}"
    Workspace(url).close()
    mixers = [
        subprocess.Popen(
            [sys.executable, MIXER, url, f"mixer{number}", str(SECONDS), str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    rounds = file_bytes = wal_bytes = 0
    while any(mixer.poll() is None for mixer in mixers):
        with Workspace(url) as workspace:
            # A complaint that is gone when looked at again was a write in between.
            damage = [line for line in workspace.check() if line in workspace.check()]
            assert damage == []
        rounds += 1
        file_bytes = max(file_bytes, file.stat().st_size)
        assert file_bytes < FILE_BYTES_MAX
        wal = file.with_name("team.db-wal")  # gone while nobody has the file open
        wal_bytes = max(wal_bytes, wal.stat().st_size if wal.exists() else 0)
        assert wal_bytes < WAL_BYTES_MAX
    grown = []
    for mixer in mixers:
        early, late = (int(line) for line in mixer.communicate()[0].split())
        assert mixer.returncode == 0
        grown.append(late - early)
    assert max(grown) < GROWTH_BYTES_MAX
    assert rounds > 0
    sys.stdout.write(
        f"{SECONDS:.0f} s, {rounds} checks: file {file_bytes}, log {wal_bytes} bytes at most;"
        f" memory grew by {min(grown)} to {max(grown)} bytes\n"
    )
    with Workspace(url) as workspace:
        assert workspace.check() == []
        assert workspace.members() == []
        assert all(len(workspace.history(name)) <= 8 for name in workspace.names(deleted=True))
