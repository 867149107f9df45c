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
    rounds = 0
    while any(mixer.poll() is None for mixer in mixers):
        with Workspace(url) as workspace:
            # A complaint that is gone when looked at again was a write in between.
            damage = [line for line in workspace.check() if line in workspace.check()]
            assert damage == []
        rounds += 1
        assert file.stat().st_size < FILE_BYTES_MAX
        wal = file.with_name("team.db-wal")  # gone while nobody has the file open
        assert not wal.exists() or wal.stat().st_size < WAL_BYTES_MAX
    for mixer in mixers:
        early, late = (int(line) for line in mixer.communicate()[0].split())
        assert mixer.returncode == 0
        assert late - early < GROWTH_BYTES_MAX
    assert rounds > 0
    with Workspace(url) as workspace:
        assert workspace.check() == []
        assert workspace.members() == []
        assert all(len(workspace.history(name)) <= 8 for name in workspace.names(deleted=True))
