"""The commands `replay` and `fit`, as a user calls them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coherence.simulate import cli
from coherence.simulate.experiments.figures import Comparison
from coherence.simulate.replay.errors import GitFailed, NoRepository, ShallowHistory
from coherence.simulate.replay.git import Repository

ROOT = Path(__file__).parents[2]
HISTORIES = ROOT / "simulations" / "histories"

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def call(*arguments: str | Path, code: int = 0):
    result = CliRunner().invoke(cli.app, [str(each) for each in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def team(made, text):
    for number in range(12):
        made.commit(author=f"agent-{number % 3}", a__txt=text(30 + number), b__txt=text(9 + number))
    return made


@pytest.mark.slow
def test_a_history_is_priced_and_a_saved_one_costs_the_same(team, tmp_path):
    path = tmp_path / "team.history"
    options = ("--agents", "3", "--seeds", "2", "--json", "-q")
    pytest.importorskip("scipy")
    first = call("replay", "--git", team.folder, "--save", path, "--name", "team", *options)
    rows = json.loads(first.stdout)
    assert set(rows[0]) == set(Comparison.__struct_fields__)
    assert {row["scenario"] for row in rows} == {"team"}
    assert call("replay", path, *options).stdout == first.stdout


def test_the_command_in_a_saved_history_makes_it_again(team, tmp_path, monkeypatch):
    path = tmp_path / "repo.history"
    call(
        "replay",
        "--git",
        team.folder,
        "--since",
        "2020-01-01",
        "--paths",
        "*.txt",
        "-q",
        "-s",
        "lazy",
        "--save",
        path,
    )
    before = path.read_bytes()
    words = json.loads(before.partition(b"\n")[0])["history"]["command"].split()
    monkeypatch.chdir(tmp_path)
    team.commit(c__md="another\n")
    call(*[word.strip("'") for word in words[2:]], "-q", "-s", "lazy")
    assert path.read_bytes() == before


def test_the_tables_say_where_the_history_is_from(team):
    text = call("replay", "--git", team.folder, "--by", "window", "-s", "adaptive").stdout
    flat = " ".join(text.split())
    assert "repo: 12 commits of the mainline" in flat
    assert "Team: 4 agents, 24 calls." in flat
    assert max(map(len, text.splitlines()[:12])) <= 80


def test_a_recorded_run_stands_beside(tmp_path):
    events = [
        {"coherence": "call", "ref": "", "agent": "ann", "tokens": 2_000, "held": []},
        {"coherence": "publish", "ref": "a@1", "agent": "ann", "tokens": 800},
        {"coherence": "call", "ref": "", "agent": "bob", "tokens": 2_000, "held": []},
        {"coherence": "fill", "ref": "a@1", "agent": "bob", "tokens": 800, "served": "full"},
        {"coherence": "call", "ref": "", "agent": "bob", "tokens": 2_900, "held": ["a@1"]},
    ]
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    rows = json.loads(call("replay", "--trace", path, "--json", "-s", "adaptive").stdout)
    assert [row["strategy"] for row in rows] == ["recorded", "adaptive"]
    assert rows[0]["transferred_tokens_mean"] == 800
    assert "as recorded: 800 tokens transferred" in call("replay", "--trace", path).stdout


@pytest.mark.slow
def test_the_history_of_this_project():
    """In a shallow checkout, or without git's folder, there is none to replay."""
    try:
        Repository(ROOT).commit("HEAD")
    except ShallowHistory:
        said = call("replay", "--git", ROOT, code=2).stderr
        assert "git fetch --unshallow" in said
        pytest.skip("a shallow checkout")
    except (NoRepository, GitFailed) as error:
        pytest.skip(f"not a checkout: {error}")
    options = ("--by", "window", "--paths", "coherence", "--tokens", "estimate", "--json", "-q")
    strategies = ("-s", "lazy_delta", "-s", "push_delta", "-s", "adaptive")
    check(json.loads(call("replay", "--git", ROOT, *options, *strategies).stdout))


def check(rows: list[dict]) -> None:
    """The adaptive rule beside the better of asking and telling, and the offline choice."""
    above = {row["strategy"]: row["above_mean"] for row in rows}
    better = min(above["lazy_delta"], above["push_delta"])
    assert above["adaptive"] <= 1.1 * better
    (adaptive,) = [row for row in rows if row["strategy"] == "adaptive"]
    assert adaptive["above_of_offline"]["value"] <= 1.7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "by"),
    [
        *((name, "author") for name in ("flask", "peps", "requests", "zod")),
        ("requests", "burst"),
        ("flask", "window"),
    ],
)
def test_adaptive_on_histories_of_two_thousand_commits(name, by):
    arguments = [HISTORIES / f"{name}.history", "--by", by, "-s", "lazy_delta", "-s", "push_delta"]
    check(json.loads(call("replay", *arguments, "-s", "adaptive", "--json", "-q").stdout))


@pytest.mark.slow
def test_a_page_names_the_artifacts(tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    path, page = tmp_path / "run.jsonl", tmp_path / "page.html"
    events = [
        {"coherence": "publish", "ref": "plan.md@1", "agent": "ann", "tokens": 800},
        {"coherence": "fill", "ref": "plan.md@1", "agent": "bob", "tokens": 800},
    ]
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    call("replay", "--trace", path, "-s", "adaptive", "-q", "--html", page)
    assert "plan.md" in page.read_text()


# Bad input


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay"], "give one of FILE, --git and --trace"),
        (["replay", "x", "--git", "y"], "give one of"),
        (["replay", "x", "--since", "2020-01-01"], "go with --git"),
        (["replay", "--trace", "x", "--save", "y"], "--save keeps a history"),
        (["replay", "nowhere.history"], "invalid-history: nowhere.history: no such file"),
        (["replay", "--git", "nowhere"], "no-repository: nowhere"),
        (["replay", "--trace", "nowhere"], "invalid-trace: nowhere: no such file"),
        (["replay", "nowhere", "--by", "authors"], "did you mean 'author'"),
        (["replay", "nowhere", "--readers", "import"], "did you mean 'imports'"),
        (["replay", "nowhere", "-s", "lazzy"], "did you mean 'lazy'"),
        (["replay", "nowhere", "--prices", "nothing"], "no such price model"),
        (["replay", "nowhere", "--cuts", "2"], "--cuts"),
        (["replay", "nowhere", "--pause", "inf"], "finite number"),
        (["fit"], "give a HISTORY to fit to"),
        (["fit", "nowhere"], "invalid-history"),
        (["fit", "--on", "nowhere", "--by", "x"], "--by 'x': unknown"),
    ],
)
def test_a_wrong_request_is_named(arguments, said):
    assert said in " ".join(call(*arguments, code=2).stderr.split())


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("date", ["yesterday", "2020", "2020-13-01"])
def test_a_date_is_a_date(team, date):
    """Git would take any word for a time, such as now."""
    assert "not a date" in call("replay", "--git", team.folder, "--since", date, code=2).stderr


def test_one_author_is_told_what_to_use(made):
    made.commit(a__txt="one\n")
    said = call("replay", "--git", made.folder, code=2).stderr
    assert "one-author" in said
    assert "use --by burst or --by window" in said


@pytest.mark.slow
def test_git_is_not_needed_for_a_saved_history(team, tmp_path):
    path = tmp_path / "team.history"
    call("replay", "--git", team.folder, "--save", path, "-s", "lazy", "-q")
    program = "import sys; from coherence.simulate.cli import main; main(sys.argv[1:], 'x')"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            program,
            "replay",
            str(path),
            "-s",
            "adaptive",
            "-q",
        ],
        env={"PATH": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# The fit


@pytest.mark.slow
def test_a_fit_is_printed_as_its_file():
    text = call("fit", HISTORIES / "requests.history", "-q").stdout
    assert text.startswith("rewrites = 0.0")
    assert 'source = "requests 1f6589ec3a1e"' in text


@pytest.mark.slow
def test_a_fit_is_judged():
    rows = json.loads(
        call("fit", "--on", HISTORIES / "requests.history", "-s", "push_delta", "--json").stdout
    )
    (row,) = rows
    assert row["history"] == "requests"
    assert not row["is_fitted"]
    assert row["distance_tokens"] <= 0.18
    assert abs(row["floor_drawn"] / row["floor_real"] - 1) <= 0.15
