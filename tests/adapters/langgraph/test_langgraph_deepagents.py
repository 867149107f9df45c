"""Subagents of deepagents that change one file at once: the recipe of the page, and its limits."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("langgraph")
pytest.importorskip("deepagents", reason="deepagents is not installed: the extra `frameworks`")

import langgraph_scripted as scripted
from deepagents import create_deep_agent
from deepagents.backends import StoreBackend
from langchain.agents.middleware import ToolRetryMiddleware
from langgraph.store.memory import InMemoryStore

from coherence import Conflict
from coherence_langgraph import CoherentStore

EXAMPLES = Path(__file__).parents[3] / "examples"
PLAN = "title: open\n\n\nbody: open\n"
PATH, NS = "/plan.md", ("files",)
DIFFERENT_LINES = {"ann": ("title: open", "title: done"), "bob": ("body: open", "body: done")}
ONE_LINE = {"ann": ("title: open", "title: done"), "bob": ("title: open", "title: dropped")}
WAIT_S = 30


class Meeting:
    """Lets both subagents read before either writes: a get, once met, waits for the other's."""

    def __init__(self):
        self.begun, self.here = threading.Event(), threading.local()
        self.barrier = threading.Barrier(2)

    def meet(self):
        if self.begun.is_set() and not getattr(self.here, "met", False):
            self.here.met = True
            self.barrier.wait(WAIT_S)


def meeting(plain, *arguments, **settings):
    """A store of class `plain` at which both meet."""

    class Met(plain):
        def get(self, *place, **given):
            item = super().get(*place, **given)
            self.meeting.meet()
            return item

    Met.meeting = Meeting()
    return Met(*arguments, **settings)


def edit(old, new):
    return "edit_file", {"file_path": PATH, "old_string": old, "new_string": new}


def team(store, scripts, *, retries, begun=lambda: None):
    """Runs an agent with two subagents that play `scripts` at once; what their tools answered."""
    told = {name: [] for name in scripts}

    def subagent(name, turns):
        def last(messages):
            told[name].append(messages[-1].text)
            return "ok"

        retry = ToolRetryMiddleware(retry_on=(Conflict,), initial_delay=0.0, jitter=False)
        return {
            "name": name,
            "description": name,
            "system_prompt": "",
            "model": scripted.model(None, [*turns, last]),
            "middleware": [retry] if retries else [],
        }

    def both(_):
        begun()
        return [("task", {"description": "go", "subagent_type": name}) for name in scripts]

    first = ("write_file", {"file_path": PATH, "content": PLAN})
    agent = create_deep_agent(
        model=scripted.model(None, [first, both, "done"]),
        subagents=[subagent(name, turns) for name, turns in scripts.items()],
        backend=StoreBackend(namespace=lambda _: NS),
        store=store,
    )
    return agent.invoke({"messages": [("user", "go")]}), told


def edited_at_once(store, edits, *, retries):
    scripts = {name: [edit(*change)] for name, change in edits.items()}
    state, told = team(store, scripts, retries=retries, begun=store.meeting.begun.set)
    assert state["messages"][-1].text == "done"
    return text(store), told


def text(store):
    return store.search(NS)[0].value["content"]


@pytest.fixture(params=["wraps", pytest.param("sqlite", marks=pytest.mark.slow)])
def over(request, tmp_path):
    return InMemoryStore() if request.param == "wraps" else f"sqlite:///{tmp_path}/team.db"


@pytest.fixture
def coherent(over):
    opened = []

    def make(**settings):
        opened.append(meeting(CoherentStore, over, **settings))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def test_the_plain_store_loses_one_edit_in_silence():
    found, told = edited_at_once(meeting(InMemoryStore), DIFFERENT_LINES, retries=False)
    assert found.count("done") == 1
    assert all("Successfully" in answer for answers in told.values() for answer in answers)


@pytest.mark.parametrize("on_conflict", ["raise", "merge"])
def test_without_retries_the_run_ends(coherent, on_conflict):
    """Also where texts are merged: deepagents puts the time of the edit beside the text."""
    store = coherent(on_conflict=on_conflict)
    with pytest.raises(Conflict):
        edited_at_once(store, DIFFERENT_LINES, retries=False)
    assert text(store).count("done") == 1


@pytest.mark.parametrize("on_conflict", ["raise", "merge"])
def test_with_retries_both_edits_land(coherent, on_conflict):
    store = coherent(on_conflict=on_conflict)
    found, told = edited_at_once(store, DIFFERENT_LINES, retries=True)
    assert found == PLAN.replace("open", "done")
    assert all("Successfully" in answer for answers in told.values() for answer in answers)


def test_one_of_two_that_edit_a_line_is_told(coherent):
    found, told = edited_at_once(coherent(), ONE_LINE, retries=True)
    answers = {name: answer for name, [answer] in told.items()}
    [winner] = [name for name in answers if "Successfully" in answers[name]]
    [loser] = answers.keys() - {winner}
    assert answers[loser] == "Error: String not found in file: 'title: open'"
    assert found == PLAN.replace(*ONE_LINE[winner])


def test_a_text_of_an_earlier_call_replaces_what_came_between(coherent):
    """Each tool call is a task: what another call has read is not what a put compares with."""
    read, ann_is_done = threading.Barrier(2), threading.Event()

    def ann(_):
        read.wait(WAIT_S)
        return "write_file", {"file_path": PATH, "content": PLAN.replace("title: open", "ann's")}

    def ann_last(messages):
        ann_is_done.set()
        return "ok"

    def bob(_):
        read.wait(WAIT_S)
        assert ann_is_done.wait(WAIT_S)
        return "write_file", {"file_path": PATH, "content": PLAN.replace("body: open", "bob's")}

    reading = ("read_file", {"file_path": PATH})
    store = coherent()
    scripts = {"ann": [reading, ann, ann_last], "bob": [reading, bob]}
    team(store, scripts, retries=True)
    assert text(store) == PLAN.replace("body: open", "bob's")


@pytest.mark.slow
def test_the_example_keeps_both_edits():
    command = [sys.executable, "deepagents_team.py"]
    ran = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    kept = [line.partition("edits kept: ")[2] for line in ran.stdout.splitlines()]
    assert kept[0] in ("ann", "bob")
    assert kept[1] == "ann, bob"
