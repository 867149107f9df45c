"""The command line, as a stranger and as a script would use it."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coherence.simulate import catalogue, cli, engine, jobs, published
from coherence.simulate.published import Figure
from message_passing.trace import header, read

COMMAND = [sys.executable, "-m", "coherence.simulate"]


def call(*arguments: str, code: int = 0):
    result = CliRunner().invoke(cli.app, list(arguments))
    assert result.exit_code == code, result.output
    return result


def test_run_gives_records_as_json():
    result = call("run", "planning", "--rules", "paper", "--runs", "2", "--json")
    records = json.loads(result.stdout)
    assert [made["strategy"] for made in records] == [
        "broadcast",
        "eager",
        "lazy",
        "lease",
        "access_count",
    ]
    assert {made["rules"] for made in records} == {"paper"}
    assert {made["runs"] for made in records} == {2}
    assert records[0]["savings_mean"] is None
    assert 0.9 < records[2]["savings_mean"] < 1
    assert not any(made["partial"] for made in records)


def test_csv_holds_the_same_as_json():
    arguments = ["run", "churn", "--rules", "paper", "--runs", "2"]
    rows = list(csv.DictReader(io.StringIO(call(*arguments, "--csv").stdout)))
    records = json.loads(call(*arguments, "--json").stdout)
    assert [list(row) for row in rows] == [list(made) for made in records]
    for row, made in zip(rows, records, strict=True):
        savings = made["savings_mean"]
        assert row["savings_mean"] == ("" if savings is None else str(savings))


def test_a_table_in_a_file_is_plain_and_whole():
    text = call("run", "planning", "--rules", "paper", "--runs", "2").stdout
    assert "\x1b" not in text
    assert "…" not in text
    assert "access_count" in text


def test_options_choose_strategies_seed_and_changes():
    which = ["--strategy", "lazy", "-s", "eager", "--rules", "paper"]
    how = ["--seed", "7", "--set", "runs=3", "--set", "agents=9"]
    records = json.loads(call("run", "planning", *which, *how, "--json").stdout)
    assert [made["strategy"] for made in records] == ["lazy", "eager"]
    scenario = catalogue.find("planning", ["agents=9", "runs=3", "first_seed=7"])
    expected = jobs.simulate([scenario], ["lazy", "eager"], ["paper"]).records
    assert [made["sync_tokens_mean"] for made in records] == [
        made.sync_tokens_mean for made in expected
    ]


def test_a_file_of_ones_own_runs_with_any_name(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        'name = "[/bold] ünïcode"\nagents = 2\nsteps = 5\naction_probability = 1\n'
        'write_probability = 0\nartifacts = [{name = "a", size_tokens = 5}]\n',
        encoding="utf-8",
    )
    result = call("run", str(file), "--rules", "paper", "--strategy", "lazy")
    assert "[/bold] ünïcode" in result.stdout


@pytest.mark.slow(fast=5)
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "planing"], "did you mean 'planning'"),
        (["run", "missing.toml"], "missing.toml: no such scenario or file"),
        (["run", "planning", "--strategy", "lasy"], "'lasy': unknown, did you mean 'lazy'?"),
        (["run", "planning", "--strategy", "Mine"], "of a module that --import names"),
        (["run", "planning", "--rules", "ours"], "allowed are paper, engine"),
        (["run", "planning", "--set", "agent=3"], "unknown key, did you mean 'agents'?"),
        (["run", "planning", "--set", "agents=0"], "should be greater than or equal to 1"),
        (["run", "planning", "--set", "write_probability=1.5"], "should be less than or equal"),
        (["run", "planning", "--set", f"steps={2**53}"], "more than the 9007199254740992"),
        (["run", "planning", "--runs", "0"], "--runs"),
        (["run", "planning", "--seed", "-1"], "--seed"),
        (["run", "planning", "--json", "--csv"], "exclude each other"),
        (["run"], "NAME|FILE"),
        (["--json", "list"], "options belong after 'list'"),
        (["swim"], "swim"),
        (["run", "planning", "--import", "no_such_policies"], "no_such_policies cannot be"),
    ],
)
def test_a_wrong_request_is_told_on_stderr_with_code_2(arguments, told):
    result = call(*arguments, code=2)
    assert told in result.stderr.replace("\n", " ")
    assert result.stdout == ""


def test_a_file_that_is_not_toml_is_told_with_its_name(tmp_path):
    file = tmp_path / "notes.toml"
    file.write_text("Dear diary,\n", encoding="utf-8")
    assert f"invalid-scenario: {file}: not a TOML file" in call("run", str(file), code=2).stderr


def test_list_tells_every_scenario_with_its_parameters():
    text = call("list").stdout
    for name in catalogue.shipped():
        assert f"{name}: {catalogue.description(name)}" in text
    assert "4 agents, 40 steps; artifacts: 3 of 4,096 tokens" in text
    listed = json.loads(call("list", "--json").stdout)
    assert [entry["name"] for entry in listed] == list(catalogue.shipped())
    assert listed[0]["artifacts"][0] == {"name": "plan.md", "size_tokens": 4096, "mutable": True}
    assert call("list", "--quiet").stdout.split() == list(catalogue.shipped())


@pytest.mark.slow
def test_reproduce_shows_every_cell_and_agrees():
    text = call("reproduce").stdout
    count = len(published.FIGURES)
    assert f"{count} of {count} published figures agree." in text
    assert text.count(" yes\n") == count
    cells = json.loads(call("reproduce", "--json").stdout)
    assert len(cells) == count
    assert all(cell["agrees"] for cell in cells)


def test_reproduce_fails_if_one_cell_differs(monkeypatch):
    wrong = Figure("a wrong source", "churn", "lazy", "savings_mean", ".8424")
    monkeypatch.setattr(published, "FIGURES", (*published.FIGURES, wrong))
    result = call("reproduce", code=1)
    count = len(published.FIGURES)
    assert f"{count - 1} of {count} published figures agree." in result.stdout
    assert ".8423 NO" in result.stdout


def test_an_interrupted_reproduction_proves_nothing(monkeypatch):
    monkeypatch.setattr(cli.Runs, "advance", interrupt_after(7))
    result = call("reproduce", code=130)
    assert "interrupted: PARTIAL results, 7 of 200 runs" in result.stderr
    assert result.stdout == ""


def test_an_interrupt_shows_partial_results_and_says_so(monkeypatch):
    monkeypatch.setattr(cli.Runs, "advance", interrupt_after(3))
    arguments = ["run", "planning", "--rules", "paper", "-s", "lazy", "--json"]
    result = call(*arguments, code=130)
    (made,) = json.loads(result.stdout)
    assert (made["runs"], made["partial"]) == (3, True)
    assert "interrupted: PARTIAL results, 3 of 10 runs" in result.stderr


def interrupt_after(count: int):
    def advance(self: cli.Runs, done: int, asked: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    return advance


@pytest.mark.parametrize("arguments", [[], ["run"], ["reproduce"], ["list"]])
def test_help_is_there(arguments):
    assert "Usage: " in call(*arguments, "--help").stdout


@pytest.mark.slow
def test_the_module_runs_from_any_folder(tmp_path):
    done = subprocess.run(
        [*COMMAND, "run", "planning", "--rules", "paper", "--runs", "1", "--csv"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("scenario,strategy,rules,runs,sync_tokens_mean,")
    assert done.stdout.count("\n") == 6
    assert done.stderr == ""


@pytest.mark.slow
def test_a_reader_who_leaves_is_no_error():
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(
        [*COMMAND, "reproduce"], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    _, told = process.communicate()
    assert (process.returncode, told) == (0, "")


@pytest.mark.slow
def test_ctrl_c_ends_a_long_run_of_all_cores_with_partial_results():
    # So many that handing them all over takes longer than the first progress line.
    request = "run planning --rules paper -s lazy --set steps=4000 --runs 100000 --json"
    process = subprocess.Popen(
        [*COMMAND, *request.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches the workers too
        # A shell's background job, as a test run may be, inherits that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    progress = process.stderr.readline()
    while progress.startswith("simulated 0 "):
        progress = process.stderr.readline()
    os.killpg(process.pid, signal.SIGINT)
    out, told = process.communicate()
    assert progress.startswith("simulated ")
    assert process.returncode == 130
    assert "interrupted: PARTIAL results" in told
    assert "Traceback" not in told
    (made,) = json.loads(out)
    assert made["partial"]
    assert 0 < made["runs"] < 100_000


@pytest.mark.slow
def test_without_a_command_the_engine_stands_beside_the_paper():
    text = call().stdout
    assert "95.0±1.3" in text
    assert "Next: coherence simulate run" in text
    records = json.loads(call("--json").stdout)
    assert len(records) == 4 * 5 * 2
    assert [made["rules"] for made in records[:2]] == ["paper", "engine"]


# A policy that the user supplies

EXAMPLES = Path(__file__).parents[2] / "examples"


def simulated(*arguments: str, folder: Path = EXAMPLES) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "run", "planning", "--runs", "2", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_policy_of_an_imported_module_is_played_beside_the_papers_strategies():
    done = simulated("--import", "own_policy", "-s", "lazy", "-s", "PushToFew", "--json", "--check")
    assert done.returncode == 0, done.stderr
    records = json.loads(done.stdout)
    assert [(made["strategy"], made["rules"]) for made in records] == [
        ("lazy", "paper"),
        ("lazy", "engine"),
        ("PushToFew", "engine"),
    ]
    assert records[2]["push_tokens_mean"] > 0
    assert records[1]["push_tokens_mean"] == 0


@pytest.mark.slow
def test_worker_processes_import_it_too(tmp_path):
    (tmp_path / "plays.py").write_text(
        "import sys\n"
        "from coherence.simulate import cli, jobs\n"
        "if __name__ == '__main__':\n"
        "    jobs.PARALLEL_ACTIONS_MIN = 0\n"
        "    jobs.os.cpu_count = lambda: 2\n"
        "    cli.app(sys.argv[1:])\n"
    )
    (tmp_path / "own_policy.py").write_text((EXAMPLES / "own_policy.py").read_text())
    arguments = ["--import", "own_policy", "-s", "PushToFew", "--json"]
    done = subprocess.run(
        [sys.executable, "plays.py", "run", "planning", "--runs", "2", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == simulated(*arguments, folder=tmp_path).stdout


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(
    ("policy", "arguments", "told"),
    [
        ("few: int", [], "give each setting of the policy a default"),
        ("few: int = 3", ["--rules", "paper"], "the paper has no rules for it"),
    ],
)
def test_a_policy_that_cannot_be_played_is_refused(tmp_path, policy, arguments, told):
    (tmp_path / "mine.py").write_text(
        "from coherence import Policy\n"
        f"class Mine(Policy, frozen=True, kw_only=True):\n    {policy}\n"
    )
    done = simulated("--import", "mine", "-s", "Mine", *arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr.replace("\n", " ")


def test_a_run_is_recorded_as_a_workspace_records_it(tmp_path):
    said = call("record", "churn", str(tmp_path / "runs"), "-s", "eager", "--seed", "3").output
    assert "3 files" in said
    files = sorted((tmp_path / "runs").iterdir())
    assert [file.name for file in files] == [
        "design.md.ndjson",
        "plan.md.ndjson",
        "state.json.ndjson",
    ]
    for file in files:
        lines = list(read(file))
        assert len(lines) > 100
        assert header(file).about["clock"] == "simulation"
        assert [line.moment for line in lines] == sorted(line.moment for line in lines)
    again = tmp_path / "again"
    call("record", "churn", str(again), "-s", "eager", "--seed", "3")
    assert (again / "plan.md.ndjson").read_bytes() == files[1].read_bytes()


def test_recording_changes_no_figure(tmp_path):
    scenario = catalogue.find("churn")
    assert engine.run(scenario, "lazy", 1, record=tmp_path) == engine.run(scenario, "lazy", 1)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "runs")
    assert "unrecorded" in call("record", "churn", folder, code=3).output
