"""The experiments: closed forms, what separates the protocols, and the command line."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from causal.simulate import jobs, loads, report, reproduce, tables
from causal.simulate.cli import app
from causal.simulate.figures import draw
from causal.simulate.record import PROTOCOLS, Record, UnknownProtocol, builder
from causal.simulate.team import Team

RUN = CliRunner()


@pytest.mark.slow(fast=3)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_job_keeps_its_closed_form(protocol: str) -> None:
    assert [row for row in reproduce.job_rows(protocol) if not row.agrees] == []


def test_cykas_starts_the_job_k_round_trips_before_mf95() -> None:
    # arXiv 2603.14690, abstract: long-running jobs start and end earlier.
    for k in range(9):
        slow, fast = jobs.run("mf95", "notices", k, 10.0), jobs.run("cykas", "notices", k, 10.0)
        assert slow.start_rtt is not None
        assert fast.start_rtt is not None
        assert slow.start_rtt - fast.start_rtt == pytest.approx(k, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "rate", [*reproduce.RATES[:-1], pytest.param(reproduce.RATES[-1], marks=pytest.mark.slow)]
)
def test_a_popular_agent_falls_silent_under_cykas_but_not_under_the_hybrid(rate: float) -> None:
    cykas = [loads.fan_in("cykas", rate=rate, duration=2_000, seed=s) for s in range(3)]
    mean = sum(run.wait_mean_rtt or 0 for run in cykas) / 3
    assert mean == pytest.approx(loads.fan_in_formula(rate), rel=0.15)
    hybrid = loads.fan_in("hybrid", rate=rate, duration=1_000)
    assert hybrid.wait_max_rtt is not None
    assert hybrid.wait_max_rtt <= 1.0 + 1e-9


def test_cykas_starves() -> None:
    waits = {p: loads.starvation(p, rounds=60).wait_max_rtt for p in PROTOCOLS}
    assert waits.pop("cykas") == 58.0
    assert all(wait is not None and wait <= 1.0 for wait in waits.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "rate", "times"),
    [
        ("hybrid", 0.5, 2.0),
        ("hybrid", 1.0, 2.0),
        ("hybrid", 2.0, 2.0),
        ("hybrid", 16.0, 2.6),
        ("announcing", 1.0, 2.0),
        ("announcing", 5.0, 2.0),
        ("announcing", 20.0, 2.0),
    ],
)
def test_ours_stay_near_the_optimum_under_load(protocol: str, rate: float, times: float) -> None:
    # The hybrid within twice of it where processes send up to twice a round trip, and bounded
    # beyond; with announcements within twice everywhere.
    ours = loads.traffic(protocol, rate=rate, duration=15)
    best = loads.traffic("rst91", rate=rate, duration=15)
    assert ours.latency_mean_rtt is not None
    assert best.latency_mean_rtt is not None
    assert ours.latency_mean_rtt <= times * best.latency_mean_rtt
    assert ours.violations == 0
    assert ours.metadata_bytes_mean == 9


@pytest.mark.slow
def test_waiting_at_the_sender_costs_even_those_who_know_everything() -> None:
    def mean(protocol: str) -> float:
        load = {"rate": 10.0, "latency": "exponential", "ordered": False, "duration": 6}
        run = loads.traffic(protocol, **load)  # type: ignore[arg-type]
        assert run.violations == 0
        return run.latency_mean_rtt or 0.0

    best, informed, ours = mean("rst91"), mean("informed"), mean("hybrid")
    assert 1.3 * best < informed < ours / 1.3


def test_the_informed_wait_at_the_sender_alone() -> None:
    team = Team("informed", "abcd", latency=loads.LATENCIES["exponential"])
    rng = Random(1)
    for number in range(300):
        src, dst = rng.sample("abcd", 2)
        team.send(number / 30, src, dst, None)
    team.run()
    assert len(team.delivered) == 300
    assert team.arrived == team.delivered
    assert any(team.wired[name] > sent for name, sent in team.sent.items())


@pytest.mark.slow(fast=9)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("latency", loads.LATENCIES)
def test_random_traffic_is_causal(protocol: str, latency: str) -> None:
    for ordered in (True, False):
        run = loads.traffic(protocol, n=5, duration=10, latency=latency, ordered=ordered, seed=3)
        assert run.violations == 0
        assert run.latency_mean_rtt is not None


def test_metadata_is_constant_but_for_the_matrix() -> None:
    def size(protocol: str, n: int, ordered: bool) -> float | None:
        run = loads.traffic(protocol, n=n, duration=3, ordered=ordered)
        return run.metadata_bytes_mean

    for n in (3, 20):
        assert size("hybrid", n, True) == 9
        assert size("hybrid", n, False) == 17
        assert size("rst91", n, True) == 8 * n * n


def test_between_turns_only_the_traditional_protocol_waits_for_the_notified() -> None:
    turns = {p: loads.acks(p, "turns", seed=1) for p in ("mf95", "cykas", "hybrid")}
    assert turns["mf95"].start_rtt is not None
    assert turns["mf95"].start_rtt > 100
    assert turns["cykas"].start_rtt == turns["hybrid"].start_rtt == 0.5
    assert loads.acks("mf95", "sidecar").start_rtt == 4.5


def test_one_seed_is_one_run() -> None:
    runs = {repr(loads.traffic("hybrid", latency="exponential", duration=20)) for _ in range(3)}
    assert len(runs) == 1


# The command line.


def test_records_have_the_promised_fields() -> None:
    done = RUN.invoke(app, ["jobs", "-p", "cykas", "--job", "1", "--json"])
    assert done.exit_code == 0
    (record,) = json.loads(done.stdout)
    assert list(record) == list(Record.__struct_fields__)
    assert record["report_rtt"] == pytest.approx(2.0)
    assert record["parameters"] == {"shape": "notices", "k": 8, "job_rtt": 1.0}


@pytest.mark.parametrize(
    "command",
    [
        ["jobs", "--shape", "fan-out", "-p", "mf95"],
        ["traffic", "--n", "3", "--duration", "3", "--runs", "1"],
        ["fan-in", "--duration", "60", "--runs", "1", "-p", "hybrid"],
        ["starvation", "--rounds", "10"],
        ["acks", "--runs", "1", "--k", "2"],
        pytest.param([], marks=pytest.mark.slow),
    ],
)
def test_every_experiment_prints_a_table(command: list[str]) -> None:
    done = RUN.invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "protocol" in done.stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["jobs", "-p", "paxos"], "no protocol 'paxos' (one of mf95"),
        (["jobs", "--shape", "star"], "one of notices, fan-out, pipeline"),
        (["jobs", "--job", "-1"], "0 to 1e9"),
        (["jobs", "--k", "0"], "--k"),
        (["traffic", "--rate", "0"], "more than 0"),
        (["traffic", "--latency", "weibull"], "constant, uniform"),
        (["traffic", "--n", "1"], "--n"),
        (["acks", "--turn", "0"], "--turn"),
        (["jobs", "--bogus"], "No such option"),
    ],
)
def test_wrong_usage_is_said_and_exits_2(command: list[str], said: str) -> None:
    done = RUN.invoke(app, command, env={"COLUMNS": "200", "TERM": "dumb"})
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output


def test_unknown_protocols_are_named() -> None:
    with pytest.raises(UnknownProtocol):
        builder("paxos")


@pytest.mark.slow
def test_a_reader_who_leaves_early_is_no_error() -> None:
    script = [sys.executable, "-m", "causal.simulate", "traffic", "--json", "--duration", "2"]
    writer = subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stderr is not None
    writer.stdout.close()
    errors = writer.stderr.read()
    writer.stderr.close()
    assert (writer.wait(), errors) == (0, b"")


def test_a_figure_that_differs_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = reproduce.row("wait", "cykas", 1.0, 2.0)
    monkeypatch.setattr(reproduce, "rows", lambda: iter([wrong]))
    done = RUN.invoke(app, ["reproduce"])
    assert done.exit_code == 1
    assert "DIFFERS" in done.stdout
    assert RUN.invoke(app, ["reproduce", "--json"]).exit_code == 1


@pytest.mark.slow  # matplotlib
def test_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(tmp_path / "f.svg", duration=60)
    assert (tmp_path / "f.svg").read_text().count("<svg") == 1
    done = RUN.invoke(app, ["figure", str(tmp_path / "nowhere" / "f.png")])
    assert (done.exit_code, "Traceback" in done.output) == (3, False)


def test_the_figures_of_papers_reproduce() -> None:
    found = list(reproduce.paper_rows())
    assert {row.source for row in found} == {"paper"}
    assert [row for row in found if not row.agrees] == []
    assert len(found) == 12


def test_the_counts_tell_the_sources_apart() -> None:
    rows = [
        reproduce.row("counts", "rst91", 9, 9, source="paper"),
        reproduce.row("counts", "bss91", 3, 4, source="paper"),
        reproduce.row("start: notices", "cykas", 0.5, 0.5),
        reproduce.row("mean wait", "cykas", 1.0, 1.0),
    ]
    said = report.counts(rows)
    assert "figures of papers: 1 of 2 agree" in said
    assert "closed forms: 2 of 2 agree; 1 of them are starts and ends of jobs" in said


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_everything_reproduces() -> None:
    done = RUN.invoke(app, ["reproduce", "--json"])
    assert done.exit_code == 0
    sources = Counter(row["source"] for row in json.loads(done.stdout))
    assert sources == {"paper": 12, "closed form": 1_630}


def test_a_table_of_the_page_is_printed_as_markdown() -> None:
    done = RUN.invoke(app, ["tables", "turns"])
    assert done.exit_code == 0
    assert done.stdout == f"turns\n\n{tables.markdown(tables.turns())}\n"
    unknown = RUN.invoke(app, ["tables", "chairs"])
    assert unknown.exit_code == 2
    assert "one of traffic, turns, fan-in, packets" in unknown.output
