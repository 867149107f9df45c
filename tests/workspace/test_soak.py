"""Eight processes at mixed work: nothing grows beyond retention; in ten minutes with `SOAK=10`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from soaking import seconds

from coherence import Workspace

MIXER = Path(__file__).with_name("mixer.py")
SECONDS = seconds(60)
#: 20 artifacts of 8 versions of at most 4 KB, and a log of some ten thousand short lines.
BYTES_MAX = {"file": 20 << 20, "write-ahead log": 48 << 20, "tables": 20 << 20}
GROWTH_BYTES_MAX = 256 << 10
TABLES = """
    SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
"""


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path):
    """An address, and what says how many bytes lie there."""
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        url = server.fresh()
        return url, lambda: {"tables": server.run(TABLES, url)[0][0]}
    file = tmp_path / "team.db"
    wal = tmp_path / "team.db-wal"  # gone while nobody has the file open

    def sizes():
        there = wal.stat().st_size if wal.exists() else 0
        return {"file": file.stat().st_size, "write-ahead log": there}

    return f"sqlite:///{file}", sizes


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
def test_nothing_grows(place):
    url, sizes = place
    Workspace(url).close()
    mixers = [
        subprocess.Popen(
            [sys.executable, MIXER, url, f"mixer{number}", str(SECONDS), str(number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,  # a traceback at most
            text=True,
        )
        for number in range(8)
    ]
    rounds, most = 0, sizes()
    while any(mixer.poll() is None for mixer in mixers):
        with Workspace(url) as workspace:
            # A complaint that is gone when looked at again was a write in between.
            damage = [line for line in workspace.check() if line in workspace.check()]
            assert damage == []
        rounds += 1
        most = {what: max(bytes_, most[what]) for what, bytes_ in sizes().items()}
        assert all(bytes_ < BYTES_MAX[what] for what, bytes_ in most.items())
    grown = []
    for mixer in mixers:
        said, complaint = mixer.communicate()
        assert mixer.returncode == 0, complaint
        early, late = (int(line) for line in said.split())
        grown.append(late - early)
    assert max(grown) < GROWTH_BYTES_MAX
    assert rounds > 0
    sys.stdout.write(
        f"{SECONDS:.0f} s, {rounds} checks, bytes at most: {most};"
        f" memory grew by {min(grown)} to {max(grown)}\n"
    )
    with Workspace(url) as workspace:
        assert workspace.check() == []
        assert workspace.members() == []
        assert all(len(workspace.history(name)) <= 8 for name in workspace.names(deleted=True))
