"""A Ctrl-C ends an exploration at any moment, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import programs

from coherence.testing import ExplorationVerdict, explore, playing, replay

STORM = Path(__file__).with_name("exploration_storm.py")


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres"])
@pytest.mark.parametrize("interrupts", [15, pytest.param(300, marks=pytest.mark.slow)])
def test_a_storm_of_interrupts(kind, interrupts, tmp_path, request):
    url = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/team.db"}.get(kind)
    if url is None:
        url = request.getfixturevalue("postgres").url()
    done = subprocess.run(
        [sys.executable, STORM, url, str(interrupts), "4"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert list(tmp_path.iterdir()) == []


class Ends:
    """Its end is interrupted."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_of_a_finaliser_is_not_lost():
    runs = []

    def program(team):
        runs.append(1)
        Ends()  # Python prints what it raises, and goes on
        team.run(ann=lambda: team.agent("ann").list(), bob=lambda: team.agent("bob").list())

    for play in (explore, lambda program: replay(program, "ann bob")):
        runs.clear()
        with pytest.raises(KeyboardInterrupt):
            play(program)
        assert len(runs) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_application_stays(monkeypatch):
    come = []
    before = signal.signal(signal.SIGINT, lambda number, frame: come.append(number))
    try:

        def program(team):
            signal.raise_signal(signal.SIGINT)
            team.agent("ann").list()

        assert explore(program).verdict is ExplorationVerdict.PROOF
        assert come
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_exploration_whose_end_was_cut_off_refuses_none(monkeypatch):
    monkeypatch.setitem(playing._UNDER_WAY, "run", (sys._getframe(), 0))
    assert explore(programs.updating).verdict is ExplorationVerdict.PROOF
