"""Over HTTP: who calls, and who may."""

from contextlib import asynccontextmanager

import pytest

pytest.importorskip("mcp_types", reason="mcp 2 is not installed")

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_clients import ERAS, http_server, refused, run, told

from coherence_mcp.command import app

TOKENS = {"coder": "0123456789abcdef", "the reviewer": "fedcba9876543210"}


@asynccontextmanager
async def client_of(address, era, headers):
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(address, http_client=http), mode=era) as client,
    ):
        yield client


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens.txt"
    lines = ["# who, and the token", "", *(" ".join(each) for each in TOKENS.items())]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("era", ERAS)
def test_a_call_is_made_by_the_agent_of_its_token(here, url, tokens, era):
    async def test():
        with http_server(url, "--tokens", str(tokens)) as address:
            for agent, token in TOKENS.items():
                # A header does not take a token's place.
                headers = bearer(token) | {"X-Coherence-Agent": "somebody"}
                async with client_of(address, era, headers) as client:
                    await told(client, "write_artifact", name=f"{agent}.md", text="one")
        authors = {name: here.history(name)[0].author for name in here.names()}
        assert authors == {f"{agent}.md": agent for agent in TOKENS}

    run(test)


@pytest.mark.parametrize("headers", [{}, bearer("0123456789abcdeX"), bearer("x")])
def test_a_wrong_token_is_refused_before_anything_is_read(url, tokens, headers):
    with http_server(url, "--tokens", str(tokens)) as address:
        answer = httpx2.post(address, headers=headers, json={}, timeout=60)
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_token"


@pytest.mark.parametrize("era", ERAS)
def test_a_local_call_is_made_by_the_agent_of_its_header(here, url, era):
    async def test():
        with http_server(url) as address:
            for agent in ("coder", "reviewer"):
                headers = {"X-Coherence-Agent": agent}
                async with client_of(address, era, headers) as client:
                    await told(client, "write_artifact", name=agent, text="one")
            async with client_of(address, era, {}) as client:
                said = await refused(client, "read_artifact", name="coder")
                assert said == (
                    "Refused (no-identity): nothing says which agent calls (send the header "
                    "X-Coherence-Agent, or start the server with --agent or --tokens)"
                )
                # A list does not depend on who reads it.
                assert len((await client.list_resources()).resources) == 2
        assert [here.history(name)[0].author for name in ("coder", "reviewer")] == [
            "coder",
            "reviewer",
        ]

    run(test)


def test_a_server_of_one_agent_asks_for_no_header(here, url):
    async def test():
        with http_server(url, "--agent", "coder") as address:
            async with Client(address) as client:
                await told(client, "write_artifact", name="x", text="one")
        assert here.history("x")[0].author == "coder"

    run(test)


def test_subscribers_over_http_hear_of_other_processes(other, url):
    async def test():
        with http_server(url, "--agent", "coder") as address:
            async with (
                Client(address) as client,
                client.listen(resource_subscriptions=["artifact:///x"]) as events,
            ):
                other.agent("b").write("x", "one")
                assert (await anext(aiter(events))).uri == "artifact:///x"

    run(test)


def test_a_wrong_version_of_the_protocol_is_named(url):
    with http_server(url, "--agent", "a") as address:
        headers = {
            "MCP-Protocol-Version": "2031-01-01",
            "MCP-Method": "tools/list",
            "Accept": "application/json, text/event-stream",
        }
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2031-01-01",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
        answer = httpx2.post(address, headers=headers, json=call, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == -32022
    assert "2026-07-28" in answer.text


def test_a_page_of_another_site_cannot_call_a_local_server(url):
    with http_server(url, "--agent", "a") as address:
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            answer = httpx2.post(address, headers=headers, json={}, timeout=60)
            assert answer.status_code in (403, 421)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--http", "0.0.0.0:8000"], "0.0.0.0 is reached by other machines"),
        (["--http", "x"], "--http 'x' is not an address"),
        (["--http", "70000"], "--http '70000' is not an address"),
        (["--tokens", "tokens.txt"], "--tokens is for HTTP"),
        (["--http", "1", "--tokens", "absent.txt"], "environment: absent.txt: No such file"),
        (["--http", "1", "--tokens", "short.txt"], "line 1 of short.txt is not: AGENT TOKEN"),
        (["--http", "1", "--tokens", "twice.txt"], "line 2 of twice.txt is not: AGENT TOKEN"),
        (["--http", "1", "--tokens", "odd.txt"], "invalid-name: "),
        (["--agent", "a@b"], "invalid-name: "),
    ],
)
def test_options_that_do_not_fit_are_refused(url, tmp_path, options, says, monkeypatch, capsys):
    token = TOKENS["coder"]
    for name, text in {
        "short.txt": "coder 123",
        "twice.txt": f"a {token}\nb {token}",
        "odd.txt": f"a@b {token}",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        app([url, *options])
    assert ended.value.code in (2, 3)
    said = capsys.readouterr()
    assert says in said.err
    assert said.out == ""
