"""Processes at mixed work, killed all the time: the judge of histories accepts what they saw.

`SOAK=30` has it run for ten minutes.  Each weaker variant must be refused, or the judge would prove
nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

pytest.importorskip("scipy")

from postgres_server import Server, programs
from soaking import seconds

from coherence import Workspace
from coherence.workspace.agent import Agent
from specs.histories.judging import judge_files
from specs.histories.witness import lines

SOAKER = Path(__file__).with_name("soaker.py")
SECONDS = seconds(20)
WEAK_S = min(SECONDS, 8.0)
TRANSACTIONS = hasattr(Agent, "transaction")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 200)]


def soak(url, folder, seconds, weakness="", *, meanwhile=lambda soaking: None):
    """The rulings on both histories of one run."""
    command = [sys.executable, SOAKER, url, folder, str(seconds), weakness]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as soaking:
        meanwhile(soaking)
        told = json.loads(soaking.communicate()[0])
    assert not any(told["codes"])
    rulings = {
        history: judge_files(sorted((folder / history).glob("*.ndjson")))
        for history in ("contents", "seen")
    }
    for history, ruling in rulings.items():
        sys.stdout.write(
            f"{url.partition(':')[0]} {weakness or 'as shipped'}, {history}: {ruling.outcomes},"
            f" {ruling.took_effect} took effect, {told['killed']} killed, {ruling.counts}\n"
        )
    return told, rulings


def accept(rulings):
    for ruling in rulings.values():
        assert ruling.accepted, "\n".join(
            line for anomaly in ruling.anomalies for line in lines(anomaly)
        )
        assert ruling.outcomes["ok"] > ruling.outcomes["info"] > 0


def test_sqlite_is_accepted(tmp_path):
    url = f"sqlite:///{tmp_path}/team.db"
    told, rulings = soak(url, tmp_path / "soak", SECONDS)
    accept(rulings)
    assert told["killed"] > 0
    with Workspace(url) as workspace:
        assert workspace.check() == []


def test_postgres_is_accepted_although_its_server_stops(tmp_path):
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL's server is not installed")
    server = Server(found)  # its stops must not end the tests of other processes

    def stops(soaking):
        for mode in ("fast", "immediate"):
            with suppress(subprocess.TimeoutExpired):
                soaking.wait(SECONDS / 3)
            server.stop(mode)
            server.start()

    try:
        url = server.fresh()
        _, rulings = soak(url, tmp_path / "soak", SECONDS, meanwhile=stops)
        accept(rulings)
        with Workspace(url) as workspace:
            assert workspace.check() == []
    finally:
        server.close()


def refused(fresh, folder, weakness, history, kinds):
    """Soak new stores until the judge finds one of these kinds: chance has the last word."""
    for attempt in range(8):
        _, rulings = soak(fresh(), folder / str(attempt), WEAK_S, weakness)
        if rulings[history].counts.keys() & kinds:
            return
    pytest.fail(f"the judge accepts {weakness!r}")


SKEW = {"G2-item", "G2-item-realtime", "G-single", "G-single-realtime"}
SINGLE = {
    "overwriting": ("contents", {"incompatible orders", "lost write"}),
    "old copies": ("seen", {"G-single-realtime"}),
}
JOINT = {
    "reads unchecked": SKEW,
    "torn": SKEW | {"G0", "G1a", "G1c", "partial publish"},
    "rejudged": {"G1a"},
}


@pytest.fixture
def file(tmp_path):
    """Makes URLs of new files."""
    numbers = count()
    return lambda: f"sqlite:///{tmp_path}/team{next(numbers)}.db"


@pytest.mark.parametrize("weakness", SINGLE)
def test_weaker_single_writes_are_refused(tmp_path, file, weakness):
    refused(file, tmp_path, weakness, *SINGLE[weakness])


@pytest.mark.skipif(not TRANSACTIONS, reason="there are no transactions")
@pytest.mark.parametrize("weakness", JOINT)
def test_weaker_transactions_are_refused(tmp_path, file, weakness):
    refused(file, tmp_path, weakness, "contents", JOINT[weakness])


@pytest.mark.skipif(not TRANSACTIONS, reason="there are no transactions")
def test_absence_that_is_not_locked_is_refused(tmp_path, postgres):
    refused(postgres.fresh, tmp_path, "absence unlocked", "contents", SKEW)
