"""Stores that URLs name in a test: on its time, empty at first, gone after it."""

import gc
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import programs

from coherence import (
    AsyncWorkspace,
    BadArgument,
    BadUrl,
    Conflict,
    Fenced,
    GrantTimeout,
    StoreFault,
    StoreMissing,
    StoreReadOnly,
    Workspace,
)
from coherence.stores.memory import MemoryStore
from coherence.stores.port import Retention
from coherence.stores.postgres import PostgresStore
from coherence.stores.sqlite import SqliteStore
from coherence.testing import ExplorationVerdict, Found, VirtualClock, explore, replay

KINDS = ("sqlite", "postgres")


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/team.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def clock():
    with VirtualClock(1_000.0) as made:
        yield made


def left(server):
    """The schemas of tests that are in the server."""
    wanted = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'coherence_scratch%'"
    return [name for (name,) in server.run(wanted)]


# Time.


def test_what_a_store_stamps_has_the_time_of_the_test(clock, url):
    with clock.workspace(url) as workspace:
        ann, times = workspace.agent("ann"), []
        for text in "abcde":  # after some, a server gets a write in one exchange
            clock.pass_(3.5)
            ann.write("plan", text)
            times.append(clock())
        assert [entry.at for entry in workspace.history("plan")] == times
        (member,) = workspace.members()
        assert member.since == 1_000.0


def test_leases_end_when_time_passes_and_not_before(clock, url):
    """Fails for a store on other time: there no lease ends."""
    with clock.workspace(url) as workspace, clock.workspace(url) as other:
        slow, fast = workspace.agent("slow"), other.agent("fast")

        def sleep_long():
            with slow.edit("plan", hold_s=10) as draft:
                draft.text = "slow"
                clock.pass_(9)
                with pytest.raises(GrantTimeout):
                    fast.write("plan", "fast", wait_s=0)
                clock.pass_(60)
                fast.write("plan", "fast")

        with pytest.raises(Fenced):
            sleep_long()
        assert slow.read("plan").text == "fast"
        with slow.edit("plan"):
            begun = clock()
            with pytest.raises(GrantTimeout), fast.edit("plan", wait_s=30):
                pass
            assert clock() == begun + 30


def test_old_versions_go_by_the_time_of_the_test(clock, url):
    with clock.workspace(url, retention=Retention(versions=None, age_s=3_600)) as workspace:
        ann = workspace.agent("ann")
        ann.write("plan", "1")
        clock.pass_(3_000)
        ann.write("plan", "2")
        clock.pass_(700)
        ann.write("plan", "3")
        workspace.gc()
        assert [entry.version for entry in workspace.history("plan")] == [2, 3]


def test_two_workspaces_at_one_url_are_one_store_and_two_urls_are_two(clock, url, postgres):
    again = url.replace("postgresql:", "postgres:").replace("sqlite:///", "sqlite:////.")
    with clock.workspace(url) as one, clock.workspace(again.replace("/./", "/")) as two:
        one.agent("ann").write("plan", "text")
        assert one.identity == two.identity
        assert two.agent("bob").read("plan").text == "text"
    with clock.workspace(url) as later:
        assert later.agent("ann").read("plan").text == "text"
    with clock.workspace(postgres.fresh()) as other:
        assert other.names() == []


def test_a_store_on_other_time_is_refused_by_a_clock_and_doubted_in_a_run(clock, tmp_path):
    store = SqliteStore(tmp_path / "team.db")
    with pytest.raises(BadArgument, match="SqliteStore on time of its own"):
        clock.workspace(store)
    store.close()  # it was passed in, so it was left open

    def program(team):
        with team.open(MemoryStore()) as workspace:
            return workspace.names()

    result = explore(program)
    assert result.verdict is ExplorationVerdict.UNDETERMINED
    assert "a MemoryStore is on time of its own" in result.doubts


# From nothing to nothing.


def test_what_a_url_names_outside_is_neither_read_nor_changed(url, tmp_path, postgres):
    with Workspace(url) as real:
        real.agent("ann").write("plan", "real")
        real.agent("ann").write("other", "real")

    def program(team):
        found = team.workspace.names()
        team.agent("ann").write("plan", "explored")
        opened = Workspace(url)  # such as an adapter opens one
        names = opened.names()
        opened.close()
        return found, names

    result = explore(program, store=url)
    assert list(result.outcomes) == ["([], ['plan'])"]
    with Workspace(url) as real:
        assert real.names() == ["other", "plan"]
        assert real.agent("bob").read("plan").text == "real"
    assert left(postgres) == []


def test_a_workspace_for_tasks_that_the_program_opens(url):
    def program(team):
        async def work(name):
            async with AsyncWorkspace(url) as workspace:
                agent = await workspace.agent(name)
                for _ in "12":
                    await agent.update("plan", lambda text: text + name[0])
                assert await agent.list() == ["plan"]
                assert len(await agent.history("plan")) >= 2

        team.run_async(ann=lambda: work("ann"), bob=lambda: work("bob"))
        with team.open(url) as workspace:
            text = workspace.agent("init").read("plan").text
        assert sorted(text) == ["a", "a", "b", "b"]
        return text

    result = explore(program)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert "'abab'" in result.outcomes


class Stop(BaseException):
    pass


def test_nothing_is_left_of_an_exploration_that_is_cut_off(url, postgres, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))

    def program(team):
        team.agent("init").write("plan", "")
        team.open(url).agent("ann")
        raise Stop

    with pytest.raises(Stop):
        explore(program, store=url)
    with pytest.raises(Found):
        explore(programs.overwriting, store=url)
    assert left(postgres) == []
    assert list(folder.iterdir()) == []


def test_a_clock_that_nobody_closes_leaves_nothing(postgres):
    clock = VirtualClock()
    clock.workspace(postgres.url()).close()
    assert len(left(postgres)) == 1
    del clock
    gc.collect()
    assert left(postgres) == []


def test_a_workspace_that_is_open_at_the_end_of_its_clock(url, postgres):
    with VirtualClock() as clock:
        workspace = clock.workspace(url)
        workspace.agent("ann").write("plan", "")
    assert left(postgres) == []
    with pytest.raises(StoreFault):
        workspace.agent("ann").write("plan", "later")
    site = workspace._site
    site.sessions.clear()
    workspace.close()


KILLED = """
import sys
from coherence.testing import VirtualClock
clock = VirtualClock()
clock.workspace(sys.argv[1]).agent("ann").write("plan", "")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_the_schema_of_a_process_that_was_killed_is_dropped_by_the_next(postgres):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, postgres.url()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        explore(programs.updating, store=postgres.url())
        assert len(left(postgres)) == 1, "one that lives keeps its schema"
        process.kill()
    until = time.monotonic() + 60
    while postgres.run("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"):
        assert time.monotonic() < until
    explore(programs.updating, store=postgres.url())
    assert left(postgres) == []


INTERRUPTED = """
import sys
sys.path.insert(0, sys.argv[2])
import programs
from coherence.testing import explore
def program(team):
    programs.typical(team)
    print("run", flush=True)
try:
    explore(program, store=sys.argv[1], reduce=False, seconds=1_000)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.slow
def test_an_exploration_that_is_interrupted_leaves_nothing(postgres):
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, postgres.url(), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        for _ in range(3):
            assert process.stdout.readline() == "run\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read().splitlines()[-1] == "interrupted"
    assert left(postgres) == []


# Bad input.


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("postgresql://nobody@127.0.0.1:1/x", StoreMissing),
        ("postgresql://user:pass word@host/x", BadUrl),
        ("sqlite://team.db", BadUrl),
        ("memory://path", BadUrl),
        ("nothing:", BadUrl),
    ],
)
def test_a_url_that_leads_nowhere_is_an_error_and_no_finding(url, error, clock):
    with pytest.raises(error) as raised:
        clock.workspace(url)
    assert raised.value.remedy or error is BadUrl
    with pytest.raises(error):
        explore(programs.updating, store=url, find=["lost update"])
    with pytest.raises(error):
        explore(lambda team: team.open(url))
    with pytest.raises(error):
        replay(programs.updating, "ann bob", store=url)


@pytest.mark.slow
def test_a_machine_without_the_driver_is_told_what_to_install():
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from coherence import StoreMissing\n"
        "from coherence.testing import VirtualClock\n"
        "try: VirtualClock().workspace('postgresql://x@y/z')\n"
        "except StoreMissing as error: print(error.remedy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "psycopg" in done.stdout


def test_a_program_may_meet_a_url_that_leads_nowhere():
    def program(team):
        with pytest.raises(BadUrl):
            team.open("sqlite://team.db")
        return "met"

    assert explore(program).verdict is ExplorationVerdict.PROOF


def test_a_store_that_is_no_url(clock):
    with pytest.raises(BadArgument, match="MemoryStore"):
        explore(programs.updating, store=MemoryStore())
    with pytest.raises(BadArgument):
        replay(programs.updating, "ann", store=None)


def test_a_role_that_may_not_create_schemas_is_told_what_to_grant(postgres, clock):
    postgres.run("CREATE ROLE homeless LOGIN")
    try:
        url = postgres.url().replace("tester@", "homeless@")
        with pytest.raises(StoreReadOnly, match="GRANT CREATE ON DATABASE"):
            clock.workspace(url)
        with pytest.raises(StoreReadOnly):
            explore(programs.updating, store=url)
        assert left(postgres) == []
        postgres.run("GRANT CREATE ON DATABASE postgres TO homeless")
        assert explore(programs.updating, store=url).verdict is ExplorationVerdict.PROOF
        postgres.run("REVOKE CREATE ON DATABASE postgres FROM homeless")
    finally:
        postgres.run("DROP ROLE homeless")


@pytest.mark.slow
def test_a_server_that_goes_away_between_runs_is_an_error(postgres):
    runs = []

    def program(team):
        runs.append(programs.updating(team))
        postgres.cut()

    try:
        with pytest.raises(StoreFault):
            explore(program, store=postgres.url(), bound=None)
        assert len(runs) == 1
    finally:
        explore(programs.updating, store=postgres.url())  # drops what is left
    assert left(postgres) == []


# Row locks.


@pytest.mark.parametrize(
    "faults",
    [
        (),
        *(
            pytest.param((fault,), marks=pytest.mark.slow)
            for fault in ("kill", "kill within", "unknown outcome")
        ),
    ],
)
def test_no_agent_stops_within_a_transaction(faults, postgres):
    """So no call can wait for a row that an agent has locked which does not run."""
    looks = []
    url = postgres.url()
    with_time = "SELECT state FROM pg_stat_activity WHERE application_name = 'artifact-coherence'"

    def program(team):
        def check():
            looks.append(server.execute(f"{with_time} AND pid <> pg_backend_pid()").fetchall())
            assert all(state == "idle" for (state,) in looks[-1]), looks[-1]

        programs.seed(team, "a", "b")
        team.always(check)

        def both(name):
            agent = team.open(url).agent(name)
            with agent.transaction() as tx:
                tx.write("a", tx.read("a").text + name)
                tx.write("b", tx.read("b").text + name)

        def one(name):
            team.open(url).agent(name).update("b", lambda text: text + name)

        team.run(ann=lambda: _retried(both, "ann"), bob=lambda: one("bob"))

    import psycopg

    with psycopg.connect(url, autocommit=True) as server:
        result = explore(program, store=url, faults=faults, seconds=60)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert any(looks)


def _retried(work, name):
    for _ in range(10):
        try:
            return work(name)
        except Conflict:
            continue
    raise AssertionError("never written")


def test_a_postgres_store_of_a_program_is_what_it_was(postgres_url):
    with Workspace(PostgresStore(postgres_url)) as workspace:
        workspace.agent("ann").write("plan", "")
        assert abs(workspace.history("plan")[0].at - time.time()) < 60
