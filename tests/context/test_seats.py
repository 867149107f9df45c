"""An agent leaves when nobody has work for it any more, and joins again with the next call."""

import asyncio
import gc
import os
import subprocess
import sys
import threading

import pytest

from coherence import Served, Workspace
from coherence.context import seats
from coherence.context.desk import AsyncDesk, Desk
from coherence.runtime.session import Session


class Run:
    """What a framework makes for a run."""


@pytest.fixture
def workspace(tmp_path):
    with Workspace(f"sqlite:///{tmp_path}/team.db") as opened:
        yield opened


@pytest.fixture
def at_once(monkeypatch):
    """Nobody lingers."""
    monkeypatch.setattr(seats, "LINGER_S", 0.0)


def there(workspace):
    """Who is there once all that was due is done; what is done may make more due."""
    gc.collect()
    for _ in range(3):
        assert seats.said(30)
    return [member.agent for member in workspace.members()]


def work(desk, change=lambda text: text + "x"):
    """One call, whichever kind of desk it is."""
    if isinstance(desk, Desk):
        with desk.agent() as agent:
            return agent.update("plan.md", change).text

    async def call():
        async with desk.agent() as agent:
            return (await agent.update("plan.md", change)).text

    return asyncio.run(call())


@pytest.fixture(params=[Desk, AsyncDesk])
def kind(request):
    return request.param


@pytest.mark.slow(fast=1)
def test_an_agent_joins_with_its_first_call(workspace, kind):
    desk = kind(workspace, "coder")
    assert there(workspace) == []
    work(desk)
    assert there(workspace) == ["coder"]


def test_it_leaves_with_its_desk(workspace, kind):
    desk = kind(workspace, "coder")
    work(desk)
    del desk
    assert there(workspace) == []
    assert workspace.row("plan.md").row.state.sharers == ()


@pytest.mark.slow(fast=1)
def test_it_leaves_when_the_last_run_is_over(workspace, kind, at_once):
    desk, run, another = kind(workspace, "coder"), Run(), Run()
    for each in (run, another, run):
        work(desk.during(each))
    del run, each
    assert there(workspace) == ["coder"]
    another = None
    assert there(workspace) == []
    assert work(desk.during(run := Run())) == "xxxx"
    assert there(workspace) == ["coder"]
    assert run is not another


def test_it_stays_for_a_while_with_what_it_has(workspace):
    desk, run = Desk(workspace, "coder"), Run()
    work(desk.during(run))
    run = None
    assert there(workspace) == ["coder"]
    run = Run()
    with desk.during(run).agent() as agent:
        assert agent.read("plan.md").served is Served.HIT


@pytest.mark.slow(fast=1)
def test_desks_of_one_name_have_one_agent_and_one_turn(workspace, kind, at_once):
    desk, other = Desk(workspace, "coder"), kind(workspace, "coder")
    work(desk)
    work(other)
    with desk.agent():
        del other
        assert there(workspace) == ["coder"]
    del desk
    assert there(workspace) == []
    assert Desk(workspace, "coder").busy is not Desk(workspace, "judge").busy


@pytest.mark.slow(fast=1)
def test_a_run_that_ends_ends_no_call(workspace, kind, at_once):
    """Another's run, that is: the agent is in use until the call is over."""
    desk, run = kind(workspace, "coder"), Run()
    desk.during(run)

    def meanwhile(text):
        nonlocal run
        run = None
        assert there(workspace) == ["coder"]
        return text + "x"

    work(desk, meanwhile)
    assert there(workspace) == []
    assert workspace.agent("judge").read("plan.md").text == "x"


@pytest.mark.slow
def test_a_block_ends_what_was_begun_before_it(workspace, at_once):
    desk = Desk(workspace, "coder")
    work(desk)
    with desk.work(), desk.work():
        work(desk)
        with desk.work():
            pass
        assert there(workspace) == ["coder"]
    assert there(workspace) == []


def test_an_agent_that_was_there_before_is_left_alone(workspace, kind, at_once):
    coder = workspace.agent("coder")
    desk = kind(workspace, "coder")
    work(desk)
    del desk
    assert there(workspace) == ["coder"]
    assert coder.read("plan.md").text == "x"


@pytest.mark.slow
def test_an_agent_that_the_application_has_is_left_alone_for_as_long(workspace, at_once):
    desk = Desk(workspace, "coder")
    with desk.work():
        work(desk)
        coder = workspace.agent("coder")
    assert there(workspace) == ["coder"]
    assert coder.read("plan.md").text == "x"
    del coder
    assert there(workspace) == []


@pytest.mark.slow(fast=1)
def test_whoever_needs_an_agent_that_is_leaving_waits_for_it_to_have_left(
    workspace, kind, at_once, monkeypatch
):
    leaving, go, part = threading.Event(), threading.Event(), Session.leave

    def slow(session):
        leaving.set()
        assert go.wait(30)
        part(session)

    desk, run = kind(workspace, "coder"), Run()
    work(desk.during(run))
    with monkeypatch.context() as patched:
        patched.setattr(Session, "leave", slow)
        run = None
        gc.collect()
        assert leaving.wait(30)
        texts = []
        caller = threading.Thread(target=lambda: texts.append(work(desk)))
        caller.start()
        go.set()
        caller.join(30)
    assert texts == ["xx"]
    assert there(workspace) == ["coder"]


@pytest.mark.slow
def test_a_farewell_that_fails_keeps_nobody_from_leaving(workspace, at_once, monkeypatch, caplog):
    ann, bob = Desk(workspace, "ann"), Desk(workspace, "bob")
    work(ann)
    work(bob)
    with monkeypatch.context() as patched:
        patched.setattr(Session, "leave", lambda session: 1 / 0)
        del ann
        assert there(workspace) == ["ann", "bob"]
    assert "division by zero" in caplog.text
    del bob
    assert there(workspace) == ["ann"]


def test_a_workspace_that_was_closed_meanwhile_is_no_error(tmp_path, caplog, at_once):
    with Workspace(f"sqlite:///{tmp_path}/team.db") as workspace:
        desk = Desk(workspace, "coder")
        work(desk)
    del desk
    gc.collect()
    assert seats.said(30)
    assert caplog.text == ""


SCRIPT = """
import sys, threading
from coherence import Workspace
from coherence.context.desk import Desk
workspace = Workspace(sys.argv[1])
desks = [Desk(workspace, name) for name in ("ann", "bob")]
for desk in desks:
    with desk.agent() as agent:
        agent.update("plan.md", lambda text: text + "x")
"""


def script(more, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + more, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode


#: Counts are due at the process's end, when Python 3.12 and later starts no thread for them.
COUNTS_ARE_DUE = """
import gc
from coherence.runtime.accounts import Accounts
for each in gc.get_objects():
    if isinstance(each, Accounts):
        each.due_at = 0.0
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "code"),
    [("", 0), ("sys.exit(3)", 3), ("gone = desks.pop()\ndel gone, desk", 0), (COUNTS_ARE_DUE, 0)],
    ids=["end", "exit", "collected", "counts due"],
)
def test_a_process_that_ends_leaves_nobody_behind(workspace, tmp_path, more, code):
    for _ in range(2):
        assert script(more, f"sqlite:///{tmp_path}/team.db") == code
    assert workspace.members() == []
    assert workspace.agent("judge").read("plan.md").text == "xxxx"


HANGS = """
from coherence.runtime.session import Session
Session.leave = lambda session: threading.Event().wait()
"""
BREAKS = """
from coherence.runtime.session import Session
Session.leave = lambda session: sys.exit("no")
"""
FORKS = """
import os
child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
    assert len(workspace.members()) == 2, "they are the parent's"
    os._exit(5)
"""


@pytest.mark.slow
def test_the_end_of_a_process_waits_for_nothing_that_hangs(workspace, tmp_path):
    assert script(HANGS, f"sqlite:///{tmp_path}/team.db") == 0
    assert script(BREAKS, f"sqlite:///{tmp_path}/team.db") == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_end_of_a_child_process_ends_nobody_of_its_parent(workspace, tmp_path):
    forks = FORKS.replace("import os\n", "import os, warnings\nwarnings.simplefilter('ignore')\n")
    assert script(forks, f"sqlite:///{tmp_path}/team.db") == 5
