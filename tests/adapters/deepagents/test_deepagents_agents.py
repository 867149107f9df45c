"""Real agents of deepagents that play scripts: subagents, restarts, compactions, rereads."""

import asyncio
import threading

import pytest

pytest.importorskip("deepagents")

from deepagents import create_deep_agent
from deepagents.backends import CompositeBackend, StateBackend
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph_scripted import model

from coherence_deepagents import CoherentBackend
from coherence_deepagents.middleware import CoherenceMiddleware

PATH = "/plan.md"
PLAN = "".join(f"step {n}: open, and nobody has begun to work upon it\n" for n in range(20))
READ = ("read_file", {"file_path": PATH})


def write(text):
    return "write_file", {"file_path": PATH, "content": text}


def edit(old, new):
    return "edit_file", {"file_path": PATH, "old_string": old, "new_string": new}


def elsewhere(call, *arguments):
    """Calls outside the run of the agent that plays."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call(*arguments)))
    thread.start()
    thread.join()
    assert answers[0].error is None
    return answers[0]


def told(state):
    return [message.text for message in state["messages"] if message.type == "tool"]


def agent(backend, turns, **settings):
    return create_deep_agent(model=model(None, [*turns, "ok"]), backend=backend, **settings)


def play(backend, *turns, config=None, **settings):
    """What the tools of an agent with our middleware have answered."""
    middleware = [*settings.pop("before", ()), CoherenceMiddleware(backend)]
    made = agent(backend, turns, middleware=middleware, **settings)
    return told(made.invoke({"messages": [("user", "go")]}, config))


def text(backend):
    return backend.read(PATH, 0, 10**6).file_data["content"]


@pytest.fixture
def files(example):
    return example("deepagents_files")


def test_two_subagents_that_rewrite_one_file(backend, files):
    ann, bob = files.two_subagents(backend)
    assert ann == f"Updated file {files.PATH}"
    assert bob.startswith(f"Error: {files.PATH} was not written: ann.")
    assert "-title: open\n+title: done by ann" in bob
    assert "-body: open\n+body: done by bob" in bob
    assert files.text(backend) == files.edited(files.PLAN, "ann")


@pytest.mark.parametrize("story", ["two_subagents", "after_a_compaction"])
def test_the_stock_backend_loses_a_change_in_silence(files, story):
    with files.stock() as opened:
        answers = getattr(files, story)(opened())
        assert answers[-1] == f"Updated file {files.PATH}"
        assert "done by ann" not in files.text(opened())


def test_the_stock_backend_loses_a_change_after_a_restart(files):
    with files.stock() as opened:
        assert files.after_a_restart(opened) == [f"Updated file {files.PATH}"]
        assert "done by ann" not in files.text(opened())


def test_a_stale_write_after_a_restart(files, tmp_path):
    opened = []

    def anew():
        opened.append(CoherentBackend(f"sqlite:///{tmp_path}/team.db"))
        return opened[-1]

    [said] = files.after_a_restart(anew)
    assert "you have not read it" in said
    assert files.text(opened[-1]) == files.edited(files.PLAN, "ann")
    for backend in opened:
        backend.close()


def test_a_write_from_a_summary(backend, files):
    [said] = files.after_a_compaction(backend)
    assert "you have not read it" in said
    assert files.text(backend) == files.edited(files.PLAN, "ann")


def test_subagents_that_are_awaited(opened, files):
    """Two tasks of one event loop: each read, then each writes."""
    backend = opened()
    backend.write(PATH, PLAN)
    both, told_last = threading.Barrier(2), {}

    class Meeting(AgentMiddleware):
        """Each model waits, before it writes, until the other has read."""

        async def awrap_model_call(self, request, handler):
            if any(message.type == "tool" for message in request.messages):
                await asyncio.to_thread(both.wait, 30)
            return await handler(request)

    def subagent(name):
        def last(messages):
            told_last[name] = [message.text for message in messages if message.type == "tool"][-1]
            return "ok"

        turns = [READ, write(f"{name}'s"), last]
        return {
            "name": name,
            "description": name,
            "system_prompt": "",
            "model": model(None, turns),
            "middleware": [Meeting(), CoherenceMiddleware(backend)],
        }

    tasks = [("task", {"description": "go", "subagent_type": name}) for name in ("ann", "bob")]
    made = agent(backend, [tasks], subagents=[subagent("ann"), subagent("bob")])
    asyncio.run(made.ainvoke({"messages": [("user", "go")]}))
    [winner] = [name for name, said in told_last.items() if said == f"Updated file {PATH}"]
    [loser] = told_last.keys() - {winner}
    assert f"{winner}." in told_last[loser]
    assert text(backend) == f"{winner}'s"


def test_two_runs_of_one_subagent_are_told_apart(backend):
    """A worker has not read what the worker before has read; the name is the same."""
    backend.write(PATH, PLAN)
    answers = []

    def last(messages):
        answers.append(messages[-1].text)
        return "ok"

    worker = {
        "name": "worker",
        "description": "works",
        "system_prompt": "",
        "model": model(None, [READ, last, write("blind"), last]),
    }
    task = ("task", {"description": "go", "subagent_type": "worker"})
    agent(backend, [task, task], subagents=[worker]).invoke({"messages": [("user", "go")]})
    assert "you have not read it" in answers[1]
    assert text(backend) == PLAN


def test_invocations_without_a_thread_are_told_apart(backend):
    backend.write(PATH, PLAN)
    for turns in ([READ], [write("blind")]):
        state = agent(backend, turns).invoke({"messages": [("user", "go")]})
    assert "you have not read it" in told(state)[0]


def test_a_thread_goes_on_in_the_next_invocation(backend):
    backend.write(PATH, PLAN)
    saver, config = InMemorySaver(), {"configurable": {"thread_id": "t"}}
    for turns in ([READ], [write("mine")]):
        made = agent(backend, turns, checkpointer=saver)
        state = made.invoke({"messages": [("user", "go")]}, config)
    assert told(state)[-1] == f"Updated file {PATH}"


def test_a_write_beside_its_read_is_no_write_after_it(backend):
    """One answer of a model reads and writes: it had not seen the text when it wrote."""
    backend.write(PATH, PLAN)
    state = agent(backend, [[READ, write("blind")], write("seen")]).invoke(
        {"messages": [("user", "go")]}
    )
    assert "you have not read it" in told(state)[1]
    assert told(state)[2] == f"Updated file {PATH}"


def test_every_call_of_an_agent(backend):
    answers = play(
        backend,
        write("one\ntwo\n"),
        edit("two", "2"),
        READ,
        ("ls", {"path": "/"}),
        ("glob", {"pattern": "*.md"}),
        ("grep", {"pattern": "2", "output_mode": "content"}),
        ("read_file", {"file_path": "/none.md"}),
        ("edit_file", {"file_path": PATH, "old_string": "none", "new_string": "some"}),
        ("delete", {"file_path": PATH}),
        ("delete", {"file_path": PATH}),
    )
    assert answers[0] == f"Updated file {PATH}"
    assert "Successfully" in answers[1]
    assert answers[2].endswith("one\n2") or "unchanged" in answers[2]
    assert PATH in answers[3]
    assert PATH in answers[4]
    assert "2" in answers[5]
    assert answers[6] == "Error: File '/none.md' not found"
    assert answers[7] == "Error: String not found in file: 'none'"
    assert "Deleted" in answers[8]
    assert answers[9] == f"Error: File '{PATH}' not found"


# With the middleware.


def test_a_file_that_is_read_again_is_a_difference(backend):
    backend.write(PATH, PLAN)

    def changed(_):
        elsewhere(backend.edit, PATH, "step 7: open", "step 7: done")
        return READ

    first, again, third = play(backend, READ, changed, READ)
    assert PLAN.rstrip("\n") in first
    assert again.startswith(f"[what has changed in {PATH} since the text of it above]\n")
    assert "+step 7: done" in again
    assert len(again) < len(first) / 3
    assert third == f"[{PATH} is unchanged: its current text is above]"


def test_a_difference_counts_as_a_read(backend):
    backend.write(PATH, PLAN)

    def changed(_):
        elsewhere(backend.edit, PATH, "step 7: open", "step 7: done")
        return READ

    assert play(backend, READ, changed, write("mine"))[-1] == f"Updated file {PATH}"


def test_windows_prove_the_whole(backend):
    backend.write(PATH, PLAN)

    def window(offset, limit):
        return "read_file", {"file_path": PATH, "offset": offset, "limit": limit}

    unchanged = f"[{PATH} is unchanged: its current text is above]"
    answers = play(backend, window(0, 15), window(15, 10), READ, window(3, 2))
    assert "step 19" in answers[1]
    assert answers[2:] == [unchanged] * 2


def test_a_window_proves_no_more_than_itself(backend):
    backend.write(PATH, PLAN)
    window = ("read_file", {"file_path": PATH, "limit": 5})
    answers = play(backend, window, READ)
    assert "step 19" in answers[1]


def test_its_own_text_is_known(backend):
    answers = play(backend, write(PLAN), edit("step 3: open", "step 3: done"), READ)
    assert answers[2] == f"[{PATH} is unchanged: its current text is above]"


class Trimming(AgentMiddleware):
    """Shows a model the last messages only."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def wrap_model_call(self, request, handler):
        return handler(request.override(messages=request.messages[-self.kept :]))


def test_nothing_is_unchanged_that_the_prompt_has_lost(backend):
    backend.write(PATH, PLAN)
    answers = play(backend, READ, ("ls", {"path": "/"}), READ, before=[Trimming(2)])
    assert PLAN.rstrip("\n") in answers[2]


def test_a_base_that_the_prompt_has_lost_is_no_base(backend):
    """The text that the model has seen before is in a summary now, or nowhere."""
    backend.write(PATH, PLAN)
    answers = play(backend, READ, ("ls", {"path": "/"}), write("x"), before=[Trimming(2)])
    assert "you have not read it" in answers[2]
    assert text(backend) == PLAN


def test_what_was_read_is_known_after_a_restart(tmp_path):
    """The conversation proves it, in a process that has read nothing."""
    saver, config = InMemorySaver(), {"configurable": {"thread_id": "t"}}
    for turns, said in (([READ], PLAN), ([READ], "is unchanged"), ([write("x")], "Updated")):
        with CoherentBackend(f"sqlite:///{tmp_path}/team.db", agent="importer") as backend:
            backend.write(PATH, PLAN)
            answers = play(backend, *turns, checkpointer=saver, config=config)
            assert said.rstrip("\n") in answers[-1]


def test_a_reread_that_deepagents_has_cut_proves_nothing(backend):
    from deepagents.middleware.filesystem import FilesystemMiddleware

    backend.write(PATH, PLAN)
    small = FilesystemMiddleware(backend=backend, tool_token_limit_before_evict=100)
    answers = play(backend, READ, READ, write("x"), before=[small])
    assert "truncated" in answers[0]
    assert "truncated" in answers[1]
    assert "you have not read it" in answers[2]


def test_another_s_change_is_told_unasked(backend):
    backend.write(PATH, PLAN)
    prompts = []

    def changed(_):
        elsewhere(backend.edit, PATH, "step 7: open", "step 7: done")
        return "ls", {"path": "/"}

    def look(messages):
        prompts.append([message.text for message in messages])
        return write("mine, upon what I was told")

    answers = play(backend, READ, changed, look)
    assert prompts[0][-1].startswith("[shared artifacts]")
    assert "+step 7: done" in prompts[0][-1]
    assert answers[-1] == f"Updated file {PATH}"


def test_calls_that_are_awaited_are_the_same(backend):
    backend.write(PATH, PLAN)

    def changed(_):
        elsewhere(backend.edit, PATH, "step 7: open", "step 7: done")
        return READ

    made = agent(backend, [READ, changed, READ], middleware=[CoherenceMiddleware(backend)])
    state = asyncio.run(made.ainvoke({"messages": [("user", "go")]}))
    first, again, third = told(state)
    assert PLAN.rstrip("\n") in first
    assert "+step 7: done" in again
    assert "is unchanged" in third


def test_a_subagent_without_the_middleware_is_apart(backend):
    """What it reads is neither noted for its caller, nor forgotten."""
    backend.write(PATH, PLAN)
    answers = []

    def last(messages):
        answers.append(messages[-1].text)
        return "ok"

    worker = {
        "name": "worker",
        "description": "works",
        "system_prompt": "",
        "model": model(None, [READ, write("seen"), last]),
    }
    play(backend, ("task", {"description": "go", "subagent_type": "worker"}), subagents=[worker])
    assert answers == [f"Updated file {PATH}"]


def test_under_a_route(backend):
    backend.write(PATH, PLAN)
    routed = CompositeBackend(default=StateBackend(), routes={"/shared/": backend})
    path = {"file_path": f"/shared{PATH}"}
    reads = [("read_file", path)] * 2
    made = agent(routed, reads, middleware=[CoherenceMiddleware(backend)])
    answers = told(made.invoke({"messages": [("user", "go")]}))
    assert answers[1] == f"[/shared{PATH} is unchanged: its current text is above]"


def test_a_store_that_is_gone_ends_no_run(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    with CoherentBackend(f"sqlite:///{folder}/team.db") as backend:
        backend.write(PATH, PLAN)

        def gone(_):
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
            return write("x")

        answers = play(backend, READ, gone)
        assert answers[-1].startswith("Error: ")


def test_a_closed_workspace_ends_no_run(url):
    backend = CoherentBackend(url)

    def closed(_):
        backend.close()
        return READ

    answers = play(backend, write(PLAN), closed, write("x"))
    assert "closed" in answers[1]
    assert "closed" in answers[2]


def test_the_answer_of_a_model_is_whole(backend):
    """News that stay come before it."""
    backend.write(PATH, PLAN)

    def changed(_):
        elsewhere(backend.edit, PATH, "step 7: open", "step 7: done")
        return "ls", {"path": "/"}

    made = agent(backend, [READ, changed], middleware=[CoherenceMiddleware(backend)])
    messages = made.invoke({"messages": [("user", "go")]})["messages"]
    assert [message.type for message in messages[-2:]] == ["human", "ai"]
    assert isinstance(messages[-1], AIMessage)
    assert messages[-1].text == "ok"
