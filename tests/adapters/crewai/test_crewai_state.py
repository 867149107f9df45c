"""Flow state: what parallel listeners lose plainly, and keep in a `CoherentState`."""

import asyncio
import subprocess
import sys
import threading

import pytest

pytest.importorskip("crewai")

from crewai.flow.flow import Flow, listen, start
from pydantic import BaseModel

from coherence import BadArgument, InvalidContent, InvalidName, Workspace
from coherence_crewai import CoherentState

LISTENERS = 10


class Count(BaseModel):
    n: int = 0
    names: list[str] = []


def flow(listener):
    """A Flow whose ten listeners all do `listener(flow, its name)` once `begin` is done."""

    def make(name):
        async def waits(self):
            await listener(self, name)

        def runs(self):
            listener(self, name)

        method = waits if asyncio.iscoroutinefunction(listener) else runs
        method.__name__ = name
        return listen("begin")(method)

    @start()
    def begin(self):
        return "go"

    body = {"begin": begin, **{name: make(name) for name in map("listener_{}".format, range(10))}}
    return type("Ten", (Flow[Count],), body)()


@pytest.mark.slow
def test_plain_state_loses_what_parallel_listeners_add():
    """The reason for this class: all have read before one writes."""
    all_have_read = asyncio.Barrier(LISTENERS)

    async def add(flow, name):
        seen = flow.state.n
        await all_have_read.wait()
        flow.state.n = seen + 1

    ten = flow(add)
    ten.kickoff()
    assert ten.state.n == 1


def test_coherent_state_keeps_what_threads_add(workspace):
    count = CoherentState(workspace, "flow/count.json", Count, agent="flow")
    five_are_here = threading.Barrier(5)  # as many threads as Python gives a loop on one core

    def add(flow, name):
        five_are_here.wait(30)

        @count.update
        def _(state):
            state.n += 1
            state.names.append(name)

    flow(add).kickoff()
    assert count.read().n == LISTENERS
    assert len(set(count.read().names)) == LISTENERS
    assert len(workspace.history("flow/count.json")) == LISTENERS


def test_coherent_state_keeps_what_tasks_add(workspace):
    count = CoherentState(workspace, "flow/count.json", Count, agent="flow")
    all_are_here = asyncio.Barrier(LISTENERS)

    async def add(flow, name):
        await all_are_here.wait()
        await asyncio.to_thread(count.update, lambda state: state.names.append(name))

    flow(add).kickoff()
    assert len(set(count.read().names)) == LISTENERS


ADDS = """
import json, sys
from coherence import Workspace
def one_more(text):
    state = json.loads(text or '{"n": 0}')
    return json.dumps({**state, "n": state["n"] + 1})
with Workspace(sys.argv[1]) as workspace:
    agent = workspace.agent(sys.argv[2])
    print("here I am", flush=True)
    for _ in range(10):
        agent.update("count.json", one_more)
"""


@pytest.mark.slow
def test_processes_share_one_state(tmp_path):
    url = f"sqlite:///{tmp_path}/team.db"
    with Workspace(url) as workspace:
        count = CoherentState(workspace, "count.json", Count, agent="here")
        other = subprocess.Popen(
            [sys.executable, "-c", ADDS, url, "there"], stdout=subprocess.PIPE, text=True
        )
        assert other.stdout.readline() == "here I am\n"
        for _ in range(10):
            count.update(lambda state: setattr(state, "n", state.n + 1))
        assert other.communicate(timeout=60) == ("", None)
        assert other.returncode == 0
        assert count.read().n == 20


def test_a_thread_waits_for_its_turn(workspace):
    """An agent of a workspace does one thing at a time, and says so to a second thread."""
    count = CoherentState(workspace, "count.json", Count, agent="flow")
    second = threading.Thread(
        target=count.update, args=[lambda state: state.names.append("second")]
    )

    def first(state):
        second.start()
        second.join(0.2)  # it cannot end before us
        state.names.append("first")

    count.update(first)
    second.join()
    assert count.read().names == ["first", "second"]


def test_a_change_that_raises_publishes_nothing(workspace):
    count = CoherentState(workspace, "count.json", Count, agent="flow")
    with pytest.raises(ZeroDivisionError):
        count.update(lambda state: state.n // 0)
    assert workspace.names() == []
    assert count.read() == Count()


def test_what_is_read_is_a_copy(workspace):
    count = CoherentState(workspace, "count.json", Count, agent="flow")
    count.update(lambda state: state.names.append("a"))
    count.read().names.append("b")
    assert count.read().names == ["a"]


def test_a_stranger_in_its_place_is_named(workspace):
    workspace.agent("planner").write("count.json", "# Plan")
    count = CoherentState(workspace, "count.json", Count, agent="flow")
    with pytest.raises(InvalidContent, match=r"'count\.json' is not a Count"):
        count.read()
    with pytest.raises(InvalidContent):
        count.update(lambda state: None)
    assert workspace.agent("planner").read("count.json").text == "# Plan"


@pytest.mark.parametrize(("name", "agent"), [("../x", "flow"), ("x", ""), ("", "flow")])
def test_bad_names_are_refused_at_once(workspace, name, agent):
    with pytest.raises(InvalidName):
        CoherentState(workspace, name, Count, agent=agent)


def test_a_model_without_defaults_cannot_be_new(workspace):
    class Named(BaseModel):
        name: str

    state = CoherentState(workspace, "named.json", Named, agent="flow")
    for use in (state.read, lambda: state.update(lambda named: None)):
        with pytest.raises(BadArgument, match=r"(?s)needs values.*write the artifact first"):
            use()
    workspace.agent("planner").write("named.json", '{"name": "here"}')
    assert state.read().name == "here"


def test_what_is_no_model_is_refused():
    with Workspace() as workspace:
        for given in (dict, Count(), None):
            with pytest.raises(BadArgument, match="BaseModel"):
                CoherentState(workspace, "count.json", given, agent="a")
        assert workspace.members() == []
