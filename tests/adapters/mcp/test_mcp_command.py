"""The script, in processes of its own."""

import getpass
import json
import os
import signal
import subprocess
from importlib.metadata import EntryPoint

import pytest

pytest.importorskip("mcp_types", reason="mcp 2 is not installed")

import anyio
from mcp_clients import ERAS, SCRIPT, environment, over_stdio, refused, run, told

from coherence import BadArgument, Workspace
from coherence_mcp import command


def call(*options, given=""):
    return subprocess.run(
        [str(SCRIPT), *options],
        env=environment() | {"COLUMNS": "100", "NO_COLOR": "1"},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_guard_of_files_is_served_if_asked_for(url):
    async def main():
        for options, served in (([], 8), (["--with", "guard"], 9)):
            async with over_stdio(url, *options) as client:
                names = [tool.name for tool in (await client.list_tools()).tools]
                assert (len(names), "guard" in names) == (served, served == 9)

    run(main)


def test_help_has_examples():
    done = call("--help")
    assert done.returncode == 0
    for part in ("--agent", "--http", "--tokens", "--read-only", "Examples:", "COHERENCE_STORE"):
        assert part in done.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "usage: Missing argument 'store'"),
        (["team.db"], "bad-url: "),
        (["sqlite:////no/such/folder/team.db"], "store-missing: "),
        (["memory://", "--nonsense"], "usage: No such option: --nonsense"),
    ],
)
def test_a_wrong_call_is_refused_in_one_line(options, says, capsys, monkeypatch):
    monkeypatch.delenv("COHERENCE_STORE", raising=False)
    with pytest.raises(SystemExit) as ended:
        command.app(options)
    assert ended.value.code in (2, 3)
    said = capsys.readouterr()
    assert (said.out, said.err.startswith(says)) == ("", True)


def test_a_store_in_memory_is_not_shared_and_says_so():
    done = call("memory://")
    assert done.returncode == 0
    assert done.stderr == "memory:// is not shared: its artifacts end with this process\n"


@pytest.mark.parametrize(
    ("options", "env", "author"),
    [
        (["--agent", "coder"], {}, "coder"),
        ([], {"COHERENCE_AGENT": "planner"}, "planner"),
        ([], {}, f"{getpass.getuser()}-"),
    ],
)
def test_the_agent_has_a_name(here, url, options, env, author):
    async def test():
        async with over_stdio(url, *options, **env) as client:
            await told(client, "write_artifact", name="x", text="one")
        assert here.history("x")[0].author.startswith(author)

    run(test)


@pytest.mark.parametrize("era", ERAS)
def test_two_processes_share_a_store(url, era):
    async def test():
        async with (
            over_stdio(url, "--agent", "coder", era=era) as coder,
            over_stdio(url, "--agent", "planner", era=era) as planner,
        ):
            await told(planner, "write_artifact", name="plan.md", text="one")
            assert await told(coder, "read_artifact", name="plan.md") == "[plan.md@1]\none"
            mine = {"name": "plan.md", "text": "two", "expect": "plan.md@1"}
            await told(coder, "write_artifact", **mine)
            said = await refused(planner, "write_artifact", **mine | {"text": "three"})
            assert "current is plan.md@2, by coder" in said

    run(test)


def test_after_a_restart_a_claim_is_served_again_and_a_base_still_counts(url):
    async def test():
        async with over_stdio(url, "--agent", "coder") as client:
            await told(client, "write_artifact", name="plan.md", text="one")
            said = await told(client, "read_artifact", name="plan.md", have="plan.md@1")
            assert "unchanged" in said
        async with over_stdio(url, "--agent", "coder") as client:
            said = await told(client, "read_artifact", name="plan.md", have="plan.md@1")
            assert said == "[plan.md@1]\none"
            mine = {"name": "plan.md", "text": "two", "expect": "plan.md@1"}
            assert await told(client, "write_artifact", **mine) == "[plan.md@2 is written]"
            assert "Refused (conflict)" in await refused(client, "write_artifact", **mine)

    run(test)


def test_a_text_of_some_size_goes_both_ways(url):
    async def test():
        text = "".join(f"line {n}\n" for n in range(50_000))
        async with over_stdio(url, "--agent", "coder") as client:
            await told(client, "write_artifact", name="long.txt", text=text)
            said = await told(client, "read_artifact", name="long.txt")
            assert "not the whole]" in said.partition("\n")[0]
            assert len(said) < 81_000
            resource = await client.read_resource("artifact:///long.txt")
            assert resource.contents[0].text == text

    run(test)


def handshake(version):
    params = {
        "protocolVersion": version,
        "capabilities": {},
        "clientInfo": {"name": "x", "version": "1"},
    }
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})


@pytest.mark.parametrize("version", ["2025-06-18", "2031-01-01"])
def test_a_handshake_is_answered_with_a_version_that_is_spoken(url, version):
    done = call(url, "--agent", "a", given=handshake(version) + "\n")
    (line,) = done.stdout.splitlines()
    answer = json.loads(line)
    spoken = answer["result"]["protocolVersion"]
    assert spoken == version or spoken.startswith("2025-")
    assert done.returncode == 0


def test_lines_that_are_no_messages_end_nothing(url):
    wrong = ["{", "[]", '"x"', "\x00", '{"jsonrpc": "2.0", "id": 1}', "x" * 1_000_000]
    done = call(url, "--agent", "a", given="\n".join([*wrong, handshake("2025-06-18"), ""]))
    assert done.returncode == 0
    assert '"serverInfo"' in done.stdout.splitlines()[-1]


def test_a_server_that_is_killed_leaves_nothing_behind(url):
    async def test():
        async with over_stdio(url, "--agent", "other") as other:
            process = subprocess.Popen(
                [str(SCRIPT), url, "--agent", "coder"],
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            write = {"name": "write_artifact", "arguments": {"name": "x", "text": "one"}}
            calls = [
                handshake("2025-06-18"),
                '{"jsonrpc": "2.0", "method": "notifications/initialized"}',
                json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": write}),
            ]
            process.stdin.write("\n".join(calls) + "\n")
            process.stdin.flush()
            while '"id":2' not in process.stdout.readline():
                pass
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            mine = {"name": "x", "text": "two", "expect": "x@1"}
            assert await told(other, "write_artifact", **mine) == "[x@2 is written]"

    run(test)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(url, number):
    process = subprocess.Popen(
        [str(SCRIPT), url, "--agent", "coder"],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, as a test run may be, inherits that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    process.stdin.write(handshake("2025-06-18") + "\n")
    process.stdin.flush()
    assert process.stdout.readline()
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode in (-signal.SIGTERM, 130)
    assert "Traceback" not in said


def further(workspace):
    def look() -> str:
        return str(workspace.names())

    return [look]


def broken(workspace):
    raise OSError("it does not work")


def test_tools_of_other_packages_are_found_by_entry_points(monkeypatch, capsys):
    group = "coherence_mcp.tools"
    points = [EntryPoint(each, f"{__name__}:{each}", group) for each in ("broken", "further")]
    points.append(EntryPoint("absent", "no_such_module:tools", group))
    monkeypatch.setattr(command, "entry_points", lambda group: points)
    monkeypatch.setattr(EntryPoint, "load", lambda self: globals().get(self.name) or missing())
    with Workspace() as workspace:
        assert list(command._further(workspace, [])) == []
        (look,) = command._further(workspace, ["broken", "further", "absent"])
        assert look() == "[]"
        with pytest.raises(BadArgument, match=r"no further tools \['gard'\]") as caught:
            list(command._further(workspace, ["gard"]))
        assert caught.value.remedy == "of ['absent', 'broken', 'further']"
    said = capsys.readouterr().err
    assert "the tools of broken" in said
    assert "left out: it does not work" in said
    assert "the tools of absent" in said


def missing():
    raise ImportError("no_such_module")


def test_waiting_for_changes_outlives_other_calls(url):
    async def test():
        async with over_stdio(url, "--agent", "a") as client, anyio.create_task_group() as tasks:
            await told(client, "write_artifact", name="x", text="one")
            said = []

            async def wait():
                said.append(await told(client, "changes_since", refs=["x@1"], wait_s=50))

            tasks.start_soon(wait)
            async with over_stdio(url, "--agent", "b") as other:
                await told(other, "edit_artifact", name="x", old="one", new="two")
        assert said == ["x was changed by b; you were last shown x@1."]

    run(test)
