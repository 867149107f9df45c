"""`coherence-mcp` under clients of others: mcp 1, which CrewAI has, TypeScript's SDK, Inspector."""

import fcntl
import json
import os
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import anyio
import pytest
from own_environment import ENVIRONMENTS, TIMEOUT_S, own_environment

from coherence import Workspace

HERE = Path(__file__).parent
PLAN = "artifact:///plan.md"
PACKAGES = ("@modelcontextprotocol/sdk@1.32.2", "@modelcontextprotocol/inspector@0.15.0")
SEEN = """\
read_artifact list_artifacts artifact_history changes_since write_artifact edit_artifact \
publish_many delete_artifact
[plan.md@1 is written]
[plan.md@2 is written]
heard artifact:///plan.md
error Refused (conflict): You wrote from plan.md@1; current is plan.md@2, by planner.
What changed since plan.md@1:
@@ -1 +1 @@
-one
+two
What you changed:
@@ -1 +1 @@
-one
+three
Nothing was written. Write both with expect="plan.md@2".
two
 plan.md@2
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT_S)]


@pytest.fixture(scope="module")
def script():
    return str(own_environment().with_name("coherence-mcp"))


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/team.db"


def run(*command, cwd=None):
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def modules():
    """A folder with the packages of npm, which is made once."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    folder = ENVIRONMENTS / "npm"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / "holds"
        if not stamp.exists() or stamp.read_text() != str(PACKAGES):
            done = run("npm", "install", "--no-audit", "--no-fund", *PACKAGES, cwd=folder)
            if done.returncode:
                pytest.skip(done.stderr)
            stamp.write_text(str(PACKAGES))
    return folder


def test_the_client_of_crewai_speaks_to_it(script, url):
    """A process with `mcp` 1, as CrewAI pins it."""
    sdk = pytest.importorskip("mcp.client.session")
    stdio = pytest.importorskip("mcp.client.stdio")
    if not version("mcp").startswith("1."):
        pytest.skip("this is mcp 2, which tests/adapters/mcp has")
    send, heard = anyio.create_memory_object_stream(10)

    async def hear(message):
        if "resources/updated" in str(message):
            await send.send(message.root.params.uri)

    async def test():
        start = stdio.StdioServerParameters(command=script, args=[url, "--agent", "crew"])
        with anyio.fail_after(100):
            async with (
                stdio.stdio_client(start) as (reads, writes),
                sdk.ClientSession(reads, writes, message_handler=hear) as client,
            ):
                await client.initialize()
                given = {"name": "plan.md", "text": "one"}
                answer = await client.call_tool("write_artifact", given)
                assert answer.content[0].text == "[plan.md@1 is written]"
                assert answer.structuredContent is None
                await client.subscribe_resource(PLAN)
                with Workspace(url) as other:
                    other.agent("b").write("plan.md", "two", expect=1)
                assert str(await heard.receive()) == PLAN
                answer = await client.call_tool("write_artifact", given | {"expect": "plan.md@1"})
                assert answer.isError
                assert "by b" in answer.content[0].text
                assert (await client.read_resource(PLAN)).contents[0].text == "two"

    with send, heard:
        anyio.run(test)


def test_the_client_of_typescript_speaks_to_it(script, url, modules):
    program = modules / "client.mjs"
    shutil.copy(HERE / "mcp" / "typescript_client.mjs", program)
    done = run("node", str(program), script, url)
    assert done.stdout == SEEN, done.stderr


def test_inspector_speaks_to_it(script, url, modules):
    inspector = str(modules / "node_modules" / ".bin" / "mcp-inspector")

    def ask(method, *more):
        done = run(inspector, "--cli", script, url, "--method", method, *more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    given = ("--tool-arg", "name=plan.md", "--tool-arg", "text=one")
    answer = ask("tools/call", "--tool-name", "write_artifact", *given)
    assert answer["content"] == [{"type": "text", "text": "[plan.md@1 is written]"}]
    (listed,) = ask("resources/list")["resources"]
    assert listed["_meta"] == {"coherence/ref": "plan.md@1"}
    (read,) = ask("resources/read", "--uri", PLAN)["contents"]
    assert read["text"] == "one"
