"""The tools, through a client of either protocol in this process."""

import os
from pathlib import Path

import pytest

pytest.importorskip("mcp_types", reason="mcp 2 is not installed")

import anyio
from mcp.shared.exceptions import MCPError
from mcp_clients import ERAS, client_of, refused, run, told

from coherence import BadArgument, Limits, Workspace
from coherence.errors import InvalidName, StoreFault, WorkspaceClosed
from coherence_mcp.server import ArtifactServer

READS = ["read_artifact", "list_artifacts", "artifact_history", "changes_since"]
WRITES = ["write_artifact", "edit_artifact", "publish_many", "delete_artifact"]
#: A list of tools is part of every prompt.
TOOLS_BYTES_MAX = 5_200


@pytest.mark.parametrize("era", ERAS)
def test_the_tools_are_listed_in_one_order(here, era):
    async def test():
        async with client_of(here, era=era) as client:
            listed = (await client.list_tools()).tools
        assert [tool.name for tool in listed] == READS + WRITES
        assert {tool.name for tool in listed if tool.annotations.read_only_hint} == set(READS)
        hints = {t.name: t.annotations for t in listed}
        assert [n for n, h in hints.items() if h.destructive_hint] == ["delete_artifact"]
        assert all(hint.open_world_hint is False for hint in hints.values())
        assert all(tool.output_schema is None for tool in listed)
        size = sum(len(tool.model_dump_json(by_alias=True, exclude_none=True)) for tool in listed)
        assert size <= TOOLS_BYTES_MAX

    run(test)


@pytest.mark.parametrize("era", ERAS)
def test_an_artifact_is_written_read_and_deleted(here, era):
    async def test():
        async with client_of(here, era=era) as client:
            assert await told(client, "list_artifacts") == "There is no artifact."
            assert await told(client, "write_artifact", name="plan.md", text="one\n") == (
                "[plan.md@1 is written]"
            )
            edit = {"old": "one", "new": "two"}
            assert "@2" in await told(client, "edit_artifact", name="plan.md", **edit)
            assert await told(client, "read_artifact", name="plan.md") == "[plan.md@2]\ntwo\n"
            assert await told(client, "read_artifact", name="plan.md", have="plan.md@2") == (
                "[plan.md is unchanged since plan.md@2]"
            )
            assert await told(client, "read_artifact", name="plan.md", version=1) == (
                "[plan.md@1]\none\n"
            )
            many = [
                {"name": "x", "text": "1"},
                {"name": "plan.md", "text": "3", "expect": "plan.md@2"},
            ]
            assert await told(client, "publish_many", artifacts=many) == (
                "[plan.md@3, x@1 are written]"
            )
            assert "by a, 1 bytes" in await told(client, "artifact_history", name="plan.md", last=1)
            assert await told(client, "delete_artifact", name="x", expect="x@1") == "[x@2: deleted]"
            assert await told(client, "list_artifacts") == "plan.md@3"

    run(test)


def test_a_stale_write_is_refused_with_both_changes(here, other):
    async def test():
        async with client_of(here) as client:
            await told(client, "write_artifact", name="plan.md", text="one\n2\n3\nfour\n")
            other.agent("b").write("plan.md", "ONE\n2\n3\nfour\n", expect=1)
            mine = {"name": "plan.md", "text": "one\n2\n3\nFOUR\n", "expect": "plan.md@1"}
            said = await refused(client, "write_artifact", **mine)
            assert said.startswith("Refused (conflict): You wrote from plan.md@1; current is plan")
            for part in ("by b", "-one", "+ONE", "-four", "+FOUR"):
                assert part in said
            assert said.endswith('Nothing was written. Write both with expect="plan.md@2".')
            assert await told(client, "write_artifact", **mine | {"merge": True}) == (
                "[plan.md@3 is written: your text, with these changes by others]\n"
                "@@ -1 +1 @@\n-one\n+ONE\n"
            )

    run(test)


def test_the_next_answer_says_what_others_have_changed(here, other):
    async def test():
        async with client_of(here) as client:
            await told(client, "write_artifact", name="plan.md", text="one")
            other.agent("b").write("plan.md", "two", expect=1)
            while (said := await told(client, "list_artifacts")) == "plan.md@2":
                await anyio.sleep(0)
            assert said == ("plan.md@2\n[plan.md was changed by b; you were last shown plan.md@1.]")
            assert await told(client, "list_artifacts") == "plan.md@2"

    run(test)


def test_a_wait_for_changes_keeps_no_other_call_waiting(here, other):
    async def test():
        async with client_of(here) as client, anyio.create_task_group() as tasks:
            await told(client, "write_artifact", name="plan.md", text="one")
            await told(client, "write_artifact", name="other.md", text="one")
            answers = []

            async def wait():
                refs = ["plan.md@1", "other.md@1"]
                answers.append(await told(client, "changes_since", refs=refs, wait_s=50))

            tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            assert await told(client, "read_artifact", name="plan.md")
            other.agent("b").write("unrelated.md", "two")
            assert "unrelated" in await told(client, "list_artifacts")
            assert answers == []
            other.agent("b").write("plan.md", "two", expect=1)
        assert answers == ["plan.md was changed by b; you were last shown plan.md@1."]

    run(test)


def test_refs_in_a_question_for_changes_are_versions_of_this_workspace(here):
    async def test():
        async with client_of(here) as client:
            await told(client, "write_artifact", name="plan.md", text="one")
            assert await told(client, "changes_since", refs=["plan.md@1"]) == (
                "All of them are current."
            )
            wrong = {"plan.md@2": "foreign-ref", "x@1": "foreign-ref", "x": "bad-ref"}
            for ref, code in wrong.items():
                said = await refused(client, "changes_since", refs=[ref])
                assert said.startswith(f"Refused ({code}): ")
            said = await refused(client, "changes_since", refs=["plan.md@1"], wait_s=51)
            assert "wait_s: Input should be less than or equal to 50" in said

    run(test)


@pytest.mark.parametrize(
    ("tool", "given", "says"),
    [
        ("read_artifact", {}, "Refused (bad-argument): name: Field required"),
        ("read_artifact", {"name": 3}, "Refused (bad-argument): name: Input should be a valid str"),
        ("read_artifact", {"name": "x", "if_match": "x@1"}, "Refused (bad-argument): if_match: "),
        ("read_artifact", {"name": "plan"}, "Refused (unknown-artifact): there is no artifact 'p"),
        ("read_artifact", {"name": "../x"}, "Refused (invalid-name): "),
        ("write_artifact", {"name": "x", "text": "1", "expect": "x@1"}, "Refused (foreign-ref): "),
        ("edit_artifact", {"name": "x", "old": "a", "new": "b"}, "Refused (unknown-artifact): "),
        ("delete_artifact", {"name": "x"}, "Refused (bad-argument): expect: Field required"),
        ("publish_many", {"artifacts": [{"name": "x"}]}, "Refused (bad-argument): artifacts.0.tex"),
        ("publish_many", {"artifacts": []}, "Refused (bad-argument): there is no artifact to publ"),
        ("artifact_history", {"name": "x", "last": 0}, "Refused (bad-argument): last: "),
    ],
)
def test_wrong_arguments_are_refused_in_words(here, tool, given, says):
    async def test():
        async with client_of(here) as client:
            assert (await refused(client, tool, **given)).startswith(says)
        assert here.names() == []

    run(test)


def test_an_unknown_tool_is_an_error_of_the_protocol(here):
    async def test():
        async with client_of(here) as client:
            with pytest.raises(MCPError, match="there is no tool 'remove'"):
                await client.call_tool("remove", {})

    run(test)


def test_a_text_over_the_limit_is_refused_with_its_size(url):
    async def test():
        with Workspace(url, limits=Limits(content_bytes=100)) as small:
            async with client_of(small) as client:
                said = await refused(client, "write_artifact", name="x", text="y" * 101)
                assert said.startswith("Refused (content-too-large): ")
                assert "101" in said
                assert await told(client, "list_artifacts") == "There is no artifact."

    run(test)


def test_a_store_that_is_gone_is_said(url, tmp_path):
    async def test():
        with Workspace(url) as opened:
            async with client_of(opened) as client:
                await told(client, "write_artifact", name="x", text="1")
                Path(tmp_path / "team.db").rename(tmp_path / "away.db")
                said = await refused(client, "write_artifact", name="y", text="1")
                assert said.startswith("Refused (store-missing): ")
                assert "may have to restart this server" in said

    run(test)


def test_two_processes_with_one_name_lose_nothing(here, other):
    async def test():
        async with client_of(here) as first, client_of(other) as second:
            await told(first, "write_artifact", name="log", text="END")
            for number in range(10):
                for client in (first, second):
                    await told(client, "edit_artifact", name="log", old="END", new=f"{number}\nEND")
            text = await told(first, "read_artifact", name="log")
            assert text.split("\n")[1:-1] == [str(n // 2) for n in range(20)]

    run(test)


# A server that only reads; further tools.


@pytest.mark.parametrize("era", ERAS)
def test_a_server_that_only_reads_has_no_tool_that_writes(here, era):
    here.agent("b").write("plan.md", "one")

    async def test():
        async with client_of(here, era=era, read_only=True) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == READS
            assert await told(client, "read_artifact", name="plan.md") == "[plan.md@1]\none"
            with pytest.raises(MCPError, match="there is no tool 'write_artifact'"):
                await client.call_tool("write_artifact", {"name": "x", "text": "1"})

    run(test)


def test_further_tools_are_functions(here):
    def guard(event: str, again: bool = False) -> str:
        """Say whether it may happen."""
        if event == "bad":
            raise StoreFault("it may not", remedy="leave it")
        return f'{{"may": "{event}"}}'

    async def test():
        async with client_of(here, tools=[guard]) as client:
            listed = (await client.list_tools()).tools[-1]
            assert (listed.name, listed.description) == ("guard", "Say whether it may happen.")
            assert listed.input_schema["required"] == ["event"]
            assert not listed.annotations.read_only_hint
            assert await told(client, "guard", event="x") == '{"may": "x"}'
            said = await refused(client, "guard", event="bad")
            assert said == "Refused (store-fault): it may not (leave it)"

    run(test)


def test_a_server_refuses_what_it_cannot_serve(here):
    def read_artifact() -> str:
        return ""

    with pytest.raises(BadArgument, match="two tools have one name"):
        ArtifactServer(here, tools=[read_artifact])
    with pytest.raises(InvalidName):
        ArtifactServer(here, "a@b")
    with pytest.raises(BadArgument, match="is not a Workspace"):
        ArtifactServer(os.fspath("team.db"))
    here.close()
    with pytest.raises(WorkspaceClosed):
        ArtifactServer(here, "a")
