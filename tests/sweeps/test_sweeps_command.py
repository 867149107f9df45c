"""The command: tables, JSON, CSV, files of results, errors."""

import csv
import io
import json
import re

import pytest
from typer.testing import CliRunner

from coherence.simulate import cli
from coherence.simulate.progress import remaining
from coherence.simulate.sweeps import command, pools
from coherence.simulate.sweeps.pools import WorkerDied

pytest.importorskip("scipy", reason="intervals need scipy")

GRID = ["--over", "agents=2,3", "--over", "strategy=lazy,adaptive", "--set", "steps=8"]


def call(*arguments, code=0):
    result = CliRunner().invoke(cli.app, ["sweep", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def test_a_table_has_a_section_for_each_point_and_intervals():
    text = call(*GRID, "--seeds", "3", "-q").stdout
    head, *rows = [line for line in text.splitlines() if line.strip(" -")]
    assert "tokens" in head
    assert [row.split()[0] for row in rows[1:]] == [
        "2",
        "lazy",
        "adaptive",
        "3",
        "lazy",
        "adaptive",
    ]
    assert text.count("±") >= 4 * 6


def test_one_strategy_makes_a_row_for_each_point():
    text = call("--over", "agents=2,3", "--over", "cuts=0,0.5", "--set", "strategy=lazy", "-q")
    rows = [line.split("  ")[0].strip() for line in text.stdout.splitlines()]
    assert list(filter(None, rows))[-4:] == ["2, 0", "2, 0.5", "3, 0", "3, 0.5"]


def test_remarks_name_the_baseline_and_warn_of_chance():
    text = call(*GRID, "--seeds", "2", "--against", "refetch").stdout
    assert "against refetch" in text
    assert "one in twenty" not in text
    assert "nothing is decided" in call(*GRID, "--seeds", "1").stdout
    text = call(*GRID, "--over", "cuts=0,0.1,0.2,0.3,0.4", "--seeds", "2").stdout
    assert "Of 20 verdicts, one in twenty" in text


def test_json_and_csv_have_every_line():
    lines = json.loads(call(*GRID, "--seeds", "2", "--json").stdout)
    rows = list(csv.DictReader(io.StringIO(call(*GRID, "--seeds", "2", "--csv").stdout)))
    assert len(lines) == len(rows) == 4
    for line, row in zip(lines, rows, strict=True):
        assert row["point.agents"] == str(line["point"]["agents"])
        assert float(row["bill.mean"]) == line["bill"]["mean"]
        assert row["verdict"] == line["verdict"]


def test_a_file_and_options_together(tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text("# A small one.\nsteps = 8\nseeds = 2\n[over]\nagents = [2, 3]\n")
    lines = json.loads(call(file, "--over", "strategy=lazy", "--seeds", "1", "--json").stdout)
    assert [(line["point"]["agents"], line["runs"]) for line in lines] == [(2, 1), (3, 1)]


def test_out_is_used_again(tmp_path, monkeypatch):
    out = tmp_path / "r.db"
    first = call(*GRID, "--out", out, "--json").stdout
    monkeypatch.setattr(pools, "perform", lambda task: pytest.fail("measured again"))
    assert call(*GRID, "--out", out, "--json").stdout == first


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "invalid-sweep: sweep: no axis"),
        (["--over", "agnets=2"], "did you mean 'agents'"),
        (["--over", "agents"], "not of the form key=a,b,c"),
        (["--set", "steps"], "not of the form key=value"),
        (["--over", "agents=2", "--over", "agents=3"], "given twice"),
        (["--over", "agents=2", "--json", "--csv"], "exclude each other"),
        (["--over", "agents=2", "--on", "tcp://x:1", "--jobs", "1"], "exclude each other"),
        (["--over", "agents=0"], "sweep: agents=0: agents: should be"),
        (["nowhere.toml"], "cannot be read"),
    ],
)
def test_wrong_usage_changes_nothing(arguments, told, tmp_path):
    out = tmp_path / "r.db"
    result = call(*arguments, "--out", out, code=2)
    assert told in " ".join(result.output.split())
    assert not out.exists()


def test_a_fault_prints_what_is_done_and_says_how_to_go_on(monkeypatch):
    made = []

    def perform(task):
        made.append(task)
        if len(made) == 6:
            raise WorkerDied("a process has ended")
        return original(task)

    original = pools.perform
    monkeypatch.setattr(pools, "perform", perform)
    result = call(*GRID, "--seeds", "4", "-q", code=3)
    assert "PARTIAL results, " in result.stderr
    assert "worker-died: a process has ended (with --out" in result.stderr
    assert "(2)" in result.stdout  # runs of a point that has not all of them


def test_the_help_names_the_keys_and_shows_examples():
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", call("--help").stdout).split())
    assert "latency_steps" in text
    assert "coherence simulate sweep --over agents=2,4,8" in text


EXAMPLES = [line.split()[3:] for line in command.EXAMPLES.splitlines()[1:]]


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("arguments", EXAMPLES, ids=" ".join)
def test_the_examples_of_the_help_run(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments).stdout


def test_the_time_left_goes_on_as_it_went():
    assert remaining(10.0, 5, 20) == ", 0:00:40 left"
    assert remaining(10.0, 0, 20) == ""
    assert remaining(10.0, 5, 0) == ""
