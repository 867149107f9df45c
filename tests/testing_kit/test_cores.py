"""Threads of a run wake on one core, and nothing else is held to it."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import programs

from coherence.testing import cores, explore

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) == 1,
    reason="needs Linux, and two cores",
)


def two(team, work):
    """Two agents that `work` before each of their moves."""
    agents = programs.seed(team, "plan")[:2]

    def look(agent):
        for _ in range(2):
            work()
            agent.read("plan")

    team.run(**{agent.name: lambda agent=agent: look(agent) for agent in agents})


def test_an_agent_that_waits_is_held_to_one_core():
    seen = set()

    def program(team):
        threads = set()

        def work():
            threads.add(threading.get_native_id())
            for other in threads - {threading.get_native_id()}:
                seen.add(len(os.sched_getaffinity(other)))

        two(team, work)

    explore(program)
    assert 1 in seen


def test_what_agents_do_may_run_on_every_core():
    allowed, seen = os.sched_getaffinity(0), []

    def note():
        seen.append(os.sched_getaffinity(0))

    def work():
        note()
        thread = threading.Thread(target=note)
        thread.start()
        thread.join()
        code = "import os; print(sorted(os.sched_getaffinity(0)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.strip() == str(sorted(allowed))

    explore(lambda team: two(team, work), schedules=1)
    note()
    assert len(seen) == 9
    assert all(each == allowed for each in seen)


def test_an_agent_keeps_the_cores_that_it_has_chosen():
    allowed = os.sched_getaffinity(0)

    def program(team):
        ann, *_ = programs.seed(team, "plan")

        def work():
            for core in allowed:
                os.sched_setaffinity(0, {core})
                ann.read("plan")
                assert os.sched_getaffinity(0) == {core}
            os.sched_setaffinity(0, allowed)

        team.run(ann=work, bob=lambda: team.agent("bob").read("plan"))

    explore(program)


def refusing(*_):
    raise PermissionError


@pytest.mark.parametrize(
    ("where", "name", "what"),
    [(os, "sched_setaffinity", refusing), (cores, "_STAT", "/proc/nothing")],
    ids=["a sandbox", "no /proc"],
)
def test_a_process_that_cannot_be_held_explores_all_the_same(monkeypatch, where, name, what):
    expected = str(explore(programs.updating, bound=None))
    monkeypatch.setattr(where, name, what)
    assert str(explore(programs.updating, bound=None)) == expected
