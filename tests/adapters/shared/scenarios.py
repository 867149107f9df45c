"""The twelve scenarios that every adapter passes: one list, with the assertions.

A framework gives a driver, which has agents of that framework play scripts on a workspace:

* ``driver.workspace``; ``driver.on(workspace)`` is the same driver on another one
* ``driver.agent(name, *turns, trims=False)`` makes a player; one that `trims` shows its model no
  more than the last of what was said
* ``driver.run(*players)`` runs them as a team, one after the other, ``run_at_once`` together
* ``player.answers``: what its tools have answered so far; ``player.prompts``: each as one text
* ``driver.partner`` names the framework whose process joins in; see `partner`

A turn is one of those below, an answer that ends the task, or a function of the player that gives
one of these.
"""

import json
import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from coherence import Lazy, Recorder, Workspace

NAME = "proj/plan.md"
PLAN = "# Plan\n" + "".join(f"- step {number}: as agreed\n" for number in range(40))
HERE = Path(__file__).parent


class Read(NamedTuple):
    """Reads, and says that it has the newest version that it was ever told of."""

    name: str = NAME


class Write(NamedTuple):
    """Writes a text that derives from what the player was last told, or is `anew`."""

    text: str
    anew: bool = False


class Edit(NamedTuple):
    """Replaces a passage."""

    old: str
    new: str


READ = Read()
SCENARIOS = {}


def scenario(function):
    """One of the twelve, under the name that it has in the docs."""
    SCENARIOS[function.__doc__.splitlines()[0].rstrip(".")] = function
    return function


def after(*deeds, then):
    """A turn before which something happens elsewhere."""

    def turn(player):
        for deed in deeds:
            deed()
        return then

    return turn


def text_of(workspace, name=NAME):
    return workspace.agent("judge").read(name).text


def authors(workspace):
    """Who wrote which version; less what tells the stores of several processes apart."""
    return [re.sub(r"\.[0-9a-f]{6}$", "", entry.author) for entry in workspace.history(NAME)]


def newest(answers, name=NAME):
    """The newest version that answers tell of, as a ref; empty where they tell of none."""
    found = [int(n) for answer in answers for n in re.findall(rf"{re.escape(name)}@(\d+)", answer)]
    return f"{name}@{max(found)}" if found else ""


def claiming(turn, answers):
    """`turn` as a call of tools whose model says which version it has, the newest that it knows."""
    match turn:
        case Read(name):
            return "read_artifact", {"name": name, "have": newest(answers, name) or None}
        case Write(text, anew):
            base = None if anew else newest(answers)
            return "write_artifact", {"name": NAME, "text": text, "base": base}
        case Edit(old, new):
            return "edit_artifact", {"name": NAME, "old": old, "new": new}
    return turn


@contextmanager
def on_a_file(driver, tmp_path, policy=None):
    """The driver on a workspace that other processes can open, and its URL."""
    url = f"sqlite:///{tmp_path}/team.db"
    with Workspace(url, policy=policy) as workspace:
        yield driver.on(workspace), url


def elsewhere(*command):
    """A process of its own, which is told and tells by lines."""
    path = os.pathsep.join([str(HERE.parents[2] / "examples"), *filter(None, sys.path)])
    return subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@scenario
def read_by_four(driver, tmp_path):
    """A plan read by four, written by one."""
    planner = driver.agent("planner", Write(PLAN, anew=True), "planned")
    readers = [driver.agent(f"reader{n}", READ, "read") for n in range(4)]
    driver.run(planner, *readers)
    for reader in readers:
        (answer,) = reader.answers
        assert f"{NAME}@1" in answer
        assert PLAN in answer
    assert authors(driver.workspace) == ["planner"]


@scenario
def two_writers(driver, tmp_path):
    """Two parallel writers: the loser is told, both works are kept."""
    workspace = driver.workspace
    workspace.agent("planner").write(NAME, "# Plan\n\n## API\n\n## UI\n")
    both_have_read = threading.Barrier(2)

    def writer(name, heading, line):
        def first(player):
            both_have_read.wait(30)
            return Write(f"# Plan\n\n{heading}\n{line}\n")

        def second(player):
            if "Nothing was written" not in player.answers[-1]:
                return "done"
            return Write(f"{text_of(workspace)}{heading}\n{line}\n")

        return driver.agent(name, READ, first, second, "done")

    ann, bob = writer("ann", "## API", "- get"), writer("bob", "## UI", "- form")
    driver.run_at_once(ann, bob)
    first, *others = authors(workspace)
    assert first == "planner"
    assert sorted(others) == ["ann", "bob"]
    assert "- get" in text_of(workspace)
    assert "- form" in text_of(workspace)
    (told,) = [a for each in (ann, bob) for a in each.answers if "Nothing was written" in a]
    assert others[0] in told


@scenario
def stale_write(driver, tmp_path):
    """A stale write after long work."""
    planner = driver.workspace.agent("planner")
    planner.write(NAME, "# Plan\n- draft\n")
    deeds = [lambda n=n: planner.write(NAME, f"# Plan\n- version {n}\n") for n in (2, 3)]
    stale = after(*deeds, then=Write("# Plan\n- stale\n"))
    coder = driver.agent("coder", READ, stale, "done")
    driver.run(coder)
    refused = coder.answers[-1]
    assert "Nothing was written" in refused
    assert f"{NAME}@3" in refused
    assert "- version 3" in refused
    assert "planner" in refused
    assert text_of(driver.workspace) == "# Plan\n- version 3\n"


@scenario
def unchanged(driver, tmp_path):
    """A re-read of what has not changed."""
    driver.workspace.agent("planner").write(NAME, PLAN)
    coder = driver.agent("coder", READ, READ, "done")
    driver.run(coder)
    first, second = coder.answers
    assert PLAN in first
    assert f"[{NAME} is unchanged since {NAME}@1]" in second
    assert "step 7" not in second


@scenario
def delta(driver, tmp_path):
    """A re-read of what has changed."""
    planner = driver.workspace.agent("planner")
    planner.write(NAME, PLAN)
    grown = PLAN.replace("step 7: as agreed", "step 7: as agreed, but faster")
    again = after(lambda: planner.write(NAME, grown), then=READ)
    coder = driver.agent("coder", READ, again, READ, "done")
    driver.run(coder)
    _, second, third = coder.answers
    assert f"{NAME}@2" in second
    assert "+- step 7: as agreed, but faster" in second
    assert "step 9" not in second
    assert f"[{NAME} is unchanged since {NAME}@2]" in third


@scenario
def trimmed(driver, tmp_path):
    """A context that was trimmed, then a read."""
    others = [f"proj/{letter}.md" for letter in "abc"]
    planner = driver.workspace.agent("planner")
    planner.write(NAME, PLAN)
    for name in others:
        planner.write(name, PLAN.replace("step", f"part of {name}"))
    coder = driver.agent("coder", READ, *map(Read, others), READ, "done", trims=True)
    driver.run(coder)
    assert PLAN not in coder.prompts[4], "not trimmed"
    assert PLAN in coder.answers[4]


@scenario
def edit_and_waiter(driver, tmp_path):
    """An exclusive edit with a waiter."""
    boss = driver.workspace.agent("boss")
    boss.write(NAME, PLAN)
    coder = driver.agent("coder", READ, Edit("step 2:", "step 2, tested:"), READ, "done")
    run = threading.Thread(target=driver.run, args=(coder,))
    with boss.edit(NAME) as draft:
        run.start()
        while not driver.workspace.row(NAME).row.state.queue:
            assert run.is_alive()
        draft.text = draft.text.replace("step 1:", "step 1, reviewed:")
    run.join(60)
    text = text_of(driver.workspace)
    assert "step 1, reviewed:" in text
    assert "step 2, tested:" in text
    assert authors(driver.workspace) == ["boss", "boss", "coder"]
    said = "".join([*coder.answers[1:], coder.prompts[-1]])
    assert "step 1, reviewed:" in said, "what came before its turn is told"


CRASHES = """
import os, sys
from coherence import Lazy, Workspace
agent = Workspace(sys.argv[1], policy=Lazy(grant_lease=0.5)).agent("doomed")
with agent.edit(sys.argv[2]) as draft:
    draft.text = "half a thought"
    os._exit(9)
"""


@scenario
def crash(driver, tmp_path):
    """A writer that crashes mid-edit."""
    with on_a_file(driver, tmp_path, Lazy(grant_lease=0.5)) as (driver, url):
        driver.workspace.agent("planner").write(NAME, "# Plan\n- one\n")
        doomed = elsewhere("-c", CRASHES, url, NAME)
        doomed.communicate()
        assert doomed.returncode == 9
        coder = driver.agent("coder", READ, Edit("- one", "- one, done"), "done")
        driver.run(coder)
        assert text_of(driver.workspace) == "# Plan\n- one, done\n"
        assert "half a thought" not in "".join(coder.answers)


@scenario
def late(driver, tmp_path):
    """An agent that joins late."""
    planner = driver.workspace.agent("planner")
    for version in range(1, 6):
        planner.write(NAME, f"# Plan {version}")
    newcomer = driver.agent("newcomer", Read("plans.md"), READ, Write("# Plan 6"), "done")
    driver.run(newcomer)
    guessed, read, wrote = newcomer.answers
    assert "no artifact 'plans.md'" in guessed
    assert "# Plan 5" in read
    assert f"{NAME}@6" in wrote
    assert authors(driver.workspace) == ["planner"] * 5 + ["newcomer"]


@scenario
def recreated(driver, tmp_path):
    """Delete and re-create."""
    planner = driver.workspace.agent("planner")
    planner.write(NAME, "# Old plan")
    again = after(lambda: planner.delete(NAME), then=READ)
    anew = Write("# New plan", anew=True)
    coder = driver.agent("coder", READ, again, anew, READ, "done")
    driver.run(coder)
    _, missing, wrote, reread = coder.answers
    assert "was deleted" in missing
    assert f"{NAME} was deleted by planner" in coder.prompts[2]
    assert f"{NAME}@3" in wrote
    assert f"[{NAME} is unchanged since {NAME}@3]" in reread
    assert text_of(driver.workspace) == "# New plan"


@scenario
def two_processes(driver, tmp_path):
    """Two processes on one SQLite file, one of each framework."""
    pytest.importorskip(driver.partner if driver.partner == "langgraph" else "autogen_ext")
    with on_a_file(driver, tmp_path) as (driver, url):
        driver.workspace.agent("planner").write(NAME, PLAN)
        other = elsewhere(str(HERE / "partner.py"), driver.partner, url, NAME)
        mine, theirs = ("step 1:", "step 1, here:"), ("step 2:", "step 2, there:")

        def heard():
            return json.loads(other.stdout.readline() or '"it ended"')

        def told(*what):
            other.stdin.write(json.dumps(what) + "\n")
            other.stdin.flush()

        def late(player):
            assert PLAN in heard(), "it has read what we have"
            told(*theirs)
            assert theirs[1] in heard(), "it was faster"
            return Write(PLAN.replace(*mine))

        coder = driver.agent("coder", READ, late, Edit(*mine), "done")
        driver.run(coder)
        assert "Nothing was written" in coder.answers[1]
        assert driver.partner in coder.answers[1], "who was faster"
        assert "+- step 2, there: as agreed" in coder.answers[1]
        told("step 3:", "step 3, there:")
        assert mine[1] in heard(), "it is told of ours"
        other.communicate(timeout=60)
        assert other.returncode == 0
        for old, new in (mine, theirs, ("step 3:", "step 3, there:")):
            assert PLAN.replace(old, new).splitlines()[int(old[5]) + 1] in text_of(driver.workspace)
        assert authors(driver.workspace) == ["planner", driver.partner, "coder", driver.partner]


@scenario
def recorded(driver, tmp_path):
    """A run recorded, and its trace accepted by the tables and the invariants."""
    from message_passing.trace import read
    from specs.runs import accept

    with Recorder(tmp_path / "runs") as recorder, Workspace(recorder=recorder) as workspace:
        driver = driver.on(workspace)
        planner = workspace.agent("planner")
        planner.write(NAME, "# Plan\n- one\n")
        rival = after(
            lambda: planner.write(NAME, "# Plan\n- one, by planner\n"),
            then=Write("# Plan\n- stale\n"),
        )
        coder = driver.agent("coder", READ, rival, READ, Edit("one", "two"), READ, "done")
        driver.run(coder, driver.agent("reader", READ, "done"))
        assert text_of(workspace) == "# Plan\n- two, by planner\n"
    path = recorder.path(NAME)
    judged = accept(path)
    assert judged.accepted, judged.refused
    took_part = {re.sub(r"\.[0-9a-f]{6}$", "", line.process) for line in read(path)}
    assert {"home", "planner", "coder", "reader"} <= took_part
