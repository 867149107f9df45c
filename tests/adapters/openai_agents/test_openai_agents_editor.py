"""Patches of several agents: what composes, what is refused, and what a model is told."""

import asyncio
import json
import subprocess
import sys
import threading
from itertools import count
from pathlib import Path

import pytest

pytest.importorskip("agents")

from agents import (
    Agent,
    ApplyPatchOperation,
    ModelResponse,
    RunConfig,
    Runner,
    Usage,
)
from agents.editor import ApplyPatchEditor
from agents.models.interface import Model
from agents.tool_context import ToolContext
from openai.types.responses import (
    ResponseApplyPatchToolCall,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

from coherence import BadArgument, InvalidName, Workspace
from coherence_openai_agents import CoherentEditor

ROOT = Path(__file__).parents[3]
QUIET = RunConfig(tracing_disabled=True)
PLAN = "title: open\n\nbody: open\n"


def create(path, diff):
    return ApplyPatchOperation("create_file", path, diff)


def update(path, *lines, to=None):
    return ApplyPatchOperation("update_file", path, "\n".join(["@@", *lines, ""]), move_to=to)


def delete(path):
    return ApplyPatchOperation("delete_file", path)


async def send(editor, operation):
    """What the SDK does with an operation: the status, and the text for the model."""
    made = await getattr(editor, operation.type)(operation)
    return made.status, made.output


def sent(editor, operation):
    return asyncio.run(send(editor, operation))


@pytest.fixture(params=["memory", "sqlite"])
def url(request, tmp_path):
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/team.db"


@pytest.fixture
def workspace(url):
    with Workspace(url) as opened:
        opened.agent("planner").write("docs/plan.md", PLAN)
        yield opened


@pytest.fixture
def ann(workspace):
    return CoherentEditor(workspace, "ann")


@pytest.fixture
def bob(workspace):
    return CoherentEditor(workspace, "bob")


def text(workspace, name="docs/plan.md"):
    return workspace.agent("planner").read(name).text


# What composes


def test_two_patches_of_different_lines_at_once_are_both_kept(workspace, ann, bob):
    async def both():
        return await asyncio.gather(
            send(ann, update("docs/plan.md", "-title: open", "+title: done")),
            send(bob, update("/docs/plan.md", "-body: open", "+body: done")),
        )

    assert asyncio.run(both()) == [("completed", "done")] * 2
    assert text(workspace) == "title: done\n\nbody: done\n"


def test_an_editor_of_the_sdk(ann):
    assert isinstance(ann, ApplyPatchEditor)
    assert [tool.name for tool in ann.tools()] == ["list_files", "read_file", "apply_patch"]


def test_a_file_is_made_patched_moved_and_deleted(workspace, ann):
    assert sent(ann, create("notes.md", "+one\n+two\n+")) == ("completed", "done")
    assert text(workspace, "notes.md") == "one\ntwo\n"
    assert sent(ann, update("notes.md", " one", "-two", "+2", to="kept/n.md"))[0] == "completed"
    assert text(workspace, "kept/n.md") == "one\n2\n"
    assert sent(ann, delete("kept/n.md")) == ("completed", "done")
    assert workspace.names() == ["docs/plan.md"]


def many(url, name, lines):
    """Patch each of these lines of a file."""
    with Workspace(url) as workspace:
        editor = CoherentEditor(workspace, name)
        for line in lines:
            made = sent(editor, update("many.md", f"-line {line}.", f"+line {line} by {name}."))
            assert made == ("completed", "done")


def test_every_patch_of_two_processes_and_two_threads_is_kept(tmp_path):
    url, each = f"sqlite:///{tmp_path}/team.db", 12
    lines = [f"line {number}." for number in range(4 * each)]
    with Workspace(url) as workspace:
        workspace.agent("planner").write("many.md", "\n".join(lines))
        call = "import sys; sys.path.insert(0, {!r}); from {} import many; many({!r}, {!r}, {})"
        here = Path(__file__)
        processes = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    call.format(str(here.parent), here.stem, url, f"p{n}", range(n, 4 * each, 4)),
                ]
            )
            for n in range(2)
        ]
        threads = [
            threading.Thread(target=many, args=(url, f"t{n}", range(n, 4 * each, 4)))
            for n in range(2, 4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [process.wait() for process in processes] == [0, 0]
        made = text(workspace, "many.md").split("\n")
        by = ["p0", "p1", "t2", "t3"] * each
        assert made == [f"line {number} by {name}." for number, name in enumerate(by)]


# What is refused


def test_a_stale_patch_is_refused_with_the_changes_of_both(workspace, ann, bob):
    bob.files.read("docs/plan.md")
    sent(ann, update("docs/plan.md", "-title: open", "+title: ann's"))
    made = sent(bob, update("docs/plan.md", "-title: open", "+title: bob's"))
    assert made == (
        "failed",
        "/docs/plan.md was not written: ann changed it after you saw it.\n"
        "What ann changed:\n@@ -1 +1 @@\n-title: open\n+title: ann's\n"
        "What you tried to change:\n@@ -1 +1 @@\n-title: open\n+title: bob's\n"
        "Read it again, then write both changes as one.",
    )
    assert text(workspace) == "title: ann's\n\nbody: open\n"


def test_a_patch_of_what_was_never_read_is_refused_with_what_to_do(workspace, bob):
    status, said = sent(bob, update("docs/plan.md", "-title: mine", "+title: bob's"))
    assert status == "failed"
    assert "the patch does not fit" in said
    assert "(read the file, and make the patch again)" in said
    assert text(workspace) == PLAN


def test_a_line_that_another_agent_has_indented_is_not_replaced(workspace, ann, bob):
    indent = update("docs/plan.md", "-body: open", "+  body: open")
    replace = update("docs/plan.md", "-body: open", "+body: done")
    sent(ann, indent)
    assert sent(bob, replace) == (
        "failed",
        "the patch fits only if spaces are ignored (read the file, and make the patch again)",
    )
    assert text(workspace) == "title: open\n\n  body: open\n"
    bob.files.read("docs/plan.md")
    assert sent(bob, replace) == ("completed", "done")  # of the text that it has seen
    assert text(workspace) == "title: open\n\nbody: done\n"


def test_lines_of_windows_are_lines(workspace, ann):
    workspace.agent("planner").write("dos.txt", "one\r\ntwo\r\nthree\r\n")
    assert sent(ann, update("dos.txt", " one", "-two", "+2"))[0] == "completed"
    assert text(workspace, "dos.txt") == "one\r\n2\r\nthree\r\n"


def test_an_existing_file_is_not_made_again(workspace, ann, bob):
    bob.files.read("docs/plan.md")  # also where the agent has seen it
    status, said = sent(bob, create("docs/plan.md", "+mine"))
    assert status == "failed"
    assert said.startswith("/docs/plan.md was not written: it exists now, made by planner.")
    assert text(workspace) == PLAN


def test_a_move_replaces_no_file_and_is_one_step(workspace, ann, bob):
    sent(ann, create("taken.md", "+ann's"))
    status, said = sent(bob, update("docs/plan.md", "-title: open", "+title: done", to="taken.md"))
    assert status == "failed"
    assert said.startswith("/taken.md was not written: it exists now, made by ann.")
    assert (text(workspace), text(workspace, "taken.md")) == (PLAN, "ann's")


def test_a_stale_move_is_refused_with_the_changes_of_both(workspace, ann, bob):
    bob.files.read("docs/plan.md")
    sent(ann, update("docs/plan.md", "-title: open", "+title: ann's"))
    status, said = sent(bob, update("docs/plan.md", "-title: open", "+title: bob's", to="new.md"))
    assert status == "failed"
    assert "-title: open\n+title: ann's" in said
    assert workspace.names() == ["docs/plan.md"]


def test_a_deletion_is_compared_with_what_was_seen(workspace, ann, bob):
    bob.files.read("docs/plan.md")
    sent(ann, update("docs/plan.md", "-title: open", "+title: ann's"))
    status, said = sent(bob, delete("docs/plan.md"))
    assert status == "failed"
    assert "not deleted: ann changed it after you saw it" in said
    bob.files.read("docs/plan.md")
    assert sent(bob, delete("docs/plan.md"))[0] == "completed"
    assert sent(bob, delete("docs/plan.md")) == ("failed", "There is no file docs/plan.md.")


def test_what_was_forgotten_was_not_seen(workspace, ann, bob):
    bob.files.read("docs/plan.md")
    bob.files.forget()
    sent(ann, update("docs/plan.md", "-title: open", "+title: ann's"))
    assert "does not fit" in sent(bob, update("docs/plan.md", "-title: open", "+title: bob's"))[1]


# Bad input


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (update("../plan.md", "-a", "+b"), "leads out"),
        (update("docs/", "-a", "+b"), "names no file"),
        (update("none.md", "-a", "+b"), "There is no file none.md."),
        (update("docs/plan.md", "-title: open", "+x", to="../out"), "leads out"),
        (ApplyPatchOperation("update_file", "docs/plan.md", "no patch"), "does not fit"),
        (ApplyPatchOperation("create_file", "new.md", "no patch"), "does not fit"),
        (update("docs/plan.md", "-title: open", "+\ud800"), "surrogate"),
        (update("bytes", "-a", "+b"), "holds bytes"),
        (create("big.md", "+" + "x" * (17 << 20)), "17825792"),
    ],
)
def test_what_cannot_be_done_is_a_result_for_the_model(workspace, ann, operation, said):
    workspace.agent("planner").write("bytes", b"\x00")
    names = workspace.names()
    status, output = sent(ann, operation)
    assert (status, said in output) == ("failed", True), output
    assert (workspace.names(), text(workspace)) == (names, PLAN)


def test_a_workspace_that_is_closed_is_a_result_for_the_model(url):
    workspace = Workspace(url)
    editor = CoherentEditor(workspace, "ann")
    workspace.close()
    status, said = sent(editor, create("new.md", "+x"))
    assert (status, "closed" in said) == ("failed", True), said


def test_an_editor_is_made_of_a_workspace_and_a_name(workspace):
    with pytest.raises(BadArgument):
        CoherentEditor("sqlite:///team.db", "ann")
    with pytest.raises(InvalidName):
        CoherentEditor(workspace, "")


# With the SDK's runner


class Script(Model):
    """Plays turns: each is a list of output items, or awaited for what the tools said last."""

    def __init__(self, *turns):
        self.turns, self.said = list(turns), []

    async def get_response(self, *given, **named):
        items = named.get("input", given[1:2])
        self.said = [item["output"] for item in items if "output" in item]
        turn = self.turns.pop(0)
        output = turn if isinstance(turn, list) else await turn(self.said)
        return ModelResponse(output, Usage(requests=1), None)

    async def stream_response(self, *given, **named):
        raise NotImplementedError
        yield


NUMBERS = count()


def calls(tool, **given):
    number = str(next(NUMBERS))
    return ResponseFunctionToolCall(
        arguments=json.dumps(given), call_id=number, name=tool, type="function_call"
    )


def patch(path, *lines):
    number = str(next(NUMBERS))
    operation = {"type": "update_file", "path": path, "diff": "\n".join([*lines, ""])}
    return ResponseApplyPatchToolCall.model_validate(
        {
            "id": number,
            "call_id": number,
            "operation": operation,
            "status": "completed",
            "type": "apply_patch_call",
        }
    )


def says(what):
    part = ResponseOutputText(annotations=[], text=what, type="output_text")
    return ResponseOutputMessage(
        id=str(next(NUMBERS)), content=[part], role="assistant", status="completed", type="message"
    )


def test_two_agents_that_run_at_once_keep_both_works(workspace, ann, bob):
    has_read, has_patched = asyncio.Event(), asyncio.Event()
    refused = []

    async def patches(said):
        await has_read.wait()
        return [patch("docs/plan.md", "@@", "-title: open", "+title: ann's")]

    async def ends(said):
        has_patched.set()
        return [says("done")]

    async def reads_another(said):
        has_read.set()
        return [calls("read_file", path="none.md")]

    async def patches_late(said):
        await has_patched.wait()
        return [patch("docs/plan.md", "@@", "-title: open", "+title: bob's")]

    async def reads_again(said):
        refused.append(said[-1])
        return [calls("read_file", path="docs/plan.md")]

    first = Script([calls("list_files")], [calls("read_file", path="/docs/plan.md")], patches, ends)
    second = Script(
        [calls("read_file", path="docs/plan.md")],
        reads_another,
        patches_late,
        reads_again,
        [patch("docs/plan.md", "@@", "-title: ann's", "+title: of both")],
        [says("done")],
    )

    async def run():
        team = [
            Agent(name, model=model, tools=editor.tools())
            for name, model, editor in (("ann", first, ann), ("bob", second, bob))
        ]
        await asyncio.gather(*(Runner.run(each, "Work.", run_config=QUIET) for each in team))

    asyncio.run(run())
    assert first.said == ["/docs/plan.md", PLAN, "done"]
    assert "What ann changed:\n@@ -1 +1 @@\n-title: open\n+title: ann's" in refused[0]
    assert second.said[1] == "There is no file none.md."
    assert text(workspace) == "title: of both\n\nbody: open\n"


def test_a_read_of_the_same_turn_was_not_seen(workspace, ann, bob):
    _, read_file, _ = bob.tools()
    asked = json.dumps({"path": "docs/plan.md"})
    usage = Usage(requests=1)
    context = ToolContext(None, usage, "read_file", "1", asked)
    gone = ApplyPatchOperation("delete_file", "docs/plan.md", ctx_wrapper=context)

    async def turns():
        yield await read_file.on_invoke_tool(context, asked)
        await send(ann, update("docs/plan.md", "-title: open", "+title: ann's"))
        usage.requests = 2  # the model asks for both calls at once
        yield await read_file.on_invoke_tool(context, asked)
        yield (await send(bob, gone))[0]
        usage.requests = 3
        yield (await send(bob, gone))[0]

    async def seen():
        return [each async for each in turns()]

    assert asyncio.run(seen()) == [PLAN, PLAN.replace("open", "ann's", 1), "failed", "completed"]


def test_the_example_shows_both_losses():
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples/openai_agents_patches.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    stock, _, ours = done.stdout.partition("CoherentEditor:")
    assert "Moved config.yaml to client.yaml\nclient:\nretries: 5\n" in stock
    assert "config.yaml:\nserver:\nclient:\n  retries: 3\n" in ours
    assert "client.yaml:\n# An hour of work\n" in ours
