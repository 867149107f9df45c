"""The file of results: what it keeps, what it refuses, and what no fault can take from it."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager

import msgspec
import pytest

from coherence.simulate.experiments.play import Costs
from coherence.simulate.sweeps import measuring, planning, pools, results, running, tables
from coherence.simulate.sweeps.measuring import Ideal, Staleness
from coherence.simulate.sweeps.results import ForeignResults, Results, ResultsFault

pytest.importorskip("scipy", reason="intervals need scipy")

COMMAND = [sys.executable, "-m", "coherence.simulate", "sweep"]


@contextmanager
def opened(file):
    with closing(sqlite3.connect(file)) as db, db:
        yield db


def rows(file):
    with opened(file) as db:
        return db.execute("SELECT key, kind, parameters, figures FROM measurements").fetchall()


@pytest.fixture
def performed(monkeypatch):
    """The measurements that are made, whatever made them necessary."""
    made = []

    def noted(task):
        made.extend(task)
        return measuring.perform(task)

    monkeypatch.setattr(pools, "perform", noted)
    return made


# Going on


def test_nothing_is_measured_twice(make_sweep, tmp_path, performed):
    file = tmp_path / "r.db"
    first = running.run(make_sweep(), out=file)
    assert len(performed) == len(rows(file)) == first.asked == first.done
    performed.clear()
    progress = []
    again = running.run(make_sweep(), out=file, advance=lambda *counts: progress.append(counts))
    assert performed == []
    assert again == first
    assert progress == [(first.asked, first.asked)]


def test_a_changed_grid_shares_what_it_can(make_sweep, tmp_path, performed):
    file = tmp_path / "r.db"
    before = running.run(make_sweep(), out=file)
    performed.clear()
    changed = make_sweep(over={"loss_probability": [0.3, 0.6]}, fixed={"seeds": 4})
    after = running.run(changed, out=file)
    # Of the old seeds the network's new value alone is new; the new seed is new altogether.
    old = [each for each in performed if each.seed < 20260311]
    assert {each.kind for each in old} == {"staleness"}
    assert {each.team.loss_probability for each in old} == {0.6}
    assert len(old) == 2 * 2 * 3
    assert {line.point["loss_probability"] for line in after.lines} == {0.3, 0.6}
    assert running.run(make_sweep(), out=file) == before
    assert running.run(changed) == after


def test_a_row_has_its_parameters_and_can_be_read_by_others(make_sweep, tmp_path):
    file = tmp_path / "r.db"
    running.run(make_sweep(), out=file)
    kinds = set()
    for key, kind, parameters, figures in rows(file):
        values = msgspec.json.decode(parameters)
        assert values["of"] == kind
        seed = values.pop("seed")
        assert list(measuring.keys_of(values, [seed])) == [key]
        kinds.add((kind, *msgspec.json.decode(figures)))
    assert kinds == {
        ("costs", *Costs.__struct_fields__),
        ("ideal", *Ideal.__struct_fields__),
        ("staleness", *Staleness.__struct_fields__),
    }


# Several at once


AT_ONCE = """\
import sys
from coherence.simulate.sweeps import requests, running, tables
running.SAVE_EVERY_S = 0.0
sweep = requests.parse(sys.argv[1], "small.toml")
print("ready", flush=True)
input()
sys.stdout.write(tables.as_csv(sweep, running.run(sweep, out=sys.argv[2]).lines))
"""


@pytest.mark.slow
def test_two_sweeps_at_one_file_at_once(make_sweep, tmp_path):
    file = tmp_path / "r.db"
    rest = "[over]\nagents = [{}, {}]\nstrategy = ['lazy', 'adaptive']\n"
    texts = ["steps = 8\nseeds = 9\n" + rest.format(*agents) for agents in [(2, 3), (3, 4)]]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", AT_ONCE, text, file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for text in texts
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate()[0] for process in both]
    sweeps = [make_sweep(text) for text in texts]
    assert told == [tables.as_csv(sweep, running.run(sweep).lines) for sweep in sweeps]
    wanted = {key for sweep in sweeps for key in planning.needed(sweep).measurements}
    assert {key for key, *_ in rows(file)} == wanted


def test_what_another_sweep_has_done_meanwhile_is_not_done_again(make_sweep, tmp_path, performed):
    file = tmp_path / "r.db"
    told = []

    def advance(done, asked):
        told.append(done)
        if len(told) == 2:  # after the first task
            running.run(make_sweep(), out=file)

    outcome = running.run(make_sweep(), out=file, advance=advance)
    assert not outcome.is_partial
    # The other sweep did not see the first task, which was not saved; the rest was done once.
    assert len(performed) <= outcome.asked + len(measuring.tasks(performed)[0])


# What is refused


def test_results_of_another_form_are_refused_and_left_alone(make_sweep, tmp_path):
    file = tmp_path / "r.db"
    running.run(make_sweep(fixed={"seeds": 1}), out=file)
    with opened(file) as db:
        db.execute(f"PRAGMA user_version = {results.FORM + 1}")
    before = file.read_bytes()
    with pytest.raises(
        ForeignResults, match=rf"form {results.FORM + 1}, and .* form {results.FORM}"
    ):
        running.run(make_sweep(), out=file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database, but as long as a header is" * 9, "database"])
def test_a_file_of_another_kind_is_refused_and_left_alone(make_sweep, tmp_path, content):
    file = tmp_path / "r.db"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        with opened(file) as db:
            db.execute("CREATE TABLE notes (text)")
    before = file.read_bytes()
    with pytest.raises(ForeignResults, match="another file"):
        running.run(make_sweep(), out=file)
    assert file.read_bytes() == before


def test_a_place_where_no_file_can_be_is_named(make_sweep, tmp_path):
    for place in (tmp_path, tmp_path / "nowhere" / "r.db"):
        with pytest.raises(ResultsFault, match="a folder that exists"):
            running.run(make_sweep(), out=place)


def test_a_file_that_cannot_be_written_still_shows_what_it_has(make_sweep, tmp_path, monkeypatch):
    file = tmp_path / "r.db"
    whole = running.run(make_sweep(), out=file)
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3,
        "connect",
        lambda path, **options: connect(f"file:{path}?mode=ro", uri=True, **options),
    )
    assert running.run(make_sweep(), out=file) == whole
    outcome = running.run(make_sweep(fixed={"seeds": 4}), out=file)
    assert isinstance(outcome.fault, ResultsFault)
    assert "writable" in str(outcome.fault)


def test_damaged_figures_are_typed(make_sweep, tmp_path):
    file = tmp_path / "r.db"
    running.run(make_sweep(), out=file)
    with opened(file) as db:
        db.execute("UPDATE measurements SET figures = '{}'")
    with pytest.raises(ResultsFault, match="damaged"):
        running.run(make_sweep(), out=file)


def test_a_file_that_another_program_holds_is_typed(make_sweep, tmp_path, monkeypatch):
    file = tmp_path / "r.db"
    Results(file).__exit__(None, None, None)
    monkeypatch.setattr(results, "_BUSY_S", 0.0)
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        outcome = running.run(make_sweep(), out=file)
        holder.execute("ROLLBACK")
    assert isinstance(outcome.fault, ResultsFault)
    assert "another program holds the file" in str(outcome.fault)


# A full disk, and a killed process

FULL = """\
import resource, sys
from coherence.simulate.sweeps import requests, running

running.SAVE_EVERY_S = 0.0
sweep = requests.parse(sys.stdin.read(), "small.toml")
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
outcome = running.run(sweep, out=sys.argv[1])
print(type(outcome.fault).__name__, outcome.is_partial, len(outcome.lines), outcome.fault)
"""


@pytest.mark.slow
def test_a_full_disk_is_typed_and_takes_nothing(make_sweep, tmp_path):
    file = tmp_path / "r.db"
    text = "steps = 8\nseeds = 9\n[over]\nagents = [2, 3]\nstrategy = ['lazy', 'adaptive']\n"
    done = subprocess.run(
        [sys.executable, "-c", FULL, file], input=text, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("ResultsFault True "), done.stderr
    assert "make room" in done.stdout
    assert "goes on from there" in done.stdout
    kept = len(rows(file))
    sweep = make_sweep(text)
    counts = []
    outcome = running.run(sweep, out=file, advance=lambda *count: counts.append(count))
    assert counts[0] == (kept, outcome.asked)
    assert 0 < kept < outcome.asked
    assert outcome == running.run(sweep)


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_where_it_was(tmp_path):
    file = tmp_path / "r.db"
    # Minutes of work; killed as soon as it has saved something.
    grid = ["--over", "agents=40,50", "--over", "strategy=lazy,adaptive", "--seeds", "300"]
    process = subprocess.Popen(
        [*COMMAND, *grid, "--out", file, "--jobs", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for _ in process.stderr:  # every two seconds, and rows are saved every second
        if rows(file):
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    kept = {key: found for key, *found in rows(file)}
    assert kept
    done = subprocess.run(
        [*COMMAND, *grid, "--seeds", "2", "--out", file, "--csv", "-q"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 1 + 4
    after = {key: found for key, *found in rows(file)}
    assert kept.items() <= after.items()
