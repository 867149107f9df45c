"""Resources and subscriptions, through clients of both protocols."""

import base64

import pytest

pytest.importorskip("mcp_types", reason="mcp 2 is not installed")

import anyio
import mcp_types as types
from mcp.client.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp_clients import ERAS, client_of, run, told

from coherence_mcp import resources

PLAN = "artifact:///plan.md"
#: The client warns of what the newest protocol has not.
EARLIER = pytest.mark.filterwarnings("ignore:resources/")


@pytest.mark.parametrize("era", ERAS)
def test_artifacts_are_listed_with_their_refs(here, era, monkeypatch):
    monkeypatch.setattr(resources, "PAGE", 2)
    for name in ("plan.md", "notes/ä b.md", "x"):
        here.agent("b").write(name, "one")
    here.agent("b").write("plan.md", "two")

    async def test():
        async with client_of(here, era=era) as client:
            first = await client.list_resources()
            second = await client.list_resources(cursor=first.next_cursor)
            (template,) = (await client.list_resource_templates()).resource_templates
        assert second.next_cursor is None
        found = {r.name: (r.uri, r.meta["coherence/ref"]) for r in first.resources}
        found |= {r.name: (r.uri, r.meta["coherence/ref"]) for r in second.resources}
        assert found == {
            "notes/ä b.md": ("artifact:///notes/%C3%A4%20b.md", "notes/ä b.md@1"),
            "plan.md": (PLAN, "plan.md@2"),
            "x": ("artifact:///x", "x@1"),
        }
        assert template.uri_template == "artifact:///{+name}{?version}"
        if era != "legacy":
            assert (first.ttl_ms, first.cache_scope) == (0, "private")

    run(test)


@pytest.mark.parametrize("era", ERAS)
def test_a_version_is_read_by_its_resource(here, era):
    agent = here.agent("b")
    agent.write("notes/ä b.md", "one")
    agent.write("notes/ä b.md", "two")
    agent.write("image.png", b"\0\1")

    async def test():
        async with client_of(here, era=era) as client:
            uri = "artifact:///notes/%C3%A4%20b.md"
            now = await client.read_resource(uri)
            before = await client.read_resource(uri + "?version=1")
            image = await client.read_resource("artifact:///image.png")
        (part,) = now.contents
        assert (part.text, part.mime_type, part.meta["coherence/ref"]) == (
            "two",
            "text/markdown",
            "notes/ä b.md@2",
        )
        assert before.contents[0].text == "one"
        assert base64.b64decode(image.contents[0].blob) == b"\0\1"
        if era != "legacy":  # stale at once, and never
            assert (now.ttl_ms, now.cache_scope) == (0, "private")
            assert before.ttl_ms == resources.VERSION_TTL_MS

    run(test)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        (PLAN, "unknown-artifact"),
        ("artifact:///x?version=7", "unknown-version"),
        ("artifact:///x?version=one", "bad-argument"),
        ("artifact:///", "invalid-name"),
        ("artifact:///../x", "invalid-name"),
        ("artifact://x/y", "bad-argument"),
        ("file:///x", "bad-argument"),
    ],
)
def test_what_is_no_resource_is_an_error_of_the_protocol(here, uri, says):
    here.agent("b").write("x", "one")

    async def test():
        async with client_of(here) as client:
            with pytest.raises(MCPError, match=says) as refused:
                await client.read_resource(uri)
            assert refused.value.error.code == types.INVALID_PARAMS

    run(test)


def test_subscribers_hear_of_changes_by_any_process(here, other):
    other.agent("b").write("plan.md", "one")

    async def test():
        async with (
            client_of(here) as client,
            client.listen(resource_subscriptions=[PLAN], resources_list_changed=True) as events,
        ):
            heard = aiter(events)
            other.agent("b").write("other.md", "one")
            assert await anext(heard) == ResourcesListChanged()
            other.agent("b").write("other.md", "two")
            other.agent("b").write("plan.md", "two")
            assert await anext(heard) == ResourceUpdated(uri=PLAN)
            assert (await client.read_resource(PLAN)).contents[0].text == "two"
            await told(client, "edit_artifact", name="plan.md", old="two", new="three")
            assert await anext(heard) == ResourceUpdated(uri=PLAN)
            other.agent("b").delete("other.md")
            assert await anext(heard) == ResourcesListChanged()
            other.agent("b").write("other.md", "again")
            assert await anext(heard) == ResourcesListChanged()

    run(test)


@EARLIER
def test_subscribers_of_earlier_protocols_hear_too(here, other):
    other.agent("b").write("plan.md", "one")
    send, heard = anyio.create_memory_object_stream(100)

    async def handle(message):
        if isinstance(message, types.ResourceUpdatedNotification):
            await send.send(message.params.uri)

    async def test():
        async with client_of(here, era="legacy", message_handler=handle) as client:
            await client.subscribe_resource(PLAN)
            await client.subscribe_resource(PLAN)  # tells once all the same
            other.agent("b").write("other.md", "one")
            other.agent("b").write("plan.md", "two")
            assert await heard.receive() == PLAN
            await client.subscribe_resource("artifact:///other.md")
            await client.unsubscribe_resource(PLAN)
            other.agent("b").write("plan.md", "three")
            other.agent("b").write("other.md", "two")
            assert await heard.receive() == "artifact:///other.md"
            assert heard.statistics().current_buffer_used == 0

    with send, heard:
        run(test)


@EARLIER
def test_the_oldest_subscription_of_earlier_protocols_ends(here, other, monkeypatch):
    monkeypatch.setattr(resources, "SUBSCRIPTIONS_MAX", 1)
    send, heard = anyio.create_memory_object_stream(100)

    async def handle(message):
        if isinstance(message, types.ResourceUpdatedNotification):
            await send.send(message.params.uri)

    async def test():
        async with client_of(here, era="legacy", message_handler=handle) as client:
            await client.subscribe_resource(PLAN)
            await client.subscribe_resource("artifact:///x")
            other.agent("b").write("plan.md", "one")
            other.agent("b").write("x", "one")
            assert await heard.receive() == "artifact:///x"

    with send, heard:
        run(test)
