"""The plugin of pytest, in runs of pytest within the test."""

import pytest

pytest_plugins = ["pytester"]

#: In a checkout that was installed before there was a plugin, only this loads it.
LOADED = ("-p", "coherence_pytest")

LOSING = """
def add(agent, word):
    text = agent.read("plan.md").text
    agent.write("plan.md", text + word, overwrite=True)

def test_both_words_are_kept(team):
    team.agent("setup").write("plan.md", "")
    team.run(
        ann=lambda: add(team.agent("ann"), "a"),
        bob=lambda: add(team.agent("bob"), "b"),
    )
"""
_, _, _TEST = LOSING.partition("def test")
KEEPING = f"""
def add(agent, word):
    agent.update("plan.md", lambda text: text + word)

def test{_TEST}"""
LOCKED = """
import threading
import pytest

class Notes:
    def __init__(self):
        self.lock = threading.Lock()

@pytest.fixture
def notes():
    return Notes()

def add(agent, word, lock):
    with lock:
        agent.write("plan.md", agent.read("plan.md").text + word)

class TestBoth:
    def setup_method(self):
        self.notes = Notes()

    @pytest.mark.explore(proof=True)
    @pytest.mark.parametrize("own", [True, False])
    def test_both_words_are_kept(self, team, notes, own):
        lock = self.notes.lock if own else notes.lock
        team.agent("setup").write("plan.md", "")
        team.run(
            ann=lambda: add(team.agent("ann"), "a", lock),
            bob=lambda: add(team.agent("bob"), "b", lock),
        )
        assert sorted(team.agent("setup").read("plan.md").text) == ["a", "b"]
"""
TIMED = """
import pytest
from coherence import GrantTimeout

def test_time(workspace, clock):
    ann, bob = workspace.agent("ann"), workspace.agent("bob")
    with ann.edit("plan.md") as draft:
        draft.text = "x"
        clock.pass_(600)
        with pytest.raises(GrantTimeout), bob.edit("plan.md", wait_s=60):
            pass
    assert clock() == 660
    assert bob.read("plan.md").text == "x"
"""


@pytest.fixture
def run(pytester):
    """Runs pytest on a file of this text."""

    def run(text, *options, how=pytester.runpytest_inprocess):
        if text:
            pytester.makepyfile(test_it=text)
        return how(*LOADED, "-p", "no:cacheprovider", *options)

    return run


def kept(pytester, what="found"):
    folder = pytester.path / ".coherence" / what
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# Explored tests


def test_a_test_with_a_team_is_explored_and_its_failure_says_how_to_see_it_again(run, pytester):
    done = run(LOSING)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            "*LostUpdate: * replaced plan.md@2, without having seen *",
            "*to see it again: replay(program, '*')",
            "*or: pytest 'test_it.py::test_both_words_are_kept' --coherence-replay '*'",
        ]
    )
    assert "exploring.py" not in done.stdout.str()
    assert kept(pytester) == ["test_it.py%3A%3Atest_both_words_are_kept"]
    assert (pytester.path / ".coherence/.gitignore").read_text() == "*\n"


@pytest.mark.slow
def test_the_token_in_the_report_plays_that_schedule_alone(run):
    told = run(LOSING).stdout.str()
    token = told.partition("--coherence-replay '")[2].partition("'")[0]
    done = run("", "--coherence-replay", token)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*found in schedule 1, with *"])
    other = run(KEEPING, "--coherence-replay", token)
    other.assert_outcomes(failed=1)
    other.stdout.fnmatch_lines(["*BadToken: *"])


@pytest.mark.slow
def test_what_was_found_is_tried_first_and_forgotten_when_it_is_mended(run, pytester):
    run(LOSING)
    (name,) = kept(pytester)
    done = run("")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*found in schedule 1, with *"])
    run(KEEPING).assert_outcomes(passed=1)
    assert kept(pytester) == []
    (pytester.path / ".coherence/found" / name).write_text("no [token")
    run("").assert_outcomes(passed=1)


def test_the_account_of_a_proof_is_shown_with_v_and_that_of_less_always(run):
    assert "explored" not in run(KEEPING).stdout.str()
    run("", "-v").stdout.fnmatch_lines(["* explored *", "test_it.py::* proof: * schedules*"])
    done = run("", "--coherence-schedules", "1")
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["* explored *", "test_it.py::* undetermined: 1 schedules*"])


@pytest.mark.slow
def test_the_marker_has_the_settings_of_explore_and_can_demand_a_proof(run):
    marked = "import pytest\n\npytestmark = pytest.mark.explore(proof=True)\n" + KEEPING
    run(marked, "--strict-markers").assert_outcomes(passed=1)
    nearer = marked.replace("def test", "@pytest.mark.explore(schedules=1)\ndef test")
    done = run(nearer)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*is not proved: undetermined: 1 schedules*"])
    run(
        LOSING.replace("def test", "@pytest.mark.explore(find=['error'])\ndef test").replace(
            "\ndef add", "import pytest\n\ndef add"
        )
    ).assert_outcomes(passed=1)


@pytest.mark.slow(fast=2)
@pytest.mark.parametrize(
    ("test", "why"),
    [
        ("async def test_it(team): pass", "a coroutine function"),
        ("@pytest.mark.explore()\ndef test_it(): pass", "does not take team"),
        ("def test_it(team, workspace): pass", "workspace lives longer than a schedule"),
        (
            "@settings(suppress_health_check=HealthCheck)\n"
            "@given(nothing=st.none())\n"
            "def test_it(team, nothing): pass",
            "Hypothesis runs it",
        ),
        (
            "@pytest.fixture\ndef mine(team): return team.agent('ann')\n"
            "def test_it(team, mine): pass",
            "a fixture has no team",
        ),
        (
            "@pytest.fixture\ndef team(): pass\n@pytest.mark.explore\ndef test_it(team): pass",
            "another fixture is named team",
        ),
    ],
)
def test_a_test_that_cannot_be_explored_says_why(run, test, why):
    head = (
        "import pytest\nfrom hypothesis import HealthCheck, given, settings, strategies as st\n\n"
    )
    done = run(head + test)
    done.stdout.fnmatch_lines([f"*{why}*"])
    assert done.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    "options",
    [("--coherence-replay", "ann bob"), ("--coherence-schedules", "0")],
    ids=["two tests", "no schedules"],
)
def test_options_that_cannot_be_followed_are_usage_errors(run, options):
    two = KEEPING + "\ndef test_other(team): pass\n"
    assert run(two, *options).ret == pytest.ExitCode.USAGE_ERROR


def test_other_fixtures_and_parameters_are_given_to_each_schedule(run):
    text = KEEPING.replace("(team)", "(team, tmp_path, word)").replace('"b"', "word")
    text = text.replace("def test", "@pytest.mark.parametrize('word', 'bc')\ndef test")
    run("import pytest\n" + text + "    assert tmp_path.exists()\n").assert_outcomes(passed=2)


def test_locks_of_fixtures_and_of_the_test_are_those_of_each_schedule(run):
    done = run(LOCKED, "-v")
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines(["*test_both_words_are_kept*: proof: 22 schedules, *"])


def test_a_team_of_the_application_is_its_own(run):
    text = (
        "import pytest\n@pytest.fixture\ndef team(): return ['ann']\n"
        "def test_it(team): assert team == ['ann']\n"
    )
    run(text).assert_outcomes(passed=1)


# Fixtures


def test_time_is_the_tests_own(run):
    run(TIMED).assert_outcomes(passed=1)


@pytest.mark.slow
def test_a_recorded_test_is_judged_and_its_steps_are_kept_if_it_fails(run, pytester):
    text = (
        "def test_it(workspace, recorded):\n"
        "    workspace.agent('ann').write('plan.md', 'x')\n"
        "    assert workspace.agent('bob').read('plan.md').text == {}\n"
    )
    run(text.format("'x'")).assert_outcomes(passed=1)
    assert kept(pytester, "recorded") == []
    done = run(text.format("'y'"))
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*the steps of this test are in *"])
    assert kept(pytester, "recorded") == ["test_it.py%3A%3Atest_it"]
    (folder,) = (pytester.path / ".coherence/recorded").iterdir()
    assert [path.name for path in folder.iterdir()] == ["plan.md.ndjson"]
    run(text.format("'x'")).assert_outcomes(passed=1)
    assert kept(pytester, "recorded") == []


def test_a_recorded_step_that_breaks_a_promise_is_an_error(run, pytester):
    text = (
        "from coherence import Workspace\n"
        "def test_it(recorded):\n"
        "    with Workspace(recorder=recorded) as workspace:\n"
        "        workspace.agent('ann').write('plan.md', 'x')\n"
        "    recorded.close()\n"
        "    path = recorded.path('plan.md')\n"
        '    path.write_text(path.read_text().replace(\'"state":"\', \'"state":"0\'))\n'
    )
    done = run(text)
    done.assert_outcomes(passed=1, errors=1)
    assert kept(pytester, "recorded") == ["test_it.py%3A%3Atest_it"]


# Other stores


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_same_tests_on_another_store(kind, run, pytester, request):
    url = "sqlite:///team.db"
    if kind == "postgres":
        url = request.getfixturevalue("postgres").url()
    where = f"""
def test_where(team, request):
    assert type(team.workspace._site.store).__name__.lower().startswith("{kind}")

def test_where_it_is(workspace):
    assert type(workspace._site.store).__name__.lower().startswith("{kind}")
"""
    text = TIMED + KEEPING.replace(
        "def test_both", "@pytest.mark.explore(proof=True)\ndef test_both"
    )
    how = pytester.runpytest_subprocess  # psycopg cannot be imported twice
    run(text + where, "--coherence-store", url, how=how).assert_outcomes(passed=4)
    run(LOSING, "--coherence-store", url, how=how).assert_outcomes(failed=1)
    (found,) = kept(pytester)
    token = (pytester.path / ".coherence/found" / found).read_text()
    done = run(None, "--coherence-store", url, "--coherence-replay", token, how=how)
    done.stdout.fnmatch_lines(["LostUpdate: *"])
    assert not (pytester.path / "team.db").exists()


@pytest.mark.slow
def test_a_store_that_cannot_be_reached_is_told_without_a_schedule(run, pytester):
    url = "postgresql://nobody@127.0.0.1:1/x"
    how = pytester.runpytest_subprocess
    done = run(KEEPING + TIMED, "--coherence-store", url, how=how)
    done.assert_outcomes(failed=1, errors=1)
    done.stdout.fnmatch_lines(["StoreMissing: PostgreSQL: *"])
    done.stdout.no_fnmatch_line("*found in schedule*")


# What it costs


@pytest.mark.slow
def test_a_run_that_asks_for_nothing_imports_nothing_of_ours(run, pytester):
    text = (
        "import sys\n"
        "def test_it():\n"
        "    ours = {'coherence', 'message_passing', 'causal', 'specs'}\n"
        "    frameworks = {'langgraph', 'crewai', 'autogen_core', 'hypothesis'}\n"
        "    assert (ours | frameworks) & set(sys.modules) == set()\n"
    )
    quiet = ("-p", "no:hypothesispytest", "-p", "no:_hypothesis_pytestplugin")
    run(text, *quiet, how=pytester.runpytest_subprocess).assert_outcomes(passed=1)


@pytest.mark.slow
def test_a_run_with_a_team_imports_no_framework(run, pytester):
    text = KEEPING + (
        "\ndef test_last():\n"
        "    import sys\n"
        "    assert not {'coherence_langgraph', 'langgraph', 'hypothesis'} & set(sys.modules)\n"
    )
    quiet = (
        "-p",
        "no:hypothesispytest",
    )
    run(text, *quiet, how=pytester.runpytest_subprocess).assert_outcomes(passed=2)
